"""The results of executes, kept for get_result."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.engine.history import History, Record


class HistoryTests(SynchronousTestCase):
    """What is kept, and for how long."""

    def records(self, history: History, *numbers: int) -> list[Record]:
        added = [Record(number, b"document", b"out", b"") for number in numbers]
        for record in added:
            history.add(record)
        return added

    def test_get(self) -> None:
        """By number, or the latest."""
        history = History()
        self.assertIsNone(history.get(None))
        one, two = self.records(history, 1, 2)
        self.assertEqual((history.get(1), history.get(None), history.get(3)), (one, two, None))
        self.assertEqual(history.last_number, 2)

    def test_bounded_by_count(self) -> None:
        """The oldest go first."""
        history = History(max_records=2)
        self.records(history, 1, 2, 3)
        self.assertIsNone(history.get(1))
        self.assertIsNotNone(history.get(2))

    def test_bounded_by_size(self) -> None:
        """Many bytes push out others, but the latest always stays."""
        history = History(max_bytes=100)
        self.records(history, 1, 2)
        large = Record(3, b"document", b"x" * 1000, b"")
        history.add(large)
        self.assertEqual((history.get(2), history.get(3)), (None, large))
        self.records(history, 4)
        self.assertIsNone(history.get(3))

    def test_namespace_lost(self) -> None:
        """What led to the loss can be looked up until the successor has executed something."""
        history = History()
        _, last = self.records(history, 1, 2)
        history.namespace_lost()
        self.assertEqual((history.get(None), history.last_number), (last, 0))
        (first,) = self.records(history, 1)
        self.assertEqual((history.get(1), history.get(2)), (first, None))

    def test_clear(self) -> None:
        """A reset forgets everything."""
        history = History()
        self.records(history, 1)
        history.clear()
        self.assertEqual((history.get(None), history.last_number), (None, 0))
