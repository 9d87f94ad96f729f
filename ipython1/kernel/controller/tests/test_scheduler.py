"""The scheduler of tasks: single cases."""

from __future__ import annotations

import heapq
import random
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller.agents import Agents
from ipython1.kernel.controller.config import ControllerConfig
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.explain import why
from ipython1.kernel.controller.fitness import DEPEND_WITHIN
from ipython1.kernel.controller.named import USUAL, named_scheduler
from ipython1.kernel.controller.scheduler import (
    FIFOScheduler,
    LIFOScheduler,
    PriorityScheduler,
    Scheduler,
)
from ipython1.kernel.controller.service import interfaces
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.task_state import Task
from ipython1.kernel.controller.task_values import (
    GRACE,
    AskDepend,
    Finish,
    Instruction,
    Measure,
    Outcome,
    Send,
    Step,
    Stop,
    StopDepend,
    TakeBack,
    TaskSpec,
)
from ipython1.kernel.controller.tasks import TaskController
from ipython1.kernel.controller.workers import LONG, STUCK
from ipython1.kernel.error import ControllerCreationError
from ipython1.kernel.places import Places


class ShortLabelsFirst(Scheduler):
    """A scheduler as users write one."""

    def order(self, task: Task) -> Any:
        return len(task.spec.label), task.position


class SchedulerCase(SynchronousTestCase):
    """A scheduler, and what it said."""

    scheduler_class: type[Scheduler] = FIFOScheduler

    def setUp(self) -> None:
        self.scheduler = self.scheduler_class()
        self.said: list[Instruction] = []
        self.now = 0.0

    def tell(self, event: str, *arguments: Any) -> list[Instruction]:
        """Let something happen; what follows."""
        instructions = getattr(self.scheduler, event)(*arguments, self.now)
        self.said += instructions
        return instructions

    def submit(self, task: int, *steps: Step, **more: Any) -> list[Instruction]:
        return self.tell("submitted", TaskSpec(task, steps or (Step(),), **more))

    def join(self, *engines: int) -> list[Instruction]:
        return [said for engine in engines for said in self.tell("engine_joined", engine, {})]

    def run_one(self, task: int, attempt: int = 1, how: str = "succeeded") -> list[Instruction]:
        """An attempt begins and ends, which takes 0.1 s."""
        self.tell("started", task, attempt)
        self.now += 0.1
        return self.tell(how, task, attempt)

    def why(self, task: int) -> str:
        return why(self.scheduler, self.scheduler.tasks[task], self.now).partition(" (a task) ")[2]


def sent(instructions: list[Instruction]) -> list[tuple[int, int]]:
    """The tasks that were sent, and where to."""
    return [(said.task, said.engine) for said in instructions if isinstance(said, Send)]


def ended(instructions: list[Instruction]) -> list[tuple[int, Outcome, str]]:
    """The tasks that ended, and how."""
    return [
        (said.task, said.outcome, "" if said.error is None else f"{type(said.error).__name__}: {said.error}")
        for said in instructions
        if isinstance(said, Finish)
    ]


class OrderTests(SchedulerCase):
    """What runs first."""

    def order(self, scheduler_class: type[Scheduler], **more: Any) -> list[int]:
        self.scheduler = scheduler_class()
        for task in range(4):
            self.submit(task, **{name: value(task) for name, value in more.items()})
        order = [task for task, _ in sent(self.join(0))]
        while len(order) < 4:
            order += [task for task, _ in sent(self.run_one(order[-2] if len(order) > 1 else order[-1]))]
        return order

    def test_orders(self) -> None:
        """First in first out, last in first out, by priority, and as users like it."""
        self.assertEqual(self.order(FIFOScheduler), [0, 1, 2, 3])
        self.assertEqual(self.order(LIFOScheduler), [3, 2, 1, 0])
        self.assertEqual(self.order(PriorityScheduler, priority=lambda task: task % 2), [1, 3, 0, 2])
        self.assertEqual(self.order(ShortLabelsFirst, label=lambda task: "x" * (9 - task)), [3, 2, 1, 0])

    def test_retried_tasks_go_to_the_back(self) -> None:
        """What is tried again comes after what waits."""
        self.join(0)
        self.submit(0, Step(retries=1))
        self.submit(1)
        self.submit(2)
        self.assertEqual(sent(self.run_one(0, how="failed")), [(2, 0)])
        self.assertEqual(sent(self.run_one(1)), [(0, 0)])

    def test_blocked_tasks_are_overtaken(self) -> None:
        """A task that no engine is fit for keeps nobody from running."""
        self.join(0)
        self.submit(0, targets=frozenset({5}))
        self.assertEqual(sent(self.submit(1)), [(1, 0)])
        self.assertEqual(sent(self.join(5)), [(0, 5)])


    def test_by_name(self) -> None:
        """A controller is told its scheduler by name; one that does not exist is an error that says how."""
        self.assertIs(named_scheduler(USUAL), FIFOScheduler)
        name = f"{ShortLabelsFirst.__module__}.ShortLabelsFirst"
        self.assertEqual(named_scheduler(name).__name__, "ShortLabelsFirst")
        _, make = interfaces(ControllerConfig(Places(Path("unused")), scheduler=name))
        engines = Engines(Clock())
        tasks = make(engines, Shutdown(engines, Agents(engines), engines.clock, lambda: None))
        assert isinstance(tasks, TaskController)
        self.assertEqual(type(tasks.scheduler).__name__, "ShortLabelsFirst")
        for wrong in ("", "LIFOScheduler", "ipython1.kernel.nowhere.Scheduler", "os.path.join", "."):
            error = self.assertRaises(ControllerCreationError, named_scheduler, wrong)
            self.assertIn(wrong, str(error))


class LoadTests(SchedulerCase):
    """How much engines are sent, and when it is taken back."""

    def test_first_to_those_with_nothing(self) -> None:
        """Each engine gets one task, and then each one more."""
        self.join(0, 1, 2)
        places = [sent(self.submit(task)) for task in range(8)]
        self.assertEqual([engine for said in places for _, engine in said], [0, 1, 2, 0, 1, 2])

    def ahead(self, seconds: float) -> int:
        """How much an engine has beside what runs, when tasks take so long."""
        self.setUp()
        self.join(0)
        for task in range(100):
            self.submit(task)
        for task in range(20):
            self.tell("started", task, 1)
            self.now += seconds
            self.tell("succeeded", task, 1)
        return len(self.scheduler.workers[0].attempts) - 1

    def test_bounded_in_time(self) -> None:
        """Many short tasks are sent ahead, few longer ones, and long ones not at all."""
        self.assertEqual([self.ahead(seconds) for seconds in (0.0001, 0.001, 0.006, 0.05, 1.0)], [64, 19, 3, 1, 0])

    def test_taken_back(self) -> None:
        """What waits behind a long task is taken back for an engine that has nothing to do, and runs there."""
        self.join(0)
        self.submit(0)
        self.submit(1)
        self.tell("started", 0, 1)
        self.now += 0.1
        self.assertEqual(self.join(1), [TakeBack(1, 1, 0)])
        self.assertEqual(sent(self.tell("returned", 1, 1)), [(1, 1)])

    def test_not_taken_back_in_vain(self) -> None:
        """What would be sent to the same engine again is left there, until that has no room for it."""
        self.join(0, 1)
        self.scheduler.tick(self.now, {1})
        self.submit(0)
        self.submit(1)
        self.tell("started", 0, 1)
        self.assertEqual(sent(self.said), [(0, 0), (1, 0)])
        self.assertEqual([one for one in self.said if isinstance(one, TakeBack)], [])
        self.now += 2 * LONG
        self.assertEqual(self.scheduler.tick(self.now, {1}), [TakeBack(1, 1, 0)])
        self.assertEqual(sent(self.tell("returned", 1, 1)), [(1, 1)])

    def test_taken_from_an_engine_that_is_busy(self) -> None:
        """An engine that works for others is sent no more, and what it has goes to one that is free."""
        self.join(0)
        for task in range(4):
            self.submit(task)
        self.assertEqual(sent(self.said), [(0, 0), (1, 0)])
        self.now += 2 * STUCK
        self.scheduler.tick(self.now, {0})
        said = self.join(1)
        self.assertEqual(sent(said), [(2, 1), (3, 1)])
        for task in (2, 3):
            said += self.run_one(task)
        self.assertEqual([one for one in said if isinstance(one, TakeBack)], [TakeBack(1, 1, 0)])
        self.assertEqual(sent(self.tell("returned", 1, 1)), [(1, 1)])
        said = self.run_one(1, 2)
        self.assertIn(TakeBack(0, 1, 0), said)
        self.assertEqual(sent(self.tell("returned", 0, 1)), [(0, 1)])
        self.submit(4)
        self.submit(5)
        self.assertEqual(sent(self.submit(6))[-1:], [(6, 0)])
        self.tell("started", 6, 1)
        self.assertFalse(self.scheduler.workers[0].occupied)

    def test_what_comes_slowly_is_waited_for(self) -> None:
        """An engine to which a task is long on its way, as it is large, keeps it though another is free."""
        self.join(0, 1)
        self.submit(0)
        for _ in range(5):
            self.now += STUCK
            self.assertEqual(self.tell("tick"), [])

    def test_engine_that_joins_late(self) -> None:
        """A new engine is sent work at once."""
        self.join(0)
        for task in range(5):
            self.submit(task)
        self.assertEqual(sent(self.join(1)), [(2, 1), (3, 1)])

    def makespan(self, durations: list[float], engines: int = 4, trip: float = 0.002) -> float:
        """How long it takes until all tasks are done; each message is `trip` seconds on its way."""
        self.setUp()
        queues: dict[int, list[tuple[int, int]]] = {engine: [] for engine in range(engines)}
        running: dict[int, tuple[int, int]] = {}
        events: list[tuple[float, int, str, tuple[Any, ...]]] = []

        def at(when: float, kind: str, *what: Any) -> None:
            heapq.heappush(events, (when, len(events) + self.counter, kind, what))
            self.counter += 1

        def do(instructions: list[Instruction]) -> None:
            for said in instructions:
                if isinstance(said, Send):
                    at(self.now + trip, "arrived", said.engine, (said.task, said.attempt))
                elif isinstance(said, TakeBack):
                    at(self.now + trip, "wanted", said.engine, (said.task, said.attempt))
            if self.scheduler.next_tick is not None:
                at(max(self.now, self.scheduler.next_tick), "tick")

        def begin(engine: int) -> None:
            if engine not in running and queues[engine]:
                running[engine] = queues[engine].pop(0)
                at(self.now + trip, "started", *running[engine])
                at(self.now + durations[running[engine][0]], "done", engine)

        self.counter = done = 0
        for engine in range(engines):
            do(self.join(engine))
        for task in range(len(durations)):
            do(self.submit(task))
        while done < len(durations):
            self.now, _, kind, what = heapq.heappop(events)
            if kind == "arrived":
                queues[what[0]].append(what[1])
                begin(what[0])
            elif kind == "done":
                at(self.now + trip, "succeeded", *running.pop(what[0]))
                begin(what[0])
            elif kind == "wanted":
                if what[1] in queues[what[0]]:
                    queues[what[0]].remove(what[1])
                    at(self.now + trip, "returned", *what[1])
            elif kind == "tick":
                if self.scheduler.next_tick is not None and self.scheduler.next_tick <= self.now:
                    do(self.scheduler.tick(self.now))
            else:
                done += kind == "succeeded"
                do(self.tell(kind, *what))
        return self.now

    def test_makespan(self) -> None:
        """999 short tasks and a long one are balanced, wherever the long one is."""
        chance = random.Random(5)
        for place in (0, *(chance.randrange(1000) for _ in range(5))):
            durations = [5.0 if task == place else 0.01 for task in range(1000)]
            took = self.makespan(durations)
            self.assertLess(took, 1.15 * listed(durations, 4), place)

    def test_makespan_of_long_ones_among_very_short(self) -> None:
        """What lies behind a long task is spread among the others, several at once, though messages take long."""
        durations = [0.5 if task % 250 == 120 else 0.0005 for task in range(4000)]
        self.assertLess(self.makespan(durations, trip=0.01), 1.15 * listed(durations, 4))
        durations = [0.0002] * 2000 + [0.5] * 9
        self.assertLess(self.makespan(durations, trip=0.01), 1.15 * listed(durations, 4))

    def test_makespan_mixed(self) -> None:
        """Durations of all sizes, in any order."""
        chance = random.Random(7)
        for _ in range(3):
            durations = [10 ** chance.uniform(-3, 0) for _ in range(300)]
            self.assertLess(self.makespan(durations), 1.15 * listed(durations, 4))


def listed(durations: list[float], engines: int) -> float:
    """How long it takes if each engine takes the next task as soon as it is free."""
    free = [0.0] * engines
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


class FailureTests(SchedulerCase):
    """What becomes of tasks that fail."""

    def setUp(self) -> None:
        super().setUp()
        self.join(0, 1)

    def test_retries_and_recovery(self) -> None:
        """A task is tried as often as it allows, and then its recovery task, under its id."""
        self.submit(0, Step(retries=2), Step(retries=1, kind="map"))
        for attempt in range(1, 5):
            (send,) = [said for said in self.run_one(0, attempt, "failed") if isinstance(said, Send)]
            self.assertEqual((send.task, send.attempt, send.step), (0, attempt + 1, int(attempt >= 3)))
        self.assertEqual(ended(self.run_one(0, 5, "failed")), [(0, Outcome.FAILED, "")])

    def test_failed_elsewhere(self) -> None:
        """A task that is tried again runs on another engine if one is free, else where it has just failed."""
        self.join(0, 1)
        self.submit(0, Step(retries=4))
        self.assertEqual(sent(self.run_one(0, 1, "failed")), [(0, 1)])
        self.assertEqual(sent(self.run_one(0, 2, "failed")), [(0, 0)])
        self.tell("engine_left", 1)
        self.assertEqual(sent(self.run_one(0, 3, "failed")), [(0, 0)])
        self.join(2)
        self.tell("properties_changed", 0, {"gpu": 1})
        self.submit(1, resources=(("gpu", 1),))
        self.tell("started", 0, 4)
        self.assertEqual(sent(self.tell("failed", 0, 4)), [(0, 2)])

    def test_only_what_ran_is_charged(self) -> None:
        """When an engine is lost, what it had not begun runs elsewhere, and has its retries still."""
        self.submit(0, Step(retries=1))
        self.submit(1)
        self.submit(2, Step(retries=1))
        self.tell("started", 0, 1)
        self.tell("engine_left", 0)
        self.assertEqual(ended([*self.tell("lost", 0, 1, "gone"), *self.tell("lost", 2, 1, "gone")]), [])
        self.run_one(1)
        self.run_one(0, 2)
        self.assertEqual(self.scheduler.tasks[2].failures, 0)
        self.assertEqual(self.scheduler.tasks[0].failures, 1)

    def test_at_most_once(self) -> None:
        """A task without retries that may have started does not run again."""
        self.submit(0)
        self.tell("engine_left", 0)
        text = "EngineLost: task 0 (a task) may have started on engine 0, which was lost: gone"
        self.assertEqual(ended(self.tell("lost", 0, 1, "gone")), [(0, Outcome.FAILED, text)])

    def test_rejection(self) -> None:
        """A rejection costs no retry; when every engine has rejected the task, it fails."""
        self.submit(0)
        self.assertEqual(sent(self.run_one(0, 1, "rejected")), [(0, 1)])
        ((task, outcome, text),) = ended(self.run_one(0, 2, "rejected"))
        self.assertEqual((task, outcome), (0, Outcome.FAILED))
        self.assertIn("rejected by every engine that it could run on: 0, 1", text)

    def test_rejection_is_void_when_the_engine_changes(self) -> None:
        """An engine that has other properties may be fit now."""
        self.submit(0, targets=frozenset({0, 7}))
        self.submit(1, targets=frozenset({1}))
        self.tell("engine_joined", 7, {})
        self.tell("engine_paused", 7)
        self.run_one(0, 1, "rejected")
        self.assertEqual(self.why(0), "waits: engine 7 has no interpreter at the moment")
        self.assertEqual(sent(self.tell("properties_changed", 0, {"a": 1})), [(0, 0)])

    def test_timeout(self) -> None:
        """What runs too long is interrupted, its interpreter then asked to end, then killed."""
        self.submit(0, Step(timeout=2))
        self.tell("started", 0, 1)
        taken = []
        while len(taken) < 3:
            assert self.scheduler.next_tick is not None
            self.now = self.scheduler.next_tick
            taken += [(self.now, said.measure) for said in self.tell("tick") if isinstance(said, Stop)]
        expected = [(2, Measure.INTERRUPT), (2 + GRACE, Measure.TERMINATE), (2 + 2 * GRACE, Measure.KILL)]
        self.assertEqual(taken, expected)
        ((_, outcome, text),) = ended(self.tell("failed", 0, 1))
        self.assertEqual(outcome, Outcome.FAILED)
        self.assertEqual(
            text, "TaskTimeout: task 0 (a task) ran longer than the 2 s that it may, on engine 0"
        )

    def test_abort(self) -> None:
        """A task that waits is forgotten, one that was sent is taken back, one that runs interrupted."""
        for task in range(5):
            self.submit(task)
        self.tell("started", 0, 1)
        text = "TaskAborted: task {} (a task) was aborted"
        for task, kind in ((2, TakeBack), (0, Stop), (4, Finish)):
            said = self.tell("aborted", task)
            self.assertEqual(ended(said), [(task, Outcome.ABORTED, text.format(task))])
            self.assertIn(kind, [type(one) for one in said])
            self.assertEqual(self.tell("aborted", task), [])
        self.assertEqual(ended(self.tell("failed", 0, 1)), [])

    def test_dependencies(self) -> None:
        """A task waits for those that it comes after, and fails with them unless any end will do."""
        self.submit(0)
        self.submit(1, after=(0,))
        self.submit(2, after=(0,), after_any=True)
        self.submit(3, after=(1,), follow=(0,))
        self.assertEqual(self.why(1), "waits for task 0")
        said = self.run_one(0, how="failed")
        self.assertEqual([task for task, _, _ in ended(said)], [0, 1, 3])
        self.assertIn("TaskDependencyError: task 3 (a task) cannot run: task 1", ended(said)[2][2])
        self.assertEqual([task for task, _ in sent(said)], [2])

    def test_results_of_others(self) -> None:
        """A task waits for those whose results it takes, and fails with them, though any end of others will do."""
        self.join(0)
        for task in range(2):
            self.submit(task)
        self.submit(2, needs=(0, 1))
        self.submit(3, needs=(1,), after=(0,), after_any=True)
        self.assertEqual(self.why(2), "waits for tasks 0 and 1")
        self.run_one(0)
        self.assertEqual(self.why(3), "waits for task 1")
        said = self.run_one(1, how="failed")
        text = "TaskDependencyError: task {} (a task) cannot run: task 1 (a task), whose result it takes, failed"
        failed = [(task, Outcome.FAILED, text.format(task)) for task in (2, 3)]
        self.assertEqual(ended(said)[1:], failed)
        self.assertEqual(ended(self.submit(4, needs=(0, 1))), [(4, Outcome.FAILED, text.format(4))])
        self.assertEqual(sent(self.submit(5, needs=(0,))), [(5, 0)])

    def test_long_chain(self) -> None:
        """The end of one task may be that of any number that come after one another."""
        self.submit(0)
        for task in range(1, 5_000):
            self.submit(task, after=(task - 1,))
        self.assertEqual(len(ended(self.tell("aborted", 0))), 5_000)


class DependTests(SchedulerCase):
    """Functions of the engines' properties."""

    def test_asked_once(self) -> None:
        """Each engine is asked once for each function, and again when its properties have changed."""
        self.join(0, 1)
        self.assertEqual(self.submit(0, Step(depend="f")), [AskDepend("f", 0, 0, 0), AskDepend("f", 0, 0, 1)])
        self.assertEqual(self.submit(1, Step(depend="f")), [])
        self.assertEqual(self.tell("depend_answered", 0, "f", False, "False"), [])
        self.tell("depend_answered", 1, "f", False, "it raised KeyError 'ram'")
        reasons = "engine 0 does not satisfy depend: False; engine 1 does not satisfy depend: it raised KeyError 'ram'"
        self.assertEqual(self.why(0), f"waits: no engine is fit for it: {reasons}")
        self.assertEqual(self.tell("properties_changed", 1, {"ram": 4}), [AskDepend("f", 0, 0, 1)])
        self.assertEqual(sent(self.tell("depend_answered", 1, "f", True, "True")), [(0, 1), (1, 1)])

    def test_fatal(self) -> None:
        """An engine whose interpreter ended over a function is not asked for it again."""
        self.join(0)
        self.submit(0, Step(depend="f"))
        self.said += self.scheduler.depend_answered(0, "f", False, "it died", self.now, True)
        self.tell("engine_paused", 0)
        self.assertEqual(self.tell("engine_came_back", 0), [])
        self.assertEqual(self.tell("properties_changed", 0, {"ram": 4}), [])

    def test_too_slow(self) -> None:
        """A function that takes too long is interrupted, its interpreter then ended; then the engine is not fit."""
        self.join(0)
        self.submit(0, Step(depend="f"))
        self.tell("depend_began", 0, "f")
        taken = []
        for _ in range(3):
            assert self.scheduler.next_tick is not None
            self.now = self.scheduler.next_tick
            taken += [(self.now, said) for said in self.tell("tick")]
        first = DEPEND_WITHIN
        self.assertEqual(
            taken,
            [
                (first, StopDepend(Measure.INTERRUPT, "f", 0)),
                (first + GRACE, StopDepend(Measure.TERMINATE, "f", 0)),
                (first + 2 * GRACE, StopDepend(Measure.KILL, "f", 0)),
            ],
        )
        self.tell("depend_answered", 0, "f", False, "it raised KeyboardInterrupt ''")
        reason = "engine 0 does not satisfy depend: it took longer than 5 s, and was stopped"
        self.assertEqual(self.why(0), f"waits: no engine is fit for it: {reason}")
        self.assertEqual(self.scheduler.next_tick, None)

    def test_left_while_asked(self) -> None:
        """No measure is taken against an engine that is gone, or has answered."""
        self.join(0, 1)
        self.submit(0, Step(depend="f"))
        for engine in range(2):
            self.tell("depend_began", engine, "f")
        self.tell("engine_left", 0)
        self.tell("depend_unanswered", 1, "f")
        self.tell("depend_began", 0, "f")
        self.now += 2 * DEPEND_WITHIN
        self.assertEqual([said for said in self.tell("tick") if isinstance(said, StopDepend)], [])

    def test_unanswered(self) -> None:
        """An engine that did not answer is asked again, a little later."""
        self.join(0)
        self.submit(0, Step(depend="f"))
        self.assertEqual(self.tell("depend_unanswered", 0, "f"), [])
        assert self.scheduler.next_tick is not None
        self.now = self.scheduler.next_tick
        self.assertEqual(self.tell("tick"), [AskDepend("f", 0, 0, 0)])


class WhyTests(SchedulerCase):
    """What users are told."""

    def test_sentences(self) -> None:
        """Each state has its sentence."""
        self.submit(0)
        self.assertEqual(self.why(0), "waits: no engines are registered")
        self.submit(1, resources=(("gpu", 1),))
        self.join(0)
        self.assertEqual(
            self.why(1), "waits: no engine is fit for it: engine 0 has gpu = None, and 1 is asked for"
        )
        self.tell("started", 0, 1)
        self.now += 2
        self.assertEqual(self.why(0), "runs on engine 0, for 2.0 s now")
        self.submit(2)
        self.submit(3)
        self.assertEqual(self.why(3), "waits: 1 task is ahead of it")
        self.tell("succeeded", 0, 1)
        self.assertEqual(self.why(0), "has ended: it succeeded on engine 0")
        self.assertEqual(self.why(2), "has been sent to engine 0")
        self.tell("aborted", 3)
        self.assertEqual(self.why(3), "has ended: it was aborted")
        self.submit(4, after=(3,))
        reason = "TaskDependencyError: task 4 (a task) cannot run: task 3 (a task), which it comes after, was aborted"
        self.assertEqual(self.why(4), f"has ended: it failed ({reason})")

    def test_in_the_way(self) -> None:
        """Only those that may run on the same engines are ahead of a task."""
        self.join(0)
        for task in range(2):
            self.submit(task)
        self.submit(2, targets=frozenset({7}))
        self.submit(3)
        self.submit(4)
        self.assertEqual(self.why(3), "waits: engine 0 has other work")
        self.assertEqual(self.why(4), "waits: 1 task is ahead of it")
