"""The store in a file of SQLite.

The lock is exclusive before the journal is a write-ahead log: then there is no shared memory, which file systems of
networks do not have, and a second controller is refused.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from ipython1.kernel.error import StoreError
from ipython1.kernel.store.database import PATIENCE, Database

APPLICATION_ID = 0x49507931  # IPy1
_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_OLDEST = (3, 33, 0)
_CHECKED_SIZE = 256 << 20
_JOURNAL_SIZE = 64 << 20


class SqliteDatabase(Database):
    """The file at `path`."""

    def __init__(self, path: Path, sync: bool = False) -> None:
        self.path = path
        self.where = str(path)
        self.folder = path.with_name(f"{path.name}-files")
        self.sync = sync

    def engine(self) -> Engine:
        """SQLAlchemy's view of it."""
        engine = create_engine("sqlite+pysqlite://", creator=self._dial, poolclass=NullPool)
        # The driver's own way to begin transactions leaves out some statements.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine

    def connect(self) -> Connection:
        """See `Database`."""
        return self.engine().connect()

    def _dial(self) -> sqlite3.Connection:
        new = self._look()
        connection = sqlite3.connect(
            self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            self._set_up(connection, new)
        except sqlite3.DatabaseError as problem:
            connection.close()
            raise self._refused(problem) from problem
        except BaseException:
            connection.close()
            raise
        return connection

    def _look(self) -> bool:
        """Look at the file without opening it as a database, and make it if there is none; whether it is new.

        This process must not have the database then: to close a file ends all locks that the process has on it.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with open(self.path, "rb") as file:
                header = file.read(_HEADER)
            size = self.path.stat().st_size
            logged = log.exists() and log.stat().st_size > 0
        except OSError as problem:
            raise StoreError(
                f"{self.where} cannot be opened: {problem.strerror}; give another place with --store"
            ) from problem
        if not header:
            if logged:
                raise self.damaged(f"it is empty, but there is {log.name}")
            return True
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            if self.path.with_name(f"{self.path.name}-journal").exists():
                # Ended while the file was made: SQLite can repair that.
                return False
            raise self.foreign()
        pages, application = struct.unpack(">I", header[28:32])[0], struct.unpack(">I", header[68:72])[0]
        if application != APPLICATION_ID:
            raise self.foreign()
        page = struct.unpack(">H", header[16:18])[0]
        if not logged and size < pages * (65536 if page == 1 else page):
            raise self.damaged("its end is missing")
        return False

    def _set_up(self, connection: sqlite3.Connection, new: bool) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            raise StoreError(
                f"{self.where} needs SQLite {oldest} or newer; this Python has {sqlite3.sqlite_version}"
            )
        run = connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        if run("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            if run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise self.foreign()
            # Before there is a log, so that it is in the file itself, where `_look` finds it.
            run(f"PRAGMA application_id={APPLICATION_ID}")
        mode = run("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(
                f"{self.where} cannot have a write-ahead log there: give another place with --store"
            )
        run(f"PRAGMA synchronous={'FULL' if self.sync else 'NORMAL'}")
        run(f"PRAGMA journal_size_limit={_JOURNAL_SIZE}")
        run("PRAGMA cache_size=-16000")
        run("BEGIN IMMEDIATE")
        run("COMMIT")
        if not new and self.path.stat().st_size <= _CHECKED_SIZE:
            found = run("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise self.damaged(found.replace("\n", " "))

    def _refused(self, problem: sqlite3.DatabaseError) -> StoreError:
        code = problem.sqlite_errorcode & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return self.in_use()
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self.damaged(str(problem))
        return StoreError(f"{self.where} cannot be opened: {problem}; give another place with --store")
