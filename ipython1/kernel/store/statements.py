"""The statements that write a batch: each takes many rows at once.

That is not for the database's sake alone.  The driver lets other threads run while the database works, and then waits
for the reactor to let go of the interpreter, which may take 5 ms: once for each statement, so not for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from sqlalchemy import Column, Connection, Table
from sqlalchemy.engine import Dialect

from ipython1.kernel.store.batch import Batch, Row
from ipython1.kernel.store.schema import (
    about,
    commands,
    engines,
    files,
    functions,
    payloads,
    results,
    sessions,
    tasks,
    uses,
)

NEXT_ID = "next_id"
_ROWS_AT_ONCE = (400, 80, 16, 4, 1)

Columns = Mapping[str, "Column[object]"]
"""What a row has, by name, and the columns of which these values are."""


class Statement:
    """A statement that does something with the table ``new``, which consists of the rows that it is run for."""

    def __init__(self, dialect: Dialect, columns: Columns, action: str) -> None:
        if dialect.name == "postgresql":
            marks = [f"%s::{column.type.compile(dialect=dialect)}" for column in columns.values()]
        else:
            marks = ["?"] * len(columns)
        row = f"({', '.join(marks)})"
        self._texts = {
            count: f"WITH new ({', '.join(columns)}) AS (VALUES {', '.join([row] * count)}) {action}"
            for count in _ROWS_AT_ONCE
        }

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for these rows."""
        first = 0
        for count, text in self._texts.items():
            while len(rows) - first >= count:
                some = rows[first : first + count]
                connection.exec_driver_sql(text, tuple(chain.from_iterable(some)))
                first += count


class Statements:
    """All statements of a batch, for one kind of database.

    The names of columns are such that no database needs quotes for them.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._next_id = self._kept(about, "name", ["value"])
        self._sessions = self._kept(sessions, "session", ["host", "pid", "username", "last_seen"])
        self._engines = self._kept(engines, "id", ["agent", "place", "document"])
        self._engines_gone = self._deleted(engines, "id")
        self._functions = self._new(functions)
        self._files = self._new(files)
        self._files_gone = self._deleted(files, "owner")
        self._tasks = self._new(tasks)
        self._payloads = self._new(payloads)
        self._uses = self._new(uses)
        self._commands = self._new(commands)
        self._changes = self._task_changes()
        self._began = self._task_began()
        self._ended = self._task_ended()
        self._results = self._task_results()
        self._outcomes = self._command_outcomes()
        parts = ((payloads, "task"), (uses, "task"), (results, "task"), (tasks, "id"))
        self._cleared = [self._deleted(table, name) for table, name in parts]

    def write(self, connection: Connection, batch: Batch) -> None:
        """Write the rows of a batch; its files are not."""
        if batch.next_id is not None:
            self._next_id.run(connection, [(NEXT_ID, str(batch.next_id))])
        self._sessions.run(connection, list(batch.sessions.values()))
        self._engines.run(connection, [row for row in batch.engines.values() if row is not None])
        self._engines_gone.run(connection, [(key,) for key, row in batch.engines.items() if row is None])
        self._functions.run(connection, batch.functions)
        self._tasks.run(connection, batch.tasks)
        self._payloads.run(connection, batch.payloads)
        self._uses.run(connection, batch.uses)
        self._changes.run(connection, batch.change_rows())
        self._began.run(connection, batch.began_rows())
        self._ended.run(connection, list(batch.ended.values()))
        self._results.run(connection, list(batch.results.values()))
        self._commands.run(connection, batch.commands)
        self._outcomes.run(connection, list(batch.outcomes.values()))
        cleared = [(task,) for task in batch.cleared]
        for statement in self._cleared:
            statement.run(connection, cleared)

    def add_files(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Register files."""
        self._files.run(connection, rows)

    def forget_files(self, connection: Connection, owners: Sequence[str]) -> None:
        """Forget the files of these owners."""
        self._files_gone.run(connection, [(owner,) for owner in owners])

    def _statement(self, columns: Columns, action: str) -> Statement:
        return Statement(self._dialect, columns, action)

    def _new(self, table: Table, more: str = "DO NOTHING", where: str = "true") -> Statement:
        """Insert rows of all columns; what is there already stays."""
        names = ", ".join(column.name for column in table.columns)
        insert = (
            f"INSERT INTO {table.name} ({names}) SELECT {names} FROM new WHERE {where} ON CONFLICT {more}"
        )
        return self._statement({column.name: column for column in table.columns}, insert)

    def _kept(self, table: Table, key: str, changing: Sequence[str]) -> Statement:
        """Insert rows of all columns; of what is there already, those columns change."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in changing)
        return self._new(table, f"({key}) DO UPDATE SET {changes}")

    def _deleted(self, table: Table, name: str) -> Statement:
        return self._statement(
            {name: table.c[name]}, f"DELETE FROM {table.name} WHERE {name} IN (SELECT {name} FROM new)"
        )

    def _task_changes(self) -> Statement:
        names = ("state", "attempt", "step", "engine", "began", "progress", "id")
        return self._statement(
            {name: tasks.c[name] for name in names},
            "UPDATE tasks SET state = new.state, attempt = coalesce(new.attempt, tasks.attempt),"
            " step = coalesce(new.step, tasks.step), engine = new.engine, began = new.began,"
            " progress = coalesce(new.progress, tasks.progress)"
            " FROM new WHERE tasks.id = new.id AND tasks.completed IS NULL",
        )

    def _task_began(self) -> Statement:
        return self._statement(
            {name: tasks.c[name] for name in ("began", "id", "attempt")},
            "UPDATE tasks SET began = new.began"
            " FROM new WHERE tasks.id = new.id AND tasks.attempt = new.attempt AND tasks.state = 'assigned'",
        )

    def _task_ended(self) -> Statement:
        names = ("state", "engine", "began", "completed", "size", "id")
        return self._statement(
            {name: tasks.c[name] for name in names},
            "UPDATE tasks SET state = new.state, engine = new.engine, began = new.began, completed = new.completed,"
            " size = tasks.size + new.size, progress = NULL"
            " FROM new WHERE tasks.id = new.id AND tasks.completed IS NULL",
        )

    def _task_results(self) -> Statement:
        return self._new(results, where="EXISTS (SELECT 1 FROM tasks WHERE tasks.id = new.task)")

    def _command_outcomes(self) -> Statement:
        names = ("ok", "started", "completed", "packed", "size", "session", "number", "engine")
        return self._statement(
            {name: commands.c[name] for name in names},
            "UPDATE commands SET ok = new.ok, started = new.started, completed = new.completed, packed = new.packed,"
            " size = commands.size + new.size"
            " FROM new WHERE commands.session = new.session AND commands.number = new.number"
            " AND commands.engine = new.engine AND commands.completed IS NULL",
        )
