"""The counters of a session."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import session
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.session import Sequence


class SequenceTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=50))
    def test_repeats_have_no_effect(self, batches: list[tuple[int, int]]) -> None:
        """Whatever batches are repeated, each number is taken once, in order, and none is taken after a gap."""
        sequence = Sequence()
        taken: list[int] = []
        for back, count in batches:
            first = max(1, sequence.received + 1 - back)
            repeats = sequence.accept(first, count, 10)
            taken += range(first + repeats, first + count)
        self.assertEqual(taken, list(range(1, sequence.received + 1)))

    def test_gap(self) -> None:
        """A message that skips its predecessor is refused."""
        sequence = Sequence()
        sequence.accept(1, 3, 10)
        self.assertRaises(ProtocolError, sequence.accept, 5, 1, 10)
        self.assertEqual(sequence.received, 3)

    def test_acknowledgement_of_the_future(self) -> None:
        """An acknowledgement of what was never sent is refused."""
        sequence = Sequence()
        sequence.number(10)
        sequence.acknowledge(1)
        self.assertRaises(ProtocolError, sequence.acknowledge, 2)

    def test_bytes_in_flight(self) -> None:
        """What is not acknowledged is counted; an old acknowledgement takes nothing back."""
        sequence = Sequence()
        for size in (1, 10, 100):
            sequence.number(size)
        sequence.acknowledge(2)
        sequence.acknowledge(1)
        self.assertEqual((sequence.bytes_in_flight, sequence.acknowledged), (100, 2))

    def test_owes(self) -> None:
        """What came is owed until it is reported; at once when there is much of it."""
        sequence = Sequence()
        self.assertFalse(sequence.owes)
        sequence.accept(1, session.MAX_MESSAGES - 1, 10)
        self.assertTrue(sequence.owes)
        self.assertFalse(sequence.owes_at_once)
        sequence.accept(session.MAX_MESSAGES, 1, 10)
        self.assertTrue(sequence.owes_at_once)
        self.assertEqual(sequence.report(), session.MAX_MESSAGES)
        self.assertFalse(sequence.owes)
        sequence.accept(session.MAX_MESSAGES + 1, 1, session.MAX_BYTES)
        self.assertTrue(sequence.owes_at_once)
