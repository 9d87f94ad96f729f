"""From the setting ``store`` to a store.  SQLAlchemy is imported here, when there is something to be stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipython1.kernel.config.settings import (
    KEPT_COMMANDS_AGE,
    KEPT_COMMANDS_BYTES,
    KEPT_COMMANDS_COUNT,
    KEPT_TASKS_AGE,
    KEPT_TASKS_BYTES,
    KEPT_TASKS_COUNT,
    STORE,
    STORE_SYNC,
)
from ipython1.kernel.error import StoreError
from ipython1.kernel.places import Places
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.limits import Limits, Retention
from ipython1.kernel.store.memory import MemoryStore

if TYPE_CHECKING:
    from ipython1.kernel.store.database import Database

MEMORY = "memory"
OWN_FILE = ("sqlite", "")
NEEDS_URL = ("postgresql", "postgres")
FULL = "full"


@dataclass(frozen=True)
class StoreConfig:
    """The settings of a store: `url` is a URL of SQLAlchemy's, a path, 'memory', or 'sqlite' for the cluster's own file."""

    url: str = STORE.default
    sync: str = STORE_SYNC.default
    retention: Retention = field(default_factory=Retention)

    @classmethod
    def of(cls, settings: Any) -> StoreConfig:
        """What the settings say."""
        return cls(
            settings[STORE],
            settings[STORE_SYNC],
            Retention(
                Limits(settings[KEPT_TASKS_AGE], settings[KEPT_TASKS_COUNT], settings[KEPT_TASKS_BYTES]),
                Limits(
                    settings[KEPT_COMMANDS_AGE], settings[KEPT_COMMANDS_COUNT], settings[KEPT_COMMANDS_BYTES]
                ),
            ),
        )


def open_store(config: StoreConfig, places: Places, reactor: Any) -> Store:
    """The store that is meant, which is to be opened; StoreError for one that there cannot be."""
    if config.url == MEMORY:
        return MemoryStore()
    database = _database(config, places)
    from ipython1.kernel.store.durable import DurableStore

    return DurableStore(database, reactor, config.retention)


def _database(config: StoreConfig, places: Places) -> Database:
    sync = config.sync == FULL
    if config.url in OWN_FILE:
        return _sqlite(places.store_file, sync)
    if config.url in NEEDS_URL:
        raise StoreError(f"--store {config.url} does not say which database: postgresql://user@host/database does")
    if "://" not in config.url:
        return _sqlite(Path(config.url).expanduser().absolute(), sync)
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        url = make_url(config.url)
    except ImportError as problem:
        raise _not_installed("SQLAlchemy", problem) from problem
    except (ArgumentError, ValueError) as problem:
        raise StoreError(f"--store: the URL cannot be read: {problem}") from problem
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError(
                f"--store {config.url} names no file: sqlite:////path does, and {MEMORY} needs none"
            )
        return _sqlite(Path(url.database).absolute(), sync)
    if backend == "postgresql":
        try:
            import psycopg  # noqa: F401 # whether it is there
        except ImportError as problem:
            raise _not_installed("psycopg (pip install 'ipython1[postgresql]')", problem) from problem
        from ipython1.kernel.store.postgres import PostgresDatabase

        return PostgresDatabase(url, sync)
    raise StoreError(
        f"--store: {backend!r:.40} is no kind of store: give the path of a file (SQLite), postgresql://..., or"
        f" {MEMORY}"
    )


def _sqlite(path: Path, sync: bool) -> Database:
    try:
        from ipython1.kernel.store.sqlite import SqliteDatabase
    except ImportError as problem:
        raise _not_installed("SQLAlchemy, or Python's sqlite3", problem) from problem
    return SqliteDatabase(path, sync)


def _not_installed(what: str, problem: ImportError) -> StoreError:
    return StoreError(f"--store needs {what}, which cannot be imported: {problem}; {MEMORY} does without")
