"""Commands of MultiEngine after a restart of the controller: those that clients send again, and those that engines have.

A client sends again what was not answered.  Of each such command and engine, one of these holds: it came to something,
which is stored, and is told again; the engine's agent has it, or its outcome, and said so when it came back; or the
engine has never had it, and is sent it now.  To tell which, the command waits until the agents of its engines are
here, or are not awaited any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.arrivals import Arrivals
from ipython1.kernel.controller.calls import Call
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.command_journal import NOTHING, CommandJournal, Known
from ipython1.kernel.controller.engines import Engines, Held
from ipython1.kernel.controller.queue import Entry, Owner
from ipython1.kernel.error import ConnectionError, IPythonError, KernelError
from ipython1.kernel.framing import Message
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link

MAX_ORPHANS = 10_000
"""Of so many commands that engines have it is remembered what they came to, until their clients ask again."""


class Orphan:
    """The owner of a command that an engine has of an earlier controller, until its client sends it again."""

    log = Logger()

    def __init__(self, journal: CommandJournal) -> None:
        self._journal = journal
        self._owner: Owner | None = None
        self._tell: Callable[[Owner], None] | None = None

    def claim(self, owner: Owner) -> None:
        """The command has come again: `owner` is told what it comes to."""
        self._owner = owner
        if self._tell is not None:
            self._tell(owner)

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`."""
        if self._owner is not None:
            self._owner.answered(entry, engine, reply, link)
            return

        def collected(whole: Message) -> None:
            large = bool(reply.streams())
            bodies: Any = None if large else whole.bodies
            self._journal.ended(entry.id, {**whole.fields, "engine": engine}, bodies)
            self._over(lambda owner: owner.answered(entry, engine, whole, link))

        def broken(failure: Failure) -> None:
            error = ConnectionError(f"the outcome of {entry.label} broke off: {failure.getErrorMessage()}")
            self._over(lambda owner: owner.failed(entry, engine, error))

        collecting = link.collect(reply).addCallbacks(collected, broken)
        collecting.addErrback(lambda failure: self.log.failure("while taking an outcome", failure))

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`."""
        self._over(lambda owner: owner.failed(entry, engine, error))

    def _over(self, tell: Callable[[Owner], None]) -> None:
        self._tell = tell
        if self._owner is not None:
            tell(self._owner)


Perform = Callable[[Call, Message, Known], None]


class Again:
    """The lines of clients whose commands have to wait; `perform` carries one out, in the order of their client."""

    log = Logger()

    def __init__(self, engines: Engines, journal: CommandJournal, perform: Perform) -> None:
        self._engines = engines
        self._journal = journal
        self._perform = perform
        self._lines: dict[ClientSession, Arrivals] = {}
        # Fire when an engine that was awaited is here, or is not awaited any more.
        self._changes: list[Deferred[None]] = []
        self._orphans: OrderedDict[tuple[CommandId, int], Orphan] = OrderedDict()
        observers = engines.observers
        observers.on_change_engine_do(self._changed, False)
        observers.on_unregister_engine_do(self._changed, False)

    # What engines have.

    def adopt(self, held: Held, engine: int) -> Entry:
        """The entry of a command that an engine has."""
        orphan = Orphan(self._journal)
        self._orphans[held.id, engine] = orphan
        if len(self._orphans) > MAX_ORPHANS:
            self._orphans.popitem(last=False)
        entry = held.entry(orphan)
        self._journal.submitted(engine, entry)
        return entry

    def orphan(self, command: CommandId, engine: int) -> Orphan | None:
        """The same command, if an engine has it and nobody has claimed it."""
        return self._orphans.pop((command, engine), None)

    # What clients send.

    def takes(self, call: Call, message: Message) -> bool:
        """Whether a command has to wait; then it is taken, and carried out later."""
        line = self._lines.get(call.client)
        if line is None or line.is_idle:
            if not self._is_again(message) and not self._engines.awaited:
                self._lines.pop(call.client, None)
                return False
            line = self._lines[call.client] = Arrivals(self._take, "the command")
        line.came(call, message)
        return True

    def _is_again(self, message: Message) -> bool:
        return bool(message.fields.get("again")) and self._journal.keeps

    def client_left(self, client: ClientSession) -> None:
        """What of a client has not been carried out is not going to be."""
        self._lines.pop(client, None)

    def _take(self, call: Call, message: Message) -> Deferred[None]:
        return Deferred.fromCoroutine(self._carry_out(call, message)).addErrback(self._refused, call)

    async def _carry_out(self, call: Call, message: Message) -> None:
        known = await self._known(call, message)
        while not call.client.lost and self._must_wait(message, known):
            self._changes.append(Deferred())
            await self._changes[-1]
            # An agent that is here now may have brought it.
            known = await self._known(call, message)
        if not call.client.lost:
            self._perform(call, message, known)

    async def _known(self, call: Call, message: Message) -> Known:
        return await self._journal.known(call.id) if self._is_again(message) else NOTHING

    def _refused(self, failure: Failure, call: Call) -> None:
        problem = failure.value
        call.whole_failed(problem if isinstance(problem, KernelError) else KernelError(str(problem)))

    def _changed(self) -> None:
        changes, self._changes = self._changes, []
        for change in changes:
            change.callback(None)

    def _must_wait(self, message: Message, known: Known) -> bool:
        """Whether an engine that it is for is awaited."""
        asked = message.fields.get("targets")
        targets = known.targets(asked)
        if targets is None:
            targets = asked if isinstance(asked, list) else [*self._engines.awaited]
        return any(type(engine) is int and self._is_awaited(engine, known) for engine in targets)

    def _is_awaited(self, engine: int, known: Known) -> bool:
        # A large outcome is not stored: its agent has it.
        outcome = known.outcomes.get(engine)
        return engine in self._engines.awaited and (outcome is None or bool(outcome.fields["large"]))
