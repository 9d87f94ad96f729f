"""The scheduler's tasks: what state each is in, what an end or a failure makes of it, and of those that come after it.

It knows no engines.  What can become of a task is written in `task_values.TRANSITIONS`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from ipython1.kernel.controller.task_state import Task
from ipython1.kernel.controller.task_values import (
    ANYWHERE,
    TRANSITIONS,
    Event,
    Finish,
    Outcome,
    Place,
    Progress,
    Row,
    State,
    TaskSpec,
)
from ipython1.kernel.controller.waiting import Waiting
from ipython1.kernel.error import IPythonError, TaskDependencyError


class TaskTable:
    """All tasks that were submitted and not cleared; those that wait for an engine are in `waiting`, too.

    `order` is what these are sorted by, `moved` is told of each transition, and `ended` of each end.
    """

    def __init__(
        self,
        order: Callable[[Task], Any],
        moved: Callable[[Task, Row], None],
        ended: Callable[[Finish], None],
    ) -> None:
        self.tasks: dict[int, Task] = {}
        self.waiting = Waiting()
        self._order = order
        self._moved = moved
        self._ended = ended
        self._dependents: dict[int, list[int]] = {}
        self._counts: Counter[State | Outcome] = Counter()
        self._positions = 0
        self._just_ended: deque[Task] = deque()

    def add(self, spec: TaskSpec, progress: Progress) -> Task:
        """A task came, which waits now: for an engine, or for others to end; or cannot run because of one that has."""
        task = self.tasks[spec.id] = Task(
            spec, step=progress.step, failures=progress.failures, attempts=progress.attempts
        )
        self._counts[State.NEW] += 1
        self._line_up(task)
        blockers: set[int] = set()
        for other in spec.dependencies:
            known = self.tasks[other]
            if known.state is not State.ENDED:
                blockers.add(other)
                self._dependents.setdefault(other, []).append(spec.id)
            elif _prevents(known, task):
                self._dependency_failed(task, known)
                return task
            else:
                _learn_from(task, known)
        if blockers:
            task.blockers = blockers
            self.move(task, Event.SUBMITTED, State.BLOCKED)
        else:
            self.ready(task, Event.SUBMITTED)
        return task

    def ended_before(self, task_id: int, label: str, outcome: Outcome, engine: int | None) -> None:
        """A task of earlier ended so, on that engine."""
        self.tasks[task_id] = Task(
            TaskSpec(task_id, label=label), State.ENDED, engine=engine, outcome=outcome
        )
        self._counts[outcome] += 1

    def clear(self, task_ids: Iterable[int]) -> int:
        """Forget those of these tasks that have ended; how many there were."""
        count = 0
        for task_id in task_ids:
            task = self.tasks.get(task_id)
            if task is not None and task.outcome is not None:
                del self.tasks[task_id]
                self._counts[task.outcome] -= 1
                count += 1
        return count

    def status(self) -> dict[str, int]:
        """How many tasks there are of each kind; together all that were submitted and not cleared."""
        counts = self._counts
        return {
            "scheduled": counts[State.BLOCKED] + counts[State.WAITING] + counts[State.SENT],
            "pending": counts[State.RUNNING],
            "succeeded": counts[Outcome.SUCCEEDED],
            "failed": counts[Outcome.FAILED] + counts[Outcome.ABORTED],
        }

    # What becomes of one.

    def move(self, task: Task, event: Event, after: State, recovery: bool = False) -> None:
        """Take a transition."""
        row = Row(task.state, event, after, recovery)
        if row not in TRANSITIONS:
            raise AssertionError(f"{task.name}: there is no transition {row}")
        self._counts[task.state] -= 1
        task.state = after
        self._counts[task.outcome if task.outcome is not None else after] += 1
        self._moved(task, row)

    def ready(self, task: Task, event: Event, recovery: bool = False) -> None:
        """It waits for an engine from now on."""
        if event in (Event.SUBMITTED, Event.UNBLOCKED) or recovery:
            task.place = _place(task)
        self.move(task, event, State.WAITING, recovery)
        task.ticket = self.waiting.add(self._order(task), task.position, task.spec.id, task.place)

    def leave_waiting(self, task: Task) -> None:
        """It does not wait for an engine any more, if it did."""
        if task.ticket is not None:
            self.waiting.remove(task.ticket)
            task.ticket = None

    def rejected(self, task: Task, mark: int) -> None:
        """The engine of that mark lacks what it needs: it waits for another one."""
        task.place = _place(task, task.place.rejected | {mark}, task.place.avoided)
        self.ready(task, Event.REJECTED)

    def fail(self, task: Task, event: Event, error: IPythonError | None) -> None:
        """The task's present step failed: it is tried again, or its recovery task is, or it has failed for good."""
        task.failures += 1
        if event is not Event.REJECTED_BY_ALL and task.failures <= task.now.retries:
            self._line_up(task)
            task.place = _place(task, task.place.rejected, task.engine)
            self.ready(task, event)
        elif task.step + 1 < len(task.spec.steps):
            task.step += 1
            task.failures = 0
            self._line_up(task)
            self.ready(task, event, recovery=True)
        else:
            self.finish(task, event, Outcome.FAILED, error)

    def finish(self, task: Task, event: Event, outcome: Outcome, error: IPythonError | None = None) -> None:
        """It has ended; `settle` is to follow."""
        self.leave_waiting(task)
        task.attempt = task.blockers = task.leaders = None
        task.place = ANYWHERE
        task.outcome, task.error = outcome, error
        self.move(task, event, State.ENDED)
        self._ended(Finish(task.spec.id, outcome, task.engine, error))
        self._just_ended.append(task)

    def settle(self) -> None:
        """Let those that come after what has ended go on, or fail."""
        # One after the other: where each of many tasks comes after another, one end is the end of all.
        while self._just_ended:
            ended = self._just_ended.popleft()
            for other in self._dependents.pop(ended.spec.id, ()):
                self._dependency_ended(self.tasks.get(other), ended)

    def _line_up(self, task: Task) -> None:
        self._positions += 1
        task.position = self._positions

    def _dependency_ended(self, task: Task | None, ended: Task) -> None:
        if task is None or task.blockers is None:
            return
        if _prevents(ended, task):
            self._dependency_failed(task, ended)
            return
        _learn_from(task, ended)
        task.blockers.discard(ended.spec.id)
        if not task.blockers:
            task.blockers = None
            self.ready(task, Event.UNBLOCKED)

    def _dependency_failed(self, task: Task, ended: Task) -> None:
        assert ended.outcome is not None
        relation = "whose result it takes" if ended.spec.id in task.spec.needs else "which it comes after"
        text = f"{task.name} cannot run: {ended.name}, {relation}, {_ENDED[ended.outcome]}"
        self.finish(task, Event.DEPENDENCY_FAILED, Outcome.FAILED, TaskDependencyError(text))


def _place(task: Task, rejected: frozenset[int] = frozenset(), avoided: int | None = None) -> Place:
    spec, targets = task.spec, task.spec.targets
    if spec.follow:
        led = frozenset(task.leaders or ())
        targets = led if targets is None else targets & led
    place = Place(task.now.depend, targets, spec.resources, rejected, avoided)
    return ANYWHERE if place == ANYWHERE else place


def _learn_from(task: Task, ended: Task) -> None:
    if ended.spec.id in task.spec.follow and ended.engine is not None:
        task.leaders = {*(task.leaders or ()), ended.engine}


def _prevents(ended: Task, task: Task) -> bool:
    if ended.spec.id in task.spec.needs or (ended.spec.id in task.spec.after and not task.spec.after_any):
        return ended.outcome is not Outcome.SUCCEEDED
    # One that never was on an engine leads nowhere.
    return ended.spec.id in task.spec.follow and ended.engine is None


_ENDED = {Outcome.SUCCEEDED: "succeeded", Outcome.FAILED: "failed", Outcome.ABORTED: "was aborted"}
