"""Who did what, when, where, and how it ended: what can be asked of a store.

A query is made of these words, each of which narrows it: `name` (of a named session), `session`, `engine`, `state` (for
tasks: waiting, assigned, succeeded, failed, aborted; for commands: pending, succeeded, failed), `label` (a part of it),
`since` and `until` (when it was submitted, in seconds since 1970); and `limit` and `offset`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, case, select

from ipython1.kernel.error import StoreError
from ipython1.kernel.store.schema import commands, sessions, tasks

MAX_ROWS = 1_000
"""So many are told at once."""

_WHO = (sessions.c.role, sessions.c.host, sessions.c.pid, sessions.c.username.label("user"))
_command_state = case(
    (commands.c.completed.is_(None), "pending"), (commands.c.ok.is_(True), "succeeded"), else_="failed"
)

Conditions = Mapping[str, Callable[[Any], ColumnElement[bool]]]


def _conditions(table: Table, state: ColumnElement[Any], name: ColumnElement[Any]) -> Conditions:
    return {
        "name": lambda value: name == value,
        "session": lambda value: table.c.session == value,
        "engine": lambda value: table.c.engine == value,
        "state": lambda value: state == value,
        "label": lambda value: table.c.label.contains(value, autoescape=True),
        "since": lambda value: table.c.submitted >= value,
        "until": lambda value: table.c.submitted < value,
    }


_TASKS = _conditions(tasks, tasks.c.state, tasks.c.name)
_COMMANDS = _conditions(commands, _command_state, sessions.c.name)
WORDS = (*_TASKS, "limit", "offset")
"""What a query may say."""


def tasks_of(connection: Connection, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tasks, the newest first."""
    column = tasks.c
    shown = (
        column.id,
        column.session,
        column.name,
        column.label,
        column.state,
        column.attempt,
        column.engine,
        column.submitted,
        column.began.label("started"),
        column.completed,
        column.size,
        *_WHO,
    )
    rows = select(*shown).join_from(tasks, sessions, sessions.c.session == column.session, isouter=True)
    return _asked(connection, rows.order_by(column.submitted.desc(), column.id.desc()), _TASKS, query)


def history(connection: Connection, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Commands, the newest first."""
    column = commands.c
    shown = (
        column.session,
        column.number,
        column.engine,
        column.verb,
        column.label,
        _command_state.label("state"),
        column.submitted,
        column.started,
        column.completed,
        column.size,
        sessions.c.name,
        *_WHO,
    )
    rows = select(*shown).join_from(commands, sessions, sessions.c.session == column.session, isouter=True)
    order = (column.submitted.desc(), column.session, column.number.desc(), column.engine)
    return _asked(connection, rows.order_by(*order), _COMMANDS, query)


def _asked(
    connection: Connection, rows: Select[Any], conditions: Conditions, query: Mapping[str, Any]
) -> list[dict[str, Any]]:
    unknown = set(query) - set(WORDS)
    if unknown:
        raise StoreError(f"{min(unknown)!r} cannot be asked for: {', '.join(WORDS)} can")
    for word, value in query.items():
        if word in conditions and value is not None:
            rows = rows.where(conditions[word](value))
    limit = query.get("limit")
    rows = rows.limit(MAX_ROWS if limit is None else min(limit, MAX_ROWS)).offset(query.get("offset") or 0)
    return [dict(row) for row in connection.execute(rows).mappings()]
