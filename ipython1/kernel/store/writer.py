"""How batches get to the store's thread, and what it says of them gets back.

Everything that is put while batches are being written is the next one.  All state here is the reactor's thread's; the
other thread has what it was handed, and gives it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.error import StoreError
from ipython1.kernel.store.batch import Batch
from ipython1.kernel.store.keeper import Keeper
from ipython1.kernel.store.worker import Worker

FIRST_RETRY = 0.1
LAST_RETRY = 10.0
SWEEP_EVERY = 60.0
SWEEP_AFTER = 5_000

T = TypeVar("T")


class Writer:
    """What is put into `batch` is written; `put` says that something was.

    `on_sweep` is called when what is old is to be removed after what was put so far.
    """

    log = Logger()

    def __init__(self, keeper: Keeper, where: str, reactor: Any) -> None:
        self.batch = Batch()
        self.on_sweep: Callable[[], None] = lambda: None
        self._keeper = keeper
        self._where = where
        self._reactor = reactor
        self._worker = Worker(reactor, "store")
        # What is to be written next, before the batch; and what the thread has.
        self._next: list[Batch] = []
        self._writing: list[Batch] = []
        self._handed_over = 0  # their sizes together: there may be very many
        self._due: IDelayedCall | None = None
        self._delay = 0.0
        self._reads: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self._ended = 0
        self._swept = 0.0
        self._reported = False
        self._open = False
        self._closing: Deferred[None] | None = None

    @property
    def backlog(self) -> int:
        """Bytes that wait to be stored."""
        return self.batch.size + self._handed_over

    def open(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Start the thread, with this; it ends if that fails."""
        self._worker.start()

        def opened(answer: T) -> T:
            self._open = True
            self._swept = time.monotonic()
            return answer

        def refused(failure: Failure) -> Failure:
            self._worker.stop()
            return failure

        return self._worker.do(function, *arguments).addCallbacks(opened, refused)

    def close(self) -> Deferred[None]:
        """See `Store`."""
        if self._closing is None:
            self._closing = Deferred()
            if not self._open:
                self._closing.callback(None)
            elif not self._writing:
                self._hand_over()
        # Each caller has one of its own.
        waiting: Deferred[None] = Deferred()
        self._closing.addCallback(lambda none: waiting.callback(None))
        return waiting

    def settled(self) -> Deferred[None]:
        """See `Store`."""
        last = self.batch
        if last.empty:
            batches = self._next or self._writing
            if not batches:
                return succeed(None)
            last = batches[-1]
        promise: Deferred[None] = Deferred()
        last.promises.append(promise)
        return promise

    # What is put.

    def submitted(self, size: int) -> Deferred[None]:
        """What may be refused is in the batch; fires when it is stored."""
        done: Deferred[None] = Deferred()
        self.batch.submissions.append(done)
        self.batch.refusable += size
        self.put(size)
        return done

    def put(self, size: int = 0) -> None:
        """Something is in the batch: have it written at the end of this turn, or after what is being written."""
        self.batch.size += size
        if self._due is None and not self._writing:
            self._due = self._reactor.callLater(0, self._hand_over)

    def next_batch(self) -> None:
        """Have what is put from now on written after what is in the batch."""
        self._next.append(self.batch)
        self._handed_over += self.batch.size
        self.batch = Batch()

    def _hand_over(self) -> None:
        """Give the thread all that there is to write, and then to read."""
        if not self._open:
            self._give_up()
            return
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = None
        if not self.batch.empty:
            self.next_batch()
        if self._next:
            self._writing, self._next = self._next, []
            writing = self._worker.do(self._keeper.write, self._writing)
            writing.addCallbacks(self._written, self._not_written).addErrback(self._broken)
            if self._ended >= SWEEP_AFTER or (self._ended and time.monotonic() - self._swept > SWEEP_EVERY):
                self._sweep()
        reads, self._reads = self._reads, []
        for answer, function, arguments in reads:
            self._worker.do(function, *arguments).chainDeferred(answer)
        if self._closing is not None and not self._writing:
            self._leave()

    def _written(self, none: None) -> None:
        batches, self._writing = self._writing, []
        self._handed_over -= sum(batch.size for batch in batches)
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
        self._next = [*batches, *self._next]
        self._handed_over = sum(batch.size for batch in self._next)
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
        if self._next or self._reads or not self.batch.empty or self._closing is not None:
            self._hand_over()

    def _broken(self, failure: Failure) -> None:
        self.log.failure("while telling what was stored", failure)

    def read(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Have the thread call this after all that was put before; fires with what it returns."""
        if not self._open:
            return fail(self._closed())
        answer: Deferred[Any] = Deferred()
        self._reads.append((answer, function, arguments))
        if self._writing:
            return answer
        self._hand_over()
        return answer

    # Retention.

    def has_ended(self) -> None:
        """One more has ended, and will be old one day."""
        self._ended += 1

    def _sweep(self) -> None:
        """Have what is not to be kept removed, after what has just been handed over."""
        self._ended = 0
        self._swept = time.monotonic()
        self.on_sweep()

        def failed(failure: Failure) -> None:
            self._report(f"{failure.value}; nothing old was removed")

        self._worker.do(self._keeper.sweep).addErrback(failed)

    def _report(self, text: str) -> None:
        self.log.error("{text}", text=text)

    # The end.

    def _give_up(self) -> None:
        """Let go, without what could not be stored or was put too late."""
        if not self.batch.empty:
            self.next_batch()
        lost, self._next = self._next, []
        self._handed_over = 0
        size = sum(batch.size for batch in lost)
        self._report(f"{self._where} is left without {size} bytes that could not be stored")
        if self._open:
            self._leave()
        for batch in lost:
            for submission in batch.refuse():
                submission.errback(self._closed())
            for promise in batch.promises:
                promise.callback(None)

    def _leave(self) -> None:
        closing = self._closing
        assert closing is not None
        self._open = False
        self._worker.do(self._keeper.close).addBoth(lambda none: closing.callback(None))
        self._worker.stop()

    def _closed(self) -> StoreError:
        return StoreError(f"{self._where} is closed")
