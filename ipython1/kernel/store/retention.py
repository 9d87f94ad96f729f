"""Removes what has ended and is not to be kept any longer, and what belonged to it.

What goes is the oldest: of that so much is looked at as is to go, and of what stays nothing, however much it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    Table,
    cast,
    delete,
    exists,
    func,
    literal,
    select,
    tuple_,
)

from ipython1.kernel.store.limits import Limits, Retention
from ipython1.kernel.store.schema import commands, files, functions, payloads, results, sessions, tasks, uses

PAGE = 1_000
"""So many rows are read at a time, to see which have to go."""
_SESSION_AGE = 86400.0
_TASK_ORDER = (tasks.c.completed, tasks.c.id)
_COMMAND_ORDER = (commands.c.completed, commands.c.session, commands.c.number, commands.c.engine)


def sweep(connection: Connection, retention: Retention, now: float) -> None:
    """Remove what is not to be kept, in the open transaction."""
    old = _surplus(connection, tasks, _TASK_ORDER, retention.tasks, now)
    if old is not None:
        gone = select(tasks.c.id).where(old)
        for table in (payloads, uses, results):
            connection.execute(delete(table).where(table.c.task.in_(gone)))
        connection.execute(delete(tasks).where(old))
    old = _surplus(connection, commands, _COMMAND_ORDER, retention.commands, now)
    if old is not None:
        connection.execute(delete(commands).where(old))
    connection.execute(delete(functions).where(~exists().where(uses.c.digest == functions.c.digest)))
    _forget_sessions(connection, now - min(retention.tasks.age or _SESSION_AGE, _SESSION_AGE))


def ownerless(connection: Connection) -> list[str]:
    """The owners of files that are not there any more."""
    task, command = cast(tasks.c.id, String), commands.c
    key = command.session + " " + cast(command.number, String) + " " + cast(command.engine, String)
    there: list[Select[Any]] = [
        select(literal("task ") + task),
        select(literal("result ") + task).where(tasks.c.completed.is_not(None)),
        select(literal("function ") + functions.c.digest),
        select(literal("command ") + key),
    ]
    query = select(files.c.owner).distinct()
    for owners in there:
        query = query.where(files.c.owner.not_in(owners))
    return list(connection.execute(query).scalars())


def _surplus(
    connection: Connection, table: Table, order: Sequence[Column[Any]], limits: Limits, now: float
) -> ColumnElement[bool] | None:
    """The condition for what is too much, too large or too old; None if nothing is."""
    column = table.c
    oldest = now - limits.age if limits.age else 0.0
    ended = column.completed.is_not(None)
    sums = select(func.count(), func.sum(column.size), func.min(column.completed)).where(ended)
    count, size, first = connection.execute(sums).one()
    if not count or (count <= limits.count and size <= limits.size and first >= oldest):
        return None
    last: list[Any] | None = None
    key: list[Any]
    for *key, bytes_ in _oldest_first(connection, select(*order, column.size).where(ended), order):
        # The newest stays, however large: somebody may be about to ask for it.
        if count <= limits.count and (size <= limits.size or count == 1) and key[0] >= oldest:
            break
        count, size, last = count - 1, size - bytes_, key
    return None if last is None else ended & (tuple_(*order) <= tuple_(*last))


def _oldest_first(
    connection: Connection, query: Select[Any], order: Sequence[Column[Any]]
) -> Iterator[Row[Any]]:
    """The rows of the query, which begin with the columns of `order`; no more are read than are asked for."""
    query = query.order_by(*order).limit(PAGE)
    rows = connection.execute(query).all()
    while rows:
        yield from rows
        rows = connection.execute(query.where(tuple_(*order) > tuple_(*rows[-1][: len(order)]))).all()


def _forget_sessions(connection: Connection, before: float) -> None:
    """Remove sessions of which nothing else is stored, and that were not seen since then."""
    connection.execute(
        delete(sessions).where(
            sessions.c.last_seen < before,
            sessions.c.session.not_in(select(tasks.c.session)),
            sessions.c.session.not_in(select(commands.c.session)),
        )
    )
