"""Stores and values for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel.store.durable import DurableStore
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.limits import Limits, Retention
from ipython1.kernel.store.sqlite import SqliteDatabase
from ipython1.kernel.store.values import (
    Snapshot,
    StoredCommand,
    StoredOutcome,
    StoredResult,
    StoredSession,
    StoredTask,
)

FOR_EVER = Retention(Limits(age=0), Limits(age=0))


def a_task(number: int, body: bytes = b"values", **other: Any) -> StoredTask:
    """A task."""
    said = {
        "session": "s1",
        "name": "",
        "label": f"f({number})",
        "submitted": float(number),
        "functions": [],
        **other,
    }
    return StoredTask(number, document={"after": [number]}, bodies=[body], **said)


def a_result(
    number: int, outcome: str = "succeeded", body: bytes = b"result", completed: float | None = None
) -> StoredResult:
    """What a task came to, on engine 3."""
    when = 1000.0 + number if completed is None else completed
    record = {"task": number, "engine": 3, "started": when - 1, "completed": when, "attempts": 1}
    return StoredResult(number, outcome, record, {"ok": outcome == "succeeded"}, [body])


def a_command(number: int, engine: int = 0, session: str = "s1") -> StoredCommand:
    """A command."""
    return StoredCommand(session, number, engine, "execute", "execute('a=5')", float(number), {"block": True})


def an_outcome(ok: bool = True, completed: float = 5.0) -> StoredOutcome:
    """What a command came to."""
    return StoredOutcome(ok, 4.0, completed, {"stdout": "x"}, [b"5"])


def a_session(key: str = "s1", first: float = 1.0, last: float = 2.0, name: str = "night") -> StoredSession:
    """Who it was."""
    return StoredSession(key, "task", name, "node1", 17, "ada", first, last)


class StoreCase(TestCase):
    """A test with a store in a file; stores are closed at its end."""

    timeout = 60

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "db" / "test.sqlite"

    def database(self) -> Any:
        """The database of the test's store."""
        return SqliteDatabase(self.path)

    def store(self, retention: Retention | None = None) -> DurableStore:
        """A store, not yet open, that is closed after the test."""
        store = DurableStore(self.database(), reactor, retention or FOR_EVER)
        self.addCleanup(store.close)
        return store

    async def opened(
        self, retention: Retention | None = None, ended: int = 1000
    ) -> tuple[DurableStore, Snapshot]:
        """A store, and what is in it."""
        store = self.store(retention)
        return store, await store.open(ended)

    async def again(self, store: Store, retention: Retention | None = None) -> tuple[DurableStore, Snapshot]:
        """Close the store and open it anew."""
        await store.close()
        return await self.opened(retention)


def turn() -> Deferred[None]:
    """Fires in the reactor's next turn."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)  # type: ignore[attr-defined]
    return done
