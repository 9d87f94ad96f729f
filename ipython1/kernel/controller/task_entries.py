"""The queue entries of tasks: what tells the scheduler how they fare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.error import EngineLost, FunctionMissing, IPythonError, TaskRejectError
from ipython1.kernel.framing import Message, unpack
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link


class Fate(Protocol):
    """Who is told what becomes of the attempts."""

    def attempt_began(self, task: int, attempt: int, ago: float | None) -> None:
        """The engine has begun with it, so many seconds ago if what it came to is about to be told."""

    def attempt_ended(self, task: int, attempt: int, how: str, reply: Message | None, reason: str) -> None:
        """It is over: `how` is the scheduler's event."""


class TaskEntry:
    """The owner of the entry of one attempt at a task; `began` is whether the engine has begun with it."""

    log = Logger()

    def __init__(self, fate: Fate, task: int, attempt: int, began: bool = False) -> None:
        self._fate = fate
        self._task = task
        self._attempt = attempt
        self._began = began

    def began(self, ago: float | None) -> None:
        """See `queue.Entry`."""
        self._began = True
        self._fate.attempt_began(self._task, self._attempt, ago)

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`.  Large results are fetched before anybody is told."""
        if not reply.streams():
            self._replied(reply)
            return

        def broken(failure: Failure) -> None:
            self._end("lost", reason=f"its result broke off: {failure.getErrorMessage()}")

        collecting = link.collect(reply).addCallbacks(self._replied, broken)
        collecting.addErrback(lambda failure: self.log.failure("while taking a task's result", failure))

    def _replied(self, reply: Message) -> None:
        if reply.fields["ok"]:
            self._end("succeeded", reply)
        elif not self._began:
            self._end("returned")
        elif is_rejection(reply):
            self._end("rejected", reply)
        elif _is_a(reply, FunctionMissing):
            self._end("missed", reply)
        else:
            self._end("failed", reply)

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`."""
        if entry.sent or self._began:
            self._end("lost", reason=str(error))
        else:
            self._end("returned")

    def _end(self, how: str, reply: Message | None = None, reason: str = "") -> None:
        self._fate.attempt_ended(self._task, self._attempt, how, reply, reason)


Answered = Callable[[bool, str, bool], None]


class DependEntry:
    """The owner of the entry that asks an engine whether it is fit.

    `answered_with` is called with what it says, `unanswered` if it says nothing.
    """

    def __init__(self, answered_with: Answered, unanswered: Callable[[], None]) -> None:
        self._answered_with = answered_with
        self._unanswered = unanswered
        self._began = False

    def began(self) -> None:
        """The engine has begun with it."""
        self._began = True

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`.  A function that raises says no; one that its engine did not survive, too."""
        if reply.fields["ok"]:
            fit = reply.fields.get("result") is True
            self._answered_with(fit, str(fit), False)
        elif not self._began:
            self._unanswered()
        elif reply.streams():
            self._answered_with(False, "it raised something large", False)
        else:
            document = _error(reply)
            text = f"it raised {document.get('class')} {document.get('text')!s:.200}".rstrip()
            self._answered_with(False, text, _is_a(reply, EngineLost))

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`."""
        self._unanswered()


def is_rejection(reply: Message) -> bool:
    """Whether a failed reply says that the task rejected its engine."""
    return _is_a(reply, TaskRejectError)


def _is_a(reply: Message, kind: type[Exception]) -> bool:
    """Whether the error of a failed reply is of that kind."""
    document, name = _error(reply), [kind.__module__, kind.__qualname__]
    return [document.get("module"), document.get("class")] == name or name in document.get("bases", [])


def _error(reply: Message) -> dict[str, Any]:
    return unpack(reply.bodies[0])  # type: ignore[arg-type, no-any-return] # an error document; it has no streams


def attempt_id(incarnation: str, task: int, attempt: int) -> CommandId:
    """The command id of an attempt.

    Each is a client of its own to the queues, so that none shares its failures.  Agents outlive controllers, so
    that ids must differ from those of another one.
    """
    return f"{incarnation}:{task}:{attempt}", 1
