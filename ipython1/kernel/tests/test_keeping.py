"""What the pieces of a stream become."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import keeping
from ipython1.kernel.framing import Bytes
from ipython1.kernel.keeping import LARGE, InPlace, Joined, in_place
from ipython1.kernel.shared_memory.system import Unavailable
from ipython1.kernel.stream import Collector


class Full:
    """Has no room for the piece of that number, or for all of it."""

    def __init__(self, full_at: int) -> None:
        self.left = full_at

    def add(self, data: Bytes) -> None:
        self.left -= 1
        if not self.left:
            raise MemoryError("full")

    def whole(self) -> Any:
        raise MemoryError("full")


class KeepingTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=50), max_size=10))
    def test_whole(self, pieces: list[bytes]) -> None:
        """However it was divided."""
        size = sum(map(len, pieces))
        for kept in (Joined(size), InPlace(size), in_place(size)):
            for piece in pieces:
                kept.add(piece)
            self.assertEqual(bytes(kept.whole()), b"".join(pieces))

    def test_large(self) -> None:
        """What is large can be written to, as an array may do whose memory it becomes."""
        kept = in_place(LARGE)
        self.assertIsInstance(kept, InPlace)
        for piece in (bytes(LARGE - 3), bytearray(b"a"), memoryview(b"bc")):
            kept.add(piece)
        whole = kept.whole()
        self.assertEqual((len(whole), bytes(whole[-4:]), whole.readonly), (LARGE, b"\0abc", False))

    def test_no_room(self) -> None:
        """Where there is no room for all of it, memory is taken as it comes."""

        def refuse(size: int) -> memoryview:
            raise Unavailable("there is no room")

        self.patch(keeping, "own_memory", refuse)
        kept = in_place(LARGE)
        kept.add(b"abc")
        self.assertEqual(kept.whole(), b"abc")

    def test_no_room_at_all(self) -> None:
        """A stream for which there is none breaks, at whatever piece that is, and no more of it is wanted."""
        for full_at in (1, 2, 3):
            collector = Collector(2, Full(full_at))
            over = collector.when_over()
            wanted = [self.successResultOf(collector.piece(b"a")) for _ in range(2)]
            self.assertEqual(wanted, [number < full_at for number in (1, 2)])
            collector.complete()
            collector.broken("it ended")
            self.successResultOf(over)
            self.assertEqual((collector.body, collector.reason), (None, "there is no room for 2 bytes: full"))
