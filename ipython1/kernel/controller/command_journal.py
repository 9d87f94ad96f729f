"""The commands of MultiEngine as they are stored: what each came to, so that it is never carried out twice."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.calls import Sink
from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.error import StoreError
from ipython1.kernel.framing import Bytes, Message
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link
from ipython1.kernel.runs import from_runs
from ipython1.kernel.store.interface import Outcomes, Store
from ipython1.kernel.store.values import StoredCommand, StoredOutcome
from ipython1.kernel.stream import THRESHOLD

_TOLD = ("ok", "number", "values", "result", "output", "took")


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a command that has come before.

    `outcomes` are by engine what it came to there; None if it has not ended.  It need not be stored of all of its engines.
    `among` are these, if the client did not name them.
    """

    outcomes: Mapping[int, StoredOutcome | None]
    among: list[int] | None = None

    def targets(self, asked: Any) -> list[int] | None:
        """The engines that `asked` was at the time; None if the command has come to none."""
        if not self.outcomes:
            return None
        if isinstance(asked, list):
            return asked
        return sorted(self.outcomes) if self.among is None else self.among


NOTHING = Known({})
"""Of a command that has not come before."""


class CommandJournal:
    """Writes and reads what is stored of commands."""

    log = Logger()

    def __init__(self, store: Store) -> None:
        self._store = store
        self.keeps = store.house != ""
        """Whether what is written can be read again."""

    def submitted(self, engine: int, entry: Entry) -> None:
        """A command is put into the queue of an engine."""
        session, number = entry.id
        document = {} if entry.among is None else {"among": entry.among}
        stored = StoredCommand(session, number, engine, entry.verb, entry.label, time.time(), document)
        # Without it the command is carried out all the same; the store says that it is full.
        self._store.command_submitted(stored).addErrback(self._not_stored)

    def _not_stored(self, failure: Failure) -> None:
        if failure.check(StoreError) is None:
            self.log.failure("while storing a command", failure)

    def ended(self, command: CommandId, fields: Mapping[str, Any], bodies: Sequence[Bytes] | None) -> None:
        """What it came to at one of its targets; `bodies` are None if they are too large to be stored."""
        session, number = command
        said = {name: fields[name] for name in _TOLD if fields.get(name) is not None}
        said["large"] = bodies is None
        outcome = StoredOutcome(fields["ok"], None, time.time(), said, list(bodies or ()))
        self._store.command_ended(session, number, fields["engine"], outcome)

    def known(self, command: CommandId) -> Deferred[Known]:
        """What is stored of a command; StoreError if it cannot be read."""
        session, number = command
        return self._store.command_outcomes(session, [number]).addCallback(_known)

    def recorded(self, command: CommandId, sink: Sink) -> Sink:
        """A sink that stores what comes to `sink` for the command."""
        return Recorded(self, command, sink) if self.keeps else sink


def _known(found: Outcomes) -> Known:
    among = next((document["among"] for document, _ in found.values() if "among" in document), None)
    outcomes = {engine: outcome for (_, engine), (_, outcome) in found.items()}
    return Known(outcomes, None if among is None else from_runs(among))


class Recorded:
    """A sink between a call and another one: what comes is stored."""

    def __init__(self, journal: CommandJournal, command: CommandId, sink: Sink) -> None:
        self._journal = journal
        self._command = command
        self._sink = sink

    def put(self, fields: dict[str, Any], bodies: Sequence[Bytes]) -> None:
        """See `calls.Sink`."""
        if fields.get("index") is not None:
            small = sum(map(len, bodies)) <= THRESHOLD
            self._journal.ended(self._command, fields, bodies if small else None)
        self._sink.put(fields, bodies)

    def pass_on(self, fields: dict[str, Any], reply: Message, link: Link) -> None:
        """See `calls.Sink`."""
        bodies: Any = reply.bodies
        small = not reply.streams() and not fields.get("memory") and sum(map(len, bodies)) <= THRESHOLD
        self._journal.ended(self._command, fields, bodies if small else None)
        self._sink.pass_on(fields, reply, link)
