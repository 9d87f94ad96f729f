"""What the store's thread does: one connection, and everything that is read and written over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, select

from ipython1.kernel.error import StoreError
from ipython1.kernel.framing import unpack
from ipython1.kernel.store import queries
from ipython1.kernel.store.batch import Batch, Row
from ipython1.kernel.store.database import Database
from ipython1.kernel.store.files import Files
from ipython1.kernel.store.interface import Outcomes
from ipython1.kernel.store.limits import Retention
from ipython1.kernel.store.loading import Loader
from ipython1.kernel.store.packing import TASK_OWNERS, NewFile, function_of, outcome_of, result_of, task_of
from ipython1.kernel.store.retention import ownerless, sweep
from ipython1.kernel.store.schema import commands, files, functions, payloads, results, tasks
from ipython1.kernel.store.statements import Statements
from ipython1.kernel.store.trouble import is_damage, is_lost, store_error
from ipython1.kernel.store.values import LIVE_STATES, Snapshot, StoredFunction, StoredResult, StoredTask

T = TypeVar("T")


class Keeper:
    """Used in the store's thread alone.  All that it raises are StoreErrors."""

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention
        self._connection: Connection | None = None
        self._statements: Statements | None = None
        self._files = Files(database.folder, database.sync) if database.folder is not None else None
        self._house = ""

    def open(self, ended: int) -> tuple[str, Snapshot]:
        """Connect, and load; the identity of what is stored, and what is in it."""
        try:
            connection = self._connect()
            if self._files is not None:
                with connection.begin():
                    self._files.register(connection.execute(select(files)).tuples())
                self._files.tidy()
            self._sweep(connection)
            with connection.begin():
                return self._house, Loader(connection, self._fetch).snapshot(ended)
        except Exception as problem:  # whatever it is, there is no store
            self._let_go()
            if is_damage(problem):
                raise self._database.damaged(str(getattr(problem, "orig", problem))) from problem
            raise store_error(problem, self._database.where) from problem

    def close(self) -> None:
        """Let go of it."""
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it is gone in any case
                connection.close()

    def write(self, batches: Sequence[Batch]) -> None:
        """Store all of it, or, where this raises, nothing."""
        written: list[Any] = []
        try:
            connection = self._connect()
            assert self._statements is not None
            with connection.begin():
                for batch in batches:
                    for file in batch.files:
                        written.append((file.name,))
                        written[-1] = self._write_file(file)
                    self._statements.write(connection, batch)
                self._statements.add_files(connection, written)
        except Exception as problem:  # whatever it is, it must not end the thread
            if self._files is not None:
                self._files.discard(row[0] for row in written)
            raise self._failed(problem) from problem
        if self._files is not None:
            self._files.register(written)
            cleared = (task for batch in batches for task in batch.cleared)
            self._forget_files(connection, [owner(task) for task in cleared for owner in TASK_OWNERS])

    def _write_file(self, file: NewFile) -> Row:
        assert self._files is not None
        return self._files.write(file)

    def _forget_files(self, connection: Connection, owners: Iterable[str]) -> None:
        """Remove the files of what is gone: first their rows."""
        gone = [] if self._files is None else [owner for owner in owners if self._files.of(owner)]
        if gone:
            assert self._files is not None and self._statements is not None
            with connection.begin():
                self._statements.forget_files(connection, gone)
            for owner in gone:
                self._files.forget(owner)

    def sweep(self) -> None:
        """Remove what is not to be kept any longer."""
        try:
            self._sweep(self._connect())
        except Exception as problem:  # as in `write`
            raise self._failed(problem) from problem

    def _sweep(self, connection: Connection) -> None:
        with connection.begin():
            sweep(connection, self._retention, time.time())
            owners = [] if self._files is None else ownerless(connection)
        self._forget_files(connection, owners)

    # Reads.

    def task(self, task: int) -> StoredTask | None:
        """See `Store`."""
        column = tasks.c
        row = self._row(
            select(column.id, column.session, column.name, column.label, column.submitted, payloads.c.packed)
            .join_from(tasks, payloads, payloads.c.task == column.id)
            .where(column.id == task)
        )
        return None if row is None else self._read(lambda: task_of(row[:-1], row[-1], self._fetch))

    def function(self, digest: str) -> StoredFunction | None:
        """See `Store`."""
        row = self._row(select(functions.c.packed).where(functions.c.digest == digest))
        return None if row is None else self._read(lambda: function_of(digest, row[0], self._fetch))

    def result(self, task: int) -> StoredResult | None:
        """See `Store`."""
        row = self._row(
            select(tasks.c.state, results.c.packed)
            .join_from(tasks, results, results.c.task == tasks.c.id)
            .where(tasks.c.id == task, tasks.c.state.not_in(LIVE_STATES))
        )
        return None if row is None else self._read(lambda: result_of(task, row[0], row[1], self._fetch))

    def command_outcomes(self, session: str, numbers: Sequence[int]) -> Outcomes:
        """See `Store`."""
        column = commands.c
        found: Outcomes = {}
        for number in numbers:
            query = select(
                column.engine, column.document, column.ok, column.started, column.completed, column.packed
            ).where(column.session == session, column.number == number)
            for engine, document, *about, packed in self._rows(query):
                found[number, engine] = (
                    self._read(partial(unpack, document)),
                    None if packed is None else self._read(partial(outcome_of, about, packed, self._fetch)),
                )
        return found

    def tasks_of(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Store`."""
        return self._read(lambda: queries.tasks_of(self._connect(), query))

    def history(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Store`."""
        return self._read(lambda: queries.history(self._connect(), query))

    def _row(self, query: Select[Any]) -> Any:
        rows = self._rows(query)
        return rows[0] if rows else None

    def _rows(self, query: Select[Any]) -> Sequence[Any]:
        return self._read(lambda: self._connect().execute(query).all())

    def _read(self, reading: Callable[[], T]) -> T:
        """What `reading` returns; its transaction is at an end then."""
        try:
            answer = reading()
            if self._connection is not None:
                self._connection.rollback()
        except Exception as problem:  # as in `write`
            raise self._failed(problem) from problem
        return answer

    def _fetch(self, name: str, size: int) -> bytes:
        if self._files is None:
            raise StoreError(f"{self._database.where} has no files, and one is referred to")
        return self._files.read(name, size)

    # The connection.

    def _connect(self) -> Connection:
        if self._connection is not None:
            return self._connection
        connection = self._database.connect()
        try:
            house = self._database.prepare(connection)
            if self._house and house != self._house:
                raise StoreError(f"{self._database.where} is not the one any more that it was at the start")
            self._statements = Statements(connection.dialect)
        except BaseException:
            connection.close()
            raise
        self._connection, self._house = connection, house
        return connection

    def _failed(self, problem: Exception) -> StoreError:
        """The error for a problem with the connection, which is given up if it is lost."""
        connection = self._connection
        if connection is not None:
            with suppress(Exception):  # it has failed already
                connection.rollback()
            if is_lost(problem):
                self._let_go()
        return store_error(problem, self._database.where)
