"""What a controller that starts is given of the store."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from ipython1.kernel.error import StoreError
from ipython1.kernel.framing import unpack
from ipython1.kernel.store.database import next_task_id
from ipython1.kernel.store.packing import Fetch, function_of, task_of
from ipython1.kernel.store.schema import commands, engines, functions, payloads, tasks
from ipython1.kernel.store.statements import NEXT_ID
from ipython1.kernel.store.values import (
    Damaged,
    LiveTask,
    Snapshot,
    StoredCommand,
    StoredEngine,
    StoredFunction,
)

_AT_ONCE = 5_000


class Loader:
    """Reads all that lives; `fetch` gets bodies that lie in files."""

    def __init__(self, connection: Connection, fetch: Fetch) -> None:
        self._connection = connection
        self._fetch = fetch
        self._damaged: list[Damaged] = []

    def snapshot(self, ended: int) -> Snapshot:
        """All of it, and the newest `ended` of the tasks that have ended."""
        collecting = gc.isenabled()
        # It would go through all that has been loaded, over and over, and find nothing.
        gc.disable()
        try:
            return self._snapshot(ended)
        finally:
            if collecting:
                gc.enable()

    def _snapshot(self, ended: int) -> Snapshot:
        return Snapshot(
            next_id=next_task_id(self._connection, NEXT_ID),
            live=list(self._live()),
            functions=dict(self._functions()),
            engines=list(self._engines()),
            ended=self._ended(ended),
            commands=list(self._commands()),
            damaged=self._damaged,
        )

    def _rows(self, query: Any) -> Iterator[Any]:
        with self._connection.execute(query, execution_options={"yield_per": _AT_ONCE}) as found:
            yield from found

    def _live(self) -> Iterator[LiveTask]:
        column = tasks.c
        query = (
            select(
                column.id,
                column.session,
                column.name,
                column.label,
                column.submitted,
                column.state,
                column.attempt,
                column.step,
                column.engine,
                column.began,
                column.progress,
                payloads.c.packed,
            )
            .join_from(tasks, payloads, payloads.c.task == column.id, isouter=True)
            .where(column.completed.is_(None))
            .order_by(column.id)
        )
        for row in self._rows(query):
            *about, state, attempt, step, engine, began, progress, packed = row
            try:
                if packed is None:
                    raise StoreError("its values are missing")
                task = task_of(about, packed, self._fetch)
            except StoreError as problem:
                self._damaged.append(Damaged(about[0], about[1], about[3], str(problem)))
                continue
            known = {} if progress is None else unpack(progress)
            yield LiveTask(task, state, attempt, step, engine, began, known)

    def _functions(self) -> Iterator[tuple[str, StoredFunction]]:
        for digest, packed in self._rows(select(functions.c.digest, functions.c.packed)):
            try:
                yield digest, function_of(digest, packed, self._fetch)
            except StoreError:
                # The tasks that name it find that it is not there.
                continue

    def _engines(self) -> Iterator[StoredEngine]:
        column = engines.c
        query = select(column.id, column.agent, column.place, column.document).order_by(column.id)
        for number, agent, place, document in self._rows(query):
            yield StoredEngine(number, agent, place, unpack(document))

    def _ended(self, count: int) -> list[tuple[int, str]]:
        column = tasks.c
        query = (
            select(column.id, column.state)
            .where(column.completed.is_not(None))
            .order_by(column.completed.desc(), column.id.desc())
            .limit(count)
        )
        newest = [(number, state) for number, state in self._rows(query)]
        return newest[::-1]

    def _commands(self) -> Iterator[StoredCommand]:
        column = commands.c
        query = (
            select(
                column.session,
                column.number,
                column.engine,
                column.verb,
                column.label,
                column.submitted,
                column.document,
            )
            .where(column.completed.is_(None))
            .order_by(column.submitted, column.session, column.number, column.engine)
        )
        for row in self._rows(query):
            session, number, engine, verb, label, submitted, document = row
            yield StoredCommand(session, number, engine, verb, label, submitted, unpack(document))
