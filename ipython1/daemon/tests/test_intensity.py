"""How often something is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.daemon.intensity import LONGEST_DELAY, Budget, Intensity


class BudgetTests(SynchronousTestCase):
    def test_spent(self) -> None:
        """The first restart comes at once, each further one later; then there is none, until time has passed."""
        budget = Budget(Intensity(3, 10.0))
        self.assertEqual([budget.spend(0.0) for _ in range(4)], [0.0, 0.5, 1.0, None])
        self.assertIsNone(budget.spend(9.9))
        self.assertEqual(budget.spend(10.0), 0.0)

    def test_none_allowed(self) -> None:
        """With an intensity of 0 nothing is started again."""
        self.assertIsNone(Budget(Intensity(0, 60.0)).spend(0.0))

    @given(
        st.integers(0, 5),
        st.floats(0.1, 100.0),
        st.lists(st.floats(0.0, 50.0), max_size=60),
    )
    def test_bound(self, restarts: int, seconds: float, steps: list[float]) -> None:
        """However the ends come, no time span has more restarts than allowed, and no delay is out of bounds."""
        budget = Budget(Intensity(restarts, seconds))
        now, granted = 0.0, []
        for step in steps:
            now += step
            delay = budget.spend(now)
            if delay is not None:
                self.assertTrue(0 <= delay <= LONGEST_DELAY)
                granted.append(now)
            inside = [time for time in granted if time > now - seconds]
            self.assertLessEqual(len(inside), restarts)
            # What is refused is refused with a reason.
            self.assertTrue(delay is not None or len(inside) == restarts)
