"""The scheduler of tasks: which task runs when, and where.

Plain state: each method is an event, at the time `now`, and returns the instructions that follow from it, to be
carried out in order.  What the tasks are, and what becomes of one when another has ended, is in `task_table`; which
engines are fit for one in `fitness`; what they have to do in `workers` and `fleet`.

A task waits until all that it comes after has ended, then for an engine that is fit for it: it is among the task's
targets, its properties offer the resources that the task asks for and satisfy its depend function (which is asked
once for each function and engine, and again when the engine's properties change), and it has not rejected the task.
The tasks that an engine may be sent run in the order of `Scheduler.order`.  Engines are kept fed by sending a little
work ahead, which is taken back where another engine has nothing to do.

A task whose step allows retries runs at least once: again, that is, when it fails or its engine is lost, as often as
it allows.  One without retries runs at most once: it is not sent to another engine unless it is certain that it has
not started.  Then its recovery task runs, under the same id.  A rejection is no failure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ipython1.kernel.controller.balance import Balance
from ipython1.kernel.controller.fitness import Fitness
from ipython1.kernel.controller.fleet import Deadlines, Fleet
from ipython1.kernel.controller.task_state import Task
from ipython1.kernel.controller.task_table import TaskTable
from ipython1.kernel.controller.task_values import (
    GRACE,
    NO_PROGRESS,
    AskDepend,
    Event,
    Finish,
    Instruction,
    Outcome,
    Progress,
    Row,
    Send,
    State,
    Stop,
    TakeBack,
    TaskSpec,
    next_measure,
)
from ipython1.kernel.controller.waiting import Ticket
from ipython1.kernel.controller.workers import PAUSE, Attempt, Worker
from ipython1.kernel.error import EngineLost, TaskAborted, TaskRejectError, TaskTimeout


class Scheduler:
    """First in, first out; subclasses have another `order`."""

    def __init__(self) -> None:
        self._table = TaskTable(self.order, self.moved, self._ended)
        self.tasks = self._table.tasks
        self.waiting = self._table.waiting
        self.workers: dict[int, Worker] = {}
        self.fitness = Fitness(self.workers)
        self._fleet = Fleet(self.workers)
        self._balance = Balance(self._fleet, self._could_have)
        self._attempts: dict[tuple[int, int], Attempt] = {}
        self._deadlines = Deadlines()
        self._marks = 0
        self._suspects = False
        self._todo: list[Instruction] = []

    def order(self, task: Task) -> Any:
        """What tasks that wait are sorted by, the least first.

        `task.position` grows with each task that comes, and with each one that is to be tried again.
        """
        return task.position

    # What clients do.

    def submitted(
        self, spec: TaskSpec, now: float, progress: Progress = NO_PROGRESS
    ) -> list[Instruction]:
        """A task came; all that it depends on must be known.  `progress` is how far it came before a restart."""
        task = self._table.add(spec, progress)
        if task.state is State.WAITING and not self.waiting.is_head(task.ticket):
            # What is before it could not be sent, so neither can this.  It is so for most, when there is much to do.
            return []
        return self._done(now)

    def progress(self, task_id: int) -> Progress:
        """How far a task has come, apart from what it waits for."""
        task = self.tasks[task_id]
        return Progress(task.step, task.failures, task.attempts)

    def aborted(self, task_id: int, now: float) -> list[Instruction]:
        """A task is not wanted any more; if it runs, it is stopped."""
        task = self.tasks[task_id]
        if task.state is State.ENDED:
            return []
        attempt = task.attempt
        error = TaskAborted(f"{task.name} was aborted")
        self._table.finish(task, Event.ABORTED, Outcome.ABORTED, error)
        if attempt is not None:
            attempt.worker.stop(attempt, Event.ABORTED)
            if attempt.started is None:
                self._take_back(attempt)
            elif not attempt.measures:
                self._act_against(attempt, now)
        return self._done(now)

    def cleared(self, task_ids: Iterable[int]) -> int:
        """Forget those of these tasks that have ended; how many there were."""
        return self._table.clear(task_ids)

    def status(self) -> dict[str, int]:
        """How many tasks there are of each kind; together all that were submitted and not cleared."""
        return self._table.status()

    # After a restart of the controller.

    def ended_before(self, task_id: int, label: str, outcome: Outcome, engine: int | None = None) -> None:
        """A task of earlier ended so, on that engine."""
        self._table.ended_before(task_id, label, outcome, engine)

    def sent_before(self, task_id: int, number: int, engine: int, now: float) -> None:
        """A task that waits was sent to an engine, as that attempt."""
        task = self.tasks[task_id]
        task.attempts = number - 1
        worker = self.workers.get(engine) or Worker(engine, self._new_mark(), {}, ready=False)
        self._assign(task, worker, now)

    # What engines do.

    def engine_joined(self, engine: int, properties: Mapping[str, Any], now: float) -> list[Instruction]:
        """An engine was registered."""
        worker = self.workers[engine] = Worker(engine, self._new_mark(), dict(properties))
        self._fleet.changed(worker)
        return self._done(now)

    def engine_left(self, engine: int, now: float) -> list[Instruction]:
        """An engine is gone; of each attempt that it had, `lost` or `returned` will tell."""
        self._fleet.left(self.workers.pop(engine))
        self.fitness.left(engine)
        self._suspects = True
        return self._done(now)

    def engine_paused(self, engine: int, now: float) -> list[Instruction]:
        """An engine takes no more work for the time being: its interpreter has ended, or is about to."""
        worker = self._changed(self.workers[engine])
        worker.ready = False
        self._fleet.changed(worker)
        return self._done(now)

    def engine_came_back(self, engine: int, now: float) -> list[Instruction]:
        """An engine has an interpreter again."""
        worker = self._changed(self.workers[engine])
        worker.ready, worker.paused_until = True, 0.0
        worker.verdicts = {name: said for name, said in worker.verdicts.items() if said.fatal}
        self._fleet.changed(worker)
        return self._done(now)

    def properties_changed(self, engine: int, properties: Mapping[str, Any], now: float) -> list[Instruction]:
        """An engine has other properties: what it said of the old ones is void."""
        if properties == self.workers[engine].properties:
            return []
        worker = self._changed(self.workers[engine])
        worker.properties = dict(properties)
        # Those that were asked and have not answered will speak of the new ones.
        worker.verdicts = {
            name: said for name, said in worker.verdicts.items() if said.fit is None or said.fatal
        }
        self._fleet.changed(worker)
        return self._done(now)

    def depend_began(self, engine: int, depend: str, now: float) -> list[Instruction]:
        """An engine has begun with a function that it was asked for."""
        self.fitness.began(engine, depend, now)
        return []

    def depend_answered(
        self, engine: int, depend: str, fit: bool, text: str, now: float, fatal: bool = False
    ) -> list[Instruction]:
        """An engine has said whether its properties satisfy the function; `text` says what it made of it.

        `fatal` is whether its interpreter ended over it.
        """
        worker = self.fitness.answered(engine, depend, fit, text, fatal)
        if worker is not None:
            self._suspects = self._suspects or not fit
            self._fleet.changed(worker)
        return self._done(now)

    def depend_unanswered(self, engine: int, depend: str, now: float) -> list[Instruction]:
        """An engine was asked, and will not answer; it is asked again a little later, if it is there."""
        worker = self.fitness.unanswered(engine, depend)
        if worker is not None:
            self._pause(worker, now)
        return self._done(now)

    # What becomes of attempts.  One that is not known any more, or whose task has ended, is over and nothing else.

    def started(self, task_id: int, number: int, now: float) -> list[Instruction]:
        """The engine has begun with it."""
        attempt = self._attempts.get((task_id, number))
        if attempt is None or attempt.started is not None:
            return []
        attempt.started = now
        attempt.worker.occupied = False
        self._fleet.changed(attempt.worker)
        task = self._task_of(attempt)
        if task is None:
            self._act_against(attempt, now)
            return self._done(now)
        self._table.move(task, Event.STARTED, State.RUNNING)
        if attempt.timeout is not None:
            self._deadlines.set(attempt, now + attempt.timeout)
        return []  # it makes no room for others

    def succeeded(self, task_id: int, number: int, now: float, took: float | None = None) -> list[Instruction]:
        """It was done; that `took` so many seconds."""
        _, task = self._came(task_id, number, now, took=took)
        if task is not None:
            self._table.finish(task, Event.SUCCEEDED, Outcome.SUCCEEDED)
        return self._done(now)

    def failed(self, task_id: int, number: int, now: float) -> list[Instruction]:
        """It failed; the error is in the reply that has just come."""
        _, task = self._came(task_id, number, now)
        if task is not None:
            self._table.fail(task, Event.FAILED, None)
        return self._done(now)

    def rejected(self, task_id: int, number: int, now: float) -> list[Instruction]:
        """It said that this engine lacks what it needs."""
        attempt, task = self._came(task_id, number, now)
        if task is not None and attempt is not None:
            self._suspects = True
            self._table.rejected(task, attempt.worker.mark)
        return self._done(now)

    def missed(self, task_id: int, number: int, now: float) -> list[Instruction]:
        """Its engine did not have its function, so that it has not begun: it is to be sent with that."""
        _, task = self._came(task_id, number, now)
        if task is not None:
            self._table.ready(task, Event.MISSED)
        return self._done(now)

    def returned(self, task_id: int, number: int, now: float) -> list[Instruction]:
        """It certainly has not started, and will not: it was taken back, or dropped."""
        attempt, task = self._over(task_id, number, now, started=False)
        if attempt is not None and not attempt.returning:
            self._pause(attempt.worker, now)
        if task is not None:
            self._table.ready(task, Event.RETURNED)
        return self._done(now)

    def lost(self, task_id: int, number: int, reason: str, now: float) -> list[Instruction]:
        """Its engine was lost, and it with it, whether it had started or not."""
        attempt, task = self._came(task_id, number, now, started=False)
        if task is None or attempt is None:
            pass
        elif attempt.started is not None:
            self._table.fail(task, Event.LOST, EngineLost(f"{task.name} was lost with its engine: {reason}"))
        elif task.now.retries == 0:
            text = f"{task.name} may have started on engine {task.engine}, which was lost: {reason}"
            self._table.fail(task, Event.LOST, EngineLost(text))
        else:
            self._table.ready(task, Event.RETURNED)
        return self._done(now)

    # Time.

    @property
    def next_tick(self) -> float | None:
        """When `tick` is to be called, if nothing else happens before."""
        times = self.fitness.deadlines
        if (deadline := self._deadlines.next) is not None:
            times.append(deadline)
        if self.waiting:
            times += [worker.paused_until for worker in self._fleet.paused]
        if self._balance.look_at is not None:
            times.append(self._balance.look_at)
        return min(times, default=None)

    def tick(self, now: float, occupied: Collection[int] = ()) -> list[Instruction]:
        """Time has passed; the `occupied` engines have commands of others, which go before tasks."""
        for worker in [worker for worker in self._fleet.occupied if worker.engine not in occupied]:
            worker.occupied = False
            self._fleet.changed(worker)
        for engine in occupied:
            if engine in self.workers and not self.workers[engine].occupied:
                self.workers[engine].occupied = True
                self._fleet.changed(self.workers[engine])
        for worker in [worker for worker in self._fleet.paused if worker.paused_until <= now]:
            worker.paused_until = 0.0
            self._fleet.changed(worker)
        for attempt in self._deadlines.due(now):
            attempt.worker.stop(attempt, Event.TIMED_OUT)
            self._act_against(attempt, now)
        self._todo += self.fitness.due(now)
        return self._done(now)

    # How it is done.

    def _done(self, now: float) -> list[Instruction]:
        """What an event comes to, with all that can be sent now."""
        if self._suspects:
            self._fail_rejected()
        self._table.settle()
        if self.waiting:
            self._send_out(now)
        for attempt in self._balance.to_move(now):
            self._take_back(attempt)
        todo, self._todo = self._todo, []
        return todo

    def moved(self, task: Task, row: Row) -> None:
        """A transition was taken; for those who watch."""

    def _ended(self, finish: Finish) -> None:
        self._todo.append(finish)

    def _changed(self, worker: Worker) -> Worker:
        worker.mark = self._new_mark()
        self._suspects = True
        return worker

    def _new_mark(self) -> int:
        self._marks += 1
        return self._marks

    # Ends.

    def _task_of(self, attempt: Attempt) -> Task | None:
        """The attempt's task; None if that has no use for it any more."""
        task = self.tasks.get(attempt.task)
        return task if task is not None and task.attempt is attempt else None

    def _over(
        self, task_id: int, number: int, now: float, started: bool = True, took: float | None = None
    ) -> tuple[Attempt | None, Task | None]:
        attempt = self._attempts.pop((task_id, number), None)
        if attempt is None:
            return None, None
        task = self._task_of(attempt)
        if started and attempt.started is None:
            attempt.started = now
            if task is not None:
                self._table.move(task, Event.STARTED, State.RUNNING)
        attempt.worker.ended(attempt, now, took)
        self._fleet.changed(attempt.worker)
        self._deadlines.drop(attempt)
        if task is not None:
            task.attempt = None
        return attempt, task

    def _came(
        self, task_id: int, number: int, now: float, started: bool = True, took: float | None = None
    ) -> tuple[Attempt | None, Task | None]:
        """The same; a task that has run out of time has failed by that, whatever came of it, and None is given."""
        attempt, task = self._over(task_id, number, now, started, took)
        if task is not None and attempt is not None and attempt.cause is Event.TIMED_OUT:
            self._table.fail(task, Event.TIMED_OUT, self._timeout(task, attempt))
            return attempt, None
        return attempt, task

    def _pause(self, worker: Worker, now: float) -> None:
        worker.paused_until = now + PAUSE
        self._fleet.changed(worker)

    def _fail_rejected(self) -> None:
        """Fail the tasks that every engine which is fit for them has rejected."""
        self._suspects = False
        for place in self.waiting.places():
            engines = self.fitness.rejected_by(place)
            if engines:
                names = ", ".join(map(str, engines))
                for ticket in self.waiting.at(place):
                    task = self.tasks[ticket.task]
                    text = f"{task.name} was rejected by every engine that it could run on: {names}"
                    self._table.leave_waiting(task)
                    self._table.fail(task, Event.REJECTED_BY_ALL, TaskRejectError(text))

    # Time-outs.

    def _timeout(self, task: Task, attempt: Attempt) -> TaskTimeout:
        return TaskTimeout(
            f"{task.name} ran longer than the {attempt.timeout:g} s that it may, on engine {task.engine}"
        )

    def _act_against(self, attempt: Attempt, now: float) -> None:
        measure = next_measure(attempt.measures)
        attempt.measures += 1
        self._deadlines.set(attempt, now + GRACE)
        self._fleet.changed(attempt.worker)
        self._todo.append(Stop(measure, attempt.task, attempt.number, attempt.worker.engine))
        # What is behind it would have to wait, and may be hit.
        for other in attempt.worker.attempts:
            if other.started is None:
                self._take_back(other)

    def _take_back(self, attempt: Attempt) -> None:
        if not attempt.returning:
            attempt.returning = True
            self._fleet.changed(attempt.worker)
            self._todo.append(TakeBack(attempt.task, attempt.number, attempt.worker.engine))

    # Sending.

    def _send_out(self, now: float) -> None:
        """Send what waits to the engines that have room, those with the least work first."""
        heads = self.waiting.heads()
        places, unfit = {head.place for head in heads}, []
        while heads and (worker := self._fleet.next(places, now)) is not None:
            head = next((head for head in heads if self._is_fit(worker, head, now)), None)
            if head is None:
                unfit.append(worker)
            else:
                self._send(self.tasks[head.task], worker, now)
                heads = self.waiting.heads()
                places = {head.place for head in heads}
        # One that only gives way to others may take the task when these have no room any more.
        giving_way = {place.avoided for place in places}
        for worker in unfit:
            if worker.engine in giving_way:
                self._fleet.changed(worker)
        self._fleet.refuse([worker for worker in unfit if worker.engine not in giving_way], places)

    def _is_fit(self, worker: Worker, ticket: Ticket, now: float) -> bool:
        """Whether the engine may be sent the task; an engine that has to be asked is asked."""
        place = ticket.place
        fit = self.fitness.is_fit(worker, place, now)
        if fit is None and place.depend is not None:
            step = self.tasks[ticket.task].step
            self._todo.append(AskDepend(place.depend, ticket.task, step, worker.engine))
        return fit is True

    def _send(self, task: Task, worker: Worker, now: float) -> None:
        self._assign(task, worker, now)
        self._todo.append(Send(task.spec.id, task.step, task.attempts, worker.engine))

    def _assign(self, task: Task, worker: Worker, now: float) -> None:
        self._table.leave_waiting(task)
        task.attempts += 1
        task.engine = worker.engine
        step = task.now
        attempt = Attempt(task.spec.id, task.attempts, step.kind, worker, step.timeout, now)
        task.attempt = attempt
        worker.attempts.append(attempt)
        self._fleet.changed(worker)
        self._attempts[attempt.task, attempt.number] = attempt
        self._table.move(task, Event.SENT, State.SENT)

    def _could_have(self, worker: Worker, attempt: Attempt, now: float) -> bool:
        """Whether an engine could be sent the task of an attempt that another engine has."""
        task = self._task_of(attempt)
        return task is not None and self.fitness.may_be_fit(worker, task.place, now)


class FIFOScheduler(Scheduler):
    """What came first runs first."""


class LIFOScheduler(Scheduler):
    """What came last runs first."""

    def order(self, task: Task) -> Any:
        """See `Scheduler`."""
        return -task.position


class PriorityScheduler(Scheduler):
    """What has the highest priority runs first, and of equal ones what came first."""

    def order(self, task: Task) -> Any:
        """See `Scheduler`."""
        return -task.spec.priority, task.position
