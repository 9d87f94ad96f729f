"""Which engines are fit for a task: its targets, resources and rejections, and what they say of its depend function.

An engine is asked for a function when it would get a task that has it; the answer holds until its properties change.
"""

from __future__ import annotations

from collections.abc import Mapping

from ipython1.kernel.controller.task_values import GRACE, Place, StopDepend, Verdict, next_measure
from ipython1.kernel.controller.workers import Worker

DEPEND_WITHIN = 5.0
"""Seconds that an engine may take to say whether it is fit."""


class Fitness:
    """Which of the `workers` are fit."""

    def __init__(self, workers: Mapping[int, Worker]) -> None:
        self._workers = workers
        # What engines were asked and have begun with, by engine and function.
        self._judging: dict[tuple[int, str], Verdict] = {}

    def is_fit(self, worker: Worker, place: Place, now: float) -> bool | None:
        """Whether the engine may be sent a task of that place; None if it is to be asked now for its depend function."""
        if worker.mark in place.rejected or not worker.admits(place) or self.avoids(worker, place, now):
            return False
        if place.depend is None:
            return True
        verdict = worker.verdicts.get(place.depend)
        if verdict is None:
            worker.verdicts[place.depend] = Verdict()
            return None
        return verdict.fit is True

    def may_be_fit(self, worker: Worker, place: Place, now: float) -> bool:
        """The same, unless it says otherwise when it is asked."""
        return (
            worker.mark not in place.rejected
            and worker.may_become(place)
            and not self.avoids(worker, place, now)
        )

    def avoids(self, worker: Worker, place: Place, now: float) -> bool:
        """Whether a task of that place has just failed there, and another engine could take it now."""
        return place.avoided == worker.engine and any(
            other is not worker
            and other.has_room(now)
            and other.mark not in place.rejected
            and other.may_become(place)
            for other in self._workers.values()
        )

    def rejected_by(self, place: Place) -> list[int]:
        """The engines that are fit for it but for rejections, if these are by all of them."""
        if not place.rejected:
            return []
        fit = [worker for worker in self._workers.values() if worker.may_become(place)]
        if any(worker.mark not in place.rejected for worker in fit):
            return []
        return sorted(worker.engine for worker in fit)

    # What engines say of depend functions.

    def began(self, engine: int, depend: str, now: float) -> None:
        """An engine has begun with a function that it was asked for."""
        worker = self._workers.get(engine)
        verdict = None if worker is None else worker.verdicts.get(depend)
        if verdict is not None and verdict.fit is None:
            verdict.deadline = now + DEPEND_WITHIN
            self._judging[engine, depend] = verdict

    def answered(self, engine: int, depend: str, fit: bool, text: str, fatal: bool) -> Worker | None:
        """An engine has said whether its properties satisfy the function; the engine, if it is there."""
        worker = self._workers.get(engine)
        asked = self._judging.pop((engine, depend), None)
        if asked is not None and asked.measures and not fit:
            text = f"it took longer than {DEPEND_WITHIN:g} s, and was stopped"
        if worker is not None:
            worker.verdicts[depend] = Verdict(fit, text, fatal)
        return worker

    def unanswered(self, engine: int, depend: str) -> Worker | None:
        """An engine was asked, and will not answer: it may be asked again; the engine, if it is there."""
        worker = self._workers.get(engine)
        self._judging.pop((engine, depend), None)
        return worker if worker is not None and worker.verdicts.pop(depend, None) is not None else None

    def left(self, engine: int) -> None:
        """An engine is gone."""
        for key in [key for key in self._judging if key[0] == engine]:
            del self._judging[key]

    @property
    def deadlines(self) -> list[float]:
        """When measures against functions are due."""
        return [verdict.deadline for verdict in self._judging.values() if verdict.deadline is not None]

    def due(self, now: float) -> list[StopDepend]:
        """The measures that are due; they are taken."""
        stops = []
        for (engine, depend), verdict in self._judging.items():
            if verdict.deadline is not None and verdict.deadline <= now:
                stops.append(StopDepend(next_measure(verdict.measures), depend, engine))
                verdict.measures += 1
                verdict.deadline = now + GRACE
        return stops
