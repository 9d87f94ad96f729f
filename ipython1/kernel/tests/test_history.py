"""Coming back: named sessions, what came of their tasks, histories, and submitting a task again."""

from __future__ import annotations

import datetime
import time
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import asyncclient, error, history
from ipython1.kernel.async_task import AsyncTaskClient
from ipython1.kernel.asyncclient import AsyncMultiEngineClient
from ipython1.kernel.client_session import Connection
from ipython1.kernel.dial import dial
from ipython1.kernel.framing import Message
from ipython1.kernel.hello import check_hello, check_name, hello
from ipython1.kernel.history import History, past, query_problem
from ipython1.kernel.request import Answer, Finished, advance
from ipython1.kernel.store.durable import DurableStore
from ipython1.kernel.store.sqlite import SqliteDatabase
from ipython1.kernel.task import MapTask, StringTask
from ipython1.kernel.task_session import TaskConnection
from ipython1.kernel.task_submission import ResultOf
from ipython1.kernel.tests.test_restart import Called, RestartTestCase

ROW = {
    "id": 7,
    "session": "5" * 32,
    "name": "night-run",
    "label": "run(" + "x" * 60 + ")",
    "state": "failed",
    "attempts": 3,
    "engine": 2,
    "submitted": 1e9,
    "started": 1e9 + 1,
    "completed": 1e9 + 2.25,
    "size": 100,
    "role": "task",
    "host": "node1",
    "pid": 17,
    "user": "ada",
}


class TableTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Rows print as a table, and stay dictionaries."""
        fresh = {
            **ROW,
            "id": 12,
            "engine": None,
            "started": None,
            "completed": None,
            "user": "",
            "host": None,
        }
        found = History([fresh, ROW])
        head, first, second = str(found).splitlines()
        columns = "id label state engine attempts submitted completed seconds name by"
        self.assertEqual(head.split(), columns.split())
        self.assertTrue(first.rstrip().endswith("55555555"), first)
        self.assertRegex(second, r"^7   run\(x+\.\.\.  failed  2 +3 .* 1\.250    night-run  ada@node1$")
        self.assertEqual(found[1]["label"], ROW["label"])
        self.assertEqual(repr(found[:0]), "nothing is known of that")
        self.assertEqual(len(str(found[1:]).splitlines()), 2)

    def steps(self, limit: int | None, **asked: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows, of a past of 1000, and the queries that were made for them."""
        told: list[dict[str, Any]] = []
        known = [{"id": number, "submitted": float(number)} for number in reversed(range(1000))]
        steps = past("task_history", limit, ("failed",), **asked)
        answers = None
        try:
            while True:
                (request,) = advance(steps, answers)
                query = request.args["query"]
                told.append(query)
                rows = [row for row in known if row["submitted"] < query.get("until", 1e99)]
                rows = rows[query["offset"] :][: query["limit"]]
                fields = {"ok": True, "index": None, "of": 0, "result": rows}
                answers = [Answer([], Message("reply", fields))]
                known.insert(0, {"id": -1, "submitted": 1000.0})
        except Finished as end:
            return end.value, told

    def test_pages(self) -> None:
        """A long history comes in pages, and what happens meanwhile does not disturb that."""
        rows, told = self.steps(None)
        self.assertEqual([row["id"] for row in rows], list(reversed(range(1000))))
        self.assertEqual([query["offset"] for query in told], [0, 400, 800])
        rows, told = self.steps(450, state="failed")
        self.assertEqual(([query["limit"] for query in told], len(rows)), ([400, 50], 450))
        self.assertEqual(self.steps(0), ([], []))

    def test_arguments(self) -> None:
        """What cannot be asked is said before anybody is asked."""
        for kind, limit, asked in (
            (ValueError, -1, {}),
            (ValueError, "5", {}),
            (ValueError, 5, {"state": "odd"}),
            (TypeError, 5, {"engine": "5"}),
            (TypeError, 5, {"engine": True}),
            (TypeError, 5, {"since": "yesterday"}),
            (TypeError, 5, {"name": 5}),
        ):
            self.assertRaises(kind, self.steps, limit, **asked)
        day = datetime.datetime(2026, 1, 1)
        [query] = self.steps(5, since=day)[1]
        self.assertEqual(query["since"], day.timestamp())
        for query in ({"nonsense": 5}, {"limit": 401}, {"limit": 0}, {"offset": -1}):
            self.assertIsNotNone(query_problem(query))

    def test_names(self) -> None:
        """A name is short, printable text; the controller looks, too."""
        check_name("night-run 2")
        for name in ("", " a", "a\n", "x" * 65):
            self.assertRaises(ValueError, check_name, name)
        self.assertRaises(TypeError, check_name, 5)
        check_hello(hello("task", "5" * 32, name="night-run"), "task")
        self.assertRaises(error.ProtocolError, check_hello, hello("task", "5" * 32, name="a\x00"), "task")


class ComeBackTests(RestartTestCase):
    async def begin(self, engines: int = 1) -> None:
        store = DurableStore(SqliteDatabase(Path(self.mktemp()).absolute() / "store"), reactor)
        await store.open()
        self.house = store.house
        await self.start(engines, store)

    def client(self, name: str = "") -> AsyncTaskClient:
        client = AsyncTaskClient(TaskConnection(self.tub.file("task"), reactor, dial, name=name))
        self.addCleanup(lambda: client._connection.end("the test is over"))
        return client

    async def test_results(self) -> None:
        """All that was submitted under a name, by whichever client, in order; others' does not count."""
        await self.begin()
        first, second, other = self.client("night-run"), self.client("night-run"), self.client("day")
        await other.run(MapTask(lambda: 0))
        await self.finished(1, "other")
        ids = [await first.run(MapTask(lambda: 1)), await first.run(StringTask("a = 5", pull="a"))]
        await self.finished(2, 5)
        ids.append(await second.run(StringTask("a = 6")))
        self.assertEqual([result.taskid for result in await second.results()], ids[:2])
        waiting = first.results(block=True)
        await self.until(lambda: ids[2] in self.service.interfaces["task"].course._waiting)
        await self.until(lambda: self.agent.running(0))
        self.agent.finish(0, error=error.EngineLost("as told"))
        results = await waiting
        self.assertEqual([result.taskid for result in results], ids)
        self.assertEqual([result.value for result in results[:2]], [5, {"a": 5}])
        self.assertEqual(
            [repr(result).partition(":")[2] for result in results[:2]],
            [f"{ids[0]}]:5", f"{ids[1]}]:{{'a': 5}}"],
        )
        self.assertEqual(results[1].label, "run('a = 5')")
        self.assertIsInstance(results[2].failure.value, error.EngineLost)
        self.assertRaises(error.EngineLost, lambda: results[2].value)
        self.assertEqual(await first.results(label="a = 6", block=True, timeout=5) != [], True)
        self.assertEqual(await first.results(since=time.time() + 10), [])
        self.assertEqual([result.value for result in await self.client().results("day")], ["other"])
        await first.clear(ids[:1])
        self.assertEqual([result.taskid for result in await first.results()], ids[1:])

    async def test_clear(self) -> None:
        """All that has ended is forgotten, also what only the store has."""
        await self.begin()
        tc = self.client("night-run")
        task = await tc.run(MapTask(lambda: 1))
        await self.finished(1)
        await tc.barrier(task)
        self.assertEqual(await tc.clear(), 1)
        self.assertEqual(await tc.history(), [])

    async def test_no_name(self) -> None:
        """A client without a name says whose results it means."""
        await self.begin()
        problem = await self.assertFailure(self.client().results(), error.ClientError)
        self.assertIn("TaskClient(name='night-run')", str(problem))
        await self.assertFailure(self.client().results(""), ValueError)

    async def test_timeout(self) -> None:
        """Who waits for results waits no longer than it says."""
        await self.begin()
        tc = self.client("night-run")
        await tc.run(MapTask(lambda: 1))
        await self.assertFailure(tc.results(block=True, timeout=0.1), error.CallTimeout)
        await self.finished(1)

    async def test_large(self) -> None:
        """What was submitted just before counts, also if it takes long to arrive."""
        await self.begin()
        tc = self.client("night-run")
        task = await tc.run(StringTask("a = 5", push={"blob": bytes(5_000_000)}))
        self.assertEqual([row["id"] for row in await tc.history()], [task])
        await self.finished(1)

    async def test_history(self) -> None:
        """Who had what run, where, and how it ended; narrowed in every way."""
        await self.begin()
        tc = self.client("night-run")
        ids = [await tc.run(StringTask(f"a = {number}")) for number in range(3)]
        await self.finished(1, 1)
        await self.until(lambda: self.agent.running(0))
        self.agent.finish(0, error=error.EngineLost("as told"))
        await tc.barrier(ids[:2])
        await self.until(lambda: self.agent.running(0))
        rows = await tc.history()
        self.assertEqual([row["id"] for row in rows], ids[::-1])
        self.assertEqual([row["state"] for row in rows], ["assigned", "failed", "succeeded"])
        row = rows[-1]
        self.assertEqual((row["name"], row["engine"], row["label"]), ("night-run", 0, "run('a = 0')"))
        self.assertTrue(row["submitted"] <= row["started"] <= row["completed"])
        self.assertEqual(row["host"], self.service.interfaces["task"].clients[row["session"]].hello["host"])
        self.assertIn("night-run", str(rows))

        async def found(**query: Any) -> list[int]:
            return [row["id"] for row in await self.client().history(**query)]

        self.assertEqual(await found(state="failed"), ids[1:2])
        self.assertEqual(await found(label="= 2"), ids[2:])
        self.assertEqual(await found(session=row["session"], limit=1), ids[2:])
        self.assertEqual(await found(engine=0, until=rows[0]["submitted"]), ids[1::-1])
        self.assertEqual(await found(name="day"), [])
        await self.finished(1)

    async def test_commands(self) -> None:
        """The same for commands."""
        await self.begin()
        connection = Connection(self.tub.file("multiengine"), reactor, dial, name="shell")
        self.addCleanup(lambda: connection.end("the test is over"))
        mec = AsyncMultiEngineClient(connection)
        running = mec.execute("a = 5", targets=0)
        await self.until(lambda: self.agent.running(0))
        [row] = await mec.history(name="shell")
        self.assertEqual((row["verb"], row["state"], row["engine"]), ("execute", "pending", 0))
        self.agent.finish(0, error=error.EngineLost("as told"))
        await self.assertFailure(running, error.CompositeError)
        [row] = await mec.history(state="failed")
        self.assertIn("execute('a = 5')", str(await mec.history()))
        await self.assertFailure(mec.history(state="assigned"), ValueError)

    async def test_get_result(self) -> None:
        """An id and the FURL are enough."""
        await self.begin()
        task = await self.client().run(MapTask(lambda: 1))
        furl = self.tub.furls["task"]
        self.assertIsNone(await asyncclient.get_result(task, furl))
        waiting = asyncclient.get_result(task, furl, block=True)
        await self.finished(1, 5)
        self.assertEqual(await waiting, 5)
        await self.assertFailure(asyncclient.get_result(task + 1, furl), IndexError)

    async def test_resubmit(self) -> None:
        """A task that has ended, or not, is submitted anew as it was, with its function and what it depends on."""
        await self.begin()
        tc, other = self.client("night-run"), self.client("day")
        first = await tc.run(MapTask(lambda: 1))
        await self.finished(1, 5)
        shared = tc.submit(Called(), ResultOf(first))
        await self.finished(1, 6)
        self.assertEqual(await shared, 6)
        # As if it had been forgotten for newer ones.
        for task in (first, first + 1):
            self.service.interfaces["task"].results.add(task, None)
        again = other.resubmit(first + 1, block=True)
        await self.finished(1, 7)
        self.assertEqual(await again, 7)
        number = await tc.resubmit(first)
        self.assertEqual(number, await tc.resubmit(number) - 1)
        await self.finished(2, 8)
        self.assertEqual([result.value for result in await tc.results(block=True)], [5, 6, 8, 8])
        [row] = await other.history(name="day")
        self.assertEqual((row["label"], row["state"]), ("run(Called)", "succeeded"))
        problem = await self.assertFailure(tc.resubmit(12345678), IndexError)
        self.assertIn("task 12345678 is unknown", str(problem))
        await tc.clear(first)
        await self.assertFailure(tc.resubmit(first), IndexError)
        problem = await self.assertFailure(other.resubmit(first + 1), IndexError)
        self.assertIn("cannot take its result", str(problem))

    async def test_restarted_meanwhile(self) -> None:
        """A task that is being resubmitted when the controller is started again runs once."""
        await self.begin()
        tc = self.client("night-run")
        first = await tc.run(MapTask(lambda: 1))
        await self.finished(1, 5)
        again = tc.resubmit(first)
        await self.restart()
        number = await again
        await self.finished(1, 6)
        self.assertEqual(await tc.get_task_result(number, block=True), 6)
        self.assertEqual(len(self.ran), 2)

    async def test_unsound(self) -> None:
        """A query that is none is refused by the controller, too."""
        await self.begin()
        self.patch(history, "query_problem", lambda query: None)
        await self.assertFailure(self.client().history(limit=5, engine="x"), error.ProtocolError)

    async def test_memory(self) -> None:
        """Without a store there is no history, which is said."""
        await self.start(1)
        tc = self.client("night-run")
        task = await tc.run(MapTask(lambda: 1))
        await self.finished(1, 5)
        for asked in (tc.results, tc.history, partial(tc.resubmit, task)):
            problem = await self.assertFailure(asked(), error.StoreError)
            self.assertIn("--store memory", str(problem))
        found: Deferred[Any] = asyncclient.get_result(task, self.tub.furls["task"])
        self.assertEqual(await found, 5)
