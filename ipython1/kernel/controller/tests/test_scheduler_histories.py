"""Random histories of tasks and engines: whatever happens, every task ends exactly once, and as it should."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller.task_values import TRANSITIONS, Row
from ipython1.kernel.controller.tests.task_world import World

HISTORIES = 10_000 if os.environ.get("IPYTHON1_TEST_ALL") else 1_000

MOST_ROUNDS = 10

history = st.lists(st.integers(0, (1 << 40) - 1), min_size=30, max_size=80)


class HistoryTests(SynchronousTestCase):
    """What a history comes to."""

    def test_histories(self) -> None:
        """Every task ends once, none runs too often or at two places, none is forgotten; all transitions occur."""
        taken: Counter[Row] = Counter()
        played: list[int] = []

        @settings(
            max_examples=HISTORIES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(history)
        def play(numbers: list[int]) -> None:
            world = World()
            world.play(numbers)
            world.drain()
            taken.update(world.scheduler.taken)
            played.append(world.events)

        # The rarest rows are taken a few times in a thousand histories: by chance, not in each thousand.
        for number in range(MOST_ROUNDS):
            seed(number)(play)()
            if set(taken) == TRANSITIONS:
                break
        print(f"\n{len(played)} histories of {sum(played) / len(played):.0f} events on average; transitions:")
        for row in sorted(TRANSITIONS, key=str):
            way = " (recovery)" if row.recovery else ""
            print(f"  {row.before.value:8} {row.event.value:18} -> {row.after.value}{way}: {taken[row]}")
        self.assertEqual(set(taken), TRANSITIONS)
