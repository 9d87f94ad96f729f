"""Held outcomes of two-phase calls."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller.pending import Delivery, Outcome, PendingTable, Waiter
from ipython1.kernel.error import InvalidDeferredID, ResultNotCompleted

WAITER = Waiter("other", ("other", 1))


def outcome(size: int = 0) -> Outcome:
    return Outcome({"ok": True}, [bytes(size)])


class PendingTests(SynchronousTestCase):
    """What is held, until when, and for whom."""

    def setUp(self) -> None:
        self.table = PendingTable(max_results=3, max_bytes=10_000)

    def finished(self, result_id: str, session: str = "me", size: int = 0) -> None:
        self.table.add(self.table.begin(result_id, session), outcome(size), True)

    def fetch(self, result_id: str, block: bool = False) -> list[Outcome] | None:
        return self.table.fetch(result_id, WAITER, block)

    def test_fetched_once(self) -> None:
        """All outcomes come, in the order in which they came in, and then they are forgotten."""
        held = self.table.begin("r", "me")
        first, second = outcome(1), outcome(2)
        self.table.add(held, first, False)
        self.table.add(held, second, True)
        self.assertEqual(self.fetch("r"), [first, second])
        self.assertRaises(InvalidDeferredID, self.fetch, "r")
        self.assertEqual((len(self.table), self.table.bytes_kept), (0, 0))

    def test_not_complete(self) -> None:
        """Who does not wait hears that it is not complete; who waits gets it when it is; a second may not wait."""
        held = self.table.begin("r", "me")
        self.assertRaises(ResultNotCompleted, self.fetch, "r")
        self.assertIsNone(self.fetch("r", block=True))
        self.assertRaises(InvalidDeferredID, self.fetch, "r", True)
        came = outcome()
        self.assertEqual(self.table.add(held, came, True), Delivery(WAITER, [came]))
        self.assertEqual(len(self.table), 0)

    def test_id_in_use(self) -> None:
        """One result has one id."""
        self.table.begin("r", "me")
        self.assertRaises(InvalidDeferredID, self.table.begin, "r", "me")

    def test_clear(self) -> None:
        """A session clears its own, finished or not, who waited is named, and what comes later is dropped."""
        late = self.table.begin("late", "me")
        self.fetch("late", block=True)
        self.finished("done")
        self.finished("other's", "other")
        self.assertEqual(self.table.clear("me"), [WAITER])
        again = self.table.begin("late", "me")
        self.assertIsNone(self.table.add(late, outcome(), True))
        self.assertFalse(again.finished)
        self.assertRaises(InvalidDeferredID, self.fetch, "done")
        self.assertEqual(len(self.fetch("other's") or []), 1)

    def test_waiter_left(self) -> None:
        """What was waited for by a session that is over can be fetched by others."""
        held = self.table.begin("r", "me")
        self.fetch("r", block=True)
        self.table.waiter_left("other")
        self.assertIsNone(self.table.add(held, outcome(), True))
        self.assertEqual(len(self.fetch("r") or []), 1)

    def test_too_many(self) -> None:
        """Beyond the number, those that finished first go; those not finished stay."""
        self.table.begin("open", "me")
        for number in range(5):
            self.finished(str(number))
        self.assertEqual(len(self.table), 4)
        self.assertRaises(InvalidDeferredID, self.fetch, "1")
        self.assertEqual(len(self.fetch("2") or []), 1)

    def test_too_large(self) -> None:
        """Beyond the bytes, those that finished first go; the latest stays, however large."""
        self.finished("small", size=4_000)
        self.finished("large", size=9_000)
        self.assertRaises(InvalidDeferredID, self.fetch, "small")
        self.finished("huge", size=90_000)
        self.assertRaises(InvalidDeferredID, self.fetch, "large")
        self.assertEqual(len(self.fetch("huge") or []), 1)
        self.assertEqual(self.table.bytes_kept, 0)
