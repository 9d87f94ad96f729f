"""The tables, for every database alike.

What changes often (`tasks`) lies apart from what may be large (`payloads`, `results`), so that a change of state
does not write the values of the task again, and an overview does not read them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

_ID = BigInteger().with_variant(Integer, "sqlite")

METADATA = MetaData()

about = Table(
    "about",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""The schema's version, the house, the next id of a task."""

tasks = Table(
    "tasks",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("session", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("submitted", Double, nullable=False),
    Column("size", BigInteger, nullable=False),  # of all that is stored of it, its bodies included
    Column("state", Text, nullable=False),  # one of LIVE_STATES, or its outcome
    Column("attempt", BigInteger, nullable=False),
    Column("step", Integer, nullable=False),
    Column("engine", BigInteger),
    Column("began", Double),
    Column("completed", Double),  # null while it is live
    Column("progress", LargeBinary),
)
Index(
    "tasks_live",
    tasks.c.id,
    sqlite_where=tasks.c.completed.is_(None),
    postgresql_where=tasks.c.completed.is_(None),
)
Index(
    "tasks_ended",
    tasks.c.completed,
    tasks.c.id,
    tasks.c.size,
    sqlite_where=tasks.c.completed.is_not(None),
    postgresql_where=tasks.c.completed.is_not(None),
)
Index("tasks_named", tasks.c.name, sqlite_where=tasks.c.name != "", postgresql_where=tasks.c.name != "")

payloads = Table(
    "payloads",
    METADATA,
    Column("task", _ID, primary_key=True, autoincrement=False),
    Column("packed", LargeBinary, nullable=False),  # document, bodies, functions
)

uses = Table(
    "uses",
    METADATA,
    Column("task", _ID, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True, index=True),
)
"""Which functions the tasks name."""

results = Table(
    "results",
    METADATA,
    Column("task", _ID, primary_key=True, autoincrement=False),
    Column("packed", LargeBinary, nullable=False),  # record, fields, bodies
)

functions = Table(
    "functions",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("packed", LargeBinary, nullable=False),  # document, bodies
)

sessions = Table(
    "sessions",
    METADATA,
    Column("session", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("username", Text, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
)

engines = Table(
    "engines",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("agent", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

commands = Table(
    "commands",
    METADATA,
    Column("session", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("engine", BigInteger, primary_key=True, autoincrement=False),
    Column("verb", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("submitted", Double, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("ok", Boolean),
    Column("started", Double),
    Column("completed", Double),  # null while it has no outcome
    Column("document", LargeBinary, nullable=False),
    Column("packed", LargeBinary),  # fields, bodies
)
Index(
    "commands_live",
    commands.c.submitted,
    sqlite_where=commands.c.completed.is_(None),
    postgresql_where=commands.c.completed.is_(None),
)
Index(
    "commands_ended",
    commands.c.completed,
    commands.c.size,
    sqlite_where=commands.c.completed.is_not(None),
    postgresql_where=commands.c.completed.is_not(None),
)

files = Table(
    "files",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
)
"""The bodies that lie in files of their own; see `files`."""
