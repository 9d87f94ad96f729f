"""An agent with real interpreters, and in the place of a controller something that can be asked what it heard."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

import ipython1
from ipython1.kernel import messages
from ipython1.kernel.engine.process import Interpreter, Owner
from ipython1.kernel.engine.service import Agent
from ipython1.kernel.framing import Message, unpack
from ipython1.kernel.tests.memory import link_pair

# Interpreters find the package that is tested from whatever directory.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ipython1.__file__).parents[1])}


def launch(owner: Owner) -> Interpreter:
    """An interpreter of the package that is tested."""
    return Interpreter(reactor, owner, environment=ENVIRONMENT)


class Outcome:
    """A reply, opened."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.ok: bool = message.fields["ok"]
        bodies = [bytes(body) for body in message.bodies]  # type: ignore[arg-type]
        self.bodies = bodies
        if not self.ok:
            self.document = unpack(bodies[0])
            self.error = self.document["class"]
            self.text = self.document["text"]

    @property
    def result(self) -> dict[str, Any]:
        """The result document of an execute."""
        document: dict[str, Any] = unpack(self.bodies[0])
        return document

    @property
    def stdout(self) -> str:
        return self.bodies[1].decode()

    @property
    def stderr(self) -> str:
        return self.bodies[2].decode()

    @property
    def shown(self) -> str:
        """The repr of the value of the last expression."""
        text: str = self.result["display"]["repr"]
        return text


class FakeController:
    """Registers what wants to be registered, sends commands, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.link: Any = None
        self.generations: dict[int, int] = {}
        self.lost: str | None = None
        self.ids: Callable[[Message], int | None] = lambda message: message.fields["place"]
        self._number = self._tasks = 0
        self._waiting: list[tuple[Callable[[Message], bool], Deferred[Message]]] = []

    def link_lost(self, reason: str) -> None:
        self.lost = reason

    def message_received(self, message: Message) -> None:
        self.link.collect(message).addCallback(self._heard)

    def _heard(self, message: Message) -> None:
        fields = message.fields
        if message.kind == "register":
            self.generations[self._register(message)] = fields["generation"]
        elif message.kind == "restarted":
            self.generations[fields["engine"]] = fields["generation"]
        self.heard.append(message)
        for entry in list(self._waiting):
            wanted, waiter = entry
            if wanted(message):
                self._waiting.remove(entry)
                waiter.callback(message)

    def _register(self, message: Message) -> int:
        engine = self.ids(message)
        answer = {"place": message.fields["place"], "engine": engine}
        if engine is None:
            answer["error"] = "no room"
        self.link.send(Message("registered", answer))
        return -1 if engine is None else engine

    def kinds(self, *kinds: str) -> list[Message]:
        """What was heard of these kinds."""
        return [message for message in self.heard if message.kind in kinds]

    def hears(self, kind: str, **fields: Any) -> Deferred[Message]:
        """Fires with the next message of that kind and with these fields."""

        def wanted(message: Message) -> bool:
            return message.kind == kind and all(message.fields.get(name) == fields[name] for name in fields)

        waiter: Deferred[Message] = Deferred()
        self._waiting.append((wanted, waiter))
        return waiter

    def new_id(self, client: str = "c") -> list[Any]:
        self._number += 1
        return [client, self._number]

    def command(
        self,
        verb: str,
        *bodies: bytes,
        engine: int = 0,
        client: str = "c",
        command_id: list[Any] | None = None,
        **fields: Any,
    ) -> Deferred[Outcome]:
        """Send a command; fires with its outcome."""
        command_id = command_id or self.new_id(client)
        reply = self.hears("reply", id=command_id)
        everything = {
            "id": command_id,
            "engine": engine,
            "generation": self.generations.get(engine, 1),
            "verb": verb,
            "args": {},
            "label": f"{verb}()",
            **fields,
        }
        self.link.send(Message("command", everything, list(bodies)))
        return reply.addCallback(Outcome)

    def execute(self, source: str, **fields: Any) -> Deferred[Outcome]:
        """Execute `source`."""
        return self.command("execute", source.encode(), label=f"execute({source!r})", **fields)

    def task(self, source: str, **fields: Any) -> Deferred[Outcome]:
        """Run `source` as a task, whose results are the values of the names in `pull`."""
        args = {"kind": "string", "push": [], "pull": fields.pop("pull", []), "clear_before": False, "clear_after": False}
        described = [[1, "pickle", {}]]
        self._tasks += 1
        client = f"t{self._tasks}"
        body = pickle.dumps(source, 5)
        return self.command("task", body, args=args, values=described, client=client, label=client, **fields)

    def push(self, **values: Any) -> Deferred[Outcome]:
        """Push values that need no more than a pickle."""
        bodies = [pickle.dumps(value, 5) for value in values.values()]
        described = [[1, "pickle", {}] for _ in values]
        return self.command("push", *bodies, args={"names": list(values)}, values=described)


class AgentCase(TestCase):
    """Tests with an agent; its interpreters are ended with the test."""

    timeout = 60
    num = 1
    shared_memory = False

    async def start(self, num: int = 1) -> None:
        """Start an agent with `num` engines, and wait until they are registered."""
        self.said: list[str] = []
        self.agent = Agent(reactor, num, launch, self.said.append, shared_memory=self.shared_memory)
        self.addCleanup(self.stop)
        self.connect()
        ready = self.all_registered(num)
        self.agent.start()
        await ready

    def all_registered(self, num: int) -> Deferred[Any]:
        """Fires when the agent has said that it has `num` registered engines."""
        done: Deferred[None] = Deferred()

        def say(text: str) -> None:
            self.said.append(text)
            if "registered:" in text and not done.called:
                done.callback(None)

        self.agent.say = say
        return done

    def connect(self) -> None:
        """Join the agent with a fresh controller."""
        self.controller = FakeController()
        self.controller.link, link = link_pair(
            reactor, self.controller, self.agent, messages.FROM_AGENT, messages.TO_AGENT, role="engine"
        )
        self.disconnected = self.agent.attached(link)
        self.link = link

    def stop(self) -> Deferred[None]:
        self.agent.stop()
        over = self.agent.when_over()
        over.addCallback(lambda _: self.link.close("the test is over"))
        over.addCallback(lambda _: self.settle())
        return over

    def settle(self) -> Deferred[None]:
        """Fires when what is on its way has arrived."""
        settled: Deferred[None] = Deferred()
        reactor.callLater(0.01, settled.callback, None)  # type: ignore[attr-defined]
        return settled

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when that holds, which is looked at in each turn of the reactor."""
        while not holds():
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
            await turn

    def interpreter(self, engine: int = 0) -> Interpreter:
        """The interpreter of an engine at the moment."""
        interpreter = self.agent.engines[engine].interpreter
        assert interpreter is not None
        return interpreter
