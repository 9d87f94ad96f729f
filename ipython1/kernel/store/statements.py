"""The statements that write a batch, compiled once: what remains to be done for a row is to make a tuple of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, exists, func, null, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler

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
_ROWS_AT_ONCE = 5_000


class Prepared:
    """A statement as the database's driver takes it; `order` names its parameters as rows have them."""

    def __init__(self, dialect: Dialect, statement: Executable, order: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        if list(compiled.positiontup or ()) != list(order):
            raise ValueError(f"the parameters of {compiled} are {compiled.positiontup}, not {list(order)}")
        self._text = str(compiled)

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it once for each row."""
        # In parts: others get their turn with the interpreter between them.
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            connection.exec_driver_sql(self._text, rows[first : first + _ROWS_AT_ONCE])  # type: ignore[arg-type]


class Statements:
    """All statements of a batch, for one kind of database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect.name]
        self._next_id = self._kept(about, ["value"])
        self._sessions = self._kept(sessions, ["host", "pid", "user", "last_seen"])
        self._engines = self._kept(engines, ["agent", "place", "document"])
        self._engines_gone = self._deleted(engines, "id")
        self._functions = self._new(functions)
        self._files = self._new(files)
        self._files_gone = self._deleted(files, "owner")
        self._tasks = self._new(tasks)
        self._payloads = self._new(payloads)
        self._uses = self._new(uses)
        self._commands = self._new(commands)
        column = commands.c
        self._commands_gone = self._prepared(
            delete(commands).where(
                column.session == bindparam("by"),
                column.number == bindparam("of"),
                column.engine == bindparam("on"),
            ),
            ["by", "of", "on"],
        )
        self._changes = self._prepared_changes()
        self._began = self._prepared(
            update(tasks)
            .where(
                tasks.c.id == bindparam("of"),
                tasks.c.attempt == bindparam("try"),
                tasks.c.completed.is_(None),
            )
            .values(began=bindparam("when")),
            ["when", "of", "try"],
        )
        self._ended = self._prepared_ended()
        self._results = self._prepared_results()
        self._outcomes = self._prepared_outcomes()
        self._cleared = [
            self._deleted(table, name)
            for table, name in ((tasks, "id"), (payloads, "task"), (uses, "task"), (results, "task"))
        ]

    def write(self, connection: Connection, batch: Batch) -> None:
        """Write the rows of a batch; its files are not."""
        if batch.next_id is not None:
            self._next_id.run(connection, [(NEXT_ID, str(batch.next_id))])
        self._run(connection, self._sessions, list(batch.sessions.values()))
        self._run(connection, self._engines, [row for row in batch.engines.values() if row is not None])
        self._run(
            connection, self._engines_gone, [(key,) for key, row in batch.engines.items() if row is None]
        )
        self._run(connection, self._functions, batch.functions)
        self._run(connection, self._tasks, batch.tasks)
        self._run(connection, self._payloads, batch.payloads)
        self._run(connection, self._uses, batch.uses)
        self._run(connection, self._changes, batch.change_rows())
        self._run(connection, self._began, list(batch.began.values()))
        self._run(connection, self._ended, list(batch.ended.values()))
        self._run(connection, self._results, list(batch.results.values()))
        self._run(connection, self._commands, batch.commands)
        self._run(connection, self._outcomes, batch.outcomes)
        self.clear(connection, list(batch.cleared))

    def clear(self, connection: Connection, gone: Sequence[int]) -> None:
        """Forget these tasks."""
        rows = [(task,) for task in gone]
        for statement in self._cleared:
            self._run(connection, statement, rows)

    def clear_commands(self, connection: Connection, gone: Sequence[Row]) -> None:
        """Forget these commands: each by session, number and engine."""
        self._run(connection, self._commands_gone, gone)

    def add_files(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Register files."""
        self._run(connection, self._files, rows)

    def forget_files(self, connection: Connection, owners: Sequence[str]) -> None:
        """Forget the files of these owners."""
        self._run(connection, self._files_gone, [(owner,) for owner in owners])

    def _run(self, connection: Connection, statement: Prepared, rows: Sequence[Row]) -> None:
        if rows:
            statement.run(connection, rows)

    def _prepared(self, statement: Any, order: Sequence[str]) -> Prepared:
        return Prepared(self._dialect, statement, order)

    def _new(self, table: Table) -> Prepared:
        """Insert rows of all columns; what is there already stays."""
        names = [column.name for column in table.columns]
        return self._prepared(self._insert(table).on_conflict_do_nothing(), names)

    def _kept(self, table: Table, changing: Sequence[str]) -> Prepared:
        """Insert rows of all columns; of what is there already, those columns change."""
        names = [column.name for column in table.columns]
        statement = self._insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={name: statement.excluded[name] for name in changing}
        )
        return self._prepared(statement, names)

    def _deleted(self, table: Table, name: str) -> Prepared:
        return self._prepared(delete(table).where(table.c[name] == bindparam("gone")), ["gone"])

    def _prepared_changes(self) -> Prepared:
        column = tasks.c

        def said(name: str) -> Any:
            return func.coalesce(bindparam(f"new_{name}", type_=column[name].type), column[name])

        statement = (
            update(tasks)
            .where(column.id == bindparam("of"), column.completed.is_(None))
            .ordered_values(
                (column.state, bindparam("new_state")),
                (column.attempt, said("attempt")),
                (column.step, said("step")),
                (column.engine, bindparam("new_engine")),
                (column.began, bindparam("new_began")),
                (column.progress, said("progress")),
            )
        )
        names = ("state", "attempt", "step", "engine", "began", "progress")
        return self._prepared(statement, [*(f"new_{name}" for name in names), "of"])

    def _prepared_ended(self) -> Prepared:
        column = tasks.c
        statement = (
            update(tasks)
            .where(column.id == bindparam("of"), column.completed.is_(None))
            .ordered_values(
                (column.state, bindparam("new_state")),
                (column.engine, bindparam("new_engine")),
                (column.began, bindparam("new_began")),
                (column.completed, bindparam("new_completed")),
                (column.size, column.size + bindparam("more")),
                (column.progress, null()),
            )
        )
        names = ["new_state", "new_engine", "new_began", "new_completed", "more"]
        return self._prepared(statement, [*names, "of"])

    def _prepared_results(self) -> Prepared:
        of = bindparam("of", type_=results.c.task.type)
        there = exists().where(tasks.c.id == bindparam("task", type_=tasks.c.id.type))
        rows = select(of, bindparam("value", type_=results.c.packed.type)).where(there)
        statement = self._insert(results).from_select(["task", "packed"], rows).on_conflict_do_nothing()
        return self._prepared(statement, ["of", "value", "task"])

    def _prepared_outcomes(self) -> Prepared:
        column = commands.c
        statement = (
            update(commands)
            .where(
                column.session == bindparam("by"),
                column.number == bindparam("of"),
                column.engine == bindparam("on"),
                column.completed.is_(None),
            )
            .ordered_values(
                (column.ok, bindparam("new_ok")),
                (column.started, bindparam("new_started")),
                (column.completed, bindparam("new_completed")),
                (column.packed, bindparam("new_packed")),
                (column.size, column.size + bindparam("more")),
            )
        )
        names = ["new_ok", "new_started", "new_completed", "new_packed", "more"]
        return self._prepared(statement, [*names, "by", "of", "on"])
