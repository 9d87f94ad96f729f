"""The store in PostgreSQL is the same store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from ipython1.kernel.error import StoreError
from ipython1.kernel.store import writer
from ipython1.kernel.store.postgres import PostgresDatabase
from ipython1.kernel.store.tests.postgres_server import PostgresServer
from ipython1.kernel.store.tests.scenarios import DurableScenarios, RetentionScenarios
from ipython1.kernel.store.tests.stores import StoreCase, a_result, a_task
from ipython1.kernel.tests.program import asynchronous


class OnServer(StoreCase):
    """A store on a server of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        # Stores are closed before it ends: what is added last is done first.
        self.server = PostgresServer(self)
        self.url = make_url(self.server.url)

    def database(self) -> Any:
        return PostgresDatabase(self.url)


class PostgresDurableTests(DurableScenarios, OnServer):
    """All that a file can do."""


class PostgresRetentionTests(RetentionScenarios, OnServer):
    """The same retention."""


class PostgresTests(OnServer):
    """What is different."""

    @asynchronous
    async def test_new(self) -> None:
        """It lies in a schema of its own, beside whatever else is in the database."""
        engine = create_engine(self.url.set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE tasks (mine TEXT)")
        store, _ = await self.opened()
        again, _ = await self.again(store)
        self.assertEqual(again.house, store.house)
        with engine.begin() as connection:
            self.assertEqual(connection.exec_driver_sql("SELECT * FROM public.tasks").all(), [])
        engine.dispose()

    @asynchronous
    async def test_large(self) -> None:
        """Large bodies are in the database, too."""
        store, _ = await self.opened()
        await store.task_submitted(a_task(1, bytes(1_000_000)))
        _, snapshot = await self.again(store)
        self.assertEqual(snapshot.live[0].task, a_task(1, bytes(1_000_000)))

    @asynchronous
    async def test_in_use(self) -> None:
        """A second controller is refused."""
        store, _ = await self.opened()
        problem = await self.assertFailure(self.store().open(), StoreError)
        self.assertIn("is in use by another controller", str(problem))
        await store.task_submitted(a_task(1))

    @asynchronous
    async def test_not_there(self) -> None:
        """A server that does not answer, and a database that is not there."""
        for url in (self.url.set(database="nowhere"), self.url.update_query_dict({"host": "/nowhere"})):
            self.url = url
            problem = await self.assertFailure(self.store().open(), StoreError)
            self.assertIn("cannot be reached: ", str(problem))

    @asynchronous
    async def test_restart(self) -> None:
        """The server ends and comes back: submissions fail, and everything else is stored then."""
        self.patch(writer, "FIRST_RETRY", 0.01)
        errors: list[str] = []
        self.patch(writer.Writer, "_report", lambda writer, text: errors.append(text))
        store, _ = await self.opened()
        await store.task_submitted(a_task(1))
        self.server.stop()
        self.server.start()
        store.task_ended(1, a_result(1))
        await self.assertFailure(store.task_submitted(a_task(2)), StoreError)
        await store.settled()
        self.assertEqual(await store.result(1), a_result(1))
        await store.task_submitted(a_task(3))
        self.assertEqual(len(errors), 1, errors)
