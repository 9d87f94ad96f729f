"""No store at all: what the controller has in memory is all there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed

from ipython1.kernel.framing import Bytes
from ipython1.kernel.store.interface import Outcomes, Store
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


class MemoryStore(Store):
    """Confirms all at once, and keeps nothing."""

    def open(self, ended: int = 0) -> Deferred[Snapshot]:
        """See `Store`."""
        return succeed(Snapshot())

    def close(self) -> Deferred[None]:
        """See `Store`."""
        return succeed(None)

    def settled(self) -> Deferred[None]:
        """See `Store`."""
        return succeed(None)

    def leased(self, next_id: int) -> None:
        """See `Store`."""

    def function_kept(self, digest: str, document: Document, bodies: Sequence[Bytes]) -> None:
        """See `Store`."""

    def tasks_submitted(self, tasks: Sequence[StoredTask]) -> Deferred[None]:
        """See `Store`."""
        return succeed(None)

    def task_assigned(self, task: int, attempt: int, step: int, engine: int) -> None:
        """See `Store`."""

    def task_began(self, task: int, attempt: int, when: float) -> None:
        """See `Store`."""

    def task_waits(self, task: int, progress: Document) -> None:
        """See `Store`."""

    def task_ended(self, task: int, result: StoredResult) -> None:
        """See `Store`."""

    def tasks_cleared(self, tasks: Sequence[int]) -> None:
        """See `Store`."""

    def session_seen(self, session: StoredSession) -> None:
        """See `Store`."""

    def engine_registered(self, engine: StoredEngine) -> None:
        """See `Store`."""

    def engine_gone(self, engine: int) -> None:
        """See `Store`."""

    def command_submitted(self, command: StoredCommand) -> Deferred[None]:
        """See `Store`."""
        return succeed(None)

    def command_ended(self, session: str, number: int, engine: int, outcome: StoredOutcome) -> None:
        """See `Store`."""

    def task(self, task: int) -> Deferred[StoredTask | None]:
        """See `Store`."""
        return succeed(None)

    def function(self, digest: str) -> Deferred[StoredFunction | None]:
        """See `Store`."""
        return succeed(None)

    def result(self, task: int) -> Deferred[StoredResult | None]:
        """See `Store`."""
        return succeed(None)

    def command_outcomes(self, session: str, numbers: Sequence[int]) -> Deferred[Outcomes]:
        """See `Store`."""
        return succeed({})

    def tasks_of(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """See `Store`."""
        return succeed([])

    def history(self, **query: Any) -> Deferred[list[dict[str, Any]]]:
        """See `Store`."""
        return succeed([])
