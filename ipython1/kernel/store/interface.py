"""What the controller has of a store, whatever is behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.framing import Bytes
from ipython1.kernel.store.values import (
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

Outcomes = dict[tuple[int, int], tuple[Document, StoredOutcome | None]]
"""By number and engine of a command: its document, and what it came to; None if it has no outcome yet."""


class Store(ABC):
    """Where the state of a controller is kept.  All methods are called in the reactor's thread, and none waits.

    Writes take effect in the order in which they are called.  Those that return a Deferred are refused where they
    cannot be stored: it fails with StoreFull or StoreError then, and nothing of them is there later.  All others
    are tried again until they are stored.  Values that were handed over are not changed any more.  Nothing is said of a
    task or a command before it was submitted.

    `house` is the identity of what is stored: 32 hexadecimal digits once it is open, '' for what is not kept.
    """

    house: str = ""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be stored."""
        return 0

    @abstractmethod
    def open(self, ended: int = 100_000) -> Deferred[Snapshot]:
        """Make it ready; what is in it, with the newest `ended` of the tasks that have ended.

        Fails with StoreError where it is damaged, foreign, of a newer ipython1, in use by another controller, or
        cannot be written.
        """

    @abstractmethod
    def close(self) -> Deferred[None]:
        """Store what waits, and let go.  Fires in any case: what cannot be stored now is lost, and logged."""

    @abstractmethod
    def settled(self) -> Deferred[None]:
        """Fires when all that was put before is stored, or was refused."""

    # Tasks.

    @abstractmethod
    def leased(self, next_id: int) -> None:
        """Ids below this one were given out for tasks."""

    @abstractmethod
    def function_kept(self, digest: str, document: Document, bodies: Sequence[Bytes]) -> None:
        """A shared function.  It is kept while a stored task names it; so it is put before each task that does, in
        the same turn of the reactor, which costs next to nothing where it is stored already."""

    @abstractmethod
    def tasks_submitted(self, tasks: Sequence[StoredTask]) -> Deferred[None]:
        """Fires when all of these are stored; none of them is if it fails.  One that is there already stays as it is."""

    def task_submitted(self, task: StoredTask) -> Deferred[None]:
        """The same for a single one."""
        return self.tasks_submitted([task])

    @abstractmethod
    def task_assigned(self, task: int, attempt: int, step: int, engine: int) -> None:
        """The attempt was given to an engine."""

    @abstractmethod
    def task_began(self, task: int, attempt: int, when: float) -> None:
        """The engine has begun with the attempt, which is the latest one."""

    @abstractmethod
    def task_waits(self, task: int, progress: Document) -> None:
        """It is no longer assigned; `progress` is what the scheduler is to know of it after a restart."""

    @abstractmethod
    def task_ended(self, task: int, result: StoredResult) -> None:
        """What it came to.  The first outcome of a task stays."""

    @abstractmethod
    def tasks_cleared(self, tasks: Sequence[int]) -> None:
        """Forget these tasks, and their results.  Their ids are not used again."""

    # Engines, commands, sessions.

    @abstractmethod
    def session_seen(self, session: StoredSession) -> None:
        """Somebody is connected, or was until now; a session's first_seen is the first that is said."""

    @abstractmethod
    def engine_registered(self, engine: StoredEngine) -> None:
        """There is an engine of that id, in place of any before."""

    @abstractmethod
    def engine_gone(self, engine: int) -> None:
        """The engine of that id is gone for good."""

    @abstractmethod
    def command_submitted(self, command: StoredCommand) -> Deferred[None]:
        """Fires when it is stored.  One that is there already stays as it is."""

    @abstractmethod
    def command_ended(self, session: str, number: int, engine: int, outcome: StoredOutcome) -> None:
        """What a command came to on an engine.  The first outcome stays."""

    # Reads; they see all writes that were put before and could be stored.

    @abstractmethod
    def task(self, task: int) -> Deferred[StoredTask | None]:
        """A task as it was submitted, whether it has ended or not; StoreError if it is damaged."""

    @abstractmethod
    def function(self, digest: str) -> Deferred[StoredFunction | None]:
        """A shared function; None if it is not stored, StoreError if it is damaged."""

    @abstractmethod
    def result(self, task: int) -> Deferred[StoredResult | None]:
        """What a task came to; None if that is not stored, StoreError if it is damaged."""

    @abstractmethod
    def command_outcomes(self, session: str, numbers: Sequence[int]) -> Deferred[Outcomes]:
        """Those commands that are stored: what was said of them, and what they came to."""

    @abstractmethod
    def tasks_of(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """Tasks, who submitted them, when and where they ran, and how they ended: the newest first (see `queries`)."""

    @abstractmethod
    def history(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """The same for commands."""
