"""How large values go between a client and its engines: through memory, where both see it, or with the connection.

A verb of a client yields requests and is sent their answers (see `ipython1.kernel.request`); `Ways.carried` stands
between it and whoever sends them.  It finds out which agents see the memory of this process, and this process theirs, and
puts large values there, once for all engines that are to get them.
"""

from __future__ import annotations

import socket
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.logger import Logger

from ipython1.core.serialize import join
from ipython1.kernel.alive import boot_id, namespace
from ipython1.kernel.config.settings import SHARED_MEMORY_FROM
from ipython1.kernel.error import CallTimeout, KernelError
from ipython1.kernel.framing import Message
from ipython1.kernel.request import (
    Answer,
    Finished,
    Request,
    Steps,
    advance,
    ask_controller,
    outcomes,
    values_of,
)
from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.shared_memory.pool import Pool
from ipython1.kernel.shared_memory.reference import MAX_PLACES, Reference
from ipython1.kernel.shared_memory.system import Unavailable
from ipython1.kernel.targets import pick

KEPT = 100
"""So many transfers are remembered."""
MAX_WAITING = 64
"""So many values lie in memory at a time: each takes a descriptor, of this process and of the agent."""
MEET_WITHIN = 5.0
"""Seconds that an agent has to say whether it sees our memory."""

LOOK_AGAIN = 30.0
"""Seconds after which an agent is asked again that did not say so in time."""

Host = tuple[Any, ...]
"""The process that looks after an engine: host, boot id, namespace of process ids, process id, time of creation."""


@dataclass(frozen=True)
class Transfer:
    """A large value that went to engines, or came from one: which way, and if it was not memory, why."""

    what: str
    direction: str
    engines: tuple[int, ...]
    bytes: int
    way: str
    reason: str = ""


@dataclass(frozen=True)
class _Known:
    """What is known of an agent: the `nonce` of its memory if each sees the other's, else a `reason`, which may pass."""

    nonce: bytes | None = None
    reason: str = ""
    passing: bool = False


class Ways:
    """What one client knows of its engines' hosts, and what it has sent them; may be used from several threads."""

    log = Logger()

    def __init__(self, enabled: bool = False, least: int = SHARED_MEMORY_FROM.default, pool: Pool | None = None) -> None:
        self._pool = pool
        self._least = least
        self._transfers: deque[Transfer] = deque(maxlen=KEPT)
        self._off = _why_not() if enabled else "it is turned off in this client (shared_memory)"
        self._hosts: dict[int, Host] = {}
        # How often engines have come or gone, and how often they had when it was looked where they are.
        self._changes = 0
        self._seen = -1
        self._look_again: float | None = None
        self._known: dict[Host, _Known] = {}
        self._own: Memory | None = None
        self._waiting: list[weakref.ref[Memory]] = []

    def transfers(self) -> list[Transfer]:
        """The latest transfers of large values, the latest one last."""
        return list(self._transfers)

    # -- between a verb and whoever carries it out -------------------------------------------------------

    def carried(self, steps: Steps[Any]) -> Steps[Any]:
        """The same verb, whose large values go the best way."""
        sent: list[Answer] | BaseException | None = None
        try:
            while True:
                requests = advance(steps, sent)
                try:
                    sent = yield from self._exchange(requests)
                except (Exception, KeyboardInterrupt) as problem:  # of the connection, or of a user: the verb's business
                    sent = problem
        except Finished as end:
            return end.value

    def _exchange(self, requests: list[Request]) -> Steps[list[Answer]]:
        sizes = [request.size if request.verb in _SENDS else 0 for request in requests]
        if max(sizes, default=0) < self._least and not any(request.verb in _FETCHES for request in requests):
            return (yield requests)
        if not self._off:
            yield from self._look_around()
        prepared = [
            self._prepared(request, size) if size >= self._least else [self._asking(request)]
            for request, size in zip(requests, sizes, strict=True)
        ]
        answers = iter((yield [part for parts in prepared for part in parts]))
        joined = [
            self._joined(request, parts, answers) for request, parts in zip(requests, prepared, strict=True)
        ]
        for request, answer in zip(requests, joined, strict=True):
            self._note_answer(request, answer)
        return joined

    # -- what goes there ---------------------------------------------------------------------------------

    def _prepared(self, request: Request, size: int) -> list[Request]:
        """The requests that stand for this one: to engines that get its values through memory, and to others."""
        near, far, reason = self._divided(request)
        memory = None
        if near:
            try:
                memory = self._written(request, len(near))
            except Unavailable as problem:
                near, far, reason = [], [*near, *far], str(problem)
        if far or not near:
            self._note(Transfer(request.name, "to", tuple(far), size, "stream", reason))
        if memory is None:
            return [self._asking(request)]
        self._note(Transfer(request.name, "to", tuple(near), size, "memory"))
        parts = [self._asking(replace(request, targets=near if far else request.targets, memory=memory))]
        if far:
            parts.append(self._asking(replace(request, targets=far)))
        return parts

    def _divided(self, request: Request) -> tuple[list[int], list[int], str]:
        """The targets that see our memory, those that do not, and why not."""
        if self._off:
            return [], [], self._off
        near, far, reason = [], [], ""
        ids = self._ids(request)
        unknown = [engine for engine in ids if engine not in self._hosts]
        if unknown:  # an error as a rule, and then no engine is to get anything
            return [], ids, f"engine {unknown[0]} is not known"
        for engine in ids:
            known = self._known_of(engine)
            if known.nonce is not None:
                near.append(engine)
            else:
                far.append(engine)
                reason = known.reason
        return near, far, reason

    def _ids(self, request: Request) -> list[int]:
        """The ids of its targets."""
        return pick(sorted(self._hosts), "all" if request.targets is None else request.targets)

    def _known_of(self, engine: int) -> _Known:
        return self._known.get(self._hosts.get(engine, ()), _FAR)

    def _written(self, request: Request, receivers: int) -> Memory:
        _, bodies = join(request.values or ())
        if len(bodies) > MAX_PLACES:
            raise Unavailable(f"it has {len(bodies)} parts")
        # A snapshot, as several threads may be here. A request that never left has not closed its memory, but dropped it.
        waiting = self._waiting = [each for each in self._waiting if (memory := each()) and not memory.is_closed]
        if len(waiting) >= MAX_WAITING:
            raise Unavailable(f"{len(waiting)} values in memory wait for engines already")
        if self._pool is not None and receivers == 1:
            written = self._pool.with_bodies(bodies)
        else:
            written = Memory.of_bodies(bodies)
        waiting.append(weakref.ref(written))
        return written

    # -- what comes back ---------------------------------------------------------------------------------

    def _asking(self, request: Request) -> Request:
        """The request, which says which agents may leave its outcome in memory."""
        nonces = [] if self._off else [known.nonce for known in self._known.values() if known.nonce is not None]
        if nonces and request.verb in _FETCHES:
            request.answer_in = [self._least, *nonces]
        return request

    def _joined(self, request: Request, parts: Sequence[Request], answers: Iterator[Answer]) -> Answer:
        """The answer to a request that was sent in these parts, in the order of its targets."""
        came = [next(answers) for _ in parts]
        if len(came) == 1:
            return came[0]
        failed = [answer for answer in came if answer.whole is not None and not answer.whole.fields["ok"]]
        if failed:
            return failed[0]
        # An engine is a target of one of the parts, of that perhaps several times.
        of_engine: dict[int, Iterator[Message]] = {}
        for part, answer in zip(parts, came, strict=True):
            of_engine |= dict.fromkeys(self._ids(part), iter(answer.replies))
        return Answer([next(of_engine[engine]) for engine in self._ids(request)])

    def _note_answer(self, request: Request, answer: Answer) -> None:
        for reply in answer.replies:
            engine = reply.fields.get("engine")
            bodies: list[Any] = reply.bodies  # of which none is a stream any more
            size = sum(memoryview(body).nbytes for body in bodies)
            if reply.fields.get("values") is None or engine is None or size < self._least:
                continue
            if reply.fields.get("memory") is not None:
                self._note(Transfer(request.name, "from", (engine,), size, "memory"))
            else:
                reason = self._off or self._known_of(engine).reason or "its host had no memory for it"
                self._note(Transfer(request.name, "from", (engine,), size, "stream", reason))

    def _note(self, transfer: Transfer) -> None:
        self._transfers.append(transfer)
        self.log.debug("{transfer}", transfer=transfer)

    # -- who sees whose memory ---------------------------------------------------------------------------

    def hosts_changed(self) -> None:
        """Engines have come or gone, or there is another controller."""
        self._changes += 1

    def _look_around(self) -> Steps[None]:
        """Ask where the engines are, and those agents of this host of which it is not known whether we share memory."""
        if self._seen == self._changes and (self._look_again is None or time.monotonic() < self._look_again):
            return
        seen = self._changes
        listed = yield from ask_controller(Request("engine_hosts", quick=True))
        hosts = {engine: host for *process, ids in listed for host in [tuple(process)] for engine in ids}
        here = (socket.gethostname(), boot_id(), namespace())
        lasting = [host for host, known in self._known.items() if host in hosts.values() and not known.passing]
        self._known = {host: self._known[host] for host in lasting}
        for engine, host in hosts.items():
            if host not in self._known and host[:3] == here and all(here):
                self._known[host] = yield from self._meet(engine)
                self._log_met(engine, self._known[host])
        self._hosts, self._seen = hosts, seen
        passing = any(known.passing for known in self._known.values())
        self._look_again = time.monotonic() + LOOK_AGAIN if passing else None

    def _meet(self, engine: int) -> Steps[_Known]:
        """Find out whether the agent of an engine sees our memory, and we see the agent's."""
        try:
            if self._own is None:
                self._own = Memory.of_bodies([])
            said = {"memory": self._own.reference.to_plain()}
            meeting = Request("meet", said, [engine], quick=True, timeout=MEET_WITHIN)
            (answer,) = yield [meeting]
            (theirs,) = values_of(outcomes(meeting, answer), "meet")
            if theirs is None:
                return _Known(reason="its agent does not see the memory of this process, or shares none")
            Memory.open(Reference.of(theirs)).close()
        except (Unavailable, KernelError, ValueError) as problem:
            return _Known(reason=str(problem), passing=isinstance(problem, CallTimeout))
        return _Known(Reference.of(theirs).nonce)

    def _log_met(self, engine: int, known: _Known) -> None:
        if known.nonce is None:
            self.log.info(
                "large values for engine {engine} go with the connection: {reason}", engine=engine, reason=known.reason
            )


def _why_not() -> str:
    """Why this system cannot share memory; empty if it can."""
    try:
        system.check_supported()
    except Unavailable as problem:
        return str(problem)
    return ""


_FAR = _Known(reason="it is on another host, or in another container")
_SENDS = ("push", "push_function", "apply")
_FETCHES = ("pull", "pull_function", "apply")
