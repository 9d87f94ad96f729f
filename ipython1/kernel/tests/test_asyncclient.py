"""The asynchronous client, against a cluster that is not there."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import error
from ipython1.kernel.asyncclient import AsyncMultiEngineClient
from ipython1.kernel.client_session import Connection
from ipython1.kernel.mapping import Scatter
from ipython1.kernel.tests.fake_cluster import FURL, FakeCluster


class AsyncTestCase(SynchronousTestCase):
    engines = 4

    def setUp(self) -> None:
        self.clock = Clock()
        self.cluster = FakeCluster(self.clock, self.engines)
        self.connection = Connection(FURL, self.clock, self.cluster.dial)
        self.mec = AsyncMultiEngineClient(self.connection)

    def result(self, deferred: Deferred[Any]) -> Any:
        self.turn()
        return self.successResultOf(deferred)

    def failure(self, deferred: Deferred[Any], kind: type[Exception]) -> Any:
        self.turn()
        return self.failureResultOf(deferred, kind).value

    def turn(self) -> None:
        self.clock.pump([0.01] * 5)


class VerbTests(AsyncTestCase):
    def test_execute(self) -> None:
        """Results come in target order, whatever the order of the replies."""
        results = self.result(self.mec.execute("print(id)"))
        self.assertEqual([r["stdout"] for r in results], ["0\n", "1\n", "2\n", "3\n"])
        self.assertEqual([r["id"] for r in self.result(self.mec.execute("a=1", targets=[2, 0]))], [2, 0])

    def test_repeated_target(self) -> None:
        """An engine that is named twice runs the command twice."""
        self.result(self.mec.execute("n = globals().get('n', 0) + 1", targets=[1, 1]))
        self.assertEqual(self.result(self.mec.pull("n", targets=1)), [2])

    def test_push_and_pull(self) -> None:
        """One name gives a value per engine, several give a list per engine, none an empty list."""
        self.assertEqual(self.result(self.mec.push({"a": 1.5, "b": 3})), [None] * 4)
        self.assertEqual(self.result(self.mec.pull("a")), [1.5] * 4)
        self.assertEqual(self.result(self.mec.pull(("a",))), [1.5] * 4)
        self.assertEqual(self.result(self.mec.pull(["a", "b"])), [[1.5, 3]] * 4)
        self.assertEqual(self.result(self.mec.pull([], targets=0)), [[]])

    def test_zip_pull(self) -> None:
        """Values are ordered by name; those of a single target are bare."""
        self.result(self.mec.push({"apple": 1, "b": 2}))
        self.assertEqual(self.result(self.mec.zip_pull(("apple", "b"))), [(1,) * 4, (2,) * 4])
        self.assertEqual(self.result(self.mec.zip_pull("apple")), [1] * 4)
        self.assertEqual(self.result(self.mec.zip_pull("apple", targets=2)), 1)
        self.assertEqual(self.result(self.mec.zip_pull(("apple", "b"), targets=[2])), [1, 2])

    def test_no_targets(self) -> None:
        """An empty list of targets is no error."""
        self.assertEqual(self.result(self.mec.execute("a=1", targets=[])), [])
        self.assertEqual(self.result(self.mec.scatter("a", [1, 2], targets=[])), [])

    def test_composite_error(self) -> None:
        """All targets are waited for; the error has the failures, and one result per target."""
        problem = self.failure(self.mec.execute("assert id % 2, id"), error.CompositeError)
        self.assertEqual(
            str(problem),
            "one or more exceptions from call to method: execute\n"
            "[0:execute]: AssertionError: 0\n"
            "[2:execute]: AssertionError: 2",
        )
        self.assertEqual([r["id"] for r in problem.results[1::2]], [1, 3])
        self.assertIsInstance(problem.results[2], AssertionError)
        self.assertRaises(AssertionError, problem.raise_exception, 1)

    def test_bad_targets(self) -> None:
        """Targets that do not exist are an error of the call as such; what are no targets, a ValueError."""
        for targets in (7, [0, 7], -1, "some", [0, "a"]):
            self.failure(self.mec.execute("a=1", targets=targets), error.InvalidEngineID)
        for targets in (1.5, {0}, {}):
            self.failure(self.mec.execute("a=1", targets=targets), ValueError)
        self.failure(self.mec.execute("a=1", block="yes"), ValueError)

    def test_scatter_and_gather(self) -> None:
        """The parts are consecutive, the first ones longer; gather joins them."""
        self.assertEqual(self.result(self.mec.scatter("a", range(10), targets=[0, 1, 2])), [None] * 3)
        self.assertEqual(
            self.result(self.mec.pull("a", targets=[0, 1, 2])), [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
        )
        self.assertEqual(self.result(self.mec.gather("a", targets=[0, 1, 2])), list(range(10)))
        self.result(self.mec.scatter("s", "abcd", flatten=True))
        self.assertEqual(self.result(self.mec.gather("s")), ["a", "b", "c", "d"])
        self.failure(self.mec.scatter("a", [1], dist="c"), KeyError)

    def test_gather_missing(self) -> None:
        """A missing name is titled by gather, and said of each engine's pull."""
        problem = self.failure(self.mec.gather("q", targets=1), error.CompositeError)
        self.assertIn("call to method: gather\n[1:pull]: NameError", str(problem))

    def test_push_scatter(self) -> None:
        """A Scatter among the values of a push is divided, and the others are not."""
        self.result(self.mec.push({"a": Scatter(range(4), flatten=True), "b": [1]}))
        self.assertEqual(self.result(self.mec.pull(("a", "b"))), [[0, [1]], [1, [1]], [2, [1]], [3, [1]]])

    def test_map(self) -> None:
        """Any callable and any iterables, with more, fewer and no items than engines."""
        self.assertEqual(
            self.result(self.mec.map(divmod, range(9), [2] * 9)), [divmod(i, 2) for i in range(9)]
        )
        self.assertEqual(self.result(self.mec.map(str.upper, iter("ab"))), ["A", "B"])
        self.assertEqual(self.result(self.mec.map(len, [])), [])
        self.result(self.mec.execute("def f(x): return x + id"))
        self.assertEqual(self.result(self.mec.map("f", [0] * 4)), [0, 1, 2, 3])
        self.assertEqual(self.result(self.mec.map("lambda x: x**2", {3: 0}, targets=[3])), [9])
        self.assertEqual(self.cluster.received[-1].fields["targets"], [3])
        self.failure(self.mec.map(divmod, [1], [1, 2]), ValueError)
        self.failure(self.mec.map(3, [1]), TypeError)
        self.failure(self.mec.map(len), TypeError)

    def test_map_failure(self) -> None:
        """One failing item fails the map."""
        problem = self.failure(self.mec.map(lambda x: 1 // x, [1, 0]), error.CompositeError)
        self.assertIn("[1:map]: ZeroDivisionError", str(problem))

    def test_unpicklable(self) -> None:
        """A value that cannot be pickled is a local error, which names it; nothing is sent."""
        problem = self.failure(self.mec.push({"good": 1, "lock": (i for i in ())}), TypeError)
        self.assertIn("lock", str(problem))
        self.assertEqual(self.cluster.received, [])

    def test_namespaces(self) -> None:
        self.assertEqual(self.result(self.mec.keys(targets=0)), [["id"]])
        self.assertEqual(
            self.result(self.mec.queue_status(targets=1)), [(1, {"queue": [], "pending": "None"})]
        )
        self.assertEqual(self.result(self.mec.reset()), [None] * 4)
        # The controller clears the queues itself, and tells those who waited there that it was for the reset.
        self.assertEqual((self.cluster.verbs[-1], "clear_queue" in self.cluster.verbs), ("reset", False))
        self.assertIsNone(self.result(self.mec.kill(controller=True)))
        self.failure(self.mec.set_properties({"a": object()}), error.InvalidProperty)

    def test_serialized(self) -> None:
        """Serialized values pass as they are."""
        self.result(self.mec.push({"a": [1, 2]}))
        (value,) = self.result(self.mec.pull_serialized("a", targets=0))
        self.result(self.mec.push_serialized({"b": value}))
        self.assertEqual(self.result(self.mec.pull("b", targets=3)), [[1, 2]])

    def test_labels(self) -> None:
        """Each command says in short what it is."""
        self.result(self.mec.push({"x": 1}))
        self.result(self.mec.execute("a" + "=5" * 100 + "\n", targets=[]))
        labels = [message.fields["label"] for message in self.cluster.received]
        self.assertEqual(labels[0], "push({'x': 1})")
        self.assertTrue(labels[1].startswith("execute('a=5=5"))
        self.assertLess(len(labels[1]), 100)


class NoEngines(AsyncTestCase):
    engines = 0

    def test_all(self) -> None:
        for call in (self.mec.execute("a"), self.mec.scatter("a", [1]), self.mec.map(len, ["a"])):
            self.failure(call, error.NoEnginesRegistered)
        self.assertEqual(self.result(self.mec.get_ids()), [])


class TwoPhaseTests(AsyncTestCase):
    def test_held_by_controller(self) -> None:
        """A call of one command leaves its outcome with the controller, where it can be fetched once."""
        result_id = self.result(self.mec.execute("print(id)", block=False, targets=2))
        self.assertEqual(len(result_id), 40)
        self.assertIn(result_id, self.cluster.pending)
        results = self.result(self.mec.get_pending_deferred(result_id))
        self.assertIn("[2] Out[1]: 2", repr(results))
        self.failure(self.mec.get_pending_deferred(result_id), error.InvalidDeferredID)

    def test_not_completed(self) -> None:
        """Asking too early without blocking is an error, and takes nothing away."""
        self.cluster.held_back = True
        result_id = self.result(self.mec.execute("print(id)", block=False))
        local_id = self.result(self.mec.scatter("a", range(4), block=False))
        for each in (result_id, local_id):
            self.failure(self.mec.get_pending_deferred(each, block=False), error.ResultNotCompleted)
        self.cluster.go_on()
        self.turn()
        self.assertEqual(len(self.result(self.mec.get_pending_deferred(result_id, block=False))), 4)
        self.assertEqual(self.result(self.mec.get_pending_deferred(local_id, block=False)), [None] * 4)

    def test_another_client(self) -> None:
        """Whoever knows the id may fetch the result, which comes in the same form."""
        other = AsyncMultiEngineClient(Connection(FURL, self.clock, self.cluster.dial))
        self.result(self.mec.push({"a": 1, "b": 2}))
        for call, expected in (
            (self.mec.pull("a", block=False), [1] * 4),
            (self.mec.pull(("a", "b"), targets=0, block=False), [[1, 2]]),
            (self.mec.push({"c": 1}, targets=[0, 1], block=False), [None, None]),
        ):
            result_id = self.result(call)
            self.assertEqual(self.result(other.get_pending_deferred(result_id)), expected)

    def test_clear(self) -> None:
        ids = [
            self.result(self.mec.execute("a=1", block=False)),
            self.result(self.mec.map(len, ["a"], block=False)),
        ]
        self.result(self.mec.clear_pending_deferreds())
        for each in ids:
            self.failure(self.mec.get_pending_deferred(each), error.InvalidDeferredID)


class ConnectionTests(AsyncTestCase):
    def test_lost(self) -> None:
        """Calls that wait fail at once, and say whether the controller had them; the next call connects again."""
        self.cluster.held_back = True
        first, second = self.mec.execute("a=1"), self.mec.execute("b=1")
        self.turn()
        self.cluster.links[0].delivered = 1
        self.cluster.links[0].lose("the connection was lost")
        self.assertIn("had reached", str(self.failure(first, error.ConnectionError)))
        self.assertIn("not known to have reached", str(self.failure(second, error.ConnectionError)))
        self.assertEqual(self.result(self.mec.get_ids()), [0, 1, 2, 3])
        self.assertEqual(len(self.cluster.links), 2)

    def test_away(self) -> None:
        """While there is no connection calls wait, and who asks is told for what; then they end as ever."""
        self.cluster.held_back = True
        before = self.mec.execute("a=1")
        self.turn()
        receiver = self.cluster.links[0].receiver
        receiver.link_away("the connection was lost")
        during = self.mec.execute("b=1")
        self.turn()
        self.assertNoResult(before)
        self.assertEqual(
            self.mec._connection.waits_for, ": the connection was lost, and the controller is dialed again"
        )
        receiver.link_back()
        self.assertEqual(self.mec._connection.waits_for, "")
        self.cluster.go_on()
        for call in (before, during):
            self.assertEqual(len(self.result(call)), 4)
        self.assertEqual(len(self.cluster.links), 1)

    def test_disconnect(self) -> None:
        self.result(self.mec.get_ids())
        self.mec.disconnect()
        self.assertTrue(self.cluster.links[0].closed)
        self.assertEqual(self.result(self.mec.get_ids()), [0, 1, 2, 3])

    def test_connecting_keeps_order(self) -> None:
        """Calls that are made before there is a connection are sent in their order, over one."""
        for source in "123":
            self.mec.execute(source)
        self.turn()
        self.assertEqual([bytes(m.bodies[0]) for m in self.cluster.received], [b"1", b"2", b"3"])
        self.assertEqual(len(self.cluster.links), 1)

    def test_bad_furl(self) -> None:
        for furl, kind in (("/no/such/file", error.FURLError), (("127.0.0.1", 1), TypeError)):
            mec = AsyncMultiEngineClient(Connection(furl, self.clock, self.cluster.dial))  # type: ignore[arg-type]
            self.failure(mec.get_ids(), kind)
