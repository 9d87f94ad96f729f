"""Clients of interfaces that users wrote: their methods, and the example's interface on a real cluster."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from ipython1.kernel.asyncclient import get_interface_client
from ipython1.kernel.controller.interface import Value
from ipython1.kernel.declared import Declaration, declaration, from_plain
from ipython1.kernel.dial import hang_up_all
from ipython1.kernel.error import CallTimeout, ProtocolError
from ipython1.kernel.interface_verbs import InterfaceVerbs
from ipython1.kernel.request import advance
from ipython1.kernel.tests.program import RealCluster, asynchronous
from ipython1.kernel.tests.test_examples import EXAMPLES
from ipython1.kernel.verbs import verbs_of


def put(self: Any, name: str, thing: Value | None, how: int | str = "first", to: list = []) -> None:  # noqa: B006
    """Put a thing somewhere."""


class MethodTests(SynchronousTestCase):
    """Methods made of declarations."""

    def setUp(self) -> None:
        declared = from_plain(declaration(put, Value).plain())
        self.verbs = InterfaceVerbs("shelf", {"put": declared})

    def test_looks(self) -> None:
        """They look like the verbs."""
        method = self.verbs.method("put", lambda *call: call)
        self.assertEqual(
            str(inspect.signature(method)), "(name: str, thing: Any, how: int | str = 'first', to: list = [])"
        )
        self.assertEqual((method.__name__, method.__doc__), ("put", "Put a thing somewhere."))
        self.assertEqual(method("a", thing=5), ("put", ("a",), {"thing": 5}))
        error = self.assertRaises(AttributeError, self.verbs.method, "get", None)
        self.assertEqual(str(error), "the interface shelf has no verb 'get'; its verbs: put")

    def request(self, *args: Any, **kwargs: Any) -> Any:
        (request,) = advance(self.verbs.call("put", args, kwargs, None).steps, None)
        return request

    def test_request(self) -> None:
        """What is given is sent, values beside the rest, and nothing else."""
        request = self.request("a", lambda: 5, to=(1, 2))
        self.assertEqual(request.args, {"name": "a", "thing": 0, "to": [1, 2]})
        self.assertEqual([value.load()() for value in request.values], [5])
        request = self.request("a", None)
        self.assertEqual((request.args, list(request.values)), ({"name": "a", "thing": None}, []))

    def test_wrong(self) -> None:
        """Arguments that do not fit are a TypeError."""
        for args, kwargs, said in (
            ((), {}, "put() of the interface shelf: missing a required argument: 'name'"),
            (("a", 1), {"more": 2}, "got an unexpected keyword argument 'more'"),
            ((5, 1), {}, "argument name of put is int, not str"),
            (("a", 1), {"how": 1.5}, "argument how of put is float, not int or str"),
        ):
            self.assertIn(said, str(self.assertRaises(TypeError, self.request, *args, **kwargs)))

    def test_garbage(self) -> None:
        """A controller that declares something else is told so."""
        for plain in (None, [], ["put", "", [["a", ["complex"], True, ""]]], ["put", "", [["a"]]]):
            self.assertRaises(ProtocolError, from_plain, plain)
        self.assertEqual(from_plain(["spin", "", []]), Declaration("spin", "", ()))
        self.assertNotIn("put", verbs_of("multiengine"))


class ClusterTests(TestCase):
    """The asynchronous client of the example's interface."""

    timeout = 180

    def setUp(self) -> None:
        if not EXAMPLES.exists():
            raise SkipTest("the examples are not installed with the package; they are in the source tree")

    async def start(self) -> Any:
        cluster = RealCluster(self, 1, ["--interface-class", "counters.Counters"], EXAMPLES)
        await cluster.ready()
        self.furl = cluster.ipython_dir / "security" / "ipcontroller-counters.furl"
        return await self.connect()

    async def connect(self) -> Any:
        counters = await get_interface_client("counters", self.furl)
        self.addCleanup(lambda: Deferred.fromCoroutine(hang_up_all()))
        return counters

    @asynchronous
    async def test_calls(self) -> None:
        """Its verbs give Deferreds, which fire when the verb has an answer or fails."""
        one = await self.start()
        other = await self.connect()
        waiting: Deferred[int] = one.reach("a", 3)
        self.assertEqual(await other.add("a"), 1)
        self.assertFalse(waiting.called)
        self.assertEqual(await other.call("add", "a", amount=2), 3)
        self.assertEqual(await waiting, 3)
        self.assertEqual(await one.add_up("a", "2 * 2"), 7)
        await self.assertFailure(one.add_up("a", "1/0"), ZeroDivisionError)
        await self.assertFailure(one.add(5), TypeError)
        self.assertEqual(await one.counts(), {"engines that came": 1, "a": 7})
        self.assertTrue({"add", "reach", "call"} <= set(dir(one)))

    @asynchronous
    async def test_waiting_ends(self) -> None:
        """Nobody waits for longer than he wants, and who has gone is not waited for."""
        one = await self.start()
        one.timeout = 0.05
        await self.assertFailure(one.reach("a", 1), CallTimeout)
        one.disconnect()
        other = await self.connect()
        self.assertEqual(await other.add("a"), 1)
