"""What went wrong in the database or on the disk, as errors for people."""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError

from ipython1.kernel.error import StoreError, StoreFull

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM_STATES = ("53100", "53200")  # of PostgreSQL: disk_full, out_of_memory


def store_error(problem: BaseException, where: str) -> StoreError:
    """The error that says what happened to the store at `where`."""
    if isinstance(problem, StoreError):
        return problem
    cause = problem.orig if isinstance(problem, DBAPIError) and problem.orig is not None else problem
    text = " ".join(str(cause).split()) or type(cause).__name__
    if _is_full(cause):
        return StoreFull(f"there is no room left for {where} ({text}): remove what is not needed there")
    return StoreError(f"{where} cannot be used now: {text}")


def is_lost(problem: BaseException) -> bool:
    """Whether the connection to the database is of no more use."""
    return isinstance(problem, DBAPIError) and problem.connection_invalidated


def is_damage(problem: BaseException) -> bool:
    """Whether SQLite has found the file to be damaged."""
    cause = problem.orig if isinstance(problem, DBAPIError) else problem
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return isinstance(cause, sqlite3.Error) and code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_full(cause: BaseException) -> bool:
    if isinstance(cause, OSError):
        return cause.errno in _NO_ROOM
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return getattr(cause, "sqlstate", None) in _NO_ROOM_STATES
