"""Outcomes that come to a client's session with the Task interface: of tasks, and of their submission."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ipython1.kernel.error import KernelError, TaskQueueFull
from ipython1.kernel.framing import Message, unpack
from ipython1.kernel.request import Answer
from ipython1.kernel.task_submission import Group

Done = Callable[[Answer | Exception], None]
"""Is told of an outcome."""


class Coming:
    """The outcome of something that one may wait for; of so many `items` of `group`, if that is told."""

    __slots__ = ("group", "items", "outcome", "_waiting")

    def __init__(self, group: Group | None = None, items: int = 1) -> None:
        self.group = group
        self.items = items
        self.outcome: Answer | Exception | None = None
        self._waiting: Sequence[Done] = ()

    def settle(self, outcome: Answer | Exception) -> bool:
        """It is there; tells whether somebody waited."""
        self.outcome = outcome
        if self.group is not None:
            self.group.ended(self.items)
        waiting, self._waiting = self._waiting, ()
        for done in waiting:
            done(outcome)
        return bool(waiting)

    def then(self, done: Done) -> None:
        """Call `done` when it is there."""
        if self.outcome is None:
            self._waiting = (*self._waiting, done)
        else:
            done(self.outcome)

    def wait(self) -> Deferred[Answer]:
        """Fires when it is there."""
        waiter: Deferred[Answer] = Deferred()
        self.then(partial(fire, waiter))
        return waiter


def fire(waiter: Deferred[Answer], outcome: Answer | Exception) -> None:
    """Have a Deferred fire with an outcome."""
    if isinstance(outcome, Answer):
        waiter.callback(outcome)
    else:
        waiter.errback(Failure(outcome))


def own_answer(result: Any) -> Answer:
    """An answer that is not the controller's."""
    return Answer([], Message("reply", {"ok": True, "index": None, "of": 0, "result": result}))


def is_refusal(outcome: Answer | Exception) -> bool:
    """Whether a command failed, or will never be answered."""
    return isinstance(outcome, Exception) or outcome.whole is None or not outcome.whole.fields["ok"]


def is_full(outcome: Answer | Exception) -> bool:
    """Whether the controller has refused a task for want of room."""
    if isinstance(outcome, Exception) or outcome.whole is None:
        return False
    document = unpack(outcome.whole.bodies[0])  # type: ignore[arg-type] # an error document; it has no streams
    return document.get("class") == TaskQueueFull.__name__


def refused_of(answer: Answer | Exception, tasks: Sequence[int]) -> dict[int, Answer | Exception]:
    """Which of these tasks, submitted together, the controller does not have, and what it said to each."""
    if is_refusal(answer):
        return dict.fromkeys(tasks, answer)
    whole = answer.whole if isinstance(answer, Answer) else None
    assert whole is not None
    fields = {"ok": False, "index": None, "of": 0}
    return {
        number: Answer([], Message("reply", fields, whole.bodies[2 * place : 2 * place + 2]))
        for place, number in enumerate(whole.fields["result"] or ())
    }


def exception_of(failure: Failure) -> Exception:
    """What a Deferred has failed with."""
    problem = failure.value
    return problem if isinstance(problem, Exception) else KernelError(str(problem))
