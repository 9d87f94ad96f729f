"""The blocking client, its views, pending results: called from threads, against a cluster that is not there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor, threads
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel import client, error
from ipython1.kernel.client.reactor import ReactorThread, _Waiting, reactor_thread
from ipython1.kernel.tests.fake_cluster import FURL, FakeCluster


class FakeClient(client.MultiEngineClient):
    """A client of a `FakeCluster`, through trial's own reactor."""

    def __init__(self, cluster: FakeCluster, furl: str = FURL) -> None:
        self.block = True
        self.targets = "all"
        self._open(furl, reactor_thread, cluster.dial)


def in_thread(method: Callable[[Any], None]) -> Callable[[Any], Deferred[None]]:
    """Run a test in another thread than the reactor's."""

    def test(self: Any) -> Deferred[None]:
        return threads.deferToThread(method, self)

    test.__name__ = method.__name__
    test.__doc__ = method.__doc__
    return test


class BlockingTestCase(TestCase):
    engines = 4
    timeout = 180

    def setUp(self) -> Deferred[None]:
        self.cluster = FakeCluster(reactor, self.engines)
        # So that no thread of a test that failed waits for ever.
        self.addCleanup(
            lambda: [link.lose("the test is over") for link in self.cluster.links if not link.closed]
        )

        def connect() -> None:
            self.mec = FakeClient(self.cluster)

        return threads.deferToThread(connect)

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return threads.blockingCallFromThread(reactor, function, *args)


class BlockAndTargets(BlockingTestCase):
    @in_thread
    def test_attributes_and_keywords(self) -> None:
        """The attributes count where a call does not say."""
        self.mec.targets = [0, 2]
        self.assertEqual([r["id"] for r in self.mec.execute("a=5")], [0, 2])
        self.assertEqual([r["id"] for r in self.mec.execute("a=5", targets=1)], [1])
        self.mec.block = False
        self.assertIsInstance(self.mec.execute("a=5"), client.PendingResult)
        self.assertEqual(self.mec.pull("a", block=True), [5, 5])
        self.assertEqual(self.mec.pull("a", block=1), [5, 5])
        self.mec.targets = "most"
        self.assertRaises(error.InvalidEngineID, self.mec.execute, "a=5", block=True)

    @in_thread
    def test_bad_targets_without_blocking(self) -> None:
        """Bad ids appear when the result is fetched; what are no targets at all, at once."""
        for targets in (9, "some", [0, -1]):
            pending = self.mec.execute("a=5", targets=targets, block=False)
            self.assertRaises(error.InvalidEngineID, pending.get_result)
        self.assertRaises(ValueError, self.mec.execute, "a=5", targets=1.0, block=False)
        self.assertRaises(TypeError, self.mec.execute, 5, block=False)
        self.assertRaises(TypeError, self.mec.execute)

    @in_thread
    def test_dictionary_and_views(self) -> None:
        """An index that is an engine gives a view of it with bare values; several give a view of those."""
        self.mec["a"] = ["foo", "bar"]
        self.assertEqual(self.mec["a"], [["foo", "bar"]] * 4)
        self.mec["a"] = client.Scatter(range(4), flatten=True)
        self.assertEqual(self.mec["a"], [0, 1, 2, 3])
        self.assertEqual(self.mec[1]["a"], 1)
        self.assertEqual(self.mec[1].pull("a"), 1)
        self.assertIsNone(self.mec[1].push({"b": 20}))
        self.assertEqual(self.mec[1].execute("print(b)")["stdout"], "20\n")
        self.assertEqual(self.mec[1].execute("print(b)", block=False).r["stdout"], "20\n")
        self.assertEqual(self.mec[1].pull("a", targets=[2, 3]), [2, 3])
        self.assertEqual(self.mec[1].queue_status()[0], 1)
        self.assertEqual(self.mec[[0, 2]]["a"], [0, 2])
        self.assertEqual(self.mec[::2]["a"], [0, 2])
        self.assertEqual(self.mec[1:].gather("a"), [1, 2, 3])
        self.assertEqual(self.mec[-1:].map(abs, [-1, -2]), [1, 2])
        self.mec[0]["a"] = self.mec[3]["a"]
        self.assertEqual(self.mec["a"], [3, 1, 2, 3])

    @in_thread
    def test_no_dictionary(self) -> None:
        for key in (1.5, None, b"a"):
            self.assertRaises(TypeError, lambda key=key: self.mec[key])
        self.assertRaises(TypeError, self.mec.__setitem__, 0, 5)
        self.assertRaises(TypeError, iter, self.mec)
        self.assertRaises(TypeError, lambda: "a" in self.mec)
        self.assertEqual(len(self.mec), 4)

    @in_thread
    def test_map(self) -> None:
        """map, mapper and parallel honour block and targets."""
        self.assertEqual(self.mec.map(lambda x: x**10, range(32)), [x**10 for x in range(32)])
        self.mec.targets, self.mec.block = [1, 2], False
        pending = self.mec.map(pow, [2, 3], [2, 2])
        self.assertEqual(pending.r, [4, 9])
        self.assertEqual([m.fields["targets"] for m in self.cluster.received[-2:]], [[1], [2]])
        self.assertEqual(self.mec.mapper(block=True).map(abs, [-1]), [1])

        @self.mec.parallel(block=True)
        def double(x: int) -> int:
            """Twice."""
            return 2 * x

        self.assertEqual(double(range(3)), [0, 2, 4])
        self.assertEqual((double.__name__, double.__doc__), ("double", "Twice."))

    @in_thread
    def test_run(self) -> None:
        """A file is read and checked here."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("a = 3\nprint(a)\n")
        results = self.mec.run(path)
        self.assertEqual(([type(results)], results[0]["stdout"]), ([list], "3\n"))
        with open(path, "w") as file:
            file.write("a = = 3")
        self.assertRaises(SyntaxError, self.mec.run, path)
        self.assertRaises(OSError, self.mec.run, path + "-none")

    @in_thread
    def test_benchmark(self) -> None:
        measured = self.mec.benchmark(10)
        self.assertEqual(measured["all_engine_latency"][1], "msec")

    @in_thread
    def test_representation(self) -> None:
        self.assertRegex(
            repr(self.mec), rf"<FakeClient: controller {os.getpid()} on .*, targets='all', block=True>"
        )
        self.assertIn("targets=2", repr(self.mec[2]))


class PendingTests(BlockingTestCase):
    def held(self, source: str = "print(id)") -> client.PendingResult:
        self.cluster.held_back = True
        pending: client.PendingResult = self.mec.execute(source, block=False)
        return pending

    def go_on(self) -> None:
        self.in_reactor(self.cluster.go_on)

    @in_thread
    def test_get_result(self) -> None:
        """Polling gives the default until the result is there."""
        pending = self.held()
        self.assertIsNone(pending.get_result(block=False))
        self.assertEqual(pending.get_result(default=3, block=False), 3)
        self.assertFalse(pending.called)
        self.assertRaises(error.CallTimeout, pending.result, 0.01)
        self.in_reactor(lambda: None)
        self.go_on()
        self.assertIn("[3] Out[1]: 3", repr(pending.r))
        self.assertIs(pending.get_result(block=False), pending.r)
        self.assertEqual((pending.called, pending.raised), (True, False))

    @in_thread
    def test_errors_are_kept(self) -> None:
        pending = self.mec.execute("1/0", block=False)
        first = self.assertRaises(error.CompositeError, pending.get_result)
        self.assertIs(self.assertRaises(error.CompositeError, lambda: pending.r), first)
        self.assertTrue(pending.raised)

    @in_thread
    def test_callbacks(self) -> None:
        """Each callback gets what the one before made of the result; what one raises is raised each time."""
        pending = self.mec.pull("id", block=False)
        pending.add_callback(sum)
        pending.add_callback(divmod, 4)
        self.assertEqual(pending.r, (1, 2))
        self.assertEqual(pending.result(), (1, 2))
        pending.add_callback(lambda result: 1 / 0)
        self.assertRaises(ZeroDivisionError, lambda: pending.r)
        self.assertRaises(ZeroDivisionError, pending.result)
        self.assertRaises(AssertionError, pending.add_callback, 5)

    @in_thread
    def test_futures(self) -> None:
        """It works with concurrent.futures and asyncio; done-callbacks run in a thread of their own."""
        calls = [self.mec.pull("id", targets=engine, block=False) for engine in range(4)]
        self.assertEqual(
            sorted(call.result() for call in concurrent.futures.as_completed(calls)), [[0], [1], [2], [3]]
        )

        async def wait() -> Any:
            return await asyncio.wrap_future(calls[2])

        self.assertEqual(asyncio.run(wait()), [2])
        where: list[Any] = []
        called = threading.Event()
        calls[0].add_done_callback(
            lambda done: (where.extend([done, threading.current_thread().name]), called.set())
        )
        called.wait(5)
        self.assertEqual(where, [calls[0], "ipython1 callbacks"])
        self.assertFalse(calls[0].cancel())

    @in_thread
    def test_order(self) -> None:
        """Results sort by when they were asked for."""
        calls = [self.mec.execute("1", block=False) for _ in range(20)]
        self.assertEqual(sorted([calls[2], calls[0], calls[1]]), calls[:3])
        self.assertEqual({len(call.result_id) for call in calls}, {40})
        self.assertTrue(calls[0] == calls[0] != calls[1])

    @in_thread
    def test_unpickled_elsewhere(self) -> None:
        """What pickling and unpickling run never runs in the reactor's thread."""
        Nosy.seen.clear()
        self.mec.push({"nosy": Nosy()})
        self.mec.pull("nosy", targets=0)
        self.mec.pull("nosy", targets=0, block=False).result()
        # Those of the fake engines are the reactor's own.
        self.assertIn(threading.current_thread().name, Nosy.seen)
        self.assertIn("ipython1 results", Nosy.seen)

    @in_thread
    def test_snapshot(self) -> None:
        """What a value is when the call is made counts, also if it changes before it is sent."""
        try:
            import numpy
        except ImportError:
            self.skipTest("numpy is not installed")
        array = numpy.ones(10_000)
        self.cluster.held_back = True
        pending = self.mec.push({"array": array}, block=False)
        array[:] = 0
        self.go_on()
        pending.result()
        self.assertEqual(self.mec.pull("array", targets=0)[0].sum(), 10_000)

    @in_thread
    def test_barrier(self) -> None:
        """A barrier waits for all, and raises nothing of theirs."""
        calls = [self.mec.execute(source, block=False) for source in ("1", "1/0", "2")]
        self.assertIsNone(self.mec.barrier(calls))
        self.assertTrue(all(call.done() for call in calls))
        self.assertRaises(error.NotAPendingResult, self.mec.barrier, [calls[0], 5])
        self.mec.barrier(calls[0])

    @in_thread
    def test_flush(self) -> None:
        """What was not fetched is forgotten, waiting or not; what was fetched stays."""
        fetched, done = self.mec.execute("1", block=False), self.mec.execute("2", block=False)
        fetched.result()
        concurrent.futures.wait([done])
        waiting = self.held()
        self.mec.flush()
        self.assertRaises(error.InvalidDeferredID, done.get_result)
        self.assertRaises(error.InvalidDeferredID, waiting.get_result, block=False)
        self.assertEqual(len(fetched.r), 4)
        self.go_on()
        self.assertRaises(error.InvalidDeferredID, waiting.get_result)
        self.assertIn("clear_pending", self.cluster.verbs)

    @in_thread
    def test_by_id(self) -> None:
        """A result can be fetched by its id, once."""
        pending = self.mec.pull("id", block=False)
        self.assertEqual(self.mec.get_pending_deferred(pending.result_id, True), [0, 1, 2, 3])
        self.assertRaises(error.InvalidDeferredID, self.mec.get_pending_deferred, pending.result_id)
        self.assertEqual(pending.r, [0, 1, 2, 3])
        late = self.held()
        self.assertRaises(
            error.ResultNotCompleted, self.mec.get_pending_deferred, late.result_id, block=False
        )
        self.go_on()

    @in_thread
    def test_representation(self) -> None:
        pending = self.held("a=5")
        self.assertRegex(
            repr(pending),
            r"<ipython1.kernel.client.PendingResult object at 0x[0-9a-f]+: execute\('a=5'\), pending>",
        )
        self.go_on()

    @in_thread
    def test_map_does_not_block(self) -> None:
        """A map without blocking returns before the work is done."""
        self.cluster.held_back = True
        pending = self.mec.map(abs, range(8), block=False)
        self.assertFalse(pending.done())
        self.go_on()
        self.assertEqual(pending.r, list(range(8)))


class Nosy:
    """Sees in which threads it is pickled and unpickled."""

    seen: list[str] = []

    def __reduce__(self) -> Any:
        self.seen.append(threading.current_thread().name)
        return Nosy.make, ()

    @classmethod
    def make(cls) -> Nosy:
        cls.seen.append(threading.current_thread().name)
        return cls()


class ConnectionTests(BlockingTestCase):
    @in_thread
    def test_lost(self) -> None:
        """Waiting calls, blocking ones too, end with the connection; the next call opens another."""
        self.cluster.held_back = True
        pending = self.mec.execute("1", block=False)
        self.in_reactor(reactor.callLater, 0.05, self.cluster.links[0].lose, "gone")
        self.assertRaises(error.ConnectionError, self.mec.execute, "2")
        self.assertRaises(error.ConnectionError, pending.get_result)
        self.assertEqual(self.mec.get_ids(), [0, 1, 2, 3])

    @in_thread
    def test_disconnect(self) -> None:
        """A client that was disconnected says so, and connects again when it is used."""
        self.mec.disconnect()
        self.assertIn("not connected", repr(self.mec))
        self.assertEqual(len(self.mec), 4)
        self.assertEqual(len(self.cluster.links), 2)

    @in_thread
    def test_left_for_good(self) -> None:
        """A client has left when that returns, however busy the reactor is: it sees nothing of its cluster's end."""
        link = self.cluster.links[0]
        busy = threading.Event()
        reactor_thread.call_soon(busy.wait, 0.2)
        self.mec.leave_for_good("it was stopped")
        self.assertEqual(link.closed, "it was stopped")
        self.assertIn("it was stopped", str(self.assertRaises(error.ConnectionError, self.mec.get_ids)))

    def test_left_in_the_reactors_thread(self) -> None:
        """There nobody waits for it."""
        self.mec.leave_for_good("it was stopped")
        return threads.deferToThread(self.assertRaises, error.ConnectionError, self.mec.get_ids)  # type: ignore[return-value]

    def test_reactor_thread(self) -> None:
        """A blocking call in the reactor's thread raises at once; one that does not block works."""
        self.assertRaises(error.ClientError, self.mec.execute, "a=5")
        self.assertRaises(error.ClientError, self.mec.get_ids)
        pending = self.mec.execute("a=5", block=False)
        problem = self.assertRaises(error.ClientError, pending.get_result)
        self.assertIn("asyncclient", str(problem))
        return threads.deferToThread(pending.result)  # type: ignore[return-value]

    @in_thread
    def test_threads(self) -> None:
        """Several threads may use a client; each gets its own answers, in order."""
        failures: list[Any] = []

        def use(name: str) -> None:
            for number in range(100):
                value = f"{name}{number}"
                if self.mec.map(str.upper, [value]) != [value.upper()]:
                    failures.append(value)

        users = [threading.Thread(target=use, args=(name,)) for name in "abcd"]
        for user in users:
            user.start()
        for user in users:
            user.join()
        self.assertEqual(failures, [])

    @in_thread
    def test_collected(self) -> None:
        """A client that nobody has any more leaves the controller."""
        link = self.cluster.links[0]
        del self.mec
        gc.collect()
        self.in_reactor(lambda: None)
        self.assertEqual(link.closed, "its client is gone")

    @in_thread
    def test_furl(self) -> None:
        self.assertRaises(error.FURLError, client.MultiEngineClient, "/no/such/file")
        self.assertRaises(ValueError, client.MultiEngineClient, "/no/such/file")
        self.assertRaises(TypeError, client.MultiEngineClient, ("127.0.0.1", 10105))
        self.assertRaises(error.ConnectionError, FakeClient, self.cluster, FURL.replace("secret", "other"))

    @in_thread
    def test_interrupted_in_child(self) -> None:
        """After a fork, the child is told that it cannot use the client."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are threads
            pid = os.fork()
        if not pid:
            text = "nothing"
            try:
                self.mec.execute("a=5")
            except error.ClientError as problem:
                text = str(problem)
            finally:
                os.write(writing, text.encode())
                os._exit(0)
        os.waitpid(pid, 0)
        self.assertIn("forked", os.read(reading, 1000).decode())
        os.close(reading)
        os.close(writing)

    @in_thread
    def test_pending_in_child(self) -> None:
        """So is who waits there for a result that was not there yet."""
        pending = client.PendingResult(self.mec, "0" * 40, "execute")
        self.patch(reactor_thread, "_pid", 0)
        self.assertIn("forked", str(self.assertRaises(error.ClientError, pending.result)))

    def test_stopped_reactor(self) -> None:
        """When the reactor stops, who waits is told, and so is who comes later."""
        thread = ReactorThread()
        self.patch(thread, "_reactor", reactor)
        told: list[BaseException | None] = []
        thread._begin(_Waiting(lambda value, problem: told.append(problem)), _never, ())
        thread._stopped()
        [problem] = told
        self.assertIsInstance(problem, error.ClientError)
        self.assertRaises(error.ClientError, thread.start)


async def _never() -> None:
    await Deferred()


class TimeoutTests(BlockingTestCase):
    """Calls that may take so long and no longer."""

    @in_thread
    def test_deadline(self) -> None:
        """The call's own, or the client's, or the view's; blocking or not; and what waits goes on."""
        self.in_reactor(self.hold_back)
        told = "execute('a=5') was not done within 0.01 s; what runs of it on the engines goes on until interrupt() stops it"
        problem = self.assertRaises(error.CallTimeout, self.mec.execute, "a=5", timeout=0.01)
        self.assertEqual(str(problem), told)
        pending = self.mec.execute("a=5", block=False, timeout=0.01)
        self.assertEqual(str(self.assertRaises(error.CallTimeout, pending.get_result)), told)
        self.mec.timeout = 0.01
        self.assertRaises(error.CallTimeout, self.mec.scatter, "a", range(8))
        view = self.mec[0]
        self.assertRaises(error.CallTimeout, view.pull, "a")
        self.in_reactor(self.go_on)
        view.timeout = 1000.0
        self.assertEqual(view.pull("id"), 0)

    def hold_back(self) -> None:
        self.cluster.held_back = True

    def go_on(self) -> None:
        self.cluster.held_back = False
        self.cluster.go_on()

    @in_thread
    def test_no_time(self) -> None:
        """What is no time is refused before anything is sent."""
        sent = len(self.cluster.received)
        for timeout in (0, -1, True, "1", [1]):
            problem = self.assertRaises(ValueError, self.mec.execute, "a=5", timeout=timeout)
            self.assertIn("it must be a number of seconds above 0, or None", str(problem))
        self.assertEqual(len(self.cluster.received), sent)

    def test_signature(self) -> None:
        """It is seen in the signature, except where the arguments are a function's."""
        import inspect

        self.assertIn("timeout", inspect.signature(client.MultiEngineClient.push).parameters)
        self.assertNotIn("timeout", inspect.signature(client.MultiEngineClient.apply).parameters)
