"""Work that was sent ahead and would have to wait, while another engine has nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipython1.kernel.controller.fleet import Fleet
from ipython1.kernel.controller.workers import AHEAD, STUCK, Attempt, Worker

LOOK = 0.01
"""Seconds between two looks at whether an idle engine could take work from a busy one."""
MANY = 50
"""Where more engines than that have work that waits, looks become rarer as there are more: each goes over all of them."""


class Balance:
    """Finds what is to be taken back; `could_have` is whether an engine could be sent the task of an attempt.

    `look_at` is when to look again, if nothing else happens before.
    """

    def __init__(self, fleet: Fleet, could_have: Callable[[Worker, Attempt, float], bool]) -> None:
        self.look_at: float | None = None
        self._fleet = fleet
        self._could_have = could_have
        self._looked_until = 0.0

    def to_move(self, now: float) -> list[Attempt]:
        """What is to be taken back for the engines that have nothing to do: of what others would make wait."""
        self.look_at = None
        loaded = self._fleet.loaded
        if not loaded or not any(worker.has_room(now) for worker in self._fleet.idle):
            return []
        if now < self._looked_until:
            self.look_at = self._looked_until
            return []
        if len(loaded) > MANY:
            self._looked_until = now + len(loaded) * LOOK / MANY
        sources = [each for worker in loaded if (each := _Source(worker, now)).movable]
        sources.sort(key=lambda each: (-len(each.worker.attempts), each.worker.engine))
        moved = self._spread(sources, now) if sources else []
        gone = set(moved)
        for worker in loaded:
            waits = (each for each in worker.attempts if each.started is None and not each.returning)
            first = next((each for each in waits if each not in gone), None)
            if first is not None:
                look_at = now + (LOOK if first is not worker.attempts[0] else STUCK + LOOK)
                self.look_at = look_at if self.look_at is None else min(self.look_at, look_at)
        return moved

    def _spread(self, sources: Sequence[_Source], now: float) -> list[Attempt]:
        idle = [worker for worker in self._fleet.idle if worker.has_room(now)]
        # Each is to have its part of very short ones, which are not worth a journey each.
        share = sum(len(each.movable) for each in sources) // (len(idle) + len(sources))
        moved: list[Attempt] = []
        for worker in idle:
            count = 0
            while (attempt := self._movable(sources, worker, now)) is not None:
                moved.append(attempt)
                count += 1
                if count >= min(share, worker.portion(attempt.kind)):
                    break
        return moved

    def _movable(self, sources: Sequence[_Source], idle: Worker, now: float) -> Attempt | None:
        """The attempt that the engine without work should have, out of the sources, if there is one; it is one of theirs no more."""
        for source in sources:
            if idle.occupied and not source.worker.occupied and source.worker.has_room(now, without=1):
                continue  # It would be sent there again, before the one that has commands of others.
            for attempt in source.movable:
                if self._could_have(idle, attempt, now):
                    source.movable.remove(attempt)
                    return attempt
        return None


class _Source:
    """An engine, and those of its tasks that others could have, the last one first."""

    def __init__(self, worker: Worker, now: float) -> None:
        self.worker = worker
        self.movable: list[Attempt] = []
        waits, stuck = worker.waits(now), worker.is_stuck(now)
        if stuck or waits is None or waits >= AHEAD / 2:
            behind = worker.attempts if stuck else worker.attempts[1:]
            self.movable = [each for each in reversed(behind) if each.started is None and not each.returning]
