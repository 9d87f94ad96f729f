"""What every store that outlives its controller does, wherever it is."""

from __future__ import annotations

import time

from ipython1.kernel.error import StoreError
from ipython1.kernel.store import retention, writer
from ipython1.kernel.store.limits import Limits, Retention
from ipython1.kernel.store.tests.stores import (
    FOR_EVER,
    a_command,
    a_result,
    a_session,
    a_task,
    an_outcome,
    turn,
)
from ipython1.kernel.store.values import LiveTask, StoredEngine, StoredFunction
from ipython1.kernel.tests.program import asynchronous

ALL = Limits(age=0)


class DurableScenarios:
    """To be inherited beside StoreCase, or another that says what database it is."""

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
        document = a_command(1).document
        expected = {(1, 0): (document, None), (1, 1): (document, an_outcome())}
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


class RetentionScenarios:
    """To be inherited beside StoreCase, or another that says what database it is."""

    async def left(self, limits: Limits) -> list[int]:
        """Of five tasks that have ended and one that has not, those that are left of the first."""
        self.patch(retention, "PAGE", 2)
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
        self.patch(retention, "PAGE", 2)
        store, _ = await self.opened()
        for number in range(1, 7):
            store.command_submitted(a_command(number))
        for number in range(1, 6):
            store.command_ended("s1", number, 0, an_outcome(completed=float(number)))
        store, _ = await self.again(store, Retention(ALL, Limits(age=0, count=2)))
        self.assertEqual([row["number"] for row in await store.history()], [6, 5, 4])

    @asynchronous
    async def test_while_running(self) -> None:
        """It goes on while the store is in use; a function that is named again later is there again."""
        self.patch(writer, "SWEEP_AFTER", 10)
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
