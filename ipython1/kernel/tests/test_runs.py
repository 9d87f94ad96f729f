"""Numbers written as runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.runs import MAX_NUMBERS, from_runs, is_runs, to_runs


class RunsTests(SynchronousTestCase):
    @given(st.lists(st.integers(min_value=0, max_value=20)))
    def test_round(self, numbers: list[int]) -> None:
        """They come back in their order, repeats included."""
        runs = to_runs(numbers)
        self.assertEqual(from_runs(runs), numbers)
        self.assertTrue(is_runs(runs))

    def test_short(self) -> None:
        """Those that follow one another take two numbers."""
        self.assertEqual(to_runs(range(128)), [0, 128])
        self.assertEqual(to_runs([5, 3, 4, 9]), [5, 1, 3, 2, 9, 1])

    def test_unsound(self) -> None:
        """What others send may be anything, and huge."""
        for value in (None, "0", [1], [0, -1], [-1, 1], [0, 1.0], [True, 1], [0, MAX_NUMBERS + 1], [0, "1"]):
            with self.subTest(value=value):
                self.assertFalse(is_runs(value))
