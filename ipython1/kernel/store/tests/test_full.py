"""A disk that is full: whoever submits is told, everything else is stored when there is room again."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sqlalchemy.exc import OperationalError
from twisted.internet.task import Clock

from ipython1.kernel.error import StoreError, StoreFull
from ipython1.kernel.store import writer
from ipython1.kernel.store.batch import Batch
from ipython1.kernel.store.durable import DurableStore
from ipython1.kernel.store.packing import FILE_LIMIT
from ipython1.kernel.store.tests.stores import StoreCase, a_command, a_result, a_task, an_outcome
from ipython1.kernel.store.values import LiveTask
from ipython1.kernel.tests.program import asynchronous


class FullTests(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.errors: list[str] = []
        self.patch(writer.Writer, "_report", lambda writer, text: self.errors.append(text))

    async def full(self) -> DurableStore:
        """A store with the tasks 0 to 9, the last of which are large, and no room for more."""
        store, _ = await self.opened()
        for number in range(10):
            await store.task_submitted(a_task(number))
        self.limit(store, 0)
        return store

    def limit(self, store: DurableStore, pages: int) -> None:
        """So many more pages the database may have."""
        connection = store._keeper._connection
        assert connection is not None
        driver = connection.connection.driver_connection
        assert driver is not None
        now = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count={now + pages}")

    @asynchronous
    async def test_submission(self) -> None:
        """It fails, and is not there later; what was put with it is."""
        self.patch(writer, "FIRST_RETRY", 0.01)
        store = await self.full()
        full = store.task_submitted(a_task(50, bytes(50_000)))
        commands = [store.command_submitted(a_command(number)) for number in range(200)]
        store.task_assigned(1, 1, 0, 7)
        store.task_assigned(50, 1, 0, 7)
        store.task_ended(2, a_result(2))
        problem = await self.assertFailure(full, StoreFull)
        self.assertIn(f"there is no room left for {self.path} (database or disk is full)", str(problem))
        for command in commands:
            await self.assertFailure(command, StoreFull)
        await store.settled()
        self.limit(store, 1000)
        await store.task_submitted(a_task(51))
        self.assertEqual(store.backlog, 0)
        _, snapshot = await self.again(store)
        states = {live.task.id: live.state for live in snapshot.live}
        self.assertEqual(states, {1: "assigned", **dict.fromkeys((0, 3, 4, 5, 6, 7, 8, 9, 51), "waiting")})
        self.assertEqual((snapshot.ended, snapshot.commands), ([(2, "succeeded")], []))
        self.assertEqual(len(self.errors), 1, self.errors)

    @asynchronous
    async def test_must_be_stored(self) -> None:
        """What must be stored waits until there is room; it is logged once."""
        self.patch(writer, "FIRST_RETRY", 0.01)
        store = await self.full()
        store.task_ended(1, a_result(1, body=bytes(200_000)))
        settled = store.settled()
        while len(self.errors) < 1 or store._writer._delay < 0.05:
            await self.assertFailure(store.task_submitted(a_task(50, bytes(50_000))), StoreFull)
        self.assertFalse(settled.called)
        self.assertGreater(store.backlog, 200_000)
        self.assertEqual(await store.result(1), None)
        self.limit(store, 1000)
        await settled
        self.assertEqual(await store.result(1), a_result(1, body=bytes(200_000)))
        self.assertEqual(len(self.errors), 1)

    @asynchronous
    async def test_close(self) -> None:
        """A store that is closed does not wait for room for ever: it says what is lost."""
        store = await self.full()
        store.task_ended(1, a_result(1, body=bytes(200_000)))
        settled = store.settled()
        await store.close()
        self.assertTrue(settled.called)
        self.assertEqual(len(self.errors), 2)
        self.assertRegex(
            self.errors[1], r"test.sqlite is left without 20\d{4} bytes that could not be stored"
        )
        _, snapshot = await self.opened()
        self.assertIn(LiveTask(a_task(1)), snapshot.live)

    @asynchronous
    async def test_files(self) -> None:
        """The files of what was refused do not stay."""
        store = await self.full()
        large = bytes(FILE_LIMIT + 1)
        await self.assertFailure(store.task_submitted(a_task(50, large, label="x" * 50_000)), StoreFull)
        self.assertEqual(os.listdir(self.path.with_name("test.sqlite-files")), [])

    @asynchronous
    async def test_other_trouble(self) -> None:
        """The same for whatever else happens in the other thread; intervals grow."""
        store, _ = await self.opened()
        clock = Clock()
        write, failing = store._keeper.write, True

        def fail(batches: Sequence[Batch]) -> None:
            if failing:
                raise store._keeper._failed(OperationalError("", None, OSError("an example")))
            write(batches)

        store._keeper.write = fail
        problem = await self.assertFailure(store.task_submitted(a_task(1)), StoreError)
        self.assertNotIsInstance(problem, StoreFull)
        self.assertIn(f"{self.path} cannot be used now: an example", str(problem))
        store._writer._reactor, reactor = clock, store._writer._reactor
        store.leased(7)
        delays = []
        clock.advance(0)
        while len(delays) < 9:
            await self.told(store)
            (call,) = clock.getDelayedCalls()
            delays.append(round(call.getTime() - clock.seconds(), 3))
            if len(delays) == 9:
                failing = False
            clock.advance(delays[-1])
        self.assertEqual(delays, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
        store._writer._reactor = reactor
        await store.settled()
        store.command_ended("s1", 1, 1, an_outcome())
        _, snapshot = await self.again(store)
        self.assertEqual((snapshot.next_id, snapshot.live), (7, []))

    async def told(self, store: DurableStore) -> None:
        """The other thread has answered, and the answer was taken."""
        await store._writer._worker.do(lambda: None)
