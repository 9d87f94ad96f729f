"""The values that the scheduler works with: what it is told of a task, and what it says is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum as _Enum
from typing import NamedTuple

from ipython1.kernel.error import IPythonError


@dataclass(frozen=True, slots=True)
class Step:
    """A task, or the recovery task of the step before it.

    `depend` names the function that an engine's properties must satisfy: equal names, equal functions.  `timeout` is
    how many seconds it may run.
    """

    kind: str = "string"
    retries: int = 0
    timeout: float | None = None
    depend: str | None = None


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task as the scheduler is told of it.

    `after` are tasks that must have ended before: well, or in any way if `after_any`.  `follow` are tasks that must
    have ended, and on one of whose engines this one is to run.  `needs` are tasks whose results it takes: they must
    have ended well.  `targets` are the engines that it may run on, `resources` what their properties must offer, at
    the least.
    """

    id: int
    steps: tuple[Step, ...] = (Step(),)
    label: str = "a task"
    after: tuple[int, ...] = ()
    after_any: bool = False
    follow: tuple[int, ...] = ()
    needs: tuple[int, ...] = ()
    targets: frozenset[int] | None = None
    resources: tuple[tuple[str, float], ...] = ()
    priority: float = 0

    @property
    def dependencies(self) -> tuple[int, ...]:
        """All tasks that must have ended before, each once."""
        if not (self.after or self.follow or self.needs):  # as for most, of which there may be very many
            return ()
        return tuple(dict.fromkeys((*self.after, *self.follow, *self.needs)))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task has come: the step that it is at, the failures of that, and all attempts that were made."""

    step: int = 0
    failures: int = 0
    attempts: int = 0


NO_PROGRESS = Progress()


class Enum(_Enum):
    """An enumeration whose members are found fast in tables: each is there once, and what it is tells it apart."""

    __hash__ = object.__hash__


class State(Enum):
    """How far a task has come."""

    NEW = "new"
    BLOCKED = "blocked"  # comes after tasks that have not ended
    WAITING = "waiting"  # for an engine
    SENT = "sent"  # to an engine, which has not begun with it
    RUNNING = "running"
    ENDED = "ended"


class Event(Enum):
    """What happens to a task."""

    SUBMITTED = "submitted"
    UNBLOCKED = "unblocked"
    DEPENDENCY_FAILED = "dependency failed"
    SENT = "sent"
    STARTED = "started"
    RETURNED = "returned"  # unstarted: taken back, or dropped by its engine
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    MISSED = "missed"  # it has not begun: its function was not there
    REJECTED_BY_ALL = "rejected by all"
    LOST = "lost"  # with its engine
    TIMED_OUT = "timed out"
    ABORTED = "aborted"


class Row(NamedTuple):
    """A transition: what a task was, what happened, what it is then.

    `recovery` is whether it goes on as its recovery task.
    """

    before: State
    event: Event
    after: State
    recovery: bool = False


def _failures(before: State, event: Event, *, retry: bool = True) -> list[Row]:
    rows = [Row(before, event, State.WAITING, recovery=True), Row(before, event, State.ENDED)]
    return [Row(before, event, State.WAITING), *rows] if retry else rows


TRANSITIONS: frozenset[Row] = frozenset(
    [
        Row(State.NEW, Event.SUBMITTED, State.WAITING),
        Row(State.NEW, Event.SUBMITTED, State.BLOCKED),
        Row(State.NEW, Event.DEPENDENCY_FAILED, State.ENDED),
        Row(State.BLOCKED, Event.UNBLOCKED, State.WAITING),
        Row(State.BLOCKED, Event.DEPENDENCY_FAILED, State.ENDED),
        Row(State.BLOCKED, Event.ABORTED, State.ENDED),
        Row(State.WAITING, Event.SENT, State.SENT),
        Row(State.WAITING, Event.ABORTED, State.ENDED),
        *_failures(State.WAITING, Event.REJECTED_BY_ALL, retry=False),
        Row(State.SENT, Event.STARTED, State.RUNNING),
        Row(State.SENT, Event.RETURNED, State.WAITING),
        Row(State.SENT, Event.ABORTED, State.ENDED),
        *_failures(State.SENT, Event.LOST, retry=False),
        Row(State.RUNNING, Event.SUCCEEDED, State.ENDED),
        Row(State.RUNNING, Event.ABORTED, State.ENDED),
        Row(State.RUNNING, Event.REJECTED, State.WAITING),
        Row(State.RUNNING, Event.MISSED, State.WAITING),
        *_failures(State.RUNNING, Event.FAILED),
        *_failures(State.RUNNING, Event.LOST),
        *_failures(State.RUNNING, Event.TIMED_OUT),
    ]
)
"""All that can happen to a task."""


class Outcome(Enum):
    """How a task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"


class Measure(Enum):
    """What is done to a task that is to stop running; each only if the one before did not help."""

    INTERRUPT = "interrupt"
    TERMINATE = "terminate"
    KILL = "kill"


GRACE = 5.0
"""Seconds that a task has to stop after an interrupt, and its interpreter after being asked to end."""
_MEASURES = (Measure.INTERRUPT, Measure.TERMINATE, Measure.KILL)


def next_measure(taken: int) -> Measure:
    """What comes after so many measures."""
    return _MEASURES[min(taken, len(_MEASURES) - 1)]


@dataclass(frozen=True)
class Send:
    """Put step `step` of the task into the engine's queue, as its attempt of that number."""

    task: int
    step: int
    attempt: int
    engine: int


@dataclass(frozen=True)
class TakeBack:
    """Ask the engine to give the attempt back if it has not begun with it."""

    task: int
    attempt: int
    engine: int


@dataclass(frozen=True)
class AskDepend:
    """Ask the engine whether its properties satisfy the function of that name, which this step of the task has."""

    depend: str
    task: int
    step: int
    engine: int


@dataclass(frozen=True)
class Stop:
    """Take this measure against the attempt, which runs on the engine."""

    measure: Measure
    task: int
    attempt: int
    engine: int


@dataclass(frozen=True)
class StopDepend:
    """Take this measure against the function of that name, which the engine was asked for and has begun with."""

    measure: Measure
    depend: str
    engine: int


@dataclass(frozen=True)
class Finish:
    """The task has ended, on `engine` if it was on one; `error` says why it failed.

    Without an error, its outcome is the reply that has just come.
    """

    task: int
    outcome: Outcome
    engine: int | None = None
    error: IPythonError | None = None


Instruction = Send | TakeBack | AskDepend | Stop | StopDepend | Finish


@dataclass
class Verdict:
    """What an engine said of a depend function: `fit` is None until it has answered.

    `fatal` is whether the interpreter did not survive it: then it is not asked again.  `deadline` is when the next
    measure against it is due, `measures` how many were taken.
    """

    fit: bool | None = None
    text: str = ""
    fatal: bool = False
    deadline: float | None = None
    measures: int = 0


@dataclass(frozen=True)
class Place:
    """Where a task may run; tasks of equal places are alike to all engines.

    `rejected` are the marks of the engines that have rejected it (see `workers.Worker`).  `avoided` is the engine where
    it has just failed: it runs elsewhere if it can.
    """

    depend: str | None = None
    targets: frozenset[int] | None = None
    resources: tuple[tuple[str, float], ...] = ()
    rejected: frozenset[int] = frozenset()
    avoided: int | None = None


ANYWHERE = Place()
"""That of most tasks."""
