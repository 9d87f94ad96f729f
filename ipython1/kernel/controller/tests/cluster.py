"""A controller with agents and clients that are joined to it in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.task import Clock

from ipython1.kernel import messages
from ipython1.kernel.controller.multiengine import MultiEngine
from ipython1.kernel.controller.service import INTERFACES, ControllerService, InterfaceFactory
from ipython1.kernel.engine.queue import Command, CommandQueue, Feed, Instruction, Refuse
from ipython1.kernel.error import EngineLost, IPythonError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message, unpack
from ipython1.kernel.hello import hello, new_id
from ipython1.kernel.link import SessionLink
from ipython1.kernel.tests.memory import MemoryCarrier

TICK = 2.0**-10
"""Seconds that anything takes at the least."""


class SlowClock(Clock):
    """A clock on which what is to be done at once is done a little later, so that a test can look between."""

    def callLater(self, when: float, *what: Any, **more: Any) -> Any:
        return super().callLater(max(when, TICK), *what, **more)


class Peer:
    """The far end of a session with the controller."""

    allowed: Mapping[str, Any]
    controller_allows: Mapping[str, Any]
    role: str

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.session = self.new_session()
        self.lost: str | None = None
        said = hello(self.role, self.session)
        self.link = SessionLink(cluster.clock, said, "incarnation", self.allowed)
        self.far = SessionLink(cluster.clock, said, "incarnation", self.controller_allows)
        receiver = cluster.service.doors[self.role].open_session(said, self.far)
        for link, other, takes in ((self.link, self.far, self), (self.far, self.link, receiver)):
            carrier = MemoryCarrier(cluster.clock)
            carrier.own, carrier.other = link, other
            link.attach(carrier, takes)

    def new_session(self) -> str:
        """The id of the session."""
        return new_id()

    def leave(self) -> None:
        """End the session."""
        self.link.close("left")

    def link_lost(self, reason: str) -> None:
        self.lost = reason


class FakeAgent(Peer):
    """An agent whose commands end when the test says so: by `finish`."""

    role = "engine"
    allowed = messages.TO_AGENT
    controller_allows = messages.FROM_AGENT

    def __init__(self, cluster: Cluster, engines: int = 1) -> None:
        super().__init__(cluster)
        self.queues: dict[int, CommandQueue] = {}
        self.refused: list[str] = []
        self.got: list[Message] = []
        self.begun: list[list[Any]] = []
        """The ids of commands that have begun, where that is said with their outcomes."""
        self.says_when_ended = False
        for place in range(engines):
            fields = {"place": place, "generation": 1, "pid": 100 + place, "properties": {}}
            self.link.send(Message("register", fields))

    def message_received(self, message: Message) -> None:
        fields = message.fields
        if message.kind == "registered":
            if fields.get("error"):
                self.refused.append(fields["error"])
            else:
                queue = self.queues[fields["engine"]] = CommandQueue(f"engine {fields['engine']}")
                queue.opened(1)
        elif message.kind == "cancel":
            ids = [(session, number) for session, number in fields["ids"]]
            self.carry_out(fields["engine"], self.queues[fields["engine"]].cancelled(ids))
        elif message.kind == "look":
            self.link.send(Message("ended", {"processes": []}))
        elif fields["verb"] in ("interrupt", "get_result", "signal", "restart"):
            self.say("reply", fields["engine"], id=fields["id"], ok=True)
        elif fields["verb"] == "kill":
            if fields["engine"] in self.queues:
                self.kill(fields["engine"])
            self.say("reply", fields["engine"], id=fields["id"], ok=True)
        else:
            self.take(message)

    def take(self, message: Message) -> None:
        fields = message.fields
        session, number = fields["id"]
        command = Command(
            (session, number),
            fields["verb"],
            fields["label"],
            fields["generation"],
            fields["failures"],
            fields["index"],
            fields.get("among"),
            complete=False,
        )
        queue = self.queues[fields["engine"]]
        self.carry_out(fields["engine"], queue.submitted(command))

        def collected(whole: Message) -> None:
            self.got.append(whole)
            self.carry_out(fields["engine"], queue.completed(command, whole.bodies))  # type: ignore[arg-type]

        def broken(failure: Any) -> None:
            self.carry_out(fields["engine"], queue.broken(command, failure.getErrorMessage()))

        self.link.collect(message).addCallbacks(collected, broken)

    def carry_out(self, engine: int, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            id_ = list(instruction.command.id)
            if isinstance(instruction, Feed) and self.says_when_ended:
                self.begun.append(id_)
            elif isinstance(instruction, Feed):
                self.say("started", engine, id=id_)
            elif isinstance(instruction, Refuse):
                self.say("reply", engine, failure_bodies(instruction.error), id=id_, ok=False)
            else:
                self.say("returned", engine, id=id_)

    def say(self, kind: str, engine: int, bodies: list[Any] | None = None, /, **fields: Any) -> None:
        if self.lost is None:
            self.link.send(Message(kind, {"engine": engine, **fields}, bodies or []))

    def running(self, engine: int = 0) -> str | None:
        """The label of the command that runs."""
        command = self.queues[engine].running if engine in self.queues else None
        return command.label if command else None

    def finish(
        self, engine: int = 0, ok: bool = True, body: Bytes = b"", error: IPythonError | None = None
    ) -> None:
        """End the running command: well, with `body`, or with an error."""
        ok = ok and error is None
        queue = self.queues[engine]
        command = queue.running
        if command is not None:
            bodies: list[Any] = [body] if ok else failure_bodies(error or EngineLost("failed as told"))
            more: dict[str, Any] = {"values": [[1, "pickle", {}]]} if ok and command.verb == "task" else {}
            if list(command.id) in self.begun:
                more |= {"began": True, "took": 0.5}
            self.say("reply", engine, bodies, id=list(command.id), ok=ok, **more)
            self.carry_out(engine, queue.finished(ok))

    def die(self, engine: int, restart: bool = True) -> None:
        """The interpreter of an engine ends, and another one starts."""
        queue = self.queues[engine]
        generation = queue.generation
        self.carry_out(engine, queue.died("killed by signal 9, SIGKILL"))
        self.say("died", engine, generation=generation, reason="killed by signal 9, SIGKILL")
        if restart:
            self.say("restarted", engine, generation=generation + 1, pid=7)
            self.carry_out(engine, queue.opened(generation + 1))

    def kill(self, engine: int) -> None:
        """An engine ends for good."""
        self.carry_out(engine, self.queues.pop(engine).died("killed on request"))
        self.say("gone", engine, reason="killed on request")


class FakeClient(Peer):
    """A client that keeps what it is answered: by command number."""

    role = "multiengine"
    allowed = messages.TO_CLIENT
    controller_allows = messages.FROM_CLIENT

    def __init__(self, cluster: Cluster, role: str = "") -> None:
        self.role = role or self.role
        super().__init__(cluster)
        self.number = 0
        self.replies: dict[int, list[Message]] = {}
        self.refused: list[Message] = []

    def call(
        self,
        verb: str,
        args: Any = None,
        targets: Any = "all",
        bodies: Any = (),
        hold: str | None = None,
        **more: Any,
    ) -> int:
        """Send a command; its number."""
        self.number += 1
        fields = {"id": [self.session, self.number], "verb": verb, "args": args or {}, "targets": targets}
        fields.update(label=f"{verb}({self.number})", **more)
        if hold is not None:
            fields["hold"] = hold
        self.link.send(Message("command", fields, list(bodies)))
        return self.number

    def execute(self, targets: Any = "all", source: bytes = b"a=5", hold: str | None = None) -> int:
        return self.call("execute", None, targets, [source], hold)

    def message_received(self, message: Message) -> None:
        if message.kind == "refused":
            self.refused.append(message)
            return
        replies = self.replies.setdefault(message.fields["id"][1], [])
        self.link.collect(message).addCallbacks(replies.append, lambda failure: None)

    def outcomes(self, number: int) -> list[Any]:
        """What a command came to, per target in order: the first body, the result, or the error as text."""
        replies = sorted(self.replies.get(number, []), key=lambda reply: reply.fields.get("index") or 0)
        return [_outcome(reply) for reply in replies]


def _outcome(reply: Message) -> Any:
    if not reply.fields["ok"]:
        document = unpack(reply.bodies[0])  # type: ignore[arg-type]
        return f"{document['class']}: {document['text']}"
    return bytes(reply.bodies[0]) if reply.bodies else reply.fields.get("result")  # type: ignore[arg-type]


class Cluster:
    """The controller, and the clock that moves everything."""

    def __init__(self, *interfaces: InterfaceFactory) -> None:
        self.clock = SlowClock()
        self.stopped = 0
        self.service = ControllerService(self.clock, self._stop, [*INTERFACES, *interfaces])

    def _stop(self) -> None:
        self.stopped += 1

    def step(self, steps: int = 1) -> None:
        """Let so many messages in a row arrive, and as many pieces."""
        for _ in range(steps):
            self.clock.advance(TICK)

    def settle(self, seconds: float = 0.0) -> None:
        """Let everything happen that happens at once, after `seconds`."""
        self.clock.advance(seconds)
        for _ in range(5_000):
            soon = self.clock.seconds() + TICK
            if not any(call.getTime() <= soon for call in self.clock.getDelayedCalls()):
                return
            self.step()
        raise AssertionError("it never comes to rest")

    @property
    def multiengine(self) -> MultiEngine:
        interface = self.service.interfaces["multiengine"]
        assert isinstance(interface, MultiEngine)
        return interface
