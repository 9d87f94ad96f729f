"""`PendingResult`: what a call that does not block returns."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.core.references import reduce_result
from ipython1.kernel.client.awaiting import interruptible
from ipython1.kernel.client.interrupted import all_stopped, as_interrupted, stopped
from ipython1.kernel.client.late_future import LateFuture
from ipython1.kernel.client.live import Feed, is_wanted
from ipython1.kernel.client.parts import Parts
from ipython1.kernel.client.patient import SafeFuture
from ipython1.kernel.client.progress import Choice, Meter
from ipython1.kernel.client.reactor import reactor_thread
from ipython1.kernel.client.waiting import Wait
from ipython1.kernel.client.worker import callbacks_worker, results_worker
from ipython1.kernel.error import (
    AbortedPendingDeferredError,
    CallInterrupted,
    CallTimeout,
    ClientError,
    CompositeError,
    InvalidDeferredID,
    KernelError,
    ResultNotCompleted,
)
from ipython1.kernel.framing import Message
from ipython1.kernel.replies import Replies, without_value
from ipython1.kernel.request import Answer, Request, outcome_of
from ipython1.kernel.results import Result
from ipython1.kernel.taskclient import abandon, outcome_request
from ipython1.kernel.terminal import is_watched, show_briefly

AT_ONCE = 0.2
"""Seconds after which who waits with a bar sees it."""

# Is held while something is made that most results do without.
_making = threading.Lock()


class PendingResult(Parts, LateFuture):
    """The outcome of a call that was made with ``block=False``, when it is there.

    A `concurrent.futures.Future`: `result`, `exception`, `done`, `add_done_callback`, and the functions of
    `concurrent.futures` and `asyncio` work with it; ``await`` gives the result in a program of asyncio, and at IPython's
    prompt.  Iterating gives the values one by one, as they come.  `cancel` aborts what it is of.  Callbacks never run in
    the reactor's thread.
    """

    taskid: int | None = None
    """The id of the task whose outcome it is; None if it is something else's."""

    def __init__(self, client: Any, result_id: str, name: str) -> None:
        super().__init__()
        self.client = client
        self.result_id = result_id
        self.callbacks: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._name = name
        self._flushed = False
        self._fetched = False
        # What the callbacks made of the result, once one of them has run: its value, or what it raised.
        self._chained: Sequence[Any] = ()
        self._chain_error: BaseException | None = None
        self._chain_lock: threading.RLock | None = None
        # What was asked for it last, of which replies come; and whether the values of these are all that it is made of.
        # The outcome of a task comes unasked.
        self._asked: Sequence[Request] = ()
        self._answer: Message | None = None
        self._iterates = False
        self._feed: Feed | None = None
        self._submitted = time.monotonic()
        self._settled: float | None = None

    # -- for users ---------------------------------------------------------------------------------------

    def get_result(self, default: Any = None, block: bool = True) -> Any:
        """The result, after it went through the callbacks; raises what the call or a callback raised.

        If it is not there yet and `block` is false: `default`.
        """
        if not block and not self.done():
            if self._flushed:
                raise self._gone()
            return default
        return self.result()

    @property
    def r(self) -> Any:
        """Short for ``get_result(block=True)``."""
        return self.get_result()

    def abort(self) -> None:
        """Have it end: what runs on engines is interrupted, what waits there is dropped; a task is aborted.

        Returns when that has been done, which may leave code going on that does not heed it: StillRunning then.
        """
        if self.done():
            return
        if self.taskid is not None:
            self.client._perform(abandon([self.taskid]), "abort")
            return
        outcome: Future[Any] = SafeFuture()
        super().add_done_callback(lambda done: outcome.set_result(None))
        stopped(self.client._calls, self._requests, outcome)

    def add_callback(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the result go through ``f(result, *args, **kwargs)``, whose value is the result then.

        Callbacks run one after the other, each on the output of the one before, in the thread that fetches the
        result.  AssertionError if `f` is not callable.
        """
        if not callable(f):
            raise AssertionError(f"a callback must be callable, {f!r:.80} is not")
        with _making:
            # Most results have no callbacks.
            self._chain_lock = self._chain_lock or threading.RLock()
        with self._chain_lock:
            self.callbacks.append((f, args, kwargs))

    def result(self, timeout: float | None = None) -> Any:
        """The result, waiting for it at most `timeout` seconds (CallTimeout); see `get_result`."""
        self._wait(timeout)
        if self._chain_lock is not None:
            with self._chain_lock:
                self._run_callbacks()
                if self._chain_error is not None:
                    raise self._chain_error
                if self._chained:
                    return self._chained[0]
        cancelled = CancelledError(f"{self._name} was cancelled") if self.cancelled() else None
        e = cancelled or super().exception(0)
        if e is None:
            return super().result(0)
        # It is raised each time that it is asked for; where that was before, and how it came here, tells nobody anything.
        show_briefly(e)
        raise e.with_traceback(None) if isinstance(e, KernelError) else e

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise, or None; waits like `result`."""
        self._wait(timeout)
        if self._chain_lock is None:
            return super().exception(0)
        with self._chain_lock:
            self._run_callbacks()
            return self._chain_error or super().exception(0)

    def add_done_callback(self, fn: Callable[[Future[Any]], Any]) -> None:
        """Have ``fn(self)`` called when the result is there, in the callbacks' thread."""
        super().add_done_callback(lambda pending: callbacks_worker.call(fn, pending))

    @property
    def called(self) -> bool:
        """Whether the result is there."""
        return self.done()

    def ready(self) -> bool:
        """Whether the result is there."""
        return self.done()

    def running(self) -> bool:
        """Whether the result is to come."""
        return not self.done()

    def cancel(self) -> bool:
        """Abort what it is of, wherever that is, and wait for it no more: `result` raises CancelledError.

        False if the result is there already.
        """
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        self.set_running_or_notify_cancel()
        self.client._calls.abort(self)
        return True

    @property
    def raised(self) -> bool:
        """Whether the result is there and is an exception."""
        return self.done() and (self.cancelled() or (self._chain_error or super().exception(0)) is not None)

    def __await__(self) -> Generator[Any, Any, Any]:
        """``await``, in a coroutine that a loop of asyncio runs, or Twisted's reactor."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._await_reactor()
        return self._await_loop()

    def _await_loop(self) -> Generator[Any, Any, Any]:
        with interruptible(self):
            return (yield from asyncio.wrap_future(self).__await__())

    def _await_reactor(self) -> Generator[Any, Any, Any]:
        done: Deferred[None] = Deferred()
        Future.add_done_callback(self, lambda _: self.client._calls.reactor.call_soon(done.callback, None))
        yield from done.__await__()
        return self.result()

    def __iter__(self) -> Iterator[Any]:
        """The values of the result one after the other, each as soon as it is there; waits for them.

        What a target raised is raised when it is its turn.
        """
        given = 0
        for request in self._requests if self._iterates and not self.callbacks else ():
            place = 0
            while self._wait_for_part(request, place):
                for value in self._part(request, place):
                    yield value
                    given += 1
                place += 1
            if request.replies is None or request.replies.total != place:
                break
        # What is left when all has come is in the result, or in what says that a part of it has failed.
        try:
            result = self.result()
        except CompositeError as problem:
            if not self._iterates or not problem.results or self.callbacks:
                raise
            result = self._results_or_error(problem.results)
        yield from itertools.islice(iter(result), given, None)

    def _results_or_error(self, parts: Sequence[Any]) -> Iterator[Any]:
        """The values of the parts, until one has failed."""
        joined = self._requests[-1].joined
        for part in parts:
            if isinstance(part, BaseException):
                show_briefly(part)
                raise part
            yield from part if joined else [part]

    def _wait_for_part(self, request: Request, place: int) -> bool:
        """Wait for what comes of a target; False if all has come, or there is no such target."""
        replies = request.replies
        if replies is None or request.memory is not None or self.done():
            return False

        def enough() -> bool:
            return replies.get(place) is not None or (replies.total is not None and place >= replies.total)

        self._run(lambda: Wait([self], self._feeds(), [replies], enough=enough), None)
        message = replies.get(place)
        # What lies in memory is fetched with the whole.
        return not self.done() and message is not None and message.fields.get("memory") is None

    def _part(self, request: Request, place: int) -> Sequence[Any]:
        message = request.replies.get(place) if request.replies is not None else None
        if message is None or message.fields.get("index") is None:
            return self.result()  # type: ignore[no-any-return] # an error of the whole
        found = outcome_of(request, message)
        if found.error is not None:
            show_briefly(found.error)
            raise found.error
        return found.value if request.joined else [found.value]  # type: ignore[no-any-return]

    def __lt__(self, other: Any) -> bool:
        return self.result_id < other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __le__(self, other: Any) -> bool:
        return self.result_id <= other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return self.result_id > other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return self.result_id >= other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        """Among the arguments of a task it stands for the result of the task that it is of."""
        if self.taskid is None:
            raise TypeError(
                f"the result of {self._name} cannot be sent before it was fetched: give its value, .r"
            )
        return reduce_result(self.taskid, self.client)

    def __repr__(self) -> str:
        state = "flushed" if self._flushed else "done" if self.done() else "pending"
        return f"<{type(self).__module__}.{type(self).__qualname__} object at {id(self):#x}: {self._name}, {state}>"

    # -- waiting and callbacks ---------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the result is there, at most `timeout` seconds; tells whether it is.  Raises nothing of it.

        What is printed is shown meanwhile.
        """
        if not self.done():
            self._check_can_wait()
            self._run(lambda: Wait([self], self._feeds()), timeout)
        return self.done()

    def wait_interactive(self, timeout: float | None = None, after: Choice = None) -> bool:
        """As `wait`, with a bar that says how many parts are there.

        It comes at once, or `after` so many seconds, where somebody sees it; after a number of seconds, wherever that is.
        """
        if not self.done():
            self._check_can_wait()
            self._run(lambda: Wait([self], self._feeds(), self._all_replies(), self._meter(after)), timeout)
        return self.done()

    def _meter(self, after: Choice) -> Meter:
        choice = self.client._calls.progress if after is None else after
        choice = AT_ONCE if choice is None and is_watched() else choice
        return Meter(self._name, lambda: (self.progress, self.total), choice)

    def _run(self, wait: Callable[[], Wait], timeout: float | None) -> None:
        # It is made here: what shows a bar takes its time to import, and Ctrl-C in there is meant for the engines, too.
        try:
            wait().run(timeout)
        except KeyboardInterrupt:
            self._stop()
        self._note_shown()

    def _note_shown(self) -> None:
        """Note in the results that what they printed has been shown, if it has."""
        if self._feed is not None and self.done() and len(self._requests) == 1:
            values = self._values()
            for (_, index), at in self._feed.shown_at.items():
                if index < len(values) and isinstance(values[index], Result):
                    values[index].shown_at = at

    def _feeds(self) -> list[Feed]:
        """What it prints, if that is to be shown."""
        calls = self.client._calls
        if self._feed is None and is_wanted(calls.live):
            self._feed = Feed(calls.reactor, calls.connection, self._requests)
        return [self._feed] if self._feed is not None and self._feed.has_commands else []

    def _check_can_wait(self) -> None:
        reactor_thread.check_can_wait(f"the result of {self._name}")
        if results_worker.is_here():
            raise ClientError(
                f"the result of {self._name} was waited for while another result was being unpickled, which is"
                " where it would be unpickled itself"
            )

    def _wait(self, timeout: float | None) -> None:
        """Return when the result is there."""
        if self._flushed and not self._fetched:
            raise self._gone()
        if not self.wait(timeout):
            waits_for = self.client._calls.connection.waits_for
            raise CallTimeout(f"{self._name} was not done within {timeout:g} s{waits_for}")
        self._fetched = True
        self.client._fetched(self)

    def _stop(self) -> None:
        """Ctrl-C was pressed while it was waited for: raise what came of that."""
        if self.taskid is not None:
            all_stopped([self], self._name)
        outcome: Future[Any] = SafeFuture()
        super().add_done_callback(lambda done: outcome.set_result(None))
        stopped(self.client._calls, self._requests, outcome)
        problem = super().exception(0)
        if isinstance(problem, KernelError):
            raise as_interrupted(problem) from None
        raise CallInterrupted(f"{self._name} came to its end before it was interrupted", []) from None

    def _run_callbacks(self) -> None:
        while self.callbacks and not self._chain_error and super().exception(0) is None:
            function, args, kwargs = self.callbacks.pop(0)
            value = self._chained[0] if self._chained else super().result(0)
            try:
                self._chained = [function(value, *args, **kwargs)]
            except Exception as problem:  # code of users; kept, so that it is raised each time
                self._chain_error = problem

    def _gone(self) -> InvalidDeferredID:
        return InvalidDeferredID(
            f"the result of {self._name} ({self.result_id}) was flushed before it was fetched"
        )

    # -- for the client ----------------------------------------------------------------------------------

    def _asks(self, requests: Sequence[Request]) -> None:
        """It is to come of these requests, which are about to be sent."""
        for request in requests:
            if request.verb != "submit":  # which nobody waits for
                request.replies = Replies()
        self._asked = requests
        self._feed = None

    @property
    def _requests(self) -> Sequence[Request]:  # type: ignore[override] # of most tasks nobody wants to know so much
        if not self._asked and self.taskid is not None:
            with _making:
                if not self._asked:
                    request = outcome_request(self.taskid, "submit")
                    request.replies = Replies()
                    if self._answer is not None:
                        request.replies.add(self._answer)
                    self._asked = [request]
        return self._asked

    def _came(self, answer: Answer) -> None:
        """The outcome of its task is there."""
        with _making:
            self._answer, asked = answer.whole, self._asked
        for request in asked:
            if request.replies is not None and answer.whole is not None:
                request.replies.add(answer.whole)

    def _settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """The outcome is there; too late if the result was flushed."""
        self._settled = time.monotonic()
        with _making:
            if self._answer is not None:
                self._answer = without_value(self._answer)
        for request in self._asked:
            if request.replies is not None:
                request.replies.forget_values()
        with contextlib.suppress(InvalidStateError):
            self._finish(value, error)

    def _flush(self) -> None:
        """Forget the result, unless it was fetched; who waits for it now gets AbortedPendingDeferredError."""
        if not self._fetched:
            self._flushed = True
            self._settle(
                error=AbortedPendingDeferredError(f"the result of {self._name} was flushed while waited for")
            )

    def _take(self, block: bool) -> Any:
        """The result, for somebody who has only its id."""
        if not block and not self.done():
            raise ResultNotCompleted(f"{self._name} is not done")
        return self.result()


def wait_for_all(members: Sequence[PendingResult], what: str, progress: Choice, timeout: float | None = None) -> bool:
    """Wait until all of these are there, at most `timeout` seconds; show what they print, and how many there are.

    Raises nothing of them.
    """
    waiting = [member for member in members if not member.done()]
    if waiting:
        waiting[0]._check_can_wait()
        meter = Meter(what, lambda: (sum(member.done() for member in members), len(members)), progress)
        Wait(waiting, [feed for member in waiting for feed in member._feeds()], meter=meter).run(timeout)
        for member in waiting:
            member._note_shown()
    return all(member.done() for member in members)


PendingResult.__module__ = "ipython1.kernel.client"
