"""What has ended goes by age, number and size, with all that belongs to it; what has not ended stays."""

from __future__ import annotations

import os
import time

from ipython1.kernel.store import durable
from ipython1.kernel.store.limits import Limits, Retention
from ipython1.kernel.store.packing import FILE_LIMIT
from ipython1.kernel.store.tests.stores import (
    FOR_EVER,
    StoreCase,
    a_command,
    a_result,
    a_session,
    a_task,
    an_outcome,
)
from ipython1.kernel.tests.program import asynchronous

ALL = Limits(age=0)


class RetentionTests(StoreCase):
    async def left(self, limits: Limits) -> list[int]:
        """Of five tasks that have ended and one that has not, those that are left of the first."""
        store, _ = await self.opened()
        now = time.time()
        for number in range(1, 6):
            store.task_submitted(a_task(number, bytes(10_000)))
            store.task_ended(number, a_result(number, completed=now - 100 * (5 - number)))
        store.task_submitted(a_task(9))
        store, snapshot = await self.again(store, Retention(limits, ALL))
        self.assertEqual([live.task.id for live in snapshot.live], [9])
        there = [number for number, _ in snapshot.ended]
        for number in range(1, 6):
            kept = number in there
            self.assertEqual(
                (await store.result(number) is not None, await store.task(number) is not None), (kept, kept)
            )
        return there

    @asynchronous
    async def test_count(self) -> None:
        self.assertEqual(await self.left(Limits(age=0, count=2)), [4, 5])

    @asynchronous
    async def test_age(self) -> None:
        self.assertEqual(await self.left(Limits(age=250)), [3, 4, 5])

    @asynchronous
    async def test_size(self) -> None:
        self.assertEqual(await self.left(Limits(age=0, size=25_000)), [4, 5])

    @asynchronous
    async def test_newest(self) -> None:
        """The newest stays, however large it is."""
        self.assertEqual(await self.left(Limits(age=0, size=5_000)), [5])

    @asynchronous
    async def test_within(self) -> None:
        self.assertEqual(await self.left(Limits()), [1, 2, 3, 4, 5])

    @asynchronous
    async def test_commands(self) -> None:
        """Those that wait for an outcome stay."""
        store, _ = await self.opened()
        for number in range(1, 7):
            store.command_submitted(a_command(number))
        for number in range(1, 6):
            store.command_ended("s1", number, 0, an_outcome(completed=float(number)))
        store, _ = await self.again(store, Retention(ALL, Limits(age=0, count=2)))
        self.assertEqual([row["number"] for row in await store.history()], [6, 5, 4])

    @asynchronous
    async def test_belongings(self) -> None:
        """Functions, files and sessions go with what named them."""
        store, _ = await self.opened()
        large = bytes(FILE_LIMIT + 1)
        for number in (1, 2):
            key = f"s{number}"
            store.session_seen(a_session(key))
            store.function_kept(key, {}, [large])
            store.task_submitted(a_task(number, large, session=key, functions=[key]))
            store.task_ended(number, a_result(number, body=large))
        store, snapshot = await self.again(store, Retention(Limits(age=0, count=1), ALL))
        self.assertEqual(list(snapshot.functions), ["s2"])
        self.assertEqual(len(os.listdir(self.path.with_name("test.sqlite-files"))), 3)
        connection = store._keeper._connection
        assert connection is not None
        found = connection.exec_driver_sql("SELECT session FROM sessions").scalars().all()
        connection.rollback()
        self.assertEqual(found, ["s2"])

    @asynchronous
    async def test_while_running(self) -> None:
        """It goes on while the store is in use; a function that is named again later is there again."""
        self.patch(durable, "_SWEEP_AFTER", 10)
        store, _ = await self.opened(Retention(Limits(age=0, count=5), ALL))
        for number in range(100):
            store.function_kept("abc", {}, [b"code"])
            await store.task_submitted(a_task(number, functions=["abc"]))
            store.task_ended(number, a_result(number))
        await store.settled()
        self.assertLess(len(await store.tasks_of()), 30)
        store.tasks_cleared(range(100))
        for number in range(100, 120):
            store.task_submitted(a_task(number))
            store.task_ended(number, a_result(number))
        await store.settled()
        store.function_kept("abc", {}, [b"code"])
        store.task_submitted(a_task(200, functions=["abc"]))
        _, snapshot = await self.again(store, FOR_EVER)
        self.assertEqual(list(snapshot.functions), ["abc"])
