"""Commands of MultiEngine after a restart of the controller: those that clients send again, and those that engines have.

A client sends again what was not answered.  Of each such command and engine, one of these holds: it came to something,
which is stored, and is told again; the engine's agent has it, or its outcome, and said so when it came back; or the
engine has never had it, and is sent it now.  To tell which, the command waits until the agents of its engines are
here, or are not awaited any more.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.command_journal import CommandJournal, Known
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


@dataclass(eq=False)
class _Waiting:
    """A command in its client's line; `message` is there when it is whole, `known` when the store was asked."""

    client: ClientSession
    command: CommandId
    message: Message | None = None
    problem: Exception | None = None
    known: Known | None = None


@dataclass
class _Line:
    """The commands of one client that wait, and whether what it knows of the first one is being fetched."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    asking: bool = False


Perform = Callable[[ClientSession, Message, Known], None]
Refuse = Callable[[ClientSession, Message, Exception], None]


class Again:
    """The lines of clients whose commands have to wait; `perform` carries one out, in the order of their client."""

    log = Logger()

    def __init__(self, engines: Engines, journal: CommandJournal, perform: Perform, refuse: Refuse) -> None:
        self._engines = engines
        self._journal = journal
        self._perform = perform
        self._refuse = refuse
        self._lines: dict[ClientSession, _Line] = {}
        self._orphans: OrderedDict[tuple[CommandId, int], Orphan] = OrderedDict()
        observers = engines.observers
        observers.on_change_engine_do(self._go_on, False)
        observers.on_unregister_engine_do(self._go_on, False)

    # What engines have.

    def adopt(self, held: Held, engine: int) -> Entry:
        """The entry of a command that an engine has."""
        orphan = Orphan(self._journal)
        self._orphans[held.id, engine] = orphan
        if len(self._orphans) > MAX_ORPHANS:
            self._orphans.popitem(last=False)
        self._journal.submitted(held.id, engine, held.verb, held.label)
        return held.entry(orphan)

    def orphan(self, command: CommandId, engine: int) -> Orphan | None:
        """The same command, if an engine has it and nobody has claimed it."""
        return self._orphans.pop((command, engine), None)

    # What clients send.

    def takes(self, client: ClientSession, message: Message) -> bool:
        """Whether a command has to wait; then it is taken, and carried out later."""
        again = bool(message.fields.get("again")) and self._journal.keeps
        if client not in self._lines and not again and not self._engines.awaited():
            return False
        session, number = message.fields["id"]
        waiting = _Waiting(client, (session, number), known=None if again else {})
        line = self._lines.setdefault(client, _Line())
        line.waiting.append(waiting)
        if message.streams():

            def collected(whole: Message) -> None:
                waiting.message = whole
                self._advance(client)

            def broken(failure: Failure) -> None:
                waiting.message = message
                waiting.problem = ConnectionError(f"the command did not arrive: {failure.getErrorMessage()}")
                self._advance(client)

            collecting = client.link.collect(message).addCallbacks(collected, broken)
            collecting.addErrback(lambda failure: self.log.failure("while taking a command", failure))
        else:
            waiting.message = message
            self._advance(client)
        return True

    def client_left(self, client: ClientSession) -> None:
        """What a client has not sent again goes on without it."""
        self._lines.pop(client, None)

    def _go_on(self) -> None:
        for client in list(self._lines):
            self._advance(client)

    def _advance(self, client: ClientSession) -> None:
        line = self._lines.get(client)
        while line is not None and line.waiting and not line.asking:
            first = line.waiting[0]
            if first.message is None:
                return
            if first.problem is None and first.known is None:
                line.asking = True
                self._journal.known(first.command).addBoth(self._answered, first, line)
                continue
            known = first.known or {}
            if first.problem is None and self._must_wait(first.message, known):
                return
            line.waiting.popleft()
            if not line.waiting:
                del self._lines[client]
                line = None
            if first.problem is not None:
                self._refuse(client, first.message, first.problem)
            else:
                self._perform(client, first.message, known)

    def _answered(self, outcome: Any, waiting: _Waiting, line: _Line) -> None:
        line.asking = False
        if isinstance(outcome, Failure):
            waiting.problem = outcome.value if isinstance(outcome.value, KernelError) else KernelError(str(outcome.value))
        else:
            waiting.known = outcome
        self._advance(waiting.client)

    def _must_wait(self, message: Message, known: Mapping[int, Any]) -> bool:
        """Whether an engine that it is for is awaited."""
        awaited = set(self._engines.awaited())
        if known:
            # A large outcome is not stored: its agent has it.
            return any(
                engine in awaited and (outcome is None or outcome.fields["large"])
                for engine, outcome in known.items()
            )
        targets = message.fields.get("targets")
        return bool(awaited) and (not isinstance(targets, list) or bool(awaited.intersection(_numbers(targets))))


def _numbers(targets: list[Any]) -> list[int]:
    return [target for target in targets if type(target) is int]
