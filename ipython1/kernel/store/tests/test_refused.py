"""A place that cannot be a store is refused with a message that says why, and left as it was."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from ipython1.kernel.error import StoreError
from ipython1.kernel.places import Places
from ipython1.kernel.store.database import Database
from ipython1.kernel.store.durable import DurableStore
from ipython1.kernel.store.keeper import Keeper
from ipython1.kernel.store.opening import StoreConfig, open_store
from ipython1.kernel.store.sqlite import SqliteDatabase
from ipython1.kernel.store.tests.stores import FOR_EVER, StoreCase, a_task
from ipython1.kernel.tests.program import Program, asynchronous, search_path


class RefusedTests(StoreCase):
    async def refused(self, expected: str) -> None:
        """The store cannot be opened, which the message says; the file is what it was."""
        before = self.path.read_bytes()
        problem = await self.assertFailure(self.store().open(), StoreError)
        self.assertIn(str(self.path), str(problem))
        self.assertIn(expected, str(problem))
        self.assertEqual(self.path.read_bytes(), before)

    async def filled(self, count: int = 300) -> None:
        """A store with some tasks, closed."""
        store, _ = await self.opened()
        for number in range(count):
            store.task_submitted(a_task(number, bytes(1000)))
        await store.close()

    @asynchronous
    async def test_no_database(self) -> None:
        """A file of something else."""
        self.path.parent.mkdir(parents=True)
        for content in (b"x", b"notes\n" * 100, b"SQLite format 3\0", bytes(5000)):
            self.path.write_bytes(content)
            await self.refused("is no store of ipython1, and was left as it is")

    @asynchronous
    async def test_other_database(self) -> None:
        """A database of another program."""
        self.path.parent.mkdir(parents=True)
        connection = sqlite3.connect(self.path)
        connection.execute("CREATE TABLE notes (text)")
        connection.close()
        await self.refused("is no store of ipython1, and was left as it is")

    @asynchronous
    async def test_damaged(self) -> None:
        """The end is missing, or what is in it makes no sense."""
        await self.filled()
        content = self.path.read_bytes()
        self.path.write_bytes(content[: len(content) // 2])
        await self.refused(
            "is damaged, and was left as it is (its end is missing): restore it from a copy, or move it"
        )
        self.path.write_bytes(content[:4096] + bytes(40960) + content[45056:])
        await self.refused("is damaged, and was left as it is (")

    @asynchronous
    async def test_log_without_database(self) -> None:
        """A log of which the database is gone."""
        self.path.parent.mkdir(parents=True)
        self.path.touch()
        self.path.with_name("test.sqlite-wal").write_bytes(b"x" * 5000)
        await self.refused("is damaged, and was left as it is (it is empty, but there is test.sqlite-wal)")
        self.assertEqual(len(self.path.with_name("test.sqlite-wal").read_bytes()), 5000)

    @asynchronous
    async def test_newer(self) -> None:
        """A store of a later release."""
        await self.filled(1)
        connection = sqlite3.connect(self.path)
        connection.execute("UPDATE about SET value = '77' WHERE name = 'version'")
        connection.commit()
        connection.close()
        await self.refused(
            "was written by a newer ipython1 (its schema is 77, the newest known here 1): use that one"
        )

    @asynchronous
    async def test_in_use(self) -> None:
        """A second controller is refused while the first one has it."""
        store, _ = await self.opened()
        await store.task_submitted(a_task(1))
        code = (
            "from pathlib import Path; from ipython1.kernel.store.sqlite import SqliteDatabase;"
            f"SqliteDatabase(Path({str(self.path)!r})).connect()"
        )
        program = Program(self, sys.executable, "-c", code, environment={"PYTHONPATH": search_path()})
        await program.ended()
        self.assertIn(f"{self.path} is in use by another controller: stop that one, or give", program.output)
        await store.task_submitted(a_task(2))
        _, snapshot = await self.again(store)
        self.assertEqual(len(snapshot.live), 2)

    @asynchronous
    async def test_no_folder(self) -> None:
        """A place where no file can be."""
        self.path.parent.parent.mkdir(parents=True)
        self.path.parent.touch()
        problem = await self.assertFailure(self.store().open(), StoreError)
        self.assertIn(f"{self.path} cannot be opened: ", str(problem))
        self.assertIn("; give another place with --store", str(problem))

    @asynchronous
    async def test_ended_while_made(self) -> None:
        """An empty file is taken for a new store."""
        self.path.parent.mkdir(parents=True)
        self.path.touch()
        _, snapshot = await self.opened()
        self.assertEqual(snapshot.live, [])


class MigrationTests(StoreCase):
    """A store of an earlier release becomes one of today, in one transaction, or stays what it was."""

    def steps(self, fail: bool = False) -> list[Any]:
        def add_color(connection: Connection) -> None:
            connection.exec_driver_sql("ALTER TABLE engines ADD COLUMN color TEXT DEFAULT 'red'")

        def rename_labels(connection: Connection) -> None:
            connection.exec_driver_sql("UPDATE tasks SET label = 'task ' || label")
            if fail:
                raise StoreError("an example")

        return [add_color, rename_labels]

    def prepare(self, steps: list[Any]) -> dict[str, str]:
        """Open the database with these migrations; what it says of itself."""
        database = SqliteDatabase(self.path)
        connection = database.connect()
        try:
            database.prepare(connection, steps)
            with connection.begin():
                return dict(connection.exec_driver_sql("SELECT name, value FROM about").tuples().all())
        finally:
            connection.close()

    @asynchronous
    async def test_migration(self) -> None:
        store, _ = await self.opened()
        await store.task_submitted(a_task(1))
        await store.close()
        house = store.house
        self.assertRaises(StoreError, self.prepare, self.steps(fail=True))
        store, snapshot = await self.opened()
        self.assertEqual(snapshot.live[0].task.label, "f(1)")
        await store.close()
        for _ in range(2):
            self.assertEqual(self.prepare(self.steps()), {"version": "3", "house": house})
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("SELECT label FROM tasks").fetchall(), [("task f(1)",)])
        connection.execute("INSERT INTO engines (id, agent, place, document) VALUES (1, '', 0, '')")
        self.assertEqual(connection.execute("SELECT color FROM engines").fetchall(), [("red",)])


class SettingTests(TestCase):
    """What the setting may say."""

    def store(self, url: str, sync: str = "normal") -> Any:
        return open_store(StoreConfig(url, sync), Places(Path("/somewhere"), "night"), reactor)

    def database(self, url: str, sync: str = "normal") -> Database:
        store = self.store(url, sync)
        assert isinstance(store, DurableStore) and isinstance(store._keeper, Keeper)
        return store._keeper._database

    def test_places(self) -> None:
        for own in ("sqlite", ""):
            self.assertEqual(self.database(own).where, "/somewhere/db/night/ipcontroller.sqlite")
        self.assertEqual(self.database("/a/b.sqlite").where, "/a/b.sqlite")
        self.assertEqual(self.database("sqlite:////a/b.sqlite").where, "/a/b.sqlite")
        self.assertEqual(self.database("b.sqlite").where, str(Path.cwd() / "b.sqlite"))
        self.assertEqual([self.database("", sync).sync for sync in ("normal", "full")], [False, True])

    def test_postgresql(self) -> None:
        """The password is not shown."""
        database = self.database("postgresql://ada:secret@node1/tasks")
        self.assertEqual(database.where, "postgresql://ada:***@node1/tasks")

    def test_wrong(self) -> None:
        for url, expected in (
            (
                "mysql://node1/x",
                "'mysql' is no kind of store: give the path of a file (SQLite), postgresql://..., or",
            ),
            ("sqlite://", "names no file"),
            ("postgresql", "does not say which database: postgresql://user@host/database does"),
            ("://", "the URL cannot be read"),
        ):
            problem = self.assertRaises(StoreError, self.store, url)
            self.assertIn(expected, str(problem))

    def test_not_installed(self) -> None:
        """Without what it needs, the message says what to install."""
        missing = patch.dict(sys.modules, {"psycopg": None})
        missing.start()
        self.addCleanup(missing.stop)
        problem = self.assertRaises(StoreError, self.store, "postgresql://node1/x")
        self.assertIn(
            "needs psycopg (pip install 'ipython1[postgresql]'), which cannot be imported", str(problem)
        )


class SynchronousTests(StoreCase):
    @asynchronous
    async def test_levels(self) -> None:
        """`full` has each commit wait for the disk."""
        for sync, level in ((False, 1), (True, 2)):
            connection = SqliteDatabase(self.path, sync).connect()
            try:
                found = [
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("synchronous", "journal_mode")
                ]
                self.assertEqual(found, [level, "wal"])
            finally:
                connection.close()

    @asynchronous
    async def test_full(self) -> None:
        """It stores what the other does."""
        store = DurableStore(SqliteDatabase(self.path, sync=True), reactor, FOR_EVER)
        self.addCleanup(store.close)
        await store.open()
        await store.task_submitted(a_task(1, bytes(300_000)))
        _, snapshot = await self.again(store)
        self.assertEqual(len(snapshot.live), 1)


class ImportTests(TestCase):
    """Only a controller that has a store pays for SQLAlchemy."""

    timeout = 180

    @asynchronous
    async def test_imports(self) -> None:
        modules = ["kernel.client", "kernel.store.opening", "kernel.store.memory"]
        modules += [f"kernel.scripts.{name}" for name in ("ipcontroller", "ipengine", "ipcluster")]
        imports = "; ".join(f"import ipython1.{module}" for module in modules)
        program = Program(
            self, sys.executable, "-c", f"{imports}; import sys; print('sqlalchemy' in sys.modules)"
        )
        await program.ended()
        self.assertEqual(program.output.strip(), "False")
