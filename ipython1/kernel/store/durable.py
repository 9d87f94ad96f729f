"""A store that outlives its controller: the reactor's side of it.

Everything that is put while a batch is being written is the next batch.  All state here is the reactor's thread's; the
other thread has what it was handed, and gives it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.framing import Bytes, pack
from ipython1.kernel.store.batch import CHANGE_SIZE, Batch
from ipython1.kernel.store.database import Database
from ipython1.kernel.store.interface import Outcomes, Store
from ipython1.kernel.store.keeper import Keeper
from ipython1.kernel.store.limits import Retention
from ipython1.kernel.store.packing import (
    FILE_LIMIT,
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
from ipython1.kernel.store.worker import Worker

FIRST_RETRY = 0.1
LAST_RETRY = 10.0
_SWEEP_EVERY = 60.0
_SWEEP_AFTER = 5_000


class DurableStore(Store):
    """See `Store`."""

    log = Logger()

    def __init__(self, database: Database, reactor: Any, retention: Retention | None = None) -> None:
        self._reactor = reactor
        self._keeper = Keeper(database, retention or Retention())
        self._where = database.where
        self._packer = Packer(None if database.folder is None else FILE_LIMIT)
        self._worker = Worker(reactor, "store")
        self._batch = Batch()
        # What is to be written once more, and what the thread has.
        self._again: list[Batch] = []
        self._writing: list[Batch] = []
        self._due: IDelayedCall | None = None
        self._delay = 0.0
        self._reads: list[Callable[[], None]] = []
        self._functions: set[str] = set()
        self._ended = 0
        self._swept = 0.0
        self._reported = False
        self._open = False
        self._closing: Deferred[None] | None = None

    @property
    def backlog(self) -> int:
        """See `Store`."""
        return self._batch.size + sum(batch.size for batch in (*self._again, *self._writing))

    def open(self, ended: int = 100_000) -> Deferred[Snapshot]:
        """See `Store`."""
        self._worker.start()

        def opened(found: tuple[str, Snapshot]) -> Snapshot:
            self.house, snapshot = found
            self._functions.update(snapshot.functions)
            self._open = True
            self._swept = time.monotonic()
            return snapshot

        def refused(failure: Failure) -> Failure:
            self._worker.stop()
            return failure

        return self._worker.do(self._keeper.open, ended).addCallbacks(opened, refused)

    def close(self) -> Deferred[None]:
        """See `Store`."""
        if self._closing is None:
            self._closing = Deferred()
            if not self._open:
                self._closing.callback(None)
            elif not self._writing:
                self._hand_over()
        waiting: Deferred[None] = Deferred()
        # Each caller has one of its own.
        self._closing.addCallback(lambda none: waiting.callback(None))
        return waiting

    def settled(self) -> Deferred[None]:
        """See `Store`."""
        last = self._batch
        if last.empty:
            batches = self._again or self._writing
            if not batches:
                return succeed(None)
            last = batches[-1]
        promise: Deferred[None] = Deferred()
        last.promises.append(promise)
        return promise

    # Tasks.

    def leased(self, next_id: int) -> None:
        """See `Store`."""
        self._batch.next_id = next_id
        self._put(CHANGE_SIZE)

    def function_kept(self, digest: str, document: Document, bodies: Sequence[Bytes]) -> None:
        """See `Store`."""
        if digest not in self._functions:
            packed, files, size = self._packer.pack(function_owner(digest), bodies, document)
            self._functions.add(digest)
            self._batch.functions.append((digest, packed))
            self._batch.files += files
            self._put(size)

    def task_submitted(self, task: StoredTask) -> Deferred[None]:
        """See `Store`."""
        number = task.id
        packed, files, size = self._packer.pack(
            task_owner(number), task.bodies, task.document, list(task.functions)
        )
        if number in self._batch.cleared:
            self._next_batch()
        batch = self._batch
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
        return self._submitted(batch, size + CHANGE_SIZE)

    def task_assigned(self, task: int, attempt: int, step: int, engine: int) -> None:
        """See `Store`."""
        self._batch.assigned(task, attempt, step, engine)
        self._put()

    def task_began(self, task: int, attempt: int, when: float) -> None:
        """See `Store`."""
        self._batch.task_began(task, attempt, when)
        self._put()

    def task_waits(self, task: int, progress: Document) -> None:
        """See `Store`."""
        self._batch.waits(task, pack(progress))
        self._put()

    def task_ended(self, task: int, result: StoredResult) -> None:
        """See `Store`."""
        record = result.record
        packed, files, size = self._packer.pack(result_owner(task), result.bodies, record, result.fields)
        completed = record.get("completed")
        if completed is None:
            completed = time.time()
        ended = (result.outcome, record.get("engine"), record.get("started"), completed, size, task)
        if self._batch.task_ended(task, ended, (task, packed)):
            self._batch.files += files
            self._put(size)
            self._has_ended()

    def tasks_cleared(self, tasks: Sequence[int]) -> None:
        """See `Store`."""
        self._batch.cleared.update(dict.fromkeys(tasks))
        self._put(CHANGE_SIZE * len(tasks))

    # Engines, commands, sessions.

    def session_seen(self, session: StoredSession) -> None:
        """See `Store`."""
        key = clean(session.key)
        before = self._batch.sessions.get(key)
        first = session.first_seen if before is None else before[-2]
        self._batch.sessions[key] = (
            key,
            clean(session.role),
            clean(session.name),
            clean(session.host),
            session.pid,
            clean(session.user),
            first,
            session.last_seen,
        )
        self._put(CHANGE_SIZE)

    def engine_registered(self, engine: StoredEngine) -> None:
        """See `Store`."""
        row = (engine.id, clean(engine.agent), engine.place, pack(engine.document))
        self._batch.engines[engine.id] = row
        self._put(CHANGE_SIZE)

    def engine_gone(self, engine: int) -> None:
        """See `Store`."""
        self._batch.engines[engine] = None
        self._put(CHANGE_SIZE)

    def command_submitted(self, command: StoredCommand) -> Deferred[None]:
        """See `Store`."""
        document = pack(command.document)
        size = len(document)
        key = (clean(command.session), command.number, command.engine)
        row = (*key, clean(command.verb), clean(command.label), command.submitted, size)
        self._batch.commands.append((*row, None, None, None, document, None))
        return self._submitted(self._batch, size + CHANGE_SIZE)

    def command_ended(self, session: str, number: int, engine: int, outcome: StoredOutcome) -> None:
        """See `Store`."""
        key = (clean(session), number, engine)
        packed, files, size = self._packer.pack(command_owner(*key), outcome.bodies, outcome.fields)
        row = (outcome.ok, outcome.started, outcome.completed, packed, size, *key)
        self._batch.outcomes.setdefault(key, row)
        self._batch.files += files
        self._put(size)
        self._has_ended()

    # Reads.

    def task(self, task: int) -> Deferred[StoredTask | None]:
        """See `Store`."""
        return self._read(self._keeper.task, task)

    def function(self, digest: str) -> Deferred[StoredFunction | None]:
        """See `Store`."""
        return self._read(self._keeper.function, digest)

    def result(self, task: int) -> Deferred[StoredResult | None]:
        """See `Store`."""
        return self._read(self._keeper.result, task)

    def command_outcomes(self, session: str, numbers: Sequence[int]) -> Deferred[Outcomes]:
        """See `Store`."""
        return self._read(self._keeper.command_outcomes, clean(session), list(numbers))

    def tasks_of(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """See `Store`."""
        return self._read(self._keeper.tasks_of, query)

    def history(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """See `Store`."""
        return self._read(self._keeper.history, query)

    # How it gets to the other thread.

    def _submitted(self, batch: Batch, size: int) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        batch.submissions.append(done)
        batch.refusable += size
        self._put(size)
        return done

    def _put(self, size: int = 0) -> None:
        """Something is in the batch: have it written at the end of this turn, or after what is being written."""
        self._batch.size += size
        if self._due is None and not self._writing:
            self._due = self._reactor.callLater(0, self._hand_over)

    def _next_batch(self) -> None:
        self._again.append(self._batch)
        self._batch = Batch()

    def _hand_over(self) -> None:
        """Give the thread all that there is to write, and then to read."""
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = None
        if not self._batch.empty:
            self._next_batch()
        if self._again:
            self._writing, self._again = self._again, []
            writing = self._worker.do(self._keeper.write, self._writing)
            writing.addCallbacks(self._written, self._not_written).addErrback(self._broken)
            if self._ended >= _SWEEP_AFTER or (self._ended and time.monotonic() - self._swept > _SWEEP_EVERY):
                self._sweep()
        reads, self._reads = self._reads, []
        for read in reads:
            read()
        if self._closing is not None and not self._writing:
            self._leave()

    def _written(self, none: None) -> None:
        batches, self._writing = self._writing, []
        self._delay = 0.0
        submitted = any(batch.submissions for batch in batches)
        if self._reported and submitted:
            self._reported = False
            self.log.info("{where}: all is stored again", where=self._where)
        self._go_on()
        for batch in batches:
            for promise in (*batch.submissions, *batch.promises):
                promise.callback(None)

    def _not_written(self, failure: Failure) -> None:
        """Refuse what was submitted; try the rest again, at once if something was refused, else after a while."""
        batches, self._writing = self._writing, []
        problem = failure.value
        if not self._reported:
            self._reported = True
            self._report(f"{problem}; what must be stored is tried again")
        refused = [promise for batch in batches for promise in batch.refuse()]
        self._again = [*batches, *self._again]
        if refused:
            self._hand_over()
        elif self._closing is not None:
            self._give_up()
        else:
            self._delay = min(self._delay * 2 or FIRST_RETRY, LAST_RETRY)
            self._due = self._reactor.callLater(self._delay, self._hand_over)
        for promise in refused:
            promise.errback(problem)

    def _go_on(self) -> None:
        if self._again or self._reads or not self._batch.empty or self._closing is not None:
            self._hand_over()

    def _broken(self, failure: Failure) -> None:
        self.log.failure("while telling what was stored", failure)

    def _read(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self._reads.append(lambda: self._worker.do(function, *arguments).chainDeferred(answer))
        if self._writing:
            return answer
        self._hand_over()
        return answer

    # Retention.

    def _has_ended(self) -> None:
        self._ended += 1

    def _sweep(self) -> None:
        """Have what is not to be kept removed, after what has just been handed over."""
        self._ended = 0
        self._swept = time.monotonic()
        # Functions that no task names go; whoever names one from now on puts it again.
        self._functions.clear()

        def failed(failure: Failure) -> None:
            self._report(f"{failure.value}; nothing old was removed")

        self._worker.do(self._keeper.sweep).addErrback(failed)

    def _report(self, text: str) -> None:
        self.log.error("{text}", text=text)

    # The end.

    def _give_up(self) -> None:
        lost, self._again = self._again, []
        size = sum(batch.size for batch in lost)
        self._report(f"{self._where} is left without {size} bytes that could not be stored")
        self._leave()
        for batch in lost:
            for promise in batch.promises:
                promise.callback(None)

    def _leave(self) -> None:
        closing = self._closing
        assert closing is not None
        self._open = False
        self._worker.do(self._keeper.close).addBoth(lambda none: closing.callback(None))
        self._worker.stop()
