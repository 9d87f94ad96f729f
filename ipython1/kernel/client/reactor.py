"""The reactor of the blocking clients, in a thread of its own, and calls into it from other threads.

The thread is started at the first use, not at the import.  Where somebody else runs the reactor already, that one is
used: then calls work from all threads but the reactor's own.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from ipython1.kernel.client.ending import watch_end
from ipython1.kernel.client.patient import SafeFuture, outcome
from ipython1.kernel.error import ClientError

T = TypeVar("T")
log = logging.getLogger(__name__)

STOP_WITHIN = 2.0
"""Seconds that the end of the interpreter waits at most for connections to be closed."""


Done = Callable[[Any, BaseException | None], None]
"""Is told of an outcome: the value, or the exception."""


class _Waiting:
    """Who waits for an outcome."""

    def __init__(self, done: Done) -> None:
        self._done: list[Done] = [done]

    def over(self, value: Any, problem: BaseException | None) -> None:
        """It is there; only the first one counts, whichever thread has it."""
        try:
            done = self._done.pop()
        except IndexError:
            return
        done(value, problem)

    def failed(self, problem: BaseException) -> None:
        """It is an exception."""
        self.over(None, problem)


class ToldOfTheEnd(Protocol):
    """Who has to do something when the reactor stops."""

    def reactor_stopped(self, reason: str) -> None:
        """No client of this process can be used any more, as `reason` says."""


class ReactorThread:
    """Carries out coroutines in the reactor's thread for the threads of users."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reactor: Any = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._over = ""
        # What the reactor's thread is to call, and whether it has been told: to tell it costs more than most calls.
        self._handed: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._told = False
        # Only touched in the reactor's thread.
        self._waiting: set[_Waiting] = set()
        self._told_of_the_end: WeakSet[ToldOfTheEnd] = WeakSet()

    @property
    def over(self) -> str:
        """Why no client can be used any more; '' while they can."""
        return self._over

    def tell_of_the_end(self, told: ToldOfTheEnd) -> None:
        """Tell it when the reactor stops, if it is still there then."""
        self._told_of_the_end.add(told)

    def start(self) -> Any:
        """The reactor, which runs when this returns.  ClientError if it cannot be used (any more)."""
        self._check_process()
        if self._over:
            raise ClientError(self._over)
        with self._lock:
            if self._reactor is None:
                self._start()
        return self._reactor

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ClientError(
                f"clients cannot be used in a process that was forked off (this is {os.getpid()}, they are of"
                f" {self._pid}): start new processes with subprocess, or with multiprocessing's 'spawn' method"
            )

    def _start(self) -> None:
        from twisted.internet import reactor  # importing it chooses and installs one

        if not reactor.running:  # type: ignore[attr-defined]
            running = threading.Event()
            reactor.callWhenRunning(running.set)  # type: ignore[attr-defined]
            self._thread = threading.Thread(
                target=reactor.run,  # type: ignore[attr-defined]
                kwargs={"installSignalHandlers": False},
                name="ipython1 client reactor",
                daemon=True,
            )
            self._thread.start()
            running.wait()
            watch_end()
            atexit.register(self._stop)
        reactor.addSystemEventTrigger("during", "shutdown", self._stopped)  # type: ignore[attr-defined]
        self._reactor = reactor

    def submit(self, function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]:
        """Call `function` in the reactor's thread; the future has its outcome, when that is there.

        Callbacks of the future run in the reactor's thread: they must not wait, nor run code of users.
        """
        future: Future[T] = SafeFuture()
        self.submit_into(future, function, *args)
        return future

    def submit_into(self, future: Future[T], function: Callable[..., Awaitable[T]], *args: Any) -> None:
        """As `submit`, for a future that there is already: so it is known also if a signal strikes meanwhile."""

        def done(value: Any, problem: BaseException | None) -> None:
            if problem is None:
                _settle(future.set_result, value)
            else:
                _settle(future.set_exception, problem)

        self.begin(done, function, *args)

    def begin(self, done: Done, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Like `submit`, for who does not wait: `done` is told of the outcome, once, in any thread."""
        reactor = self.start()
        waiting = _Waiting(done)
        self._hand_over(reactor, self._begin, waiting, function, args)
        if self._over:
            # It stopped meanwhile: what was handed over now is perhaps never looked at.
            waiting.failed(ClientError(self._over))

    def _hand_over(self, reactor: Any, function: Callable[..., Any], *args: Any) -> None:
        self._handed.append((function, args))
        if self._told:
            return
        try:
            self._told = True
            reactor.callFromThread(self._take_over)
        except BaseException:  # Ctrl-C, which may strike here: the reactor must be told with what comes next
            self._told = False
            raise

    def _take_over(self) -> None:
        # Before it is taken: what comes now is among it, or makes this be called again.
        self._told = False
        for _ in range(len(self._handed)):
            function, args = self._handed.popleft()
            try:
                function(*args)
            except Exception:  # it must not keep the others from being called
                log.exception("in the reactor's thread")

    def _begin(
        self, waiting: _Waiting, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        self._waiting.add(waiting)
        deferred: Deferred[Any] = maybeDeferred(function, *args)
        deferred.addCallbacks(self._succeeded, self._failed, callbackArgs=(waiting,), errbackArgs=(waiting,))

    def _succeeded(self, value: Any, waiting: _Waiting) -> None:
        self._waiting.discard(waiting)
        waiting.over(value, None)

    def _failed(self, failure: Failure, waiting: _Waiting) -> None:
        self._waiting.discard(waiting)
        waiting.over(None, failure.value)

    def wait(self, future: Future[T], what: str) -> T:
        """The outcome of `future`; ClientError where that could never come."""
        self.check_can_wait(what)
        return outcome(future)

    def check_can_wait(self, what: str) -> None:
        """ClientError if this is the reactor's thread, or a process that was forked off and has none."""
        self._check_process()
        if self.is_here():
            raise ClientError(
                f"{what} would wait in the reactor's own thread, and nothing could ever come: call it from another"
                " thread (twisted.internet.threads.deferToThread), or use ipython1.kernel.asyncclient"
            )

    def is_here(self) -> bool:
        """Whether this is the reactor's thread."""
        if self._thread is not None:
            return threading.current_thread() is self._thread
        from twisted.python.threadable import isInIOThread

        return self._reactor is not None and bool(isInIOThread())

    def call_soon(self, function: Callable[..., Any], *args: Any) -> None:
        """Have `function` called in the reactor's thread, if there is still one; never waits, never raises."""
        if self._is_there():
            self._hand_over(self._reactor, function, *args)

    def _is_there(self) -> bool:
        return self._reactor is not None and not self._over and os.getpid() == self._pid

    def call_within(self, seconds: float, function: Callable[..., Any], *args: Any) -> None:
        """As `call_soon`, and return when that was done, or at last after so many seconds: the reactor may be kept busy."""
        done = threading.Event()

        def call() -> None:
            try:
                function(*args)
            finally:
                done.set()

        self.call_soon(call)
        if self._is_there() and not self.is_here():
            done.wait(seconds)

    def _stopped(self) -> None:
        """The reactor stops, on whoever's account: who waits must not wait for ever."""
        self._over = self._over or "the reactor was stopped: no client of this process can be used any more"
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            each.failed(ClientError(self._over))
        for told in list(self._told_of_the_end):
            told.reactor_stopped(self._over)

    def _stop(self) -> None:
        """At the end of the interpreter: close the connections, stop the reactor, and wait a little for that."""
        if os.getpid() != self._pid or self._thread is None or not self._thread.is_alive():
            return
        self._over = "the interpreter is ending: clients cannot be used any more"
        self._reactor.callFromThread(lambda: Deferred.fromCoroutine(self._hang_up()))
        self._thread.join(STOP_WITHIN)

    async def _hang_up(self) -> None:
        dial = sys.modules.get("ipython1.kernel.dial")
        try:
            if dial is not None:
                await dial.hang_up_all()
        finally:
            if self._reactor.running:
                self._reactor.stop()


def _settle(setter: Callable[[Any], None], outcome: Any) -> None:
    with contextlib.suppress(InvalidStateError):
        setter(outcome)


reactor_thread = ReactorThread()
"""The one of this process."""
