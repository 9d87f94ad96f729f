"""The sessions of host agents: what they say of their engines, and what is asked of them beside the queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ipython1.kernel import messages
from ipython1.kernel.alive import Process
from ipython1.kernel.controller.engines import Engines, Held, command_message
from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.controller.registry import EngineRecord
from ipython1.kernel.error import EngineCreationError, EngineLost, ProtocolError
from ipython1.kernel.framing import Message
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.runs import is_runs

ENDED = "its process has ended"
LOOK = 0.5
"""Seconds between two looks at whether agents on this host that are away have ended."""


class Agents:
    """The door for agents: registers their engines.

    `refusal` is set to a reason when no more engines are taken.
    """

    log = Logger()

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._sessions: dict[str, AgentSession] = {}
        self._looking: IDelayedCall | None = None
        self.refusal: str | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """An agent connected."""
        key = hello["session"]
        old = self._sessions.get(key)
        if old is not None:
            # An agent has one connection: it has noticed the loss of the old one before we did.
            old.link.close("the agent has connected again")
        session = self._sessions[key] = AgentSession(self, self._engines, hello, link)
        self._look_for_others(session)
        return session

    def _away(self) -> set[Process]:
        """The processes of agents that are away, or have not been here since the controller was started again."""
        away = {session.process for session in self._sessions.values() if session.is_away}
        return away | {record.process for record in self._engines.records_awaited() if record.process is not None}

    def _look_for_others(self, session: AgentSession) -> None:
        """Have an agent look whether others of its host, which are away, have ended: it may be their successor."""
        listed = [[one.pid, one.created] for one in self._away() if one.place == session.process.place and one.created]
        if listed:
            session.link.send(Message("look", {"processes": listed}))

    def watch(self) -> None:
        """Look now and then whether agents on this host are away because they have ended."""
        if self._looking is None:
            # In a later turn: the link that has just been lost must not end while it says so.
            self._looking = self._engines.clock.callLater(0, self._look)

    def _look(self) -> None:
        self._looking = None
        here = [process for process in self._away() if process.is_here]
        ended = [process for process in here if process.has_ended]
        for process in ended:
            self.ended(process)
        if len(ended) < len(here):
            self._looking = self._engines.clock.callLater(LOOK, self._look)

    def ended(self, process: Process) -> None:
        """An agent's process is not there any more."""
        for session in list(self._sessions.values()):
            if session.is_away and session.process == process:
                session.link.close(ENDED)
        for record in self._engines.records_awaited():
            if record.process == process:
                self.log.info("engine {id} is given up: {reason}", id=record.id, reason=ENDED)
                self._engines.remove(record.id, ENDED)

    def over(self, session: AgentSession) -> None:
        """A session ended."""
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]


class AgentSession:
    """One agent, as long as its session lasts."""

    log = Logger()

    def __init__(self, agents: Agents, engines: Engines, hello: Mapping[str, Any], link: Link) -> None:
        self.key: str = hello["session"]
        self.link = link
        self.lost = False
        self._agents = agents
        self._engines = engines
        self.process = Process.of(hello)
        self.is_away = False
        self._host: str = hello["host"]
        self._name = f"the host agent on {hello['host']} (pid {hello['pid']})"
        self._own: set[int] = set()
        # What the agent was asked beside the queues; an engine may be asked the same twice (targets=[0, 0]).
        self._asked: dict[tuple[CommandId, int], list[Entry]] = {}
        self.log.info("{name} connected, version {version}", name=self._name, version=hello["version"])

    def ask(self, entry: Entry, record: EngineRecord) -> None:
        """Have the agent carry out a verb at once."""
        self._asked.setdefault((entry.id, record.id), []).append(entry)
        self.link.send(command_message(entry, record.id, record.generation))

    def message_received(self, message: Message) -> None:
        """See `Receiver`."""
        if message.kind in ("register", "ended"):
            try:
                (self._register if message.kind == "register" else self._ended)(message.fields)
            except ProtocolError as problem:
                self.log.warn("{name}: {problem}", name=self._name, problem=problem)
            return
        engine = message.fields["engine"]
        try:
            if engine not in self._own and not self._is_answer(message):
                raise ProtocolError(f"it spoke of engine {engine}, which is not its own")
            self._KINDS[message.kind](self, engine, message)
        except ProtocolError as problem:
            self.log.warn("{name}: {problem}", name=self._name, problem=problem)

    def _ended(self, fields: dict[str, Any]) -> None:
        for one in fields["processes"]:
            if not (isinstance(one, list) and [*map(type, one)] == [int, float]):
                raise ProtocolError("it spoke of what is no process")
            self._agents.ended(replace(self.process, pid=one[0], created=one[1]))

    def _register(self, fields: dict[str, Any]) -> None:
        record = self._engines.find_awaited(self.key, fields["place"])
        if record is not None and record.id == fields.get("wanted"):
            record.generation, record.pid = fields["generation"], fields["pid"]
            record.properties = fields["properties"]
            record.process = self.process
            self._welcome(record)
            self._engines.reclaim(record.id, self, _held(fields.get("commands") or []))
            return
        try:
            if self._agents.refusal is not None:
                raise EngineCreationError(self._agents.refusal)
            record = self._engines.registry.register(
                self.key,
                fields["place"],
                wanted=fields.get("wanted"),
                generation=fields["generation"],
                pid=fields["pid"],
                host=self._host,
                properties=fields["properties"],
            )
            record.process = self.process
        except EngineCreationError as problem:
            self.log.warn("refused an engine of {name}: {problem}", name=self._name, problem=problem)
            self.link.send(Message("registered", {"place": fields["place"], "error": str(problem)}))
            return
        self._welcome(record)
        self._engines.add(record, self)
        if record.id == fields.get("wanted"):
            self._engines.reclaim(record.id, self, _held(fields.get("commands") or []))

    def _welcome(self, record: EngineRecord) -> None:
        self._own.add(record.id)
        # First the agent learns its id: an observer may use the engine at once.
        self.link.send(Message("registered", {"place": record.place, "engine": record.id}))
        self.log.info(
            "engine {id} registered: pid {pid} of {name}", id=record.id, pid=record.pid, name=self._name
        )

    def _is_answer(self, message: Message) -> bool:
        """Whether this replies to what was asked of the agent; the reply to a kill comes after its engine is gone."""
        return message.kind == "reply" and (_command_id(message), message.fields["engine"]) in self._asked

    def _replied(self, engine: int, message: Message) -> None:
        key = (_command_id(message), engine)
        asked = self._asked.get(key)
        if asked is None:
            self._engines.replied(engine, key[0], message)
            return
        entry = asked.pop(0)
        if not asked:
            del self._asked[key]
        entry.owner.answered(entry, engine, message, self.link)

    def _started(self, engine: int, message: Message) -> None:
        self._engines.started(engine, _command_id(message))

    def _returned(self, engine: int, message: Message) -> None:
        self._engines.returned(engine, _command_id(message))

    def _properties_changed(self, engine: int, message: Message) -> None:
        self._engines.properties_changed(engine, message.fields["properties"])

    def _died(self, engine: int, message: Message) -> None:
        reason = message.fields["reason"]
        self.log.warn("engine {id} lost its interpreter: {reason}", id=engine, reason=reason)
        self._engines.died(engine, reason)

    def _restarted(self, engine: int, message: Message) -> None:
        generation, pid = message.fields["generation"], message.fields["pid"]
        self.log.info("engine {id} has a new interpreter: pid {pid}", id=engine, pid=pid)
        self._engines.restarted(engine, generation, pid)

    def _gone(self, engine: int, message: Message) -> None:
        reason = message.fields["reason"]
        self.log.info("engine {id} is gone: {reason}", id=engine, reason=reason)
        self._own.remove(engine)
        self._engines.remove(engine, reason)
        # The agent replies to who asked for the end of the engine; others have nothing to wait for.
        self._fail_asked(lambda entry, asked: asked == engine and entry.verb != "kill", reason)

    def link_away(self, reason: str) -> None:
        """See `Receiver`."""
        self.is_away = True
        self.log.info("{name} is away: {reason}", name=self._name, reason=reason)
        self._agents.watch()
        for engine in sorted(self._own):
            self._engines.away(engine, reason)

    def link_back(self) -> None:
        """See `Receiver`."""
        self.is_away = False
        self.log.info("{name} is back", name=self._name)
        for engine in sorted(self._own):
            self._engines.back(engine)

    def link_lost(self, reason: str) -> None:
        """See `Receiver`."""
        self.lost = True
        self._agents.over(self)
        text = f"the connection to {self._name} was lost ({reason})"
        self.log.info("{text}; its engines: {ids}", text=text, ids=sorted(self._own) or "none")
        gone = {key for key in self._asked if key[1] not in self._own}
        own, self._own = sorted(self._own), set()
        for engine in own:
            self._engines.remove(engine, text)
        for key in gone:
            # It said that the engine is gone, and left before it could say that this was what had been asked.
            for entry in self._asked.pop(key):
                reply = Message("reply", {"id": list(entry.id), "engine": key[1], "ok": True})
                entry.owner.answered(entry, key[1], reply, self.link)
        self._fail_asked(lambda entry, engine: True, text)

    def _fail_asked(self, concerns: Callable[[Entry, int], bool], reason: str) -> None:
        for (command, engine), entries in list(self._asked.items()):
            ended = [entry for entry in entries if concerns(entry, engine)]
            if ended:
                del self._asked[command, engine]
            for entry in ended:
                error = EngineLost(f"engine {engine} was lost, and {entry.label} with it: {reason}")
                entry.owner.failed(entry, engine, error)

    _KINDS: Mapping[str, Callable[[AgentSession, int, Message], None]] = {
        "reply": _replied,
        "started": _started,
        "returned": _returned,
        "properties": _properties_changed,
        "died": _died,
        "restarted": _restarted,
        "gone": _gone,
    }


def _held(listed: list[Any]) -> list[Held]:
    """What an agent says that it has of an earlier controller; ProtocolError if that makes no sense."""
    for one in listed:
        sound = isinstance(one, list) and len(one) == 6 and messages.is_command_id(one[0])
        sound = sound and [*map(type, one[1:5])] == [int, bool, str, str]
        if not sound or not (one[5] is None or is_runs(one[5])):
            raise ProtocolError("an agent says of an engine that it has what is no command")
    return [Held((one[0][0], one[0][1]), *one[1:]) for one in listed]


def _command_id(message: Message) -> CommandId:
    session, number = message.fields["id"]
    return session, number
