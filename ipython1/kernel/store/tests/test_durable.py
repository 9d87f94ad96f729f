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
from ipython1.kernel.store.tests.stores import (
    StoreCase,
    a_command,
    a_result,
    a_session,
    a_task,
    an_outcome,
    turn,
)
from ipython1.kernel.store.values import LiveTask, Snapshot, StoredEngine, StoredFunction
from ipython1.kernel.tests.program import asynchronous


class DurableTests(StoreCase):
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
    async def test_live(self) -> None:
        """A task is waiting, or assigned, or begun, or waits again; the values are those that were given."""
        store, _ = await self.opened()
        tasks = [a_task(number, name="night", functions=["abc"]) for number in range(1, 6)]
        store.function_kept("abc", {"n": 1}, [b"code"])
        for task in reversed(tasks):
            store.task_submitted(task)
        for number in (2, 3, 4):
            store.task_assigned(number, 1, 0, 7)
        store.task_began(3, 1, 12.5)
        await store.settled()
        store.task_waits(4, {"failures": 1})
        store.task_began(4, 1, 13.5)
        store.task_assigned(5, 1, 0, 7)
        store.task_waits(5, {"failures": 2})
        store.task_assigned(5, 2, 1, 8)
        store.task_began(5, 1, 14.5)
        store.task_began(5, 2, 15.5)
        store.leased(17)
        _, snapshot = await self.again(store)
        self.assertEqual(
            snapshot.live,
            [
                LiveTask(tasks[0]),
                LiveTask(tasks[1], "assigned", 1, 0, 7),
                LiveTask(tasks[2], "assigned", 1, 0, 7, 12.5),
                LiveTask(tasks[3], "waiting", 1, 0, progress={"failures": 1}),
                LiveTask(tasks[4], "assigned", 2, 1, 8, 15.5, {"failures": 2}),
            ],
        )
        self.assertEqual(snapshot.functions, {"abc": StoredFunction("abc", {"n": 1}, [b"code"])})
        self.assertEqual(snapshot.next_id, 17)

    @asynchronous
    async def test_ended(self) -> None:
        """Results can be had, and the newest of those that have ended are known; the first outcome stays."""
        store, _ = await self.opened()
        for number in range(1, 5):
            store.task_submitted(a_task(number))
            store.task_ended(number, a_result(number))
        store.task_ended(1, a_result(1, "failed"))
        await store.settled()
        store.task_ended(2, a_result(2, "aborted"))
        store.task_assigned(2, 1, 0, 7)
        store.task_ended(99, a_result(99))
        store.tasks_cleared([4])
        self.assertEqual(await store.result(1), a_result(1))
        self.assertEqual(await store.result(4), None)
        self.assertEqual(await store.task(1), a_task(1))
        store, snapshot = await self.again(store)
        self.assertEqual(snapshot.live, [])
        self.assertEqual(snapshot.ended, [(1, "succeeded"), (2, "succeeded"), (3, "succeeded")])
        self.assertEqual(await store.result(2), a_result(2))
        for unknown in (4, 99):
            self.assertEqual((await store.result(unknown), await store.task(unknown)), (None, None))
        await store.close()
        _, snapshot = await self.opened(ended=2)
        self.assertEqual(snapshot.ended, [(2, "succeeded"), (3, "succeeded")])

    @asynchronous
    async def test_again(self) -> None:
        """A submission that is repeated changes nothing, but after its task was cleared, when it is a new one."""
        store, _ = await self.opened()
        await store.task_submitted(a_task(1))
        store.task_assigned(1, 1, 0, 7)
        await store.task_submitted(a_task(1, b"others"))
        store.task_submitted(a_task(2))
        store.tasks_cleared([2])
        store.task_submitted(a_task(2, b"others"))
        _, snapshot = await self.again(store)
        self.assertEqual(
            snapshot.live, [LiveTask(a_task(1), "assigned", 1, 0, 7), LiveTask(a_task(2, b"others"))]
        )

    @asynchronous
    async def test_engines_commands(self) -> None:
        """Engines that are there, commands that have no outcome, and outcomes by number and engine."""
        store, _ = await self.opened()
        for engine in (1, 2):
            store.engine_registered(StoredEngine(engine, "agent", engine, {"pid": 5}))
        store.engine_registered(StoredEngine(1, "other", 3, {}))
        store.engine_gone(2)
        for number, engine in ((1, 0), (1, 1), (2, 0)):
            store.command_submitted(a_command(number, engine))
        store.command_ended("s1", 1, 1, an_outcome())
        store.command_ended("s1", 1, 1, an_outcome(ok=False))
        expected = {(1, 0): None, (1, 1): an_outcome()}
        self.assertEqual(await store.command_outcomes("s1", [1, 7]), expected)
        store, snapshot = await self.again(store)
        self.assertEqual(snapshot.engines, [StoredEngine(1, "other", 3, {})])
        self.assertEqual(snapshot.commands, [a_command(1, 0), a_command(2, 0)])
        self.assertEqual(await store.command_outcomes("s1", [1]), expected)

    @asynchronous
    async def test_queries(self) -> None:
        """Who did what, when and where; each word of a query narrows it."""
        store, _ = await self.opened()
        store.session_seen(a_session(first=1.0))
        await store.settled()
        store.session_seen(a_session(first=5.0, last=9.0))
        for number, name in ((1, "night"), (2, ""), (3, "night")):
            store.task_submitted(a_task(number, name=name))
        store.task_ended(3, a_result(3, "failed"))
        store.command_submitted(a_command(8, 1))
        store.command_submitted(a_command(9, 2, session="unseen"))
        store.command_ended("s1", 8, 1, an_outcome(ok=False))

        async def found(**query: object) -> list[int]:
            return [row["id"] for row in await store.tasks_of(**query)]

        self.assertEqual(await found(), [3, 2, 1])
        self.assertEqual(await found(name="night"), [3, 1])
        self.assertEqual(await found(state="failed", engine=3), [3])
        self.assertEqual(await found(since=2.0, until=3.0), [2])
        self.assertEqual(await found(label="(1"), [1])
        self.assertEqual(await found(label="%"), [])
        self.assertEqual(await found(limit=1, offset=1), [2])
        (row,) = await store.tasks_of(state="failed")
        self.assertEqual(
            (row["user"], row["host"], row["started"], row["completed"]), ("ada", "node1", 1002, 1003)
        )
        failed, pending = await store.history(state="failed"), await store.history(state="pending")
        self.assertEqual([(row["number"], row["user"]) for row in failed + pending], [(8, "ada"), (9, None)])
        problem = await self.assertFailure(store.history(colour="red"), StoreError)
        self.assertIn("'colour' cannot be asked for: name, session, engine,", str(problem))

    @asynchronous
    async def test_one_commit(self) -> None:
        """What comes in one turn is one commit, and what comes while one runs is the next one."""
        store, _ = await self.opened()
        counts: list[int] = []
        write = store._keeper.write
        store._keeper.write = lambda batches: (
            counts.append(sum(len(batch.tasks) for batch in batches)),
            write(batches),
        )[1]
        first = [store.task_submitted(a_task(number)) for number in range(100)]
        await turn()
        await turn()
        second = [store.task_submitted(a_task(number)) for number in range(100, 150)]
        await turn()
        second += [store.task_submitted(a_task(number)) for number in range(150, 200)]
        for done in first + second:
            await done
        self.assertEqual(sum(counts), 200)
        self.assertLessEqual(len(counts), 3)
        self.assertEqual(store.backlog, 0)

    @asynchronous
    async def test_backlog(self) -> None:
        """The bytes that wait are known."""
        store, _ = await self.opened()
        store.task_submitted(a_task(1, bytes(50_000)))
        store.task_submitted(a_task(2, bytes(1_000_000)))
        self.assertTrue(1_050_000 < store.backlog < 1_060_000, store.backlog)
        await store.settled()
        self.assertEqual(store.backlog, 0)
        await store.settled()

    @asynchronous
    async def test_odd_text(self) -> None:
        """Texts that no database could store are stored nearly as they are."""
        store, _ = await self.opened()
        await store.task_submitted(a_task(1, label="a\0b\ud800ü"))
        _, snapshot = await self.again(store)
        self.assertEqual(snapshot.live[0].task.label, "a\ufffdb?ü")

    @asynchronous
    async def test_not_plain(self) -> None:
        """What is no plain data is refused at once."""
        store, _ = await self.opened()
        self.assertRaises(TypeError, store.task_submitted, a_task(1, functions=[object()]))
        self.assertRaises(TypeError, store.task_waits, 1, {"a": object()})

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
