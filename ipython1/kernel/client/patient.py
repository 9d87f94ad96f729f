"""Waiting in threads of users, for as long as it takes, and so that Ctrl-C is heeded all the same, and harms nothing.

*Heeded*: a signal may come between Python's last look for one and the system call in which a thread waits.  That is not ended
by it, and so nobody waits for longer than `TICK` before looking again.

*Harms nothing*: KeyboardInterrupt is raised between any two steps of Python, also between those by which a
`threading.Condition` is taken and its ``with`` statement begins.  Then its lock stays taken: the thread of the reactor, or the one that
makes results, would wait for it for ever.  So futures for which users wait have a lock that is taken in one step, and
who waits is woken by way of a queue, which has no such steps.
"""

from __future__ import annotations

import _thread
import contextlib
import itertools
import queue
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

TICK = 0.5
"""Seconds."""
TOGETHER = 1000
"""For so many futures is waited together: to begin with that takes its time for each."""


class Condition(_thread.RLock):  # type: ignore[misc] # it is not final
    """As `threading.Condition`, as far as a `Future` uses it; a ``with`` statement takes it in one step.

    So it is as long as Python does not look for signals between ``__enter__`` and the statement's body, as up to 3.13.
    """

    def __init__(self) -> None:
        self._waiting: deque[_thread.LockType] = deque()

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of it until `notify_all` is called, at most `timeout` seconds; tells whether it was."""
        waiter = _thread.allocate_lock()
        waiter.acquire()
        self._waiting.append(waiter)
        state = self._release_save()  # type: ignore[attr-defined] # for classes like this one
        try:
            return waiter.acquire(True, -1 if timeout is None else max(0.0, timeout))
        finally:
            self._acquire_restore(state)  # type: ignore[attr-defined]
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)

    def notify_all(self) -> None:
        """End the waiting of all."""
        while self._waiting:
            self._waiting.pop().release()


class SafeFuture(Future[T]):
    """A Future for which users wait, wherever Ctrl-C may strike."""

    def __init__(self) -> None:
        super().__init__()
        self._condition: Any = Condition()


class _Waiter:
    """What `concurrent.futures` has a Future tell that it is done; tells somebody who waits for several, when all are."""

    def __init__(self, futures: Sequence[Future[Any]]) -> None:
        self._futures = futures
        self._left = [None] * len(futures)
        self._all_done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wait(self, seconds: float) -> None:
        """Wait until all are done, at most so many seconds."""
        try:
            for future in self._futures:
                with future._condition:
                    if future.done():
                        self.add_result(future)
                    else:
                        future._waiters.append(self)  # type: ignore[arg-type] # it is what counts as one
            with contextlib.suppress(queue.Empty):
                self._all_done.get(timeout=seconds)
        finally:
            for future in self._futures:
                with future._condition, contextlib.suppress(ValueError):
                    future._waiters.remove(self)  # type: ignore[arg-type]

    def add_result(self, future: Future[Any]) -> None:
        self._left.pop()
        if not self._left:
            self._all_done.put(None)

    add_exception = add_cancelled = add_result


def settled(futures: Iterable[Future[Any]], timeout: float | None = None) -> bool:
    """Wait until all of these are done, at most `timeout` seconds; tells whether they are."""
    left = deque(futures)
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        while left and left[0].done():
            left.popleft()
        if not left:
            return True
        seconds = _next(until)
        if seconds < 0:
            return False
        _Waiter(list(itertools.islice(left, TOGETHER))).wait(seconds)


def outcome(future: Future[T], timeout: float | None = None) -> T:
    """The result of `future`, or what it raises; TimeoutError if it is not done within `timeout` seconds."""
    settled([future], timeout)
    return future.result(0)


def taken(items: queue.SimpleQueue[T], timeout: float | None = None) -> T:
    """The next one of these; queue.Empty if none comes within `timeout` seconds."""
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        seconds = _next(until)
        try:
            return items.get(timeout=max(0.0, seconds))
        except queue.Empty:
            if seconds <= 0:
                raise


def _next(until: float | None) -> float:
    """For how many seconds is to be waited before one looks again; none are left if that is negative."""
    return TICK if until is None else min(TICK, until - time.monotonic())
