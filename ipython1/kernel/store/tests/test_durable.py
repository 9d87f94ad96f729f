"""What was stored is there after the store was opened again, in the state that it had last."""

from __future__ import annotations

import os
import stat

from twisted.internet import reactor

from ipython1.kernel.error import StoreError
from ipython1.kernel.places import Places
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.store.opening import MEMORY, StoreConfig, open_store
from ipython1.kernel.store.packing import FILE_LIMIT
from ipython1.kernel.store.tests.scenarios import DurableScenarios
from ipython1.kernel.store.tests.stores import (
    StoreCase,
    a_result,
    a_task,
)
from ipython1.kernel.store.values import Snapshot
from ipython1.kernel.store.writer import Writer
from ipython1.kernel.tests.program import asynchronous


class DurableTests(DurableScenarios, StoreCase):
    """What is about files."""

    @asynchronous
    async def test_new(self) -> None:
        """A new store is empty, has an identity, and is nobody else's to read."""
        store, snapshot = await self.opened()
        self.assertEqual(snapshot, Snapshot(live=[], engines=[], ended=[], commands=[], damaged=[]))
        self.assertRegex(store.house, "^[0-9a-f]{32}$")
        again, _ = await self.again(store)
        self.assertEqual(again.house, store.house)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    @asynchronous
    async def test_no_shared_memory(self) -> None:
        """There is a write-ahead log and no file of shared memory."""
        store, _ = await self.opened()
        await store.task_submitted(a_task(1))
        self.assertEqual(sorted(os.listdir(self.path.parent)), ["test.sqlite", "test.sqlite-wal"])

    @asynchronous
    async def test_large(self) -> None:
        """Large bodies lie in files, which go with what they belong to."""
        store, _ = await self.opened()
        folder = self.path.with_name("test.sqlite-files")
        large = os.urandom(FILE_LIMIT + 1)
        store.function_kept("abc", {}, [large])
        for number in (1, 2):
            await store.task_submitted(a_task(number, large, functions=["abc"]))
            store.task_ended(number, a_result(number, body=large))
        store.task_submitted(a_task(3, large[:-1]))
        await store.settled()
        self.assertEqual(len(os.listdir(folder)), 5)
        self.assertEqual(await store.result(2), a_result(2, body=large))
        store.tasks_cleared([1])
        await store.settled()
        self.assertEqual(len(os.listdir(folder)), 3)
        (folder / "left").write_bytes(b"by a crash")
        store, snapshot = await self.again(store)
        self.assertEqual(len(os.listdir(folder)), 3)
        self.assertEqual(await store.task(2), a_task(2, large, functions=["abc"]))
        self.assertEqual(snapshot.functions["abc"].bodies, [large])
        store.tasks_cleared([2, 3])
        await self.again(store)
        self.assertEqual(os.listdir(folder), [])

    @asynchronous
    async def test_damaged_file(self) -> None:
        """A file that is not what was written is not taken for it; the rest is there."""
        store, _ = await self.opened()
        folder = self.path.with_name("test.sqlite-files")
        large = bytes(FILE_LIMIT + 1)
        await store.task_submitted(a_task(1, large))
        await store.task_submitted(a_task(2))
        (file,) = folder.iterdir()
        file.write_bytes(large[:-1] + b"1")
        problem = await self.assertFailure(store.task(1), StoreError)
        self.assertIn("is damaged: it is not what the store has written", str(problem))
        store, snapshot = await self.again(store)
        self.assertEqual([task.task.id for task in snapshot.live], [2])
        (damaged,) = snapshot.damaged
        self.assertEqual((damaged.task, damaged.label, damaged.reason), (1, "f(1)", str(problem)))

    @asynchronous
    async def test_memory(self) -> None:
        """What is not kept is confirmed at once, and has no identity."""
        store = open_store(StoreConfig(MEMORY), Places(self.path.parent), reactor)
        self.assertIsInstance(store, MemoryStore)
        self.assertEqual((store.house, store.backlog), ("", 0))
        self.assertEqual(await store.open(), Snapshot())
        self.assertTrue(store.task_submitted(a_task(1)).called and store.settled().called)
        self.assertEqual(await store.result(1), None)
        await store.close()
        self.assertFalse(self.path.parent.exists())

    @asynchronous
    async def test_too_late(self) -> None:
        """What is put into a store that was closed is refused, or lost; nobody waits for it."""
        reports: list[str] = []
        self.patch(Writer, "_report", lambda writer, text: reports.append(text))
        store, _ = await self.opened()
        await store.close()
        late = store.task_submitted(a_task(1))
        settled = store.settled()
        await self.assertFailure(store.result(1), StoreError)
        problem = await self.assertFailure(late, StoreError)
        self.assertEqual(str(problem), f"{self.path} is closed")
        await settled
        await store.close()
        self.assertRegex(reports[0], r"test.sqlite is left without \d+ bytes that could not be stored")
