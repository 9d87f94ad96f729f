"""What the scheduler looks for is found without looking at all engines."""

from __future__ import annotations

from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller.fleet import FEW, Deadlines, Fleet
from ipython1.kernel.controller.scheduler import Scheduler
from ipython1.kernel.controller.task_values import Place, Send, Step, TaskSpec
from ipython1.kernel.controller.workers import Attempt, Worker

HERE, THERE = Place(), Place(targets=frozenset([1]))


class FleetTests(SynchronousTestCase):
    """`Fleet`."""

    def setUp(self) -> None:
        self.workers = {engine: Worker(engine, engine, {}) for engine in range(3)}
        self.fleet = Fleet(self.workers)
        for worker in self.workers.values():
            self.fleet.changed(worker)

    def give(self, engine: int) -> Attempt:
        worker = self.workers[engine]
        worker.attempts.append(Attempt(7, 1, "map", worker))
        self.fleet.changed(worker)
        return worker.attempts[0]

    def test_least_work_first(self) -> None:
        """Each is given once, until it has changed."""
        self.give(0)
        self.assertEqual([self.fleet.next({HERE}, 0.0) for _ in range(4)], [*map(self.workers.get, (1, 2, 0)), None])
        self.fleet.changed(self.workers[2])
        self.assertIs(self.fleet.next({HERE}, 0.0), self.workers[2])

    def test_no_room(self) -> None:
        """Those without room are not given, and nor are those that are gone."""
        self.workers[0].ready = False
        self.workers[1].paused_until = 5.0
        gone = self.workers.pop(2)
        self.fleet.left(gone)
        self.assertIsNone(self.fleet.next({HERE}, 0.0))
        self.assertEqual(set(self.fleet.idle), {self.workers[0], self.workers[1]})

    def test_refused(self) -> None:
        """Who refuses is asked again when there is something else, or it has changed."""
        refusing = [self.fleet.next({THERE}, 0.0) for _ in range(3)]
        self.fleet.refuse(refusing, {THERE})
        self.assertIsNone(self.fleet.next({THERE}, 0.0))
        self.assertIs(self.fleet.next({THERE, HERE}, 0.0), self.workers[0])
        self.assertIs(self.fleet.next({HERE}, 0.0), self.workers[1])
        self.fleet.changed(self.workers[2])
        self.assertIs(self.fleet.next({THERE}, 0.0), self.workers[2])

    def test_groups(self) -> None:
        """Who has nothing to do, whose work waits, who is paused."""
        attempt = self.give(0)
        self.assertEqual(([*self.fleet.idle], [*self.fleet.loaded]), ([*map(self.workers.get, (1, 2))], [attempt.worker]))
        attempt.started = 1.0
        attempt.worker.paused_until = 2.0
        self.fleet.changed(attempt.worker)
        self.assertEqual(([*self.fleet.loaded], [*self.fleet.paused]), ([], [attempt.worker]))

    def test_does_not_grow(self) -> None:
        """However often engines change, not more is remembered."""
        for _ in range(1000):
            attempt = self.give(0)
            self.workers[0].attempts.remove(attempt)
            self.fleet.changed(self.workers[0])
        given = 0
        while self.fleet.next({HERE}, 0.0) is not None:
            given += 1
        self.assertEqual(given, 3)
        self.assertLess(len(self.fleet._room._heap) + len(self.fleet._room._there), 10)


class DeadlineTests(SynchronousTestCase):
    """`Deadlines`."""

    def test_order(self) -> None:
        """What is due comes in order, once, and at its latest deadline only."""
        deadlines, worker = Deadlines(), Worker(0, 0, {})
        first, second, third = (Attempt(task, 1, "map", worker) for task in range(3))
        for attempt, deadline in ((first, 3.0), (second, 2.0), (third, 1.0), (third, 4.0)):
            deadlines.set(attempt, deadline)
        deadlines.drop(second)
        self.assertEqual(deadlines.next, 3.0)
        self.assertEqual(deadlines.due(4.0), [first, third])
        self.assertIsNone(deadlines.next)

    def test_does_not_grow(self) -> None:
        """What is over is not remembered until it would have been due."""
        deadlines, worker = Deadlines(), Worker(0, 0, {})
        for task in range(10 * FEW):
            attempt = Attempt(task, 1, "map", worker)
            deadlines.set(attempt, 1e9)
            deadlines.drop(attempt)
        self.assertLessEqual(len(deadlines._heap), FEW)


class CostTests(SynchronousTestCase):
    """How much the scheduler looks at."""

    def looks(self, engines: int) -> int:
        """How often it asks engines for room while a hundred tasks are run, one of which fits none."""
        scheduler = Scheduler()
        for engine in range(engines):
            scheduler.engine_joined(engine, {}, 0.0)
        scheduler.submitted(TaskSpec(0, (Step("map"),), resources=(("gpu", 1.0),)), 0.0)
        asked = 0

        def has_room(worker: Worker, *arguments: float, **named: int) -> bool:
            nonlocal asked
            asked += 1
            return has_room_really(worker, *arguments, **named)

        has_room_really = Worker.has_room
        with mock.patch.object(Worker, "has_room", has_room):
            for task in range(1, 100):
                (send,) = scheduler.submitted(TaskSpec(task, (Step("map"),)), task * 0.01)
                self.assertIsInstance(send, Send)
                scheduler.started(task, 1, task * 0.01)
                scheduler.succeeded(task, 1, task * 0.01)
        return asked

    def test_many_engines(self) -> None:
        """An event costs no more where there are more engines."""
        self.assertLess(self.looks(1000), 2 * self.looks(20))
