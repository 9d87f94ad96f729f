"""Which way large values go, as seen between a verb and whoever carries it out."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.serialize import Serialized, join, serialize, split
from ipython1.kernel import ways
from ipython1.kernel.alive import boot_id, namespace
from ipython1.kernel.error import CallTimeout, CompositeError, ConnectionError, KernelError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Message
from ipython1.kernel.multiengine import MultiEngine
from ipython1.kernel.request import Answer, Finished, Request, Steps, advance
from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.memory import Memory, open_bodies
from ipython1.kernel.shared_memory.reference import Reference
from ipython1.kernel.ways import Ways

HERE = [socket.gethostname(), boot_id(), namespace()]
LARGE = b"large" * 1000


class FakeEngines:
    """Engines 0 and 2 are looked after by one agent of this host, 1 by one elsewhere, 3 by one here that sees nothing."""

    def __init__(self) -> None:
        self.hosts = [[*HERE, 7, 1.0, [0, 2]], ["elsewhere", *HERE[1:], 7, 1.0, [1]], [*HERE, 8, 1.0, [3]]]
        self.own = Memory.of_bodies([])
        self.values: dict[int, Any] = {}
        self.asked: list[tuple[str, Any]] = []
        self.meets: Callable[[int], Any] = lambda engine: None if engine == 3 else self.own.reference.to_plain()

    def carry_out(self, steps: Steps[Any]) -> Any:
        """What a client does with a verb."""
        sent: Any = None
        while True:
            try:
                requests = advance(steps, sent)
            except Finished as end:
                return end.value
            try:
                sent = [self.answer(request, request.message(("session", 1))) for request in requests]
            except KernelError as problem:
                sent = problem
            for request in requests:
                self.release(request)

    def release(self, request: Request) -> None:
        request.over()

    def answer(self, request: Request, message: Message) -> Answer:
        self.asked.append((request.verb, message.fields["targets"]))
        if request.verb == "engine_hosts":
            return Answer([], Message("reply", {"ok": True, "result": self.hosts}))
        targets = message.fields["targets"]
        return Answer([self.reply(message, engine) for engine in ([0, 1, 2, 3] if targets == "all" else targets)])

    def reply(self, message: Message, engine: int) -> Message:
        verb, fields = message.fields["verb"], message.fields
        if verb == "meet":
            return Message("reply", {"ok": True, "engine": engine, "result": self.meets(engine)})
        if verb == "push":
            if engine == 5:
                return Message("reply", {"ok": False, "engine": 5}, list(failure_bodies(ConnectionError("lost"))))
            memory = fields.get("memory")
            bodies: Any = message.bodies if memory is None else open_bodies(memory, message.bodies)
            [value] = split(fields["values"], bodies)
            self.values[engine] = (value.load(), memory)
            return Message("reply", {"ok": True, "engine": engine})
        headers, segments = join([serialize(self.values[engine][0])])
        return Message("reply", {"ok": True, "engine": engine, "values": headers}, list(segments))


class WaysTests(SynchronousTestCase):
    def setUp(self) -> None:
        try:
            system.check_supported()
        except system.Unavailable as problem:
            raise SkipTest(str(problem)) from None
        self.engines = FakeEngines()
        self.ways = Ways(True, 1000)

    def push(self, value: Any, targets: Any) -> Any:
        return self.engines.carry_out(self.ways.carried(MultiEngine().push({"a": value}, targets, True)))

    def pull(self, targets: Any) -> Any:
        return self.engines.carry_out(self.ways.carried(MultiEngine().pull("a", targets, True)))

    def said(self) -> list[tuple[str, tuple[int, ...], str]]:
        return [(each.way, each.engines, each.reason) for each in self.ways.transfers()]

    def test_divided(self) -> None:
        """The engines that see the memory get the value there, once; the others with the connection."""
        self.push(LARGE, [2, 1, 0, 3, 2])
        pushes = [asked for asked in self.engines.asked if asked[0] == "push"]
        self.assertEqual(pushes, [("push", [2, 0, 2]), ("push", [1, 3])])
        self.assertEqual({value for value, _ in self.engines.values.values()}, {LARGE})
        self.assertEqual(self.engines.values[0][1], self.engines.values[2][1])
        self.assertIsNone(self.engines.values[3][1])
        ways = {way: engines for way, engines, _ in self.said()}
        self.assertEqual(ways, {"memory": (2, 0, 2), "stream": (1, 3)})

    def test_order(self) -> None:
        """Answers are in the order of the targets, however they were divided."""
        self.push(LARGE, "all")
        for engine in range(4):
            self.engines.values[engine] = ((engine, LARGE), None)
        self.assertEqual([number for number, _ in self.pull([3, 0, 1, 0])], [3, 0, 1, 0])
        self.ways.hosts_changed()
        self.engines.hosts.append(["elsewhere", *HERE[1:], 9, 1.0, [5]])
        with self.assertRaises(CompositeError) as caught:
            self.push(LARGE, [0, 5, 1])
        self.assertEqual([type(part).__name__ for part in caught.exception.results or []], ["NoneType", "ConnectionError", "NoneType"])

    def test_no_such_engine(self) -> None:
        """Where one of the targets is not known, nothing is divided: it is the controller's to refuse all of it."""
        self.assertRaises(CompositeError, self.push, LARGE, [0, 5])
        self.assertEqual(self.engines.asked[-1], ("push", [0, 5]))
        self.assertIn("engine 5 is not known", self.said()[-1][2])

    def test_never_sent(self) -> None:
        """Memory of requests that never left is not counted."""

        def fail(request: Request, message: Message) -> Answer:
            raise ConnectionError("gone")

        self.push(LARGE, 0)
        self.patch(self.engines, "release", lambda request: None)
        answer = self.engines.answer
        self.patch(self.engines, "answer", fail)
        for _ in range(ways.MAX_WAITING + 1):
            self.assertRaises(ConnectionError, self.push, LARGE, 0)
        gc.collect()
        self.patch(self.engines, "answer", answer)
        self.push(LARGE, 0)
        self.assertEqual(self.said()[-1][0], "memory")

    def test_asked_once(self) -> None:
        """Where engines are is asked once, and when that has changed; agents are met once."""
        self.push(b"small", "all")
        self.assertEqual([verb for verb, _ in self.engines.asked], ["push"])
        self.engines.asked.clear()
        self.pull("all")
        self.pull("all")
        self.push(LARGE, 0)
        self.ways.hosts_changed()
        self.push(b"small", 0)
        self.push(LARGE, 0)
        verbs = [verb for verb, _ in self.engines.asked]
        self.assertEqual(verbs, ["engine_hosts", "meet", "meet", "pull", "pull", *["push"] * 2, "engine_hosts", "push"])

    def test_reasons(self) -> None:
        """Why it was not memory is said."""
        self.push(LARGE, 1)
        self.push(LARGE, 3)
        self.assertIn("another host", self.said()[0][2])
        self.assertIn("does not see", self.said()[1][2])
        self.pull(3)
        self.assertEqual(self.said()[2][:2], ("stream", (3,)))

    def test_agent_is_slow(self) -> None:
        """An agent that does not answer in time is asked again the next time."""
        meets = self.engines.meets

        def slow(engine: int) -> Any:
            raise CallTimeout("not done")

        self.engines.meets = slow
        self.push(LARGE, 0)
        self.engines.meets = meets
        self.push(LARGE, 0)
        self.patch(ways, "LOOK_AGAIN", -1.0)
        self.ways.hosts_changed()
        self.engines.meets = slow
        self.push(LARGE, 2)
        self.assertEqual([way for way, _, _ in self.said()], ["stream", "stream", "stream"])
        self.engines.meets = meets
        self.push(LARGE, 0)
        self.assertEqual(self.said()[-1][0], "memory")

    def test_agent_cannot_be_seen(self) -> None:
        """An agent that sees our memory, and whose memory we do not see, gets none."""
        wrong = {**self.engines.own.reference.to_plain(), "nonce": bytes(16)}
        self.engines.meets = lambda engine: wrong
        self.push(LARGE, 0)
        self.assertIn("not the one", self.said()[0][2])

    def test_no_memory(self) -> None:
        """Where the system gives none, and nothing is sent twice."""

        def refuse(*arguments: Any) -> int:
            raise OSError(12, os.strerror(12))

        self.pull_nothing()
        self.patch(os, "memfd_create", refuse)
        self.push(LARGE, [0, 1])
        self.assertEqual(self.engines.asked[-1], ("push", [0, 1]))
        self.assertEqual(self.said()[0][:2], ("stream", (0, 1)))
        self.assertIn("Cannot allocate memory", self.said()[0][2])

    def pull_nothing(self) -> None:
        self.engines.values[0] = (1, None)
        self.assertEqual(self.pull(0), [1])

    def test_many_that_wait(self) -> None:
        """Only so many values wait in memory; what is too much goes with the connection."""
        self.push(LARGE, 0)
        self.patch(self.engines, "release", lambda request: kept.append(request))
        kept: list[Request] = []
        for _ in range(ways.MAX_WAITING + 1):
            self.push(LARGE, 0)
        self.assertIn("wait for engines already", self.said()[-1][2])
        kept[3].over()
        self.push(LARGE, 0)
        self.assertEqual([way for way, _, _ in self.said()[-3:]], ["memory", "stream", "memory"])

    def test_turned_off(self) -> None:
        """Then nobody is asked anything."""
        self.ways = Ways(False, 1000)
        self.push(LARGE, "all")
        self.assertEqual(self.engines.asked, [("push", "all")])
        self.assertIn("turned off", self.said()[0][2])

    def test_other_system(self) -> None:
        """A system without such memory: nobody is asked anything either."""
        self.patch(system, "check_supported", self.refuse)
        self.ways = Ways(True, 1000)
        self.push(LARGE, "all")
        self.assertEqual(self.engines.asked, [("push", "all")])
        self.assertEqual(self.said()[0][2], "no such thing")

    def refuse(self) -> None:
        raise system.Unavailable("no such thing")

    def test_connection_fails(self) -> None:
        """What the connection raises reaches the verb."""
        self.engines.hosts = []

        def fail(request: Request, message: Message) -> Answer:
            raise ConnectionError("gone")

        self.patch(self.engines, "answer", fail)
        self.assertRaises(ConnectionError, self.push, LARGE, 0)

    def test_own_memory(self) -> None:
        """A value that is sent later is what it was, though its array has changed since."""
        array = bytearray(LARGE)
        steps = self.ways.carried(MultiEngine().push_serialized({"a": Serialized([b"p", array], borrowed=True)}, 0, False))
        sent: Any = None
        while (requests := advance(steps, sent))[0].verb != "push":
            sent = [self.engines.answer(request, request.message(("s", 1))) for request in requests]
        requests[0].own_memory()
        array[:] = bytes(len(array))
        message = requests[0].message(("s", 1))
        bodies = open_bodies(message.fields["memory"], message.bodies)
        self.assertEqual(bodies[1], LARGE)
        self.assertEqual(Reference.of(message.fields["memory"]).indices(), [1])
