"""The agent: its engines, and the link over which a controller uses them.

It runs no user code and opens no values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ipython1.kernel.alive import ended
from ipython1.kernel.engine.engine import Engine, Fate, Launch
from ipython1.kernel.engine.history import History
from ipython1.kernel.engine.incoming import Incoming, divided
from ipython1.kernel.engine.memories import Memories
from ipython1.kernel.engine.memory import INTERVAL, MemoryLimit, host_memory, used_memory
from ipython1.kernel.engine.queue import Command
from ipython1.kernel.engine.requests import REQUESTS
from ipython1.kernel.error import InvalidEngineID, ProtocolError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Message
from ipython1.kernel.peer import Link
from ipython1.kernel.shared_memory.system import Unavailable

FORGET = 0.2
"""Seconds between two looks at which answers the controller has acknowledged."""


class Agent:
    """`num` engines over one link at a time; the `Receiver` of that link.

    `say` gets the lines that the person who started the agent should see.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        num: int,
        launch: Launch,
        say: Callable[[str], None],
        new_history: Callable[[], History] = History,
        shared_memory: bool = False,
    ) -> None:
        self.say = say
        self.memories = Memories(reactor, self._trim, shared_memory)
        """See `Outlet`."""
        self._incoming = Incoming()
        self.link: Link | None = None
        self.failures: list[str] = []
        """Why engines were given up."""
        self.engines = {place: Engine(place, reactor, self, launch, new_history()) for place in range(num)}
        self._disconnected: Deferred[str] = Deferred()
        self._waiting_for_end: list[Deferred[None]] = []
        self._announced = False
        self._stopping = False
        self._reactor = reactor
        # Of the controller that the link led to: what tells it from others, and from itself before it was started again.
        self._house = self._incarnation = ""
        self._forgetting: IDelayedCall | None = None

    def start(self) -> None:
        """Start an interpreter for each engine; they register as they become ready."""
        for engine in list(self.engines.values()):
            engine.start()

    def stop(self) -> None:
        """End all interpreters."""
        self._stopping = True
        for engine in list(self.engines.values()):
            engine.end(Fate.STOPPED, "the agent was stopped")

    def guard_memory(self, limit: MemoryLimit) -> None:
        """See to it that no interpreter uses more memory than `limit`, from now on."""
        guard = LoopingCall(self._look_at_memory, limit)
        guard.clock = self._reactor
        watching = guard.start(INTERVAL, now=False)
        watching.addErrback(lambda failure: self.log.failure("while looking at memory", failure))

    def _look_at_memory(self, limit: MemoryLimit) -> None:
        interpreters = {
            engine.interpreter.pid: engine for engine in self.engines.values() if engine.interpreter is not None
        }
        excess = limit.exceeded(used_memory(list(interpreters)), host_memory())
        if excess is not None:
            pid, reason = excess
            interpreters[pid].exceeded_memory(reason)

    def when_over(self) -> Deferred[None]:
        """Fires when no engine is left."""
        if not self.engines:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting_for_end.append(waiter)
        return waiter

    # The link.

    def attached(self, link: Link) -> Deferred[str]:
        """Use `link` from now on; fires with the reason when it is lost."""
        self.link = link
        if self.memories.enabled:
            link.keep_in(self._incoming.keeping)
        self._disconnected = Deferred()
        self._announced = False
        house, incarnation = link.peer.get("house", ""), link.peer.get("incarnation", "")
        if house != self._house or incarnation == self._incarnation:
            # Another controller; or the same one, which has given the engines up.
            for engine in self.engines.values():
                engine.abandoned()
        self._house, self._incarnation = house, incarnation
        for engine in self.engines.values():
            engine.offer()
        return self._disconnected

    def link_away(self, reason: str) -> None:
        """See `Receiver`.  What the interpreters say meanwhile is kept by the link."""
        self.say(f"{reason}; the interpreters live on, and the controller is dialed again")

    def link_back(self) -> None:
        """See `Receiver`."""
        self.say("connected again: nothing was lost")

    def link_lost(self, reason: str) -> None:
        """See `Receiver`."""
        self.link = None
        for engine in self.engines.values():
            engine.disconnected()
        self.memories.clear()
        disconnected, self._disconnected = self._disconnected, Deferred()
        disconnected.callback(reason)

    @property
    def connected(self) -> bool:
        """See `Outlet`."""
        return self.link is not None

    @property
    def outlived(self) -> bool:
        """See `Outlet`."""
        return self._house != ""

    def send(self, message: Message) -> int | None:
        """See `Outlet`."""
        return None if self.link is None else self.link.send(message)

    def acknowledged(self, number: int) -> bool:
        """See `Outlet`."""
        return self.link is not None and self.link.acknowledged(number)

    def answered(self) -> None:
        """See `Outlet`.  Before long it is looked whether the controller has the answer: it may be large."""
        if self._forgetting is None:
            self._forgetting = self._reactor.callLater(FORGET, self._forget)

    def _forget(self) -> None:
        self._forgetting = None
        for engine in self.engines.values():
            engine.outbox.forget(self.acknowledged)
        if any(len(engine.outbox) for engine in self.engines.values()):
            self.answered()

    # What the controller says.

    def message_received(self, message: Message) -> None:
        """See `Receiver`."""
        fields = message.fields
        if message.kind == "command":
            self._command_received(message)
        elif message.kind == "cancel":
            engine = self._engine(fields["engine"])
            if engine is not None:
                engine.cancel({(session, number) for session, number in fields["ids"]})
        elif message.kind == "look":
            gone = [[pid, created] for pid, created in fields["processes"] if ended(pid, created)]
            self.send(Message("ended", {"processes": gone}))
        elif message.kind in ("memory", "unused", "taken"):
            self._memory_message_received(message)
        elif message.kind == "registered":
            self._registered(fields["place"], fields.get("engine"), fields.get("error"))

    def _memory_message_received(self, message: Message) -> None:
        fields = message.fields
        if message.kind == "memory":
            self.memories.announced(fields["memory"], fields["uses"])
        elif message.kind == "unused":
            self.memories.unused(fields["nonce"], fields["uses"])
        else:
            self.memories.taken(fields["nonce"])

    def _registered(self, place: int, engine_id: int | None, error: str | None) -> None:
        engine = self.engines.get(place)
        if engine is None:
            if engine_id is not None:
                # It ended on the way.
                self.send(
                    Message("gone", {"engine": engine_id, "reason": "it ended before it was registered"})
                )
        elif engine_id is not None:
            engine.registered(engine_id)
            self._announce()
        else:
            reason = f"the controller refused to register an engine: {error}"
            self.failures.append(reason)
            engine.end(Fate.GONE, reason)

    def _engine(self, engine_id: int) -> Engine | None:
        return next((engine for engine in self.engines.values() if engine.id == engine_id), None)

    def _command_received(self, message: Message) -> None:
        fields = message.fields
        engine = self._engine(fields["engine"])
        if engine is None:
            error = InvalidEngineID(f"engine {fields['engine']} is not here any more")
            answer = {"id": fields["id"], "engine": fields["engine"], "ok": False}
            self.send(Message("reply", answer, list(failure_bodies(error))))
            return
        session, number = fields["id"]
        streams = bool(message.streams())
        command = Command(
            id=(session, number),
            verb=fields["verb"],
            label=fields["label"],
            generation=fields["generation"],
            failures=fields.get("failures"),
            index=fields.get("index"),
            among=fields.get("among"),
            args=fields["args"],
            values=fields.get("values"),
            bodies=[] if streams else message.bodies,  # type: ignore[arg-type]
            complete=not streams and "memory" not in fields,
            answer_in=self.memories.answer_in(fields.get("answer_in")),
        )
        request = REQUESTS.get(command.verb)
        if request is not None:
            request(engine, command)
            return
        engine.submit(command)
        if streams:
            self._collect(engine, command, message)
        elif "memory" in fields:
            self._open(engine, command, message)

    def _open(self, engine: Engine, command: Command, message: Message) -> None:
        """Get the memory in which bodies of `command` lie."""
        try:
            memory = self.memories.use(message.fields["memory"])
        except (Unavailable, ProtocolError) as problem:
            engine.carry_out(engine.queue.broken(command, str(problem)))
            return
        bodies: list[Any] = message.bodies
        engine.carry_out(engine.queue.completed(command, bodies, [memory]))

    def _collect(self, engine: Engine, command: Command, message: Message) -> None:
        """Get the large bodies of `command`, which keeps its place in the queue meanwhile."""
        assert self.link is not None

        def collected(whole: Message) -> None:
            engine.carry_out(engine.queue.completed(command, *divided(whole.bodies)))

        def failed(failure: Any) -> None:
            if link.ending is not None and self.outlived:
                # The controller's successor is asked for it again, by whom it came from.
                engine.carry_out(engine.queue.never_came(command))
            else:
                engine.carry_out(engine.queue.broken(command, failure.getErrorMessage()))

        link = self.link
        arrival = link.collect(message)
        arrival.addCallbacks(collected, failed)
        arrival.addErrback(lambda failure: self.log.failure("while taking a large command", failure))

    def _trim(self) -> None:
        for engine in self.engines.values():
            engine.trim()

    # What the engines say.

    def engine_gone(self, engine: Engine, failed: bool) -> None:
        """See `Host`."""
        del self.engines[engine.place]
        if not self._stopping:
            self.say(gone_text(engine.name, str(engine.gone)))
        if failed:
            self.failures.append(f"{engine.name}: {engine.gone}")
        if self.engines:
            self._announce()
            return
        self.memories.stop()
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        waiting, self._waiting_for_end = self._waiting_for_end, []
        for waiter in waiting:
            waiter.callback(None)

    def _announce(self) -> None:
        """Say so, once for each link, when no engine is left that has no id."""
        if self._announced or self.link is None or any(engine.id is None for engine in self.engines.values()):
            return
        self._announced = True
        self.say(
            registered_text(sorted(engine.id for engine in self.engines.values() if engine.id is not None))
        )


def registered_text(ids: Sequence[int]) -> str:
    """What an agent says when all of its engines are registered."""
    return f"{len(ids)} {'engine' if len(ids) == 1 else 'engines'} registered: {', '.join(map(str, ids))}"


_REGISTERED = re.compile(r"\d+ engines? registered: ([\d, ]*)")


def registered_ids(line: str) -> list[int] | None:
    """The ids of an agent's engines, if it says in this line that all are registered; else None."""
    match = _REGISTERED.fullmatch(line)
    return [int(number) for number in match[1].split(",") if number.strip()] if match else None


def gone_text(name: str, reason: str) -> str:
    """What an agent says when an engine is gone for good."""
    return f"{name} is gone: {reason}"


_GONE = re.compile(r"(?:the engine at place \d+|engine (?P<id>\d+)) is gone: .*")


class Gone(NamedTuple):
    """An engine that is gone; `id` is None if it had none yet."""

    id: int | None


def gone_engine(line: str) -> Gone | None:
    """The engine that is gone, if an agent says in this line that one is; else None."""
    match = _GONE.match(line)
    return Gone(None if match["id"] is None else int(match["id"])) if match else None
