"""A world for the scheduler: engines that run what they are sent as a history tells, and what must hold of it all.

A history is a list of numbers; each is an event, and what it depends on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ipython1.kernel.controller.explain import why
from ipython1.kernel.controller.scheduler import Scheduler
from ipython1.kernel.controller.task_state import Task
from ipython1.kernel.controller.task_values import (
    GRACE,
    AskDepend,
    Event,
    Finish,
    Instruction,
    Measure,
    Outcome,
    Row,
    Send,
    State,
    Step,
    Stop,
    StopDepend,
    TakeBack,
    TaskSpec,
)

ENGINES = 4
ONE = 1 << 8  # a number is made of an event below it, and of choices above


@dataclass
class Engine:
    """What an engine has been sent: the first may run."""

    queue: list[tuple[int, int]] = field(default_factory=list)
    running: bool = False
    alive: bool = True
    asked: list[str] = field(default_factory=list)
    asked_back: set[tuple[int, int]] = field(default_factory=set)
    properties: dict[str, int] = field(default_factory=dict)


class WatchedScheduler(Scheduler):
    """Counts the transitions that it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: Counter[Row] = Counter()

    def moved(self, task: Task, row: Row) -> None:
        self.taken[row] += 1


class World:
    """Plays one history."""

    def __init__(self) -> None:
        self.scheduler = WatchedScheduler()
        self.now = 0.0
        self.engines: dict[int, Engine] = {}
        self.submitted = 0
        self.cleared = 0
        self.finished: dict[int, Finish] = {}
        self.step: dict[tuple[int, int], int] = {}
        # Failures charged to each step of a task, and the steps that may have started without a later rejection.
        self.charged: Counter[tuple[int, int]] = Counter()
        self.begun: set[tuple[int, int]] = set()
        self.events = 0
        self._choices = 0

    # Choices.

    def choose(self, count: int) -> int:
        """One of so many."""
        self._choices, chosen = divmod(self._choices, count)
        return chosen

    def play(self, history: list[int]) -> None:
        """Let what the history says happen."""
        for number in history:
            self._choices, kind = divmod(number, ONE)
            self.events += 1
            self.now += 0.001
            _EVENTS[kind % len(_EVENTS)](self)
            self.check()

    # What clients do.

    def submit(self) -> None:
        kinds = [Step(), Step(retries=1), Step(retries=6), Step(depend="even")]
        kinds += [Step(timeout=0.5, kind="map"), Step(retries=2, timeout=0.5)]
        steps = [kinds[self.choose(6)] for _ in range(1 + self.choose(3))]
        known = sorted(self.scheduler.tasks)
        spec = TaskSpec(self.submitted, tuple(steps), priority=self.choose(3))
        if known and self.choose(4) == 3:
            others = (known[self.choose(len(known))], known[-1])
            extra = {"after": others, "after_any": not self.choose(2)}
            ways = [extra, extra, {"follow": others}, {"needs": others}, {"needs": others[:1], **extra}]
            spec = TaskSpec(self.submitted, tuple(steps), **ways[self.choose(5)])
        elif self.choose(5) == 4:
            spec = TaskSpec(self.submitted, tuple(steps), targets=frozenset({0, 1}), resources=(("gpu", 1),))
        self.submitted += 1
        self.do(self.scheduler.submitted(spec, self.now))

    def abort(self) -> None:
        known = sorted(self.scheduler.tasks)
        if known:
            self.do(self.scheduler.aborted(known[self.choose(len(known))], self.now))

    def clear(self) -> None:
        for task in sorted(self.scheduler.tasks):
            if not self.choose(2):
                self.cleared += self.scheduler.cleared([task])

    # What engines do.

    def join(self) -> None:
        engine = self.choose(ENGINES)
        if engine not in self.engines:
            self.engines[engine] = Engine()
            self.do(self.scheduler.engine_joined(engine, {}, self.now))

    def leave(self) -> None:
        """The agent of an engine is lost, and it goes on unseen with what it has."""
        engine = self.choose(ENGINES)
        gone = self.engines.pop(engine, None)
        if gone is None:
            return
        self.do(self.scheduler.engine_left(engine, self.now))
        for place, (task, attempt) in enumerate(gone.queue):
            if place < 3:
                self._charge(task, attempt, started=gone.running and place == 0)
                self.do(self.scheduler.lost(task, attempt, "gone", self.now))
            else:
                self.do(self.scheduler.returned(task, attempt, self.now))

    def die(self) -> None:
        """An interpreter ends: what it ran has failed, what it had not begun comes back."""
        number = self.choose(ENGINES)
        engine = self.engines.get(number)
        if engine is None or not engine.alive:
            return
        engine.alive = False
        self._end_running(number, engine, "failed")
        queue, engine.queue = engine.queue, []
        for task, attempt in queue:
            self.do(self.scheduler.returned(task, attempt, self.now))
        asked, engine.asked = engine.asked, []
        for depend in asked:
            self.do(self.scheduler.depend_unanswered(number, depend, self.now))
        self.do(self.scheduler.engine_paused(number, self.now))

    def come_back(self) -> None:
        engine = self.choose(ENGINES)
        if engine in self.engines and not self.engines[engine].alive:
            self.engines[engine].alive = True
            queue, self.engines[engine].queue = self.engines[engine].queue, []
            for task, attempt in queue:  # sent before the loss was known
                self.do(self.scheduler.returned(task, attempt, self.now))
            self.do(self.scheduler.engine_came_back(engine, self.now))

    def start(self) -> None:
        self._start(self.choose(ENGINES))

    def _start(self, number: int) -> None:
        engine = self.engines.get(number)
        if engine is not None and engine.alive and engine.queue and not engine.running:
            engine.running = True
            task, attempt = engine.queue[0]
            step = self.step[task, attempt]
            live = self.scheduler.tasks.get(task)
            if live is not None and live.attempt is not None and live.attempt.number == attempt:
                if live.spec.steps[step].retries == 0:
                    assert (task, step) not in self.begun, f"step {step} of task {task} ran twice"
                self.begun.add((task, step))
            self.do(self.scheduler.started(task, attempt, self.now))

    def succeed(self) -> None:
        self._end(self.choose(ENGINES), "succeeded")

    def fail(self) -> None:
        self._end(self.choose(ENGINES), "failed")

    def reject(self) -> None:
        self._end(self.choose(ENGINES), "rejected")

    def miss(self) -> None:
        self._end(self.choose(ENGINES), "missed")

    def _end(self, number: int, how: str) -> None:
        engine = self.engines.get(number)
        if engine is not None:
            self._start(number)
            self._end_running(number, engine, how)

    def _end_running(self, number: int, engine: Engine, how: str) -> None:
        if not engine.running:
            return
        engine.running = False
        task, attempt = engine.queue.pop(0)
        self._charge(task, attempt, started=True, how=how)
        self.do(getattr(self.scheduler, how)(task, attempt, self.now))

    def _charge(self, task: int, attempt: int, started: bool, how: str = "lost") -> None:
        """Count a failure as it is to be counted."""
        known = self.scheduler.tasks.get(task)
        if known is None or known.attempt is None or known.attempt.number != attempt:
            return
        timed_out = known.attempt.cause is Event.TIMED_OUT
        step = self.step[task, attempt]
        if how in ("rejected", "missed") and not timed_out:
            self.begun.discard((task, step))
        elif (how != "succeeded" or timed_out) and (started or known.spec.steps[step].retries == 0):
            self.charged[task, step] += 1

    def give_back(self) -> None:
        number = self.choose(ENGINES)
        engine = self.engines.get(number)
        if engine is None:
            return
        for entry in sorted(engine.asked_back):
            if entry in engine.queue[1 if engine.running else 0 :]:
                engine.queue.remove(entry)
                self.do(self.scheduler.returned(*entry, self.now))
        engine.asked_back.clear()

    def judge(self) -> None:
        number = self.choose(ENGINES)
        engine = self.engines.get(number)
        if engine is not None and engine.alive and engine.asked:
            self.do(self.scheduler.depend_began(number, engine.asked[0], self.now))

    def answer(self) -> None:
        number = self.choose(ENGINES)
        engine = self.engines.get(number)
        if engine is not None and engine.alive and engine.asked:
            self._answer(number, engine, bool(self.choose(2)))

    def _answer(self, number: int, engine: Engine, fit: bool) -> None:
        self.do(self.scheduler.depend_answered(number, engine.asked.pop(0), fit, f"{fit}", self.now))

    def change(self) -> None:
        number = self.choose(ENGINES)
        if number in self.engines:
            self._change(number, {"gpu": self.choose(3)})

    def _change(self, number: int, properties: dict[str, int]) -> None:
        self.engines[number].properties = properties
        self.do(self.scheduler.properties_changed(number, properties, self.now))

    def wait(self) -> None:
        self.now += (0.005, 0.05, 0.6, GRACE)[self.choose(4)]
        self.tick()

    def tick(self) -> None:
        due = self.scheduler.next_tick
        if due is not None and due <= self.now:
            self.do(self.scheduler.tick(self.now, {self.choose(ENGINES)}))

    # Instructions.

    def do(self, instructions: list[Instruction]) -> None:
        """Carry out what the scheduler says."""
        for instruction in instructions:
            if isinstance(instruction, Send):
                self._sent(instruction)
            elif isinstance(instruction, TakeBack):
                entry = (instruction.task, instruction.attempt)
                if instruction.engine in self.engines and entry in self.engines[instruction.engine].queue:
                    self.engines[instruction.engine].asked_back.add(entry)
            elif isinstance(instruction, AskDepend):
                self.engines[instruction.engine].asked.append(instruction.depend)
                assert self.engines[instruction.engine].asked.count(instruction.depend) == 1
            elif isinstance(instruction, Stop):
                self._stop(instruction)
            elif isinstance(instruction, StopDepend):
                self._stop_depend(instruction)
            else:
                self._finish(instruction)

    def _sent(self, sent: Send) -> None:
        entry = (sent.task, sent.attempt)
        step = self.scheduler.tasks[sent.task].spec.steps[sent.step]
        assert sent.task not in self.finished, f"task {sent.task} was sent after its end"
        for other in self.scheduler.tasks[sent.task].spec.needs:
            assert self.finished[other].outcome is Outcome.SUCCEEDED, f"task {sent.task} lacks what it takes"
        for engine in self.engines.values():
            assert all(task != sent.task for task, _ in engine.queue), f"task {sent.task} is at two engines"
        assert self.charged[sent.task, sent.step] <= step.retries, f"task {sent.task} is tried too often"
        if sent.step:
            before = self.scheduler.tasks[sent.task].spec.steps[sent.step - 1]
            charged = self.charged[sent.task, sent.step - 1]
            # A step that all engines rejected is given up before its time.
            assert charged <= before.retries + 1, f"task {sent.task} was tried too often"
        self.step[entry] = sent.step
        self.engines[sent.engine].queue.append(entry)

    def _stop(self, stop: Stop) -> None:
        engine = self.engines.get(stop.engine)
        entry = (stop.task, stop.attempt)
        if engine is None or not engine.running or engine.queue[0] != entry:
            return
        if stop.measure is Measure.KILL or not self.choose(2):
            self._end_running(stop.engine, engine, "failed")

    def _stop_depend(self, stop: StopDepend) -> None:
        engine = self.engines[stop.engine]
        assert engine.asked[0] == stop.depend, "a function is to be stopped that does not run"
        if stop.measure is Measure.KILL or not self.choose(2):
            self._answer(stop.engine, engine, False)

    def _finish(self, finish: Finish) -> None:
        assert finish.task not in self.finished, f"task {finish.task} ended twice"
        self.finished[finish.task] = finish
        step = self.scheduler.tasks[finish.task].step
        retries = self.scheduler.tasks[finish.task].now.retries
        if finish.outcome is Outcome.FAILED and finish.error is None:
            assert self.charged[finish.task, step] == retries + 1, (
                f"task {finish.task} was given up too early"
            )

    # What must hold.

    def check(self) -> None:
        """What holds after each event."""
        status = self.scheduler.status()
        assert sum(status.values()) == self.submitted - self.cleared, status
        states = Counter(task.state for task in self.scheduler.tasks.values())
        assert status["pending"] == states[State.RUNNING], status
        assert status["succeeded"] + status["failed"] == states[State.ENDED], status
        assert states[State.WAITING] == len(self.scheduler.waiting)
        for task in self.scheduler.tasks.values():
            assert "\n" not in why(self.scheduler, task, self.now)
        for worker in self.scheduler.workers.values():
            if worker.attempts or not worker.has_room(self.now):
                continue
            for place in self.scheduler.waiting.places():
                said = worker.verdicts.get(place.depend) if place.depend else None
                unfit = worker.mark in place.rejected or not worker.admits(place)
                unfit = unfit or self.scheduler.fitness.avoids(worker, place, self.now)
                assert unfit or (said is not None and not said.fit), (
                    f"engine {worker.engine} has nothing to do"
                )

    def drain(self) -> None:
        """From now on all goes well: everything must come to its end."""
        for engine in range(ENGINES):
            if engine not in self.engines:
                self.engines[engine] = Engine()
                self.do(self.scheduler.engine_joined(engine, {}, self.now))
        for _ in range(40 * (self.submitted + 1)):
            if len(self.finished) == self.submitted:
                return
            self._go_on()
        left = set(range(self.submitted)) - set(self.finished)
        raise AssertionError([why(self.scheduler, self.scheduler.tasks[task], self.now) for task in left])

    def _go_on(self) -> None:
        self.now += 0.1
        for number, engine in list(self.engines.items()):
            self._choices = number
            self.come_back()
            if engine.properties != {"gpu": 3}:
                self._change(number, {"gpu": 3})
            while engine.asked:
                self._answer(number, engine, True)
            self._end(number, "succeeded")
        self.tick()
        self.check()


_EVENTS = [
    *[World.submit] * 4,
    *[World.start] * 6,
    *[World.succeed] * 3,
    *[World.fail] * 4,
    *[World.reject] * 2,
    *[World.miss] * 1,
    *[World.join] * 3,
    *[World.leave] * 1,
    *[World.die] * 1,
    *[World.come_back] * 2,
    *[World.abort] * 1,
    *[World.clear] * 1,
    *[World.give_back] * 1,
    *[World.judge] * 2,
    *[World.answer] * 3,
    *[World.change] * 2,
    *[World.wait] * 3,
]
