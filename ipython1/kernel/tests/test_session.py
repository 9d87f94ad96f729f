"""The core of a session: numbers, acknowledgements, repeats, and what is kept for the next connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import session
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.session import Batch, Session


def connected() -> Session[int]:
    core: Session[int] = Session()
    core.connected(0)
    return core


def arrive(core: Session[int], first: int, count: int = 1, ack: int = 0, size: int = 10) -> list[int]:
    """A batch comes, whose messages are their numbers; those that are taken."""
    return list(core.arrived(core.connection, Batch(first, ack, range(first, first + count)), size))


def leave(core: Session[int]) -> list[int]:
    """All that leaves now."""
    numbers: list[int] = []
    while (batch := core.next_batch()) is not None:
        assert batch.first == batch.messages[0]
        numbers += batch.messages
    return numbers


class ReceivingTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=50))
    def test_repeats_have_no_effect(self, batches: list[tuple[int, int]]) -> None:
        """Whatever batches are repeated, each number is taken once, in order, and none is taken after a gap."""
        core = connected()
        taken: list[int] = []
        for back, count in batches:
            taken += arrive(core, max(1, core.received + 1 - back), count)
        self.assertEqual(taken, list(range(1, core.received + 1)))

    def test_gap(self) -> None:
        """A message that skips its predecessor is refused."""
        core = connected()
        arrive(core, 1, 3)
        self.assertRaises(ProtocolError, arrive, core, 5)
        self.assertEqual(core.received, 3)

    def test_owes(self) -> None:
        """What came is owed until it is reported; at once when there is much of it."""
        core = connected()
        self.assertFalse(core.owes)
        arrive(core, 1, session.MAX_MESSAGES - 1)
        self.assertTrue(core.owes)
        self.assertFalse(core.owes_at_once)
        arrive(core, session.MAX_MESSAGES)
        self.assertTrue(core.owes_at_once)
        self.assertEqual(core.report(), session.MAX_MESSAGES)
        self.assertFalse(core.owes)
        arrive(core, session.MAX_MESSAGES + 1, size=session.MAX_BYTES)
        self.assertTrue(core.owes_at_once)

    def test_older_connection(self) -> None:
        """What comes over a connection that is no longer in use is not taken, nor what it acknowledges."""
        core = connected()
        core.send(1, 10)
        leave(core)
        core.connected(0)
        self.assertEqual(core.arrived(1, Batch(1, 1, [1]), 10), ())
        self.assertEqual((core.received, core.acknowledged), (0, 0))
        self.assertFalse(core.disconnected(1))
        self.assertTrue(core.disconnected(2))


class SendingTests(SynchronousTestCase):
    def test_acknowledgement_of_the_future(self) -> None:
        """An acknowledgement of what has not left is refused."""
        core = connected()
        core.send(1, 10)
        self.assertRaises(ProtocolError, arrive, core, 1, 0, 1)
        leave(core)
        arrive(core, 1, 0, 1)
        self.assertRaises(ProtocolError, arrive, core, 1, 0, 2)

    def test_kept(self) -> None:
        """What is not acknowledged is kept and counted; an old acknowledgement takes nothing back."""
        core = connected()
        for number, size in enumerate((1, 10, 100), 1):
            core.send(number, size)
        leave(core)
        arrive(core, 1, 0, 2)
        arrive(core, 1, 0, 1)
        self.assertEqual((core.bytes_kept, core.kept, core.acknowledged), (100, 1, 2))

    def test_leaves_again(self) -> None:
        """What the peer does not have leaves over the next connection, before what was sent meanwhile."""
        core = connected()
        for number in range(1, 4):
            core.send(number, 10)
        self.assertEqual(leave(core), [1, 2, 3])
        core.disconnected(core.connection)
        core.send(4, 10)
        self.assertEqual(leave(core), [])
        core.connected(1)
        core.disconnected(core.connection)
        core.connected(2)
        self.assertEqual(leave(core), [3, 4])
        arrive(core, 1, 0, 4)
        self.assertEqual((core.kept, core.bytes_kept), (0, 0))

    def test_acknowledged_before_it_leaves_again(self) -> None:
        """A peer that could not acknowledge at first what had come may do so over the next connection, at once."""
        core = connected()
        for number in range(1, 4):
            core.send(number, 10)
        leave(core)
        core.connected(1)
        core.send(4, 10)
        arrive(core, 1, 0, 2)
        self.assertRaises(ProtocolError, arrive, core, 1, 0, 4)
        self.assertEqual(leave(core), [3, 4])
        arrive(core, 1, 0, 4)
        self.assertEqual((core.kept, core.bytes_kept), (0, 0))

    def test_impossible_peer(self) -> None:
        """A peer that says it has what was never sent, or less than it had, is refused."""
        core = connected()
        for number in range(1, 4):
            core.send(number, 10)
        leave(core)
        arrive(core, 1, 0, 2)
        core.disconnected(core.connection)
        self.assertRaises(ProtocolError, core.connected, 4)
        self.assertRaises(ProtocolError, core.connected, 1)

    def test_full(self) -> None:
        """Too many messages, or too many bytes, are too much."""
        core = connected()
        core.send(1, session.MAX_KEPT_BYTES)
        self.assertFalse(core.is_full)
        core.send(2, 1)
        self.assertTrue(core.is_full)
        core = connected()
        for number in range(session.MAX_KEPT + 1):
            self.assertFalse(core.is_full)
            core.send(number + 1, 1)
        self.assertTrue(core.is_full)

    def test_end(self) -> None:
        """When it is over nothing is kept, and messages still have numbers."""
        core = connected()
        core.send(1, 10)
        leave(core)
        arrive(core, 1, 0, 1)
        core.send(2, 10)
        core.end()
        self.assertEqual(core.send(3, 10), 3)
        self.assertEqual((core.bytes_kept, core.waits, core.acknowledged), (0, False, 1))
