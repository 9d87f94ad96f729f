"""The blocking client of the Task interface: called from threads, against a controller that is not there."""

from __future__ import annotations

import concurrent.futures
import functools
import gc
import itertools
import threading
import time
from typing import Any

from twisted.internet import reactor, threads
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel import client, error, task_session, taskclient
from ipython1.kernel.client.reactor import reactor_thread
from ipython1.kernel.client.tests.test_blocking import in_thread
from ipython1.kernel.framing import unpack
from ipython1.kernel.shared import MAX_FUNCTIONS
from ipython1.kernel.task import MAX_STEPS
from ipython1.kernel.task_session import LEASE
from ipython1.kernel.tests.fake_cluster import FURL
from ipython1.kernel.tests.fake_tasks import FakeTasks


class FakeClient(client.TaskClient):
    """A client of `FakeTasks`, through trial's own reactor."""

    def __init__(self, tasks: FakeTasks) -> None:
        self._open(FURL, reactor_thread, tasks.dial)


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


class TaskTestCase(TestCase):
    timeout = 180

    def setUp(self) -> Deferred[None]:
        self.tasks = FakeTasks(reactor)
        # The end of this process need not speak of them.
        self.addCleanup(task_session.sessions.clear)
        # So that no thread of a test that failed waits for ever.
        self.addCleanup(
            lambda: [link.lose("the test is over") for link in self.tasks.links if not link.closed]
        )

        def connect() -> None:
            self.tc = FakeClient(self.tasks)

        return threads.deferToThread(connect)

    def go_on(self) -> None:
        threads.blockingCallFromThread(reactor, self.tasks.go_on)

    def held_back(self) -> None:
        self.tasks.held_back = True

    def form(self) -> Any:
        """The form of the task that came last."""
        (*_, message) = [each for each in self.tasks.received if each.fields["verb"] == "submit"]
        return unpack(message.bodies[0])


class RunTests(TaskTestCase):
    @in_thread
    def test_string_task(self) -> None:
        """run gives ids that count up from 0, get_task_result a TaskResult."""
        tasks = [client.StringTask(f"a = {n} + x", pull="a", push={"x": 1}) for n in range(3)]
        self.assertEqual([self.tc.run(task) for task in tasks], [0, 1, 2])
        self.assertEqual(tasks[2].taskid, 2)
        self.tc.barrier([0, 1, 2])
        result = self.tc.get_task_result(2)
        self.assertEqual(repr(result), "TaskResult[ID:2]:{'a': 3}")
        self.assertEqual((result["a"], result.ns.a, result.ns["a"], result.keys), (3, 3, 3, ["a"]))
        self.assertEqual((result.taskid, result.engineid, result.duration), (2, 0, 2.5))
        self.assertRegex(result.submitted, r"^19\d\d/\d\d/\d\d \d\d:\d\d:\d\d$")
        self.assertEqual(repr(result.ns), "NS{'a': 3}")
        self.assertIsNone(result.failure)
        self.assertIsNone(result.raise_exception())
        self.assertEqual(self.tasks.verbs.count("lease_tasks"), 1)

    @in_thread
    def test_failed_string_task(self) -> None:
        """A failed StringTask gives a TaskResult that raises when it is asked for values."""
        result = self.tc.run(client.StringTask("1/0", pull="a"), block=True)
        self.assertEqual((result.results, result.keys), ({}, []))
        self.assertIsInstance(result.failure.value, ZeroDivisionError)
        for asked in (result.raise_exception, lambda: result.ns, lambda: result["a"]):
            self.assertRaises(ZeroDivisionError, asked)
        self.assertIn("ZeroDivisionError", repr(result))

    @in_thread
    def test_map_task(self) -> None:
        """A MapTask gives its bare value, or raises."""
        self.assertEqual(self.tc.run(client.MapTask(lambda x, y: x + y, [1], {"y": 2}), block=True), 3)
        self.tc.run(client.MapTask(lambda: None))
        self.assertIsNone(self.tc.get_task_result(1, block=True))
        self.assertRaises(ZeroDivisionError, self.tc.run, client.MapTask(lambda: 1 / 0), block=True)

    @in_thread
    def test_not_finished(self) -> None:
        """A task that has not ended gives None; barrier waits no longer than it is told."""
        self.held_back()
        number = self.tc.run(client.MapTask(abs_of, [-5]))
        self.assertIsNone(self.tc.get_task_result(number))
        with self.assertRaisesRegex(error.CallTimeout, r"barrier\(\[0\]\)|barrier\(0\)"):
            self.tc.barrier(number, timeout=0.01)
        waiting = threading.Timer(0, self.go_on)
        waiting.start()
        self.assertEqual(self.tc.get_task_result(number, block=True), 5)
        waiting.join()

    @in_thread
    def test_errors_at_the_call(self) -> None:
        """What is no task, or cannot be sent, is said at the call, and the client goes on."""
        for wrong in ("a = 5", 5, None, abs):
            self.assertRaises(AssertionError, self.tc.run, wrong)
        lock = threading.Lock()

        def locked() -> Any:
            return lock

        with self.assertRaisesRegex(TypeError, "locked"):
            self.tc.run(client.MapTask(locked))
        with self.assertRaisesRegex(TypeError, "value of 'x'"):
            self.tc.run(client.StringTask("a = x", push={"x": Unpicklable()}))
        with self.assertRaisesRegex(TypeError, "depend"):
            self.tc.run(client.StringTask("a", depend=lambda properties: lock))
        self.assertRaises(IndexError, self.tc.get_task_result, 17)
        self.assertRaises(TypeError, self.tc.get_task_result, "17")
        self.assertRaises(TypeError, self.tc.abort, "17")
        self.assertRaises(IndexError, self.tc.abort, 17)
        self.assertRaises(KeyError, self.tc.clear, [17])
        self.assertEqual(self.tc.run(client.StringTask("a = 1", pull="a"), block=True)["a"], 1)

    @in_thread
    def test_options(self) -> None:
        """Options of a wrong type are errors of the call; of targets any iterable will do."""
        wrong = [("targets", "q"), ("targets", 1.5), ("resources", ["gpu"]), ("resources", {"gpu": "x"})]
        for name, value in [*wrong, ("priority", "high"), ("after", ["q"])]:
            with self.assertRaisesRegex(TypeError, "task"):
                self.tc.run(client.StringTask("", **{name: value}))
        self.tc.run(client.StringTask("", targets=range(2), resources={"gpu": 1}, after_any=1))
        self.tc.confirm()
        options = {"targets": [0, 1], "resources": {"gpu": 1}, "after_any": True, "label": "run('')"}
        self.assertEqual(self.form()["options"], options)

    @in_thread
    def test_loop(self) -> None:
        """A loop of recovery tasks is refused, however it was made."""
        first, second = client.StringTask("1/0"), client.StringTask("1/0")
        first.recovery_task = second
        second._recovery_task = first
        with self.assertRaisesRegex(ValueError, "loop"):
            self.tc.run(first)

    @in_thread
    def test_steps(self) -> None:
        """A task and its recovery tasks are sent as steps, each with its own choices and values."""
        last = client.MapTask(abs_of, [1], timeout=2)
        task = client.StringTask(
            "a = x", pull="a", push={"x": 1}, retries=2, clear_before=True, depend=bool, recovery_task=last
        )
        task.priority = 3
        self.tc.run(task)
        self.tc.confirm()
        args = self.form()
        first, second = args["steps"]
        self.assertEqual(
            (first["kind"], first["retries"], first["values"], first["depend"]), ("string", 2, 3, True)
        )
        self.assertEqual((first["push"], first["pull"], first["clear_before"]), (["x"], ["a"], True))
        self.assertEqual((second["kind"], second["values"], second["timeout"]), ("map", 2, 2.0))
        self.assertEqual(args["options"], {"priority": 3, "label": "run('a = x')"})

    @in_thread
    def test_queue(self) -> None:
        """queue_status, why, spin, clear and abort ask the controller."""
        self.held_back()
        numbers = [self.tc.run(client.StringTask("a = 1")) for _ in range(3)]
        status = {"scheduled": 3, "pending": 0, "succeeded": 0, "failed": 0}
        self.assertEqual(self.tc.queue_status(), status)
        self.assertEqual(self.tc.why(numbers[0]), "task 0 waits")
        self.assertIs(self.tc.spin(), False)
        self.assertIsNone(self.tc.abort(numbers[1]))
        self.assertIsInstance(self.tc.get_task_result(1).failure.value, error.TaskAborted)
        self.go_on()
        self.assertEqual(self.tc.queue_status(verbose=True)["failed"], [1])
        self.assertEqual(self.tc.clear([0, 1]), 2)
        self.assertEqual(self.tc.clear(), 1)


class ResultsOfOthersTests(TaskTestCase):
    """Results of tasks as arguments of tasks."""

    @in_thread
    def test_values(self) -> None:
        """They may stand anywhere among the arguments, and in what is pushed."""
        first = self.tc.submit(abs_of, -3)
        second = self.tc.submit(client.StringTask("a = 5", pull="a"))
        self.assertEqual(self.tc.submit(dict, [("x", first)], y=(first, [second])).r, {"x": 3, "y": (3, [{"a": 5}])})
        named = client.ResultOf(self.tc.run(client.MapTask(abs_of, [-7])))
        task = client.StringTask("b = (p, n)", push={"p": first, "n": named}, pull="b")
        self.assertEqual(self.tc.run(task, block=True)["b"], (3, 7))
        self.assertEqual(self.tc.map(abs_of, [first, client.ResultOf(second.taskid - 1)]), [3, 3])
        steps = self.form()
        self.assertEqual(repr(named), "ResultOf(3)")
        self.assertNotIn("after", steps)

    @in_thread
    def test_refused(self) -> None:
        """What stands for nothing, or for what only the controller knows, is an error of the call."""
        self.assertRaises(TypeError, client.ResultOf, "x")
        pending = self.tc.submit(abs_of, -3)
        with self.assertRaisesRegex(TypeError, "only among the arguments of a task"):
            self.tc.submit(lambda: pending)
        other = FakeClient(self.tasks)
        with self.assertRaisesRegex(ValueError, r"another client .* ResultOf\(pending.taskid\)"):
            other.submit(abs_of, pending)
        self.assertEqual(other.submit(abs_of, client.ResultOf(pending)).r, 3)
        self.tasks.refuse = IndexError("there is no task 500")
        self.assertRaises(IndexError, self.tc.submit, abs_of, client.ResultOf(500))
        self.assertRaises(IndexError, self.tc.run, client.MapTask(abs_of, [[client.ResultOf(500)]]))


class ConfirmTests(TaskTestCase):
    @in_thread
    def test_no_waiting(self) -> None:
        """run does not wait for the controller; confirm does, no longer than it is told."""
        self.tasks.silent = True
        numbers = [self.tc.run(client.StringTask("a = 1", pull="a")) for _ in range(5)]
        self.assertEqual(numbers, [0, 1, 2, 3, 4])
        with self.assertRaisesRegex(error.CallTimeout, "confirm"):
            self.tc.confirm(timeout=0.01)
        reactor.callFromThread(self.tasks.confirm)
        self.tc.confirm()
        self.assertEqual(self.tc.get_task_result(4)["a"], 1)

    @in_thread
    def test_leases(self) -> None:
        """Ids are leased many at a time, and more of them before the last ones are used."""
        count = LEASE * 3 // 4
        numbers = [self.tc.run(client.StringTask("")) for _ in range(count)]
        self.tc.confirm()
        self.assertEqual(numbers, list(range(count)))
        self.assertEqual(self.tasks.verbs.count("lease_tasks"), 2)

    @in_thread
    def test_together(self) -> None:
        """What is submitted before the reactor gets to it goes in one message; what was refused of that is told each."""
        self.tc.submit(abs_of, 0).result()
        going_on = threading.Event()
        reactor.callFromThread(going_on.wait, 60)
        self.tasks.refused_tasks = {2, 4}
        pending = [self.tc.submit(abs_of, -number) for number in range(5)]
        ids = [self.tc.run(client.StringTask("")) for _ in range(2)]
        before = self.tasks.verbs.count("submit")
        going_on.set()
        self.assertEqual([each.taskid for each in pending] + ids, list(range(1, 8)))
        self.assertEqual([pending[place].r for place in (0, 2, 4)], [0, 2, 4])
        for place in (1, 3):
            self.assertIn(f"task {place + 1} was refused", str(pending[place].exception()))
        self.tc.confirm()
        self.assertEqual(self.tasks.verbs.count("submit") - before, 1)
        (*_, message) = [each for each in self.tasks.received if each.fields["verb"] == "submit"]
        self.assertEqual(message.fields["args"]["forms"], 2)

    @in_thread
    def test_refused(self) -> None:
        """A task that the controller refuses is said by confirm, once, and by get_task_result."""
        self.tasks.refuse = ValueError("no such resource")
        number = self.tc.run(client.StringTask(""))
        self.assertRaises(ValueError, self.tc.confirm)
        self.tc.confirm()
        self.assertRaises(ValueError, self.tc.get_task_result, number)
        self.assertRaises(ValueError, self.tc.submit(abs_of, 1).result)
        self.tc.confirm()

    @in_thread
    def test_full(self) -> None:
        """When the controller is known to take no more tasks, those who submit are told at once, until it does."""
        self.tasks.refuse = error.TaskQueueFull("full")
        self.tc.run(client.StringTask(""))
        self.assertRaises(error.TaskQueueFull, self.tc.confirm)
        self.assertRaises(error.TaskQueueFull, self.tc.run, client.StringTask(""))
        self.assertRaises(error.TaskQueueFull, self.tc.submit, abs_of, 1)
        self.assertRaises(error.TaskQueueFull, self.tc.map, abs_of, range(1000))
        self.tasks.refuse = None
        self.assertEqual(self.tc.submit(abs_of, -1).r, 1)
        self.assertEqual(self.tc.run(client.StringTask("")), 5)
        self.tc.confirm()

    @in_thread
    def test_foreign_dependency(self) -> None:
        """Whether there is a task that somebody else submitted, run learns from the controller."""
        first = self.tc.run(client.StringTask(""))
        self.tasks.refuse = IndexError("there is no task 500")
        self.assertEqual(self.tc.run(client.StringTask("", after=first)), 1)
        self.assertRaises(IndexError, self.tc.run, client.StringTask("", after=[first, 500]))

    @in_thread
    def test_cleared_dependency(self) -> None:
        """Whether a task is left when some were cleared, run learns from the controller, too."""
        first = self.tc.run(client.StringTask(""))
        self.tc.clear()
        second = self.tc.run(client.StringTask(""))
        self.tasks.refuse = IndexError(f"there is no task {first}")
        with self.assertRaisesRegex(IndexError, "there is no task 0"):
            self.tc.run(client.StringTask("", after=first))
        refused = self.tc.run(client.StringTask("", after=second))
        self.assertRaises(IndexError, self.tc.why, refused)

    @in_thread
    def test_lost(self) -> None:
        """Who waits when the connection is lost, is told; the next call opens another."""
        self.held_back()
        pending = self.tc.submit(abs_of, -1)
        reactor.callFromThread(self.tasks.links[0].lose, "gone")
        self.assertRaises(error.ConnectionError, pending.result)
        self.tasks.held_back = False
        self.assertEqual(self.tc.submit(abs_of, -1).result(), 1)

    @in_thread
    def test_disconnect(self) -> None:
        """A client that leaves does so when what it submitted is confirmed."""
        self.tasks.silent = True
        self.tc.run(client.StringTask(""))
        self.tc.disconnect()
        self.assertFalse(self.tasks.links[0].closed)
        threads.blockingCallFromThread(reactor, self.tasks.confirm)
        self.assertTrue(self.tasks.links[0].closed)

    @in_thread
    def test_collected(self) -> None:
        """So does one that nobody has any more."""
        self.tasks.silent = True
        self.tc.run(client.StringTask(""))
        del self.tc
        gc.collect()
        threads.blockingCallFromThread(reactor, lambda: None)
        self.assertFalse(self.tasks.links[0].closed)
        threads.blockingCallFromThread(reactor, self.tasks.confirm)
        self.assertTrue(self.tasks.links[0].closed)


class MapTests(TaskTestCase):
    @in_thread
    def test_map(self) -> None:
        """Results come in the order of the items, whatever the chunks."""
        self.patch(taskclient, "CHUNK_TIME", 0)
        self.assertEqual(self.tc.map(lambda x: x**2, range(1000)), [x**2 for x in range(1000)])
        self.assertEqual(len(self.tasks.submitted), 63)
        self.assertEqual(self.tc.map(pow, [2, 3], (4, 5), chunksize=2), [16, 243])
        self.assertEqual(self.tc.map(abs, []), [])
        self.assertEqual(self.tasks.outcomes, {})
        self.assertRaises(ValueError, self.tc.map, pow, [1], [1, 2])
        self.assertRaises(ValueError, self.tc.map, abs, [1], chunksize=0)
        self.assertRaises(TypeError, self.tc.map, "abs", [1])
        self.assertRaises(TypeError, self.tc.map, abs)

    @in_thread
    def test_chunks(self) -> None:
        """There are as many chunks as keep the engines busy, unless each item is to be something special."""
        self.patch(taskclient, "CHUNK_TIME", 0)
        for engines, items, chunks in ((1, 64, 64), (1, 65, 33), (3, 1920, 192), (0, 1000, 250), (50, 1000, 1000)):
            self.tasks.engines = engines
            before = len(self.tasks.submitted)
            self.assertEqual(self.tc.map(abs_of, range(items)), list(range(items)))
            self.assertEqual(len(self.tasks.submitted) - before, chunks, (engines, items))
        before = len(self.tasks.submitted)
        self.assertEqual(len(self.tc.mapper(clear_after=True).map(abs_of, range(300))), 300)
        self.assertEqual(len(self.tasks.submitted) - before, 300)

    @in_thread
    def test_measured(self) -> None:
        """Where the first chunks have taken next to no time, those that follow are longer, but not too few."""
        for seconds, chunks in ((1000.0, 4 + 4 * taskclient.FEW_CHUNKS), (0.0, 4 * taskclient.CHUNKS)):
            self.patch(taskclient, "CHUNK_TIME", seconds)
            self.tasks.engines = 4
            before = len(self.tasks.submitted)
            self.assertEqual(self.tc.map(abs_of, range(25_600)), list(range(25_600)))
            self.assertEqual(len(self.tasks.submitted) - before, chunks)

    @in_thread
    def test_pace(self) -> None:
        """No more than some of the chunks are on the way at a time, and what has come is forgotten meanwhile."""
        self.patch(taskclient, "MAX_LEFT", 10)
        self.patch(taskclient, "BATCH", 5)
        self.held_back()
        waiting, kept, ending, confirm = [], [], [], self.tasks.confirm

        def confirmed() -> None:
            confirm()
            waiting.append(len(self.tasks.waiting))
            kept.append(len(self.tasks.outcomes))
            if not ending:
                ending.append(reactor.callLater(0.01, end))  # time for more than may come

        def end() -> None:
            ending.clear()
            self.tasks.go_on()
            self.held_back()

        self.tasks.confirm = confirmed
        self.assertEqual(self.tc.map(abs_of, range(60), chunksize=1), list(range(60)))
        self.assertEqual(self.tc.map(abs_of, range(60), chunksize=2), list(range(60)))
        self.assertTrue(10 < max(waiting) <= 15, waiting)
        self.assertLessEqual(max(kept), 20)
        self.assertEqual(self.tasks.outcomes, {})

    @in_thread
    def test_bad_item(self) -> None:
        """An item that cannot be sent is an error, and what was sent before it is aborted."""
        self.patch(taskclient, "BATCH", 2)
        self.held_back()
        self.assertRaises(TypeError, self.tc.map, abs_of, [1, 2, 3, Unpicklable()], chunksize=1)
        self.assertEqual(self.tasks.aborted, [0, 1])

    @in_thread
    def test_first_error(self) -> None:
        """The first exception in the order of the items is raised, and the tasks that are left are aborted."""
        self.held_back()
        threading.Timer(0.05, self.go_on).start()
        with self.assertRaises(ZeroDivisionError):
            self.tc.map(lambda x: 1 / x, [1, 0, 2], chunksize=1)

    @in_thread
    def test_mapper(self) -> None:
        """A mapper's tasks have its choices; without blocking it gives one id for each item."""
        mapper = self.tc.mapper(retries=2, clear_after=True, block=False)
        numbers = mapper.map(abs_of, range(-3, 0))
        self.assertEqual(numbers, [0, 1, 2])
        self.assertEqual([self.tc.get_task_result(n, block=True) for n in numbers], [3, 2, 1])
        (step,) = self.form()["steps"]
        self.assertEqual((step["retries"], step["clear_after"], step["pull"]), (2, True, []))
        self.assertEqual(self.tc.mapper(recovery_task=client.MapTask(abs_of, [7])).map(abs_of, [1]), [1])
        self.assertRaises(TypeError, self.tc.mapper, retrys=1)

        @self.tc.parallel(retries=1)
        def double(x: int) -> int:
            """Twice."""
            return 2 * x

        self.assertEqual(double(range(3)), [0, 2, 4])
        self.assertEqual((double.__name__, double.__doc__), ("double", "Twice."))

    @in_thread
    def test_function_once(self) -> None:
        """The function is serialized once for a map, and sent once for each chunk."""
        pickled = []

        class Counted:
            def __call__(self, x: int) -> int:
                return x

            def __reduce__(self) -> Any:
                pickled.append(self)
                return abs, (-5,)  # of no use, but it is not called

        self.assertRaises(TypeError, self.tc.map, Counted(), range(1000))
        self.assertEqual(len(pickled), 1)

    @in_thread
    def test_large_function(self) -> None:
        """A function that is not small is sent once for a session, whoever uses it; small ones go with the tasks."""

        def function_with(data: bytes) -> Any:
            return lambda x: (len(data), x)

        large = function_with(bytes(100_000))
        self.assertEqual(self.tc.map(large, range(20), chunksize=1)[-1], (100_000, 19))
        self.assertEqual(self.tc.submit(large, 1).r, (100_000, 1))
        self.assertEqual(self.tc.run(client.MapTask(large, [2]), block=True), (100_000, 2))
        self.assertEqual(self.tasks.verbs.count("keep_function"), 1)
        self.assertEqual(list(self.tc.imap(function_with(b"ab"), [1], chunksize=2)), [(2, 1)])
        for size in range(2 * MAX_FUNCTIONS):
            self.assertEqual(self.tc.submit(function_with(bytes(5_000 + size)), 1).r, (5_000 + size, 1))
        dropped = [message.fields["args"].get("drop") for message in self.tasks.received]
        self.assertEqual(sum(map(len, filter(None, dropped))), MAX_FUNCTIONS + 1)
        self.assertEqual(self.tc.submit(large, 3).r, (100_000, 3))
        self.assertEqual(self.tasks.verbs.count("keep_function"), 2 * MAX_FUNCTIONS + 2)


class FutureTests(TaskTestCase):
    @in_thread
    def test_submit(self) -> None:
        """submit gives a Future, of any callable or a task."""
        pending = self.tc.submit(pow, 2, exp=5)
        self.assertIsInstance(pending, concurrent.futures.Future)
        self.assertEqual((pending.result(), pending.r, pending.taskid), (32, 32, 0))
        self.assertEqual(self.tc.submit(client.StringTask("a = 3", pull="a")).result()["a"], 3)
        self.assertRaises(ZeroDivisionError, self.tc.submit(divmod, 1, 0).result)
        self.assertRaises(TypeError, self.tc.submit, "abs", 1)
        self.assertEqual(self.tc.get_task_result(pending.taskid), 32)
        self.tc.barrier([pending])

    @in_thread
    def test_as_completed(self) -> None:
        """as_completed gives what it was given: results and ids."""
        pending = self.tc.submit(abs, -1)
        number = self.tc.run(client.StringTask(""))
        self.assertEqual(set(self.tc.as_completed([pending, number])), {pending, number})
        self.held_back()
        late = self.tc.submit(abs, -2)
        self.assertRaises(error.CallTimeout, list, self.tc.as_completed([late], timeout=0.01))
        self.go_on()
        self.assertEqual(list(concurrent.futures.as_completed([late])), [late])

    @in_thread
    def test_imap(self) -> None:
        """imap takes no more of an endless iterable than it may have outstanding."""
        taken = itertools.count()
        results = self.tc.imap(abs_of, taken, max_outstanding=10)
        self.assertEqual(list(itertools.islice(results, 500)), list(range(500)))
        self.assertLess(next(taken), 520)
        self.tc.confirm()  # what is on its way must not be held back: the next result is among it
        self.held_back()
        next(results)
        results.close()
        self.assertEqual(self.tasks.waiting, [])
        self.assertEqual(self.tasks.aborted[-1], 509)
        self.assertEqual(self.tasks.outcomes, {})

    @in_thread
    def test_imap_forms(self) -> None:
        self.assertEqual(sorted(self.tc.imap(abs_of, range(30), ordered=False)), list(range(30)))
        self.assertEqual(list(self.tc.imap(pow, range(9), [2] * 7, chunksize=4)), [x * x for x in range(7)])
        found = self.tc.imap(lambda x: 1 / x, [1, 0, 1])
        self.assertEqual(next(found), 1)
        self.assertRaises(ZeroDivisionError, next, found)
        self.assertRaises(TypeError, self.tc.imap, 5, [1])
        self.assertRaises(ValueError, self.tc.imap, abs, [1], max_outstanding=0)

    @in_thread
    def test_executor(self) -> None:
        """An executor as `concurrent.futures` has it."""
        with self.tc.executor() as executor:
            self.assertIsInstance(executor, concurrent.futures.Executor)
            pending = executor.submit(pow, 2, 3)
            self.assertEqual(list(executor.map(abs_of, range(5))), list(range(5)))
            self.assertEqual(list(executor.map(abs_of, range(5), chunksize=2)), list(range(5)))
            self.assertEqual(list(executor.map(abs_of, range(5), buffersize=2)), list(range(5)))
        self.assertTrue(pending.done())
        self.assertRaises(RuntimeError, executor.submit, abs, 1)
        self.held_back()
        executor = self.tc.executor()
        running, pending = executor.submit(abs, 1), executor.submit(abs, 2)
        status = {"scheduled": [pending.taskid], "pending": [running.taskid], "succeeded": [], "failed": []}
        self.tasks.statuses.append(status)
        executor.shutdown(wait=False, cancel_futures=True)
        self.assertIsInstance(pending.exception(), error.TaskAborted)
        self.assertFalse(running.done())
        reactor.callFromThread(self.tasks.go_on)
        self.assertEqual(running.result(), 1)

    @in_thread
    def test_impossible(self) -> None:
        """What could never be run is refused by the call."""
        chain = client.StringTask("")
        for _ in range(MAX_STEPS - 1):
            chain = client.StringTask("", recovery_task=chain)
        self.tc.run(chain)
        self.assertRaises(ValueError, self.tc.run, client.StringTask("", recovery_task=chain))
        self.assertRaises(ValueError, self.tc.run, client.StringTask("", targets=[]))
        self.assertRaises(TypeError, self.tc.run, client.StringTask("", priority=float("nan")))
        self.tc.run(client.StringTask("", targets=0, priority=-0.5))


def abs_of(x: int) -> int:
    return abs(x)


class RestartTests(TaskTestCase):
    """A controller that is killed and started again on the same store."""

    def restart(self) -> None:
        threads.blockingCallFromThread(reactor, self.tasks.restart)

    def setUp(self) -> Deferred[None]:
        connecting = super().setUp()
        self.tasks.house = "a house"
        return connecting

    @in_thread
    def test_futures(self) -> None:
        """What was submitted, and what is while there is no controller, comes to its end."""
        self.held_back()
        blob = bytes(taskclient.BATCH * 100)
        pending = [self.tc.submit(abs_of, -number) for number in range(50)]
        executor = self.tc.executor()
        lazy = executor.map(functools.partial(length_of, blob), range(20))
        self.restart()
        pending += [self.tc.submit(abs_of, -number) for number in range(50, 100)]
        executed = [executor.submit(abs_of, number) for number in range(20)]
        self.go_on()
        self.assertEqual([each.r for each in pending], list(range(100)))
        self.assertEqual([each.result() for each in executed], list(range(20)))
        self.assertEqual(list(lazy), [len(blob)] * 20)

    @in_thread
    def test_maps(self) -> None:
        """An endless map, ordered or not, and one that is not, go on."""
        for ordered in (True, False):
            results = self.tc.imap(abs_of, itertools.count(1), ordered=ordered, max_outstanding=10)
            found = []
            for number in range(500):
                found.append(next(results))
                if number % 100 == 50:
                    self.restart()
            results.close()
            self.assertEqual(len(set(found)), 500)
            if ordered:
                self.assertEqual(found, list(range(1, 501)))
        mapping = threading.Timer(0.0, self.restart)
        mapping.start()
        self.assertEqual(self.tc.map(abs_of, range(2000), chunksize=1), list(range(2000)))
        mapping.join()

    @in_thread
    def test_waiting(self) -> None:
        """Calls that wait in a thread of their own."""
        self.held_back()
        number = self.tc.run(client.MapTask(abs_of, [-5]))
        with concurrent.futures.ThreadPoolExecutor() as threads_:
            asking = threads_.submit(self.tc.get_task_result, number, block=True)
            barrier = threads_.submit(self.tc.barrier, [number], timeout=10)
            while len(self.tasks.verbs) < 4:
                time.sleep(0.01)
            self.restart()
            self.go_on()
            self.assertEqual((asking.result(), barrier.result()), (5, None))


def length_of(blob: bytes, number: int) -> int:
    return len(blob)
