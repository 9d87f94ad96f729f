"""Removes what has ended and is not to be kept any longer, and what belonged to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, delete, exists, func, select

from ipython1.kernel.store.limits import Limits, Retention
from ipython1.kernel.store.packing import TASK_OWNERS, command_owner, function_owner
from ipython1.kernel.store.schema import commands, functions, sessions, tasks, uses
from ipython1.kernel.store.statements import Statements

_SESSION_AGE = 86400.0


def sweep(connection: Connection, statements: Statements, retention: Retention, now: float) -> list[str]:
    """Remove what is not to be kept; the owners of files that may be gone with it."""
    with connection.begin():
        gone = _surplus(connection, tasks, [tasks.c.id], retention.tasks, now)
        old = _surplus(
            connection,
            commands,
            [commands.c.session, commands.c.number, commands.c.engine],
            retention.commands,
            now,
        )
        ids = [row[0] for row in gone]
        statements.clear(connection, ids)
        statements.clear_commands(connection, old)
        unused = _unused_functions(connection)
        _forget_sessions(connection, now - min(retention.tasks.age or _SESSION_AGE, _SESSION_AGE))
    owners = [owner(task) for task in ids for owner in TASK_OWNERS]
    return [*owners, *(command_owner(*row) for row in old), *(function_owner(digest) for digest in unused)]


def _surplus(
    connection: Connection, table: Table, key: Sequence[Column[Any]], limits: Limits, now: float
) -> list[tuple[Any, ...]]:
    """The keys of what is too much, too large or too old."""
    column = table.c
    oldest = now - limits.age if limits.age else 0.0
    sums = select(func.count(), func.sum(column.size), func.min(column.completed)).where(
        column.completed.is_not(None)
    )
    count, size, first = connection.execute(sums).one()
    if not count or (count <= limits.count and size <= limits.size and first >= oldest):
        return []
    newest_first = (column.completed.desc(), *(each.desc() for each in key))
    ranked = (
        select(
            *key,
            column.completed,
            func.row_number().over(order_by=newest_first).label("rank"),
            func.sum(column.size).over(order_by=newest_first).label("total"),
        )
        .where(column.completed.is_not(None))
        .subquery()
    )
    query: Select[Any] = select(*(ranked.c[each.name] for each in key)).where(
        # The newest stays, however large: somebody may be about to ask for it.
        (ranked.c.completed < oldest)
        | (ranked.c.rank > limits.count)
        | ((ranked.c.total > limits.size) & (ranked.c.rank > 1))
    )
    return [tuple(row) for row in connection.execute(query)]


def _unused_functions(connection: Connection) -> list[str]:
    """Remove the functions that no task names; their digests."""
    unused = ~exists().where(uses.c.digest == functions.c.digest)
    digests = list(connection.execute(select(functions.c.digest).where(unused)).scalars())
    if digests:
        connection.execute(delete(functions).where(unused))
    return digests


def _forget_sessions(connection: Connection, before: float) -> None:
    """Remove sessions of which nothing else is stored, and that were not seen since then."""
    connection.execute(
        delete(sessions).where(
            sessions.c.last_seen < before,
            sessions.c.key.not_in(select(tasks.c.session)),
            sessions.c.key.not_in(select(commands.c.session)),
        )
    )
