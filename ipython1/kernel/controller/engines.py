"""The engines as the interfaces use them: submit to a queue, ask an agent, hear of the outcome.

Here the cores (registry, queues) meet the links to the agents: instructions of the cores are carried out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ipython1.kernel.alive import Process
from ipython1.kernel.controller.awaited import Absent
from ipython1.kernel.controller.observers import Observers
from ipython1.kernel.controller.queue import (
    Answer,
    Cancel,
    EngineQueue,
    Entry,
    Instruction,
    NoOwner,
    Owner,
    Send,
)
from ipython1.kernel.controller.registry import EngineRecord, EngineState, Registry
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Message, StreamRef
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link


class AgentLink(Protocol):
    """The session of the agent that an engine belongs to."""

    @property
    def link(self) -> Link: ...

    @property
    def lost(self) -> bool: ...

    def ask(self, entry: Entry, record: EngineRecord) -> None:
        """Have the agent carry out a verb at once, beside the queue."""


class Engine:
    """One engine: its record, its queue, and the session of its agent."""

    def __init__(self, record: EngineRecord, agent: AgentLink) -> None:
        self.record = record
        self.agent = agent
        self.queue = EngineQueue(record.id, record.generation)
        self._instructions: deque[tuple[Instruction, Message | None]] = deque()
        self._busy = False

    def carry_out(
        self,
        instructions: list[Instruction],
        fault: Callable[[Instruction], None],
        reply: Message | None = None,
    ) -> None:
        """Carry out what the queue said; `reply` is what came for an `Answer`, `fault` is told of exceptions.

        An owner that hears of an outcome may submit more: that is carried out after what was said before it.
        """
        self._instructions.extend((instruction, reply) for instruction in instructions)
        if self._busy:
            return
        self._busy = True
        try:
            while self._instructions:
                instruction, came = self._instructions.popleft()
                try:
                    self._carry_out(instruction, came)
                except Exception:  # one owner's fault must not keep the others from their outcomes
                    fault(instruction)
        finally:
            self._busy = False

    def _carry_out(self, instruction: Instruction, reply: Message | None) -> None:
        if isinstance(instruction, Send):
            try:
                self._send(instruction.entry, instruction.generation)
            except ProtocolError as problem:
                # A client of ours leaves room for what is added to its header; others may not.
                failed = self.queue.unsendable(instruction.entry, str(problem))
                self._instructions.extend((follows, None) for follows in failed)
        elif isinstance(instruction, Cancel):
            ids = [list(entry.id) for entry in instruction.entries]
            self.agent.link.send(Message("cancel", {"engine": self.record.id, "ids": ids}))
        elif isinstance(instruction, Answer):
            assert reply is not None
            instruction.entry.owner.answered(instruction.entry, self.record.id, reply, self.agent.link)
        else:
            if not instruction.sent:
                self.release(instruction.entry)
            instruction.entry.owner.failed(instruction.entry, self.record.id, instruction.error)

    def _send(self, entry: Entry, generation: int) -> None:
        message = command_message(entry, self.record.id, generation)
        message.fields["failures"] = entry.failures
        self.agent.link.send(message)
        # The agent has it; the entry lives on here until its outcome comes.
        entry.bodies = []

    def release(self, entry: Entry) -> None:
        """Tell the agent that the streams, or the memory, of an entry will not be used by it."""
        if self.agent.lost:
            return
        for number in {body.number for body in entry.bodies if isinstance(body, StreamRef)}:
            self.agent.link.release(number, 1)
        if entry.memory is not None:
            self.agent.link.send(Message("unused", {"nonce": entry.memory["nonce"], "uses": 1}))


def command_message(entry: Entry, engine: int, generation: int) -> Message:
    """The message that carries an entry to an agent."""
    fields: dict[str, Any] = {
        "id": list(entry.id),
        "engine": engine,
        "generation": generation,
        "verb": entry.verb,
        "args": entry.args,
        "label": entry.label,
        "index": entry.index,
    }
    for name in ("among", "values", "memory", "answer_in"):
        if (said := getattr(entry, name)) is not None:
            fields[name] = said
    return Message("command", fields, list(entry.bodies))


@dataclass(frozen=True)
class Held:
    """A command that an agent has of an earlier controller; `began` is whether the engine has begun with it."""

    id: CommandId
    index: int
    began: bool
    verb: str
    label: str
    among: list[int] | None

    def entry(self, owner: Owner) -> Entry:
        """An entry for it."""
        return Entry(self.id, self.id[0], self.verb, {}, self.label, owner, index=self.index, among=self.among)


Adopter = Callable[[int, Held], Entry | None]


class Engines:
    """All engines.  What interfaces do with them is here; what agents say of them is in `agents`."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.observers = Observers(self._observer_failed)
        self.registry = Registry(self.observers)
        self._engines: dict[int, Engine] = {}
        self.awaited: set[int] = set()
        """Those of an earlier controller whose agents have not been here since."""
        self.adopters: list[Adopter] = []
        """Asked for the entries of commands that an earlier controller had sent, and this one does not know."""

    def __getitem__(self, engine: int) -> Engine:
        """The engine of that id; KeyError if there is none."""
        return self._engines[engine]

    # For interfaces.

    def submit(self, engine: int, entry: Entry) -> None:
        """Put an entry into the queue of a registered engine."""
        self._event(engine, lambda queue: queue.submit(entry))

    def stream_arrived(self, engine: int, entry: Entry) -> None:
        """One more of the entry's streams is complete at the agent."""
        self._event(engine, lambda queue: queue.stream_arrived(entry))

    def stream_broken(self, engine: int, entry: Entry, reason: str) -> None:
        """One of the entry's streams broke off."""
        self._event(engine, lambda queue: queue.stream_broken(entry, reason))

    def ask(self, engine: int, entry: Entry) -> None:
        """Have the agent of a registered engine carry out a verb at once, beside the queue."""
        found = self._engines[engine]
        found.agent.ask(entry, found.record)

    def clear(self, engine: int, reason: str) -> None:
        """Drop what waits in an engine's queue; what runs goes on."""
        self._event(engine, lambda queue: queue.clear(reason))

    def withdraw(self, engine: int, entry: Entry, reason: str) -> None:
        """Drop an entry that has not begun to run, or ask it back from the agent."""
        self._event(engine, lambda queue: queue.withdraw(entry, reason))

    def withdraw_command(self, engine: int, command: CommandId, reason: str) -> None:
        """Drop what has not begun to run of a command, or ask it back from the agent."""
        for entry in self._engines[engine].queue.entries(command):
            self.withdraw(engine, entry, reason)

    def kill(self, engine: int, entry: Entry, reason: str) -> None:
        """End an engine for good; `entry` has the verb ``kill``, and its owner hears when the engine is gone."""
        self._engines[engine].record.state = EngineState.LEAVING
        self.observers.changed(engine)
        self._event(engine, lambda queue: queue.stop(reason))
        self.ask(engine, entry)

    def forget(self, engine: int, client: str) -> None:
        """Nothing more comes from `client` for that engine."""
        found = self._engines.get(engine)
        if found is not None:
            found.queue.client_left(client)

    def client_left(self, client: str) -> None:
        """A client is gone: what it submitted goes on, and then nothing is remembered of it."""
        for engine in self._engines.values():
            engine.queue.client_left(client)

    # After a restart of the controller.

    def expect(self, record: EngineRecord) -> None:
        """An engine of an earlier controller: it has its id, and is away until its agent is here (`reclaim`)."""
        record.away = ("the controller was started again", self.clock.seconds())
        engine = self._engines[record.id] = Engine(record, Absent())
        engine.queue.away()
        self.awaited.add(record.id)
        self.registry.restore(record)
        self.registry.announce(record.id)
        self.observers.changed(record.id)

    def records_awaited(self) -> list[EngineRecord]:
        """What is registered of the engines that are awaited."""
        return [self.registry[engine] for engine in sorted(self.awaited)]

    def sent_before(self, engine: int, entry: Entry) -> None:
        """An earlier controller has sent this entry to an engine that is awaited."""
        self._engines[engine].queue.sent_before(entry)

    def find_awaited(self, agent: str, place: int) -> EngineRecord | None:
        """The engine of that agent, in that place, if it is awaited."""
        records = self.records_awaited()
        return next((record for record in records if (record.agent, record.place) == (agent, place)), None)

    def reclaim(self, engine: int, agent: AgentLink, held: Sequence[Held]) -> None:
        """An engine that was awaited is here, with what `held` says; its agent was told so."""
        found = self._engines[engine]
        absent, found.agent = found.agent, agent
        self.awaited.discard(engine)
        found.record.away = None
        entries = [(found.queue.find(one.id, one.index) or self._adopt(engine, one), one.began) for one in held]
        found.carry_out(found.queue.reclaimed(found.record.generation, entries), self._faulty)
        for entry, began in entries:
            if began and entry.began is not None:
                entry.began(None)
        if isinstance(absent, Absent):
            absent.is_here(agent)
        self.observers.changed(engine)

    def _adopt(self, engine: int, held: Held) -> Entry:
        """An entry for a command of an earlier controller."""
        for adopter in self.adopters:
            entry = adopter(engine, held)
            if entry is not None:
                return entry
        return held.entry(NoOwner())

    def hosts(self) -> list[list[Any]]:
        """The processes that look after engines: where each is, its id, when it was created, and which engines these are."""
        found: dict[Process, list[int]] = {}
        for engine in self.registry.ids():
            process = self.registry[engine].process
            if process is not None:
                found.setdefault(process, []).append(engine)
        return [[*astuple(process), ids] for process, ids in found.items()]

    # For the sessions of agents.

    def add(self, record: EngineRecord, agent: AgentLink) -> None:
        """An engine was registered, and its agent told so."""
        self._engines[record.id] = Engine(record, agent)
        self.registry.announce(record.id)

    def remove(self, engine: int, reason: str) -> None:
        """An engine is gone, for that reason."""
        found = self._engines.pop(engine)
        self.awaited.discard(engine)
        self.registry.unregister(engine)
        if isinstance(found.agent, Absent):
            found.agent.stays_away(reason)
        found.carry_out(found.queue.close(reason), self._faulty)

    def started(self, engine: int, command: CommandId, ago: float | None = None) -> None:
        """A command began to run, so many seconds ago if its outcome has come, too; ProtocolError if it was not sent."""
        entry = self._engines[engine].queue.started(command)
        if entry.began is not None:
            entry.began(ago)

    def replied(self, engine: int, command: CommandId, reply: Message) -> None:
        """The outcome of a command came, or comes again; ProtocolError if it was not sent."""
        if reply.fields.get("began") and self._engines[engine].queue.is_sent(command):
            # What is large has yet to come: the command counts as running until then.
            self.started(engine, command, None if reply.streams() else reply.fields.get("took") or 0.0)
        self._event(engine, lambda queue: queue.replied(command, reply.fields["ok"]), reply)

    def returned(self, engine: int, command: CommandId) -> None:
        """A command was given back; ProtocolError if it was not asked back."""
        self._event(engine, lambda queue: queue.returned(command))

    def died(self, engine: int, reason: str) -> None:
        """An engine's interpreter ended and is being replaced."""
        record = self._engines[engine].record
        if record.state is EngineState.READY:
            record.state = EngineState.STARTING
        record.properties = {}
        self.observers.changed(engine)
        text = f"engine {engine} lost its interpreter ({reason})"
        self._event(engine, lambda queue: queue.died(text))

    def restarted(self, engine: int, generation: int, pid: int) -> None:
        """An engine's next interpreter is ready."""
        record = self._engines[engine].record
        record.generation, record.pid = generation, pid
        if record.state is EngineState.STARTING:
            record.state = EngineState.READY
            self._event(engine, lambda queue: queue.restarted(generation))
            self.observers.changed(engine)

    def away(self, engine: int, reason: str) -> None:
        """An engine's agent cannot be reached: what is submitted waits until it is back, or gone."""
        found = self._engines[engine]
        found.record.away = (reason, self.clock.seconds())
        found.queue.away()
        self.observers.changed(engine)

    def back(self, engine: int) -> None:
        """An engine's agent can be reached again."""
        self._engines[engine].record.away = None
        self._event(engine, lambda queue: queue.back())
        self.observers.changed(engine)

    def properties_changed(self, engine: int, properties: dict[str, Any]) -> None:
        """An engine's properties are these now."""
        self._engines[engine].record.properties = properties
        self.observers.changed(engine)

    def _event(
        self, engine: int, event: Callable[[EngineQueue], list[Instruction]], reply: Message | None = None
    ) -> None:
        found = self._engines.get(engine)
        # The streams of a command may come to an end after the engine that they were meant for has gone.
        if found is not None:
            found.carry_out(event(found.queue), self._faulty, reply)

    def _faulty(self, instruction: Instruction) -> None:
        self.log.failure("while carrying out {instruction}", instruction=type(instruction).__name__)

    def _observer_failed(self, function: Callable[..., Any], problem: Exception) -> None:
        name = getattr(function, "__qualname__", repr(function))
        self.log.error("an observer of the engines failed: {name}: {problem!r}", name=name, problem=problem)
