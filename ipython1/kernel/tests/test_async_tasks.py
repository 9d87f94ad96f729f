"""The asynchronous client of the Task interface, against a controller that is not there."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import asyncclient, error
from ipython1.kernel.task_session import TaskConnection, sessions
from ipython1.kernel.tests.fake_cluster import FURL
from ipython1.kernel.tests.fake_tasks import FakeTasks


class AsyncTaskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tasks = FakeTasks(self.clock)
        self.addCleanup(sessions.clear)
        self.tc = asyncclient.AsyncTaskClient(TaskConnection(FURL, self.clock, self.tasks.dial))

    def result(self, deferred: Deferred[Any]) -> Any:
        self.clock.pump([0.01] * 10)
        return self.successResultOf(deferred)

    def failure(self, deferred: Deferred[Any], kind: type[Exception]) -> Any:
        self.clock.pump([0.01] * 10)
        return self.failureResultOf(deferred, kind).value

    def test_run(self) -> None:
        """run fires with the id, or with the outcome."""
        self.assertEqual(self.result(self.tc.run(asyncclient.StringTask("a = 1", pull="a"))), 0)
        self.assertEqual(repr(self.result(self.tc.get_task_result(0))), "TaskResult[ID:0]:{'a': 1}")
        self.assertEqual(self.result(self.tc.run(asyncclient.MapTask(lambda: 5), block=True)), 5)
        self.failure(self.tc.run("a = 5"), AssertionError)
        self.failure(self.tc.get_task_result(9), IndexError)

    def test_submit(self) -> None:
        """submit fires with what the function returned."""
        self.assertEqual(self.result(self.tc.submit(pow, 2, 3)), 8)
        self.failure(self.tc.submit(divmod, 1, 0), ZeroDivisionError)

    def test_map(self) -> None:
        """map, mapper and parallel fire with lists."""
        self.assertEqual(self.result(self.tc.map(abs, range(-3, 0))), [3, 2, 1])
        self.assertEqual(self.result(self.tc.mapper(block=False).map(abs, [-1, -2])), [3, 4])
        self.assertEqual(self.result(self.tc.parallel()(abs)([-1])), [1])

    def test_barrier(self) -> None:
        """barrier waits no longer than it is told."""
        self.tasks.held_back = True
        self.assertEqual(self.result(self.tc.run(asyncclient.StringTask(""))), 0)
        waiting = self.tc.barrier([0], timeout=5)
        self.clock.pump([0.01] * 10)
        self.assertNoResult(waiting)
        self.clock.advance(5)
        self.failure(waiting, error.CallTimeout)
        self.tasks.go_on()
        self.assertIsNone(self.result(self.tc.barrier(0)))

    def test_leaving(self) -> None:
        """A client that leaves waits for confirmations, with a limit."""
        self.tasks.silent = True
        self.result(self.tc.run(asyncclient.StringTask("")))
        self.tc.disconnect()
        self.clock.advance(9)
        self.assertFalse(self.tasks.links[0].closed)
        self.clock.advance(2)
        self.assertTrue(self.tasks.links[0].closed)
