"""The store in a database of PostgreSQL, in a schema of its own.

A lock of the server keeps a second controller out; it ends with the connection, and so with the controller.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ipython1.kernel.error import StoreError
from ipython1.kernel.store.database import PATIENCE, Database

SCHEMA = "ipython1"
_LOCK = 0x6970797468_6F6E31  # ipython1
_CONNECT_TIMEOUT = "10"


class PostgresDatabase(Database):
    """The database at `url`."""

    def __init__(self, url: URL, sync: bool = False) -> None:
        url = url.set(drivername="postgresql+psycopg")
        self.where = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self.folder = None
        self.sync = sync
        if "connect_timeout" not in url.query:
            url = url.update_query_dict({"connect_timeout": _CONNECT_TIMEOUT})
        self._url = url

    def engine(self) -> Engine:
        """SQLAlchemy's view of it."""
        engine = create_engine(self._url, paramstyle="format", poolclass=NullPool)
        event.listen(engine, "connect", self._set_up)
        return engine

    def connect(self) -> Connection:
        """See `Database`."""
        try:
            return self.engine().connect()
        except DBAPIError as problem:
            text = " ".join(str(problem.orig).split())
            raise StoreError(f"{self.where} cannot be reached: {text}") from problem

    def _set_up(self, connection: Any, record: Any) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            self._lock(cursor)
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            cursor.execute(f"SET search_path TO {SCHEMA}")
            if self.sync:
                cursor.execute("SET synchronous_commit TO on")
        connection.autocommit = False

    def _lock(self, cursor: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
            if cursor.fetchone()[0]:
                return
            if time.monotonic() > deadline:
                raise self.in_use()
            # The server may not have noticed yet that the last controller has ended.
            time.sleep(0.05)
