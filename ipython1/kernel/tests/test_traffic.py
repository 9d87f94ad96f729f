"""Large values are counted as they go and come."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.client.progress import LARGE, Transferred
from ipython1.kernel.framing import Bytes, StreamRef, Traffic
from ipython1.kernel.keeping import Joined
from ipython1.kernel.stream import PIECE, Collector, Outgoing


class Pieces:
    """A link that answers pieces when it is told to."""

    def __init__(self) -> None:
        self.answers: list[Deferred[bool]] = []

    def offer(self, number: int, offset: int, data: Bytes) -> Deferred[bool]:
        self.answers.append(Deferred())
        return self.answers[-1]

    def abort(self, number: int, reason: str) -> None:
        raise AssertionError(reason)


class TrafficTests(SynchronousTestCase):
    def test_outgoing(self) -> None:
        """A piece has gone when it has found its place."""
        size = 2 * PIECE + 5
        link, traffic = Pieces(), Traffic(total=size)
        Outgoing(link, StreamRef(1, size), bytes(size), traffic).start()
        seen = []
        for answer in link.answers:
            seen.append(traffic.done)
            answer.callback(True)
        self.assertEqual([*seen, traffic.done], [0, PIECE, 2 * PIECE, size])

    def test_incoming(self) -> None:
        """What had come before somebody wanted to know is counted, too."""
        whole, begun, traffic = Collector(3, Joined(3)), Collector(5, Joined(5)), Traffic()
        whole.piece(b"abc")
        whole.complete()
        begun.piece(b"ab")
        for collector in (whole, begun):
            collector.count(traffic)
        self.assertEqual((traffic.done, traffic.total), (5, 8))
        begun.piece(b"cde")
        self.assertEqual((traffic.done, traffic.total), (8, 8))

    def test_shown(self) -> None:
        """It is shown when it is large, and not all there when one looks first; then to its end."""
        small, late, large = Traffic(5, 100), Traffic(LARGE, LARGE), Traffic(0, LARGE)
        self.assertEqual([Transferred([traffic])() for traffic in (small, late)], [None, None])
        shown = Transferred([small, large])
        self.assertEqual(shown(), (5, LARGE + 100))
        large.done = LARGE
        small.done = 100
        self.assertEqual(shown(), (LARGE + 100, LARGE + 100))
        large.again()
        self.assertEqual(shown(), (100, 100))
