"""Taking up the tasks of an earlier controller, as they are stored."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import DeferredList

from ipython1.kernel.controller.task_course import TaskCourse
from ipython1.kernel.controller.task_journal import progress, task_function, task_result
from ipython1.kernel.controller.task_live import LiveTask
from ipython1.kernel.controller.task_spec import Form, Forms, Function, Work
from ipython1.kernel.controller.task_store import TaskResult
from ipython1.kernel.controller.task_values import Outcome, TaskSpec
from ipython1.kernel.error import KernelError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.store.values import ASSIGNED, Damaged, Snapshot
from ipython1.kernel.store.values import LiveTask as StoredLiveTask


class Restore:
    """Gives a course without tasks those of the snapshot; the engines that had been sent some must be awaited."""

    def __init__(self, tasks: TaskCourse, snapshot: Snapshot) -> None:
        self._tasks = tasks
        self._snapshot = snapshot
        self._forms = Forms()
        self._functions: Mapping[str, Function] = {
            digest: task_function(stored) for digest, stored in snapshot.functions.items()
        }

    async def run(self) -> None:
        """Do it."""
        # Of very many objects that all stay, to look again and again whether some may go takes most of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            await self._run()
        finally:
            if collecting:
                gc.enable()

    async def _run(self) -> None:
        tasks, snapshot = self._tasks, self._snapshot
        tasks.ended_before(snapshot.ended)
        found: dict[int, tuple[StoredLiveTask, TaskSpec]] = {}
        for stored in snapshot.live:
            try:
                found[stored.task.id] = stored, self._spec(stored)
            except (KernelError, LookupError, TypeError, ValueError) as problem:
                self._spoilt(stored.task.id, stored.task.session, stored.task.label, str(problem))
        for damaged in snapshot.damaged:
            self._damaged(damaged)
        await self._recall(found)
        for number in _in_order(found):
            self._take(*found[number])

    def _spec(self, stored: StoredLiveTask) -> TaskSpec:
        """What the scheduler is told of a task; the form, of which there may be many, was found sound before."""
        return self._form(stored).spec(stored.task.id)

    def _form(self, stored: StoredLiveTask) -> Form:
        form = self._forms.get(bytes(stored.task.bodies[0]))
        form.check(stored.task.document["values"], self._functions)
        return form

    def _work(self, stored: StoredLiveTask) -> list[Work]:
        _, *bodies = stored.task.bodies
        return self._form(stored).work(stored.task.document["values"], bodies, self._functions)

    async def _recall(self, found: Mapping[int, tuple[StoredLiveTask, TaskSpec]]) -> None:
        """Fetch what the tasks depend on and that has ended."""
        needed: set[int] = set()
        others: set[int] = set()
        for _, spec in found.values():
            needed.update(spec.needs)
            others.update(spec.dependencies)
        ended = sorted(others - set(found))
        results = await DeferredList([self._tasks.journal.result(task) for task in ended], consumeErrors=True)
        for task, (succeeded, outcome) in zip(ended, results, strict=True):
            if succeeded and outcome is not None:
                self._tasks.remember(task, task_result(outcome), Outcome(outcome.outcome))
            elif task not in self._tasks.scheduler.tasks:
                # It was cleared since, so it had ended; only its result is missed.
                was = Outcome.FAILED if task in needed else Outcome.SUCCEEDED
                self._tasks.scheduler.ended_before(task, "its result was cleared", was)

    def _take(self, stored: StoredLiveTask, spec: TaskSpec) -> None:
        task = stored.task
        how_far = progress(stored.progress, stored.step, stored.attempt)
        size = sum(map(len, task.bodies))
        live = LiveTask(task.session, spec.label, partial(self._work, stored), size, task.submitted)
        live.step, live.attempts = how_far.step, how_far.attempts
        self._tasks.take(spec, live, how_far)
        if stored.state == ASSIGNED and stored.engine is not None:
            self._tasks.sent_before(task.id, stored.attempt, stored.engine, stored.began)

    def _damaged(self, damaged: Damaged) -> None:
        self._spoilt(damaged.task, damaged.session, damaged.label, damaged.reason)

    def _spoilt(self, task: int, client: str, label: str, reason: str) -> None:
        """End a task that cannot be read."""
        now = time.time()
        record: dict[str, Any] = {
            "task": task,
            "engine": None,
            "submitted": now,
            "started": None,
            "completed": now,
            "attempts": 0,
            "kind": "string",
            "pull": [],
            "label": label,
        }
        error = KernelError(f"task {task} ({label}) cannot be read from the store: {reason}")
        result = TaskResult(record, {"ok": False}, failure_bodies(error))
        self._tasks.journal.ended(task, Outcome.FAILED, result)
        self._tasks.remember(task, result, Outcome.FAILED)


def _in_order(found: Mapping[int, tuple[StoredLiveTask, TaskSpec]]) -> Iterable[int]:
    """The tasks, each after those that it depends on; otherwise in the order in which they were submitted."""
    placed: dict[int, None] = {}
    if not any(spec.dependencies for _, spec in found.values()):
        return sorted(found, key=lambda number: (found[number][0].task.submitted, number))
    for first in sorted(found, key=lambda number: (found[number][0].task.submitted, number)):
        line = [first]
        while line:
            number = line[-1]
            before = [
                other
                for other in found[number][1].dependencies
                if other in found and other not in placed and other not in line
            ]
            if before and number not in placed:
                line.append(before[0])
            else:
                placed[line.pop()] = None
    return placed
