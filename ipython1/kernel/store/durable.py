"""A store that outlives its controller: it makes rows of what it is told, for the next batch that is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.framing import Bytes, pack
from ipython1.kernel.store.batch import CHANGE_SIZE
from ipython1.kernel.store.database import Database
from ipython1.kernel.store.interface import Outcomes, Store
from ipython1.kernel.store.keeper import Keeper
from ipython1.kernel.store.limits import Retention
from ipython1.kernel.store.packing import (
    FILE_LIMIT,
    NewFile,
    Packer,
    clean,
    command_owner,
    function_owner,
    result_owner,
    task_owner,
)
from ipython1.kernel.store.values import (
    WAITING,
    Document,
    Snapshot,
    StoredCommand,
    StoredEngine,
    StoredFunction,
    StoredOutcome,
    StoredResult,
    StoredSession,
    StoredTask,
)
from ipython1.kernel.store.writer import Writer


class DurableStore(Store):
    """See `Store`."""

    def __init__(self, database: Database, reactor: Any, retention: Retention | None = None) -> None:
        self._keeper = Keeper(database, retention or Retention())
        self._packer = Packer(None if database.folder is None else FILE_LIMIT)
        self._writer = Writer(self._keeper, database.where, reactor)
        # The functions that are stored for certain, or will be before what is put next.
        self._functions: set[str] = set()
        # Those that no task names go with what is old; whoever names one from then on puts it again.
        self._writer.on_sweep = self._functions.clear

    @property
    def backlog(self) -> int:
        """See `Store`."""
        return self._writer.backlog

    def open(self, ended: int = 100_000) -> Deferred[Snapshot]:
        """See `Store`."""

        def opened(found: tuple[str, Snapshot]) -> Snapshot:
            self.house, snapshot = found
            self._functions.update(snapshot.functions)
            return snapshot

        return self._writer.open(self._keeper.open, ended).addCallback(opened)

    def close(self) -> Deferred[None]:
        """See `Store`."""
        return self._writer.close()

    def settled(self) -> Deferred[None]:
        """See `Store`."""
        return self._writer.settled()

    # Tasks.

    def leased(self, next_id: int) -> None:
        """See `Store`."""
        self._writer.batch.next_id = next_id
        self._writer.put(CHANGE_SIZE)

    def function_kept(self, digest: str, document: Document, bodies: Sequence[Bytes]) -> None:
        """See `Store`."""
        if digest not in self._functions:
            packed, files, size = self._packer.pack(function_owner(digest), bodies, document)
            self._functions.add(digest)
            self._writer.batch.functions.append((digest, packed))
            self._writer.batch.files += files
            self._writer.put(size)

    def tasks_submitted(self, tasks: Sequence[StoredTask]) -> Deferred[None]:
        """See `Store`."""
        if self._writer.batch.cleared and any(task.id in self._writer.batch.cleared for task in tasks):
            self._writer.next_batch()
        packed = [self._packed(task) for task in tasks]  # all of them, before anything is put
        return self._writer.submitted(sum(self._put(task, *each) for task, each in zip(tasks, packed, strict=True)))

    def _packed(self, task: StoredTask) -> tuple[bytes, list[NewFile], int]:
        return self._packer.pack(task_owner(task.id), task.bodies, task.document, list(task.functions))

    def _put(self, task: StoredTask, packed: bytes, files: list[NewFile], size: int) -> int:
        """Put the rows of a task into the batch; how many bytes that are."""
        number, batch = task.id, self._writer.batch
        row = (
            number,
            clean(task.session),
            clean(task.name),
            clean(task.label),
            task.submitted,
            size,
            WAITING,
        )
        batch.tasks.append((*row, 0, 0, None, None, None, None))
        batch.payloads.append((number, packed))
        if task.functions:
            batch.uses += [(number, digest) for digest in dict.fromkeys(task.functions)]
        batch.files += files
        return size + CHANGE_SIZE

    def task_assigned(self, task: int, attempt: int, step: int, engine: int) -> None:
        """See `Store`."""
        self._writer.batch.assigned(task, attempt, step, engine)
        self._writer.put()

    def task_began(self, task: int, attempt: int, when: float) -> None:
        """See `Store`."""
        self._writer.batch.task_began(task, attempt, when)
        self._writer.put()

    def task_waits(self, task: int, progress: Document) -> None:
        """See `Store`."""
        self._writer.batch.waits(task, pack(progress))
        self._writer.put()

    def task_ended(self, task: int, result: StoredResult) -> None:
        """See `Store`."""
        record = result.record
        packed, files, size = self._packer.pack(result_owner(task), result.bodies, record, result.fields)
        completed = record.get("completed")
        if completed is None:
            completed = time.time()
        ended = (result.outcome, record.get("engine"), record.get("started"), completed, size, task)
        if self._writer.batch.task_ended(task, ended, (task, packed)):
            self._writer.batch.files += files
            self._writer.put(size)
            self._writer.has_ended()

    def tasks_cleared(self, tasks: Sequence[int]) -> None:
        """See `Store`."""
        self._writer.batch.cleared.update(dict.fromkeys(tasks))
        self._writer.put(CHANGE_SIZE * len(tasks))

    # Engines, commands, sessions.

    def session_seen(self, session: StoredSession) -> None:
        """See `Store`."""
        key = clean(session.key)
        before = self._writer.batch.sessions.get(key)
        first = session.first_seen if before is None else before[-2]
        self._writer.batch.sessions[key] = (
            key,
            clean(session.role),
            clean(session.name),
            clean(session.host),
            session.pid,
            clean(session.user),
            first,
            session.last_seen,
        )
        self._writer.put(CHANGE_SIZE)

    def engine_registered(self, engine: StoredEngine) -> None:
        """See `Store`."""
        row = (engine.id, clean(engine.agent), engine.place, pack(engine.document))
        self._writer.batch.engines[engine.id] = row
        self._writer.put(CHANGE_SIZE)

    def engine_gone(self, engine: int) -> None:
        """See `Store`."""
        self._writer.batch.engines[engine] = None
        self._writer.put(CHANGE_SIZE)

    def command_submitted(self, command: StoredCommand) -> Deferred[None]:
        """See `Store`."""
        document = pack(command.document)
        size = len(document)
        key = (clean(command.session), command.number, command.engine)
        row = (*key, clean(command.verb), clean(command.label), command.submitted, size)
        self._writer.batch.commands.append((*row, None, None, None, document, None))
        return self._writer.submitted(size + CHANGE_SIZE)

    def command_ended(self, session: str, number: int, engine: int, outcome: StoredOutcome) -> None:
        """See `Store`."""
        key = (clean(session), number, engine)
        packed, files, size = self._packer.pack(command_owner(*key), outcome.bodies, outcome.fields)
        row = (outcome.ok, outcome.started, outcome.completed, packed, size, *key)
        self._writer.batch.outcomes.setdefault(key, row)
        self._writer.batch.files += files
        self._writer.put(size)
        self._writer.has_ended()

    # Reads.

    def task(self, task: int) -> Deferred[StoredTask | None]:
        """See `Store`."""
        return self._writer.read(self._keeper.task, task)

    def function(self, digest: str) -> Deferred[StoredFunction | None]:
        """See `Store`."""
        return self._writer.read(self._keeper.function, digest)

    def result(self, task: int) -> Deferred[StoredResult | None]:
        """See `Store`."""
        return self._writer.read(self._keeper.result, task)

    def command_outcomes(self, session: str, numbers: Sequence[int]) -> Deferred[Outcomes]:
        """See `Store`."""
        return self._writer.read(self._keeper.command_outcomes, clean(session), list(numbers))

    def tasks_of(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """See `Store`."""
        return self._writer.read(self._keeper.tasks_of, query)

    def history(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """See `Store`."""
        return self._writer.read(self._keeper.history, query)
