"""Interfaces that users write: what they declare, what their clients get, what they may do with the engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.serialize import join, serialize, split
from ipython1.kernel.controller.config import ControllerConfig
from ipython1.kernel.controller.interface import Interface, Value, verb
from ipython1.kernel.controller.named import NamedInterface
from ipython1.kernel.controller.service import ControllerService, interfaces
from ipython1.kernel.controller.tests.cluster import Cluster, FakeAgent, FakeClient
from ipython1.kernel.error import ControllerCreationError
from ipython1.kernel.framing import Message, pack
from ipython1.kernel.places import Places


class Unruly(Exception):
    """An exception that can be neither shown nor pickled."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __reduce__(self) -> Any:
        raise TypeError("no pickle")


class Shelf(Interface):
    """Keeps things for its clients, and has engines do this and that."""

    role = "shelf"

    def start(self) -> None:
        self.things: dict[str, Any] = {}
        self.seen: list[tuple[str, int]] = []
        self.cancelled = 0

    @verb
    def put(self, name: str, thing: Value | None = None) -> int:
        """Keep a thing."""
        self.things[name] = thing
        return len(self.things)

    @verb
    def get(self, name: str) -> Value:
        return self.things[name]

    @verb
    def add(self, amount: float, times: int = 2, more: list[int] | None = None) -> float:
        return amount * times + sum(more or [])

    @verb
    def fail(self, how: str) -> None:
        raise {"exit": SystemExit(3), "unruly": Unruly(), "key": KeyError("none")}[how]

    @verb
    def odd(self) -> Any:
        return object()

    @verb
    async def wait(self) -> None:
        self.waiting: Deferred[str] = Deferred()
        try:
            return await self.waiting
        except CancelledError:
            self.cancelled += 1
            raise

    @verb
    async def run(self, source: str, targets: Any = "all") -> list:
        return await self.engines.execute(source, targets)

    @verb
    async def lay_out(self, name: str) -> list:
        await self.engines.push({name: self.things[name]})
        (value, *_) = await self.engines.pull(name)
        self.things[name] = value
        return self.engines.ids()

    def engine_joined(self, engine: int) -> None:
        self.seen.append(("joined", engine))

    def engine_left(self, engine: int) -> None:
        self.seen.append(("left", engine))
        raise RuntimeError("nobody is harmed")

    def helper(self) -> None:
        """No verb."""


class ShelfCase(SynchronousTestCase):
    """One agent with two engines, and one client of the interface."""

    def setUp(self) -> None:
        self.cluster = Cluster(Shelf)
        self.agent = FakeAgent(self.cluster, 2)
        self.client = FakeClient(self.cluster, "shelf")
        self.cluster.settle()
        interface = self.cluster.service.interfaces["shelf"]
        assert isinstance(interface, Shelf)
        self.shelf = interface

    def call(self, verb: str, values: list[Any] | None = None, **args: Any) -> Any:
        """What comes of a call; None if nothing has come."""
        headers, bodies = (None, ()) if values is None else join(values)
        number = self.client.call(verb, args, None, bodies, values=headers)
        self.cluster.settle()
        outcomes = self.client.outcomes(number)
        return outcomes[0] if outcomes else None


class VerbTests(ShelfCase):
    """Calls of verbs."""

    def test_plain(self) -> None:
        """Plain data come and go; what may be left out may be."""
        self.assertEqual(self.call("add", amount=2), 4)
        self.assertEqual(self.call("add", amount=2.5, times=3, more=[1, 2]), 10.5)

    def test_refused(self) -> None:
        """What does not fit the hints is refused in words, and the session goes on."""
        for verb_, args, said in (
            ("add", {}, "argument amount of add is NoneType, not int or float"),
            ("add", {"amount": "2"}, "argument amount of add is str"),
            ("add", {"amount": 2, "times": None}, "argument times of add is NoneType, not int"),
            ("add", {"amount": 2, "times": True}, "argument times of add is bool"),
            ("add", {"amount": 2, "what": 1}, "add has no argument 'what'"),
            ("helper", {}, "unknown verb 'helper'"),
            ("start", {}, "unknown verb 'start'"),
            ("execute", {}, "unknown verb 'execute'"),
        ):
            self.assertIsNone(self.call(verb_, **args))
            self.assertIn(said, self.client.refused.pop().fields["error"])
        self.assertEqual(self.call("add", amount=2), 4)

    def test_values(self) -> None:
        """Values are kept as they are, small and large, and given to whoever asks."""
        for thing in ("small", b"large" * 50_000, None):
            values = [] if thing is None else [serialize(thing)]
            place = None if thing is None else 0
            self.assertEqual(self.call("put", values, name="a", thing=place), 1)
            if thing is not None:
                number = self.client.call("get", {"name": "a"}, None)
                self.cluster.settle()
                (reply,) = self.client.replies[number]
                (value,) = split(reply.fields["values"], reply.bodies)
                self.assertEqual(value.load(), thing)

    def test_missing_value(self) -> None:
        """A value that did not come is an error."""
        for place in (1, -1):
            outcome = self.call("put", [serialize(1)], name="a", thing=place)
            self.assertIn("ProtocolError: put came without the value of its argument thing", outcome)

    def test_exceptions(self) -> None:
        """Whatever the code raises is an error to its caller alone."""
        self.assertEqual(self.call("fail", how="key"), "KeyError: 'none'")
        self.assertEqual(self.call("fail", how="unruly"), "Unruly: <its text cannot be shown: ValueError>")
        self.assertEqual(
            self.call("fail", how="exit"), "KernelError: fail of the interface shelf raised SystemExit: 3"
        )
        self.assertIn("TypeError: what odd returned cannot be sent", self.call("odd"))
        self.assertEqual(self.call("add", amount=2), 4)
        self.flushLoggedErrors()

    def test_description(self) -> None:
        """Clients can ask for the verbs."""
        declared = {name: (doc, arguments) for name, doc, arguments in self.call("describe")}
        self.assertEqual(
            declared["put"],
            ("Keep a thing.", [["name", ["str"], True, ""], ["thing", ["value", "None"], False, "None"]]),
        )
        self.assertNotIn("helper", declared)

    def test_waiting(self) -> None:
        """A verb may wait; who calls meanwhile is answered first."""
        number = self.client.call("wait", {}, None)
        self.assertEqual(self.call("add", amount=2), 4)
        self.assertEqual(self.client.outcomes(number), [])
        self.shelf.waiting.callback("done")
        self.cluster.settle()
        self.assertEqual(self.client.outcomes(number), ["done"])

    def test_client_leaves(self) -> None:
        """What a client waits for is cancelled when it goes."""
        self.client.call("wait", {}, None)
        self.cluster.settle()
        self.client.leave()
        self.cluster.settle()
        self.assertEqual(self.shelf.cancelled, 1)


class EngineTests(ShelfCase):
    """What interfaces do with engines."""

    def test_come_and_go(self) -> None:
        """It hears of engines; what it raises then is logged, and harms nobody."""
        self.agent.kill(1)
        self.cluster.settle()
        self.assertEqual(self.shelf.seen, [("joined", 0), ("joined", 1), ("left", 1)])
        self.assertEqual(self.shelf.engines.ids(), [0])
        self.assertEqual(self.shelf.engines.properties(0), {})

    def reply(self, engine: int, *bodies: Any, ok: bool = True, **fields: Any) -> None:
        """End what runs on an engine."""
        queue = self.agent.queues[engine]
        command = queue.running
        assert command is not None
        self.agent.say("reply", engine, list(bodies), id=list(command.id), ok=ok, **fields)
        self.agent.carry_out(engine, queue.finished(ok))
        self.cluster.settle()

    def test_execute(self) -> None:
        """Commands go to the engines, and their results to its code."""
        number = self.client.call("run", {"source": "6*7"}, None)
        self.cluster.settle()
        self.assertEqual(self.agent.running(1), "shelf: execute('6*7')")
        for engine in (1, 0):
            self.reply(engine, pack({"number": engine}), b"out", b"")
        first, second = self.client.outcomes(number)[0]
        self.assertEqual((first["id"], first["number"], first["stdout"]), (0, 0, "out"))
        self.assertEqual((second["id"], second["number"]), (1, 1))

    def test_failure(self) -> None:
        """An engine's error goes to the caller as the engine sent it; other commands are not dropped for it."""
        number = self.client.call("run", {"source": "1/0", "targets": 1}, None)
        later = self.client.call("run", {"source": "6*7", "targets": 1}, None)
        self.cluster.settle()
        self.agent.finish(1, ok=False)
        self.cluster.settle()
        (reply,) = self.client.replies[number]
        self.assertEqual(reply.fields["engine"], 1)
        self.assertEqual(self.client.outcomes(number), ["EngineLost: failed as told"])
        self.reply(1, pack({"number": 2}), b"", b"")
        self.assertEqual(self.client.outcomes(later)[0][0]["number"], 2)
        self.assertEqual(self.cluster.service.engines[1].queue.remembers, 0)

    def test_bad_targets(self) -> None:
        """Engines that are not there are an error, and so are none at all."""
        self.assertIn("InvalidEngineID: Engine with id 7", self.call("run", source="1", targets=7))
        self.assertEqual(self.call("run", source="1", targets=[]), [])

    def test_values(self) -> None:
        """Values go to engines and come from there."""
        large = serialize(b"large" * 50_000)
        self.call("put", [large], name="a", thing=0)
        number = self.client.call("lay_out", {"name": "a"}, None)
        self.cluster.settle()
        for engine in (0, 1):
            self.assertEqual(self.agent.running(engine), "shelf: push(['a'])")
            self.reply(engine, values=[])
        headers, bodies = join([serialize(["pulled"])])
        for engine in (0, 1):
            self.reply(engine, *bodies, values=headers)
        self.assertEqual(self.client.outcomes(number), [[0, 1]])
        self.assertEqual(split([self.shelf.things["a"].header], self.shelf.things["a"].bodies)[0].load(), ["pulled"])
        pushed: Message = self.agent.got[-2 if self.agent.got[-1].fields["verb"] == "push" else -4]
        self.assertEqual(split(pushed.fields["values"], pushed.bodies)[0].load(), large.load())

    def test_engine_lost(self) -> None:
        """A command whose engine is lost ends with that."""
        number = self.client.call("run", {"source": "6*7", "targets": [0, 1]}, None)
        self.cluster.settle()
        self.agent.leave()
        self.cluster.settle()
        self.assertIn("EngineLost: engine 0 was lost while it ran shelf: execute('6*7')", self.client.outcomes(number)[0])


def made(*classes: Any) -> ControllerService:
    return ControllerService(Clock(), lambda: None, [*interfaces(ControllerConfig(Places(Path("/nowhere")))), *classes])


def declaring(**members: Any) -> type[Interface]:
    """An interface with these members."""
    return type("Bad", (Interface,), {"role": "bad", **members})


class Failing(Interface):
    role = "failing"

    def start(self) -> None:
        raise OSError("no disk")


class DeclarationTests(SynchronousTestCase):
    """What is no interface is found at the start."""

    def error(self, *classes: Any) -> str:
        return str(self.assertRaises(ControllerCreationError, made, *classes))

    def test_arguments(self) -> None:
        """Arguments that cannot be sent are named."""

        @verb
        def no_hint(self, a): ...

        @verb
        def star(self, *a: int): ...

        @verb
        def keyword(self, *, a: int): ...

        @verb
        def object_(self, a: object): ...

        @verb
        def mixed(self, a: int | Value): ...

        for method in (no_hint, star, keyword, object_, mixed):
            said = self.error(declaring(**{method.__name__: method}))
            self.assertIn(f"Bad cannot be an interface: argument a of {method.__name__}", said)

    def test_unknown_hint(self) -> None:
        """So are hints that mean nothing."""

        @verb
        def unknown(self, a): ...

        unknown.__annotations__ = {"a": "Nowhere"}
        self.assertIn("hints of unknown name what is not there", self.error(declaring(unknown=unknown)))

    def test_names(self) -> None:
        """Verbs have names that nothing else has."""
        for name in ("command", "describe", "_private", "start"):
            method = verb(lambda self: None)
            self.assertIn(f"Bad cannot have a verb {name}", self.error(declaring(**{name: method})))

    def test_roles(self) -> None:
        """A role names a file, which no other role has."""
        for role in ("", "../a", "A", "a" * 33, None):
            self.assertIn("the interface Bad has no role", self.error(declaring(role=role)))
        for role, other in (
            ("engine", "engine"),
            ("mec", "multiengine"),
            ("task", "task"),
            ("tc", "task"),
        ):
            said = self.error(declaring(role=role))
            self.assertIn(f"has the role {role!r}", said)
            self.assertIn(f"that of the role {other!r}: give it another one", said)
        self.assertIn("that of the role 'bad'", self.error(declaring(), declaring()))

    def test_by_name(self) -> None:
        """An interface is found by its dotted name, ours too; what is none says what it must be."""
        service = made(NamedInterface(f"{__name__}.Shelf"))
        self.assertEqual(set(service.doors), {"engine", "multiengine", "task", "shelf"})
        ours = "ipython1.kernel.controller.multiengine.MultiEngine"
        self.assertEqual(set(ControllerService(Clock(), lambda: None, [NamedInterface(ours)]).interfaces), {"multiengine"})
        for name, said in (
            ("nowhere.Shelf", "there is no interface 'nowhere.Shelf' (ModuleNotFoundError: No module named 'nowhere')"),
            (f"{__name__}.Nothing", "has no attribute 'Nothing'"),
            ("", "there is no interface ''"),
            ("os.path.join", "os.path.join is no interface: it must be a subclass of"),
            (f"{__name__}.Unruly", "is no interface"),
        ):
            self.assertIn(said, str(self.assertRaises(ControllerCreationError, NamedInterface, name)))
        said = self.error(NamedInterface(f"{__name__}.Failing"))
        self.assertIn("Failing cannot be started (OSError: no disk)", said)
