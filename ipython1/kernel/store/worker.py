"""A thread of one's own, for what would make the reactor wait."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")
Job = tuple["Deferred[Any]", Callable[..., Any], tuple[Any, ...]]


class Worker:
    """Does what it is given, one after the other; all methods are called in the reactor's thread.

    It is a daemon thread: a process that ends without `stop` does not wait for it.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def do(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Have the thread call `function`; fires with what it returns or raises, in the reactor's thread."""
        done: Deferred[T] = Deferred()
        self._jobs.put((done, function, arguments))
        return done

    def stop(self) -> None:
        """Let the thread end when it has done what it has; its last answer has come then, or the next turn has it."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            done, function, arguments = job
            try:
                answer: Any = function(*arguments)
            except BaseException:  # whatever it is, somebody waits for it
                answer = Failure()  # type: ignore[no-untyped-call]
            self._reactor.callFromThread(done.callback, answer)
            # Not to keep what was written until the next job comes.
            del job, done, function, arguments, answer
