"""Tasks on real engines: what they come to, and what becomes of them when engines die."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from ipython1.core.references import naming
from ipython1.core.serialize import serialize, split
from ipython1.kernel.asyncclient import get_multiengine_client
from ipython1.kernel.dial import hang_up_all
from ipython1.kernel.error import (
    CompositeError,
    EngineLost,
    TaskAborted,
    TaskDependencyError,
    TaskRejectError,
    TaskTimeout,
)
from ipython1.kernel.framing import Message
from ipython1.kernel.furl import FURL_FILES
from ipython1.kernel.shared import digest
from ipython1.kernel.task_submission import ResultOf
from ipython1.kernel.tests.program import RealCluster, long
from ipython1.kernel.tests.raw_task_session import RawTaskSession, map_step, string_step


class TaskClusterCase(TestCase):
    timeout = 180
    engines = 2

    async def start(self) -> RawTaskSession:
        """A cluster, and a session with it."""
        self.cluster = RealCluster(self, self.engines)
        await self.cluster.ready()
        session = RawTaskSession()
        await session.open(self.cluster.ipython_dir)
        self.addCleanup(lambda: Deferred.fromCoroutine(hang_up_all()))
        return session


def double(x: int) -> int:
    return 2 * x


def fail() -> None:
    raise ValueError("as told")


class OutcomeTests(TaskClusterCase):
    """What tasks come to."""

    async def test_values(self) -> None:
        """Source text with what is pushed and pulled, and calls."""
        session = await self.start()
        text = session.submit(string_step("b = a + 1", {"a": 5}, ["b", "a"]))
        self.assertEqual(await session.outcome(text), [6, 5])
        self.assertIsInstance(session.done[text].fields["number"], int)
        call = session.submit(map_step(double, 21))
        self.assertEqual(await session.outcome(call), [42])
        record = session.record(call)
        self.assertEqual((record["kind"], record["attempts"], record["pull"]), ("map", 1, []))
        self.assertIn(record["engine"], (0, 1))
        self.assertLessEqual(record["submitted"], record["started"])
        self.assertLessEqual(record["started"], record["completed"])

    async def test_large_values(self) -> None:
        """Large values travel, and are there to be asked for again."""
        session = await self.start()
        large = os.urandom(3_000_000)
        task = session.submit(string_step("b = a[::-1]", {"a": large}, ["b"]))
        self.assertEqual(await session.outcome(task), [large[::-1]])
        reply = await session.call("task_result", {"task": task, "block": False})
        self.assertEqual(reply.fields["result"], session.record(task))

    async def test_failures(self) -> None:
        """A failure is told after all retries; a recovery task takes the place of what failed."""
        session = await self.start()
        task = session.submit(string_step("1/0", retries=2))
        self.assertIsInstance(await session.outcome(task), ZeroDivisionError)
        self.assertEqual(session.record(task)["attempts"], 3)
        task = session.submit(map_step(fail), string_step("1/0", retries=1), string_step("a = 7", pull=["a"]))
        self.assertEqual(await session.outcome(task), [7])
        self.assertEqual(session.record(task)["attempts"], 4)
        self.assertEqual(session.record(task)["kind"], "string")

    @long
    async def test_clear(self) -> None:
        """The namespace is cleared before or after a task, also one that fails; properties stay."""
        session = await self.start()
        offer = "from ipython1.kernel.engineservice import get_engine; get_engine(id).properties['gpu'] = 2"
        await session.wait(session.submit(string_step(offer), targets=0))
        await session.wait(session.submit(string_step("a = 1"), targets=0))
        still = session.submit(string_step("b = a; 1/0", clear_after=True), targets=0)
        self.assertIsInstance(await session.outcome(still), ZeroDivisionError)
        gone = session.submit(string_step("b = a"), targets=0)
        self.assertIsInstance(await session.outcome(gone), NameError)
        await session.wait(session.submit(string_step("a = 1"), targets=0))
        gone = session.submit(string_step("b = a", clear_before=True), resources={"gpu": 2})
        self.assertIsInstance(await session.outcome(gone), NameError)
        self.assertEqual(session.record(gone)["engine"], 0)

    async def test_depend(self) -> None:
        """Tasks run on engines whose properties satisfy their function, as soon as one does; why says what it made."""
        session = await self.start()
        task = session.submit(
            string_step("a = id", pull=["a"], depend=lambda properties: properties["ram"] > 3)
        )
        while (
            "raised KeyError" not in (told := await session.ask("why", task=task)) or "engine 1" not in told
        ):
            await session.ask("spin")
        self.assertIn(
            "no engine is fit for it: engine 0 does not satisfy depend: it raised KeyError 'ram'", told
        )
        offer = "from ipython1.kernel.engineservice import get_engine; get_engine(id).properties['ram'] = 4"
        session.submit(string_step(offer), targets=1)
        self.assertEqual(await session.outcome(task), [1])

    @long
    async def test_reject(self) -> None:
        """A task goes to an engine that has not rejected it; when all have, it fails and says so."""
        session = await self.start()
        reject = "from ipython1.kernel.error import TaskRejectError"
        task = session.submit(
            string_step(f"{reject}\nif id == 0: raise TaskRejectError('not here')\na = id", pull=["a"])
        )
        self.assertEqual(await session.outcome(task), [1])
        task = session.submit(string_step(f"{reject}\nraise TaskRejectError('nowhere')"))
        error = await session.outcome(task)
        self.assertIsInstance(error, TaskRejectError)
        self.assertIn("rejected by every engine that it could run on: 0, 1", str(error))

    @long
    async def test_after(self) -> None:
        """Tasks wait for those that they come after, run where those ran, and do not run if those failed."""
        session = await self.start()
        first = session.submit(string_step("import time; time.sleep(0.2); a = 5"))
        second = session.submit(string_step("b = a", pull=["b"]), after=[first], follow=[first])
        self.assertIn(f"waits for task {first}", await session.ask("why", task=second))
        self.assertEqual(await session.outcome(second), [5])
        failed = session.submit(string_step("1/0"))
        third = session.submit(string_step("a = 1"), after=[failed])
        self.assertIsInstance(await session.outcome(third), TaskDependencyError)
        fourth = session.submit(string_step("a = 1", pull=["a"]), after=[failed], after_any=True)
        self.assertEqual(await session.outcome(fourth), [1])

    @long
    async def test_results_of_others(self) -> None:
        """A task takes the results of others, large ones too; those of source text by their names."""
        session = await self.start()
        first = session.submit(map_step(bytes, 3_000_000))
        second = session.submit(string_step("a, b = 1, 2", pull=["a", "b"]))
        with naming() as results:
            step = map_step(lambda *given: given, ResultOf(first), {"deep": [ResultOf(second)]}, ResultOf(first))
        step[0]["results"] = list(results)
        ((large, named, again),) = await session.outcome(session.submit(step))
        self.assertEqual((large, named), (bytes(3_000_000), {"deep": [{"a": 1, "b": 2}]}))
        self.assertIs(large, again)

    @long
    async def test_shared_function(self) -> None:
        """A large function is sent once; each task has one of its own, and any interpreter that lacks it gets it."""
        session = await self.start()
        seen = [bytes(100_000)]
        function = serialize(lambda x: (seen.append(x), len(seen), len(seen[0]), os.getpid())[1:], carry_code=True)
        name = digest(function.segments)
        reply = await session.call("keep_function", {"digest": name, "drop": []}, function.segments, [[1, "pickle", {}]])
        self.assertTrue(reply.fields["ok"])
        fields = {**map_step(os.getpid)[0], "function": name, "values": 1}
        step = (fields, [serialize(((1,), {}))])
        pids = set()
        for turn in range(3):
            outcomes = [await session.outcome(task) for task in [session.submit(step) for _ in range(20)]]
            self.assertEqual({outcome[0][:2] for outcome in outcomes}, {(2, 100_000)}, turn)
            pids.add(outcomes[-1][0][2])
            # The interpreters forget it, without anybody being told; then one is lost.
            forget = "get_ipython().interpreter.functions.discard(name)"
            for engine in range(2):
                await session.wait(session.submit(string_step(forget, {"name": name}), targets=engine))
            if turn == 1:
                await session.wait(session.submit(string_step("import os; os._exit(1)")))
        self.assertEqual(session.refused, [])


class EndTests(TaskClusterCase):
    """Tasks that are ended before their time."""

    async def test_abort(self) -> None:
        """Tasks that wait or run end as aborted, and their engines are free."""
        session = await self.start()
        running = [session.submit(string_step("import time\nwhile True: time.sleep(0.1)")) for _ in range(2)]
        waiting = session.submit(string_step("a = 1"))
        while (await session.ask("task_status", verbose=False))["pending"] < 2:
            pass
        for task in (waiting, *running):
            await session.ask("abort_task", task=task)
            self.assertIsInstance(await session.outcome(task), TaskAborted)
            error = await self.assertFailure(self.asking(session, task), IndexError)
            self.assertIn("was aborted already", str(error))
        last = session.submit(string_step("a = 1", pull=["a"]))
        self.assertEqual(await session.outcome(last), [1])

    def asking(self, session: RawTaskSession, task: int) -> Any:
        return Deferred.fromCoroutine(session.ask("abort_task", task=task))

    async def test_timeout(self) -> None:
        """A task that runs too long is interrupted, and what waits behind it runs."""
        session = await self.start()
        task = session.submit(string_step("import time\nwhile True: time.sleep(0.1)", timeout=0.3), targets=0)
        after = session.submit(string_step("a = 2", pull=["a"]), targets=0)
        error = await session.outcome(task)
        self.assertIsInstance(error, TaskTimeout)
        self.assertIn("ran longer than the 0.3 s", str(error))
        self.assertEqual(await session.outcome(after), [2])

    @long
    async def test_stubborn(self) -> None:
        """An interpreter that does not stop is ended, and comes back."""
        session = await self.start()
        stubborn = (
            "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "while True:\n  try: time.sleep(1)\n  except BaseException: pass"
        )
        task = session.submit(string_step(stubborn, timeout=0.3), targets=0)
        self.assertIsInstance(await session.outcome(task), TaskTimeout)
        after = session.submit(string_step("a = 2", pull=["a"]), targets=0)
        self.assertEqual(await session.outcome(after), [2])

    @long
    async def test_depend_without_end(self) -> None:
        """A depend function that takes too long is stopped, and its engine works on; why says so."""
        session = await self.start()
        task = session.submit(string_step("a = id", pull=["a"], depend=without_end), targets=0)
        while "took longer than" not in (told := await session.ask("why", task=task)):
            await session.ask("spin")
        self.assertIn(
            "engine 0 does not satisfy depend: it took longer than 5 s, and was stopped; engine 1 is not", told
        )
        after = session.submit(string_step("a = 2", pull=["a"]), targets=0)
        self.assertEqual(await session.outcome(after), [2])

    @long
    async def test_free_engines(self) -> None:
        """What was sent to an engine that works for others runs where there is nothing to do."""
        session = await self.start()
        mec = await get_multiengine_client(
            self.cluster.ipython_dir / "security" / FURL_FILES["multiengine"]
        )
        self.addCleanup(mec.disconnect)
        busy = mec.execute("import time; time.sleep(8)", targets=[0])
        while "sleep" not in str(await mec.queue_status(targets=[0])):
            pass
        tasks = [session.submit(string_step("a = id", pull=["a"])) for _ in range(20)]
        self.assertEqual([await session.outcome(task) for task in tasks], [[1]] * 20)
        self.assertFalse(busy.called)
        await mec.interrupt(targets=[0])
        await self.assertFailure(busy, CompositeError)

    @long
    async def test_commands_first(self) -> None:
        """A command of MultiEngine runs before tasks that were sent ahead."""
        session = await self.start()
        mec = await get_multiengine_client(
            self.cluster.ipython_dir / "security" / FURL_FILES["multiengine"]
        )
        self.addCleanup(mec.disconnect)
        await session.wait(*[session.submit(string_step("pass"), targets=0) for _ in range(20)])
        for _ in range(2_000):
            session.submit(string_step("done = globals().get('done', 0) + 1"), targets=0)
        await session.ask("spin")
        await mec.execute("seen = globals().get('done', 0)", targets=[0])
        (seen,) = await mec.pull("seen", targets=[0])
        self.assertLess(seen, 1_900)
        self.assertGreater((await session.ask("task_status", verbose=False))["scheduled"], 0)


def without_end(properties: Any) -> bool:
    while True:
        pass


def pid_of(message: Message) -> int:
    """The process id that a task found."""
    (value,) = split(message.fields["values"], message.bodies)
    return value.load()


class LossTests(TaskClusterCase):
    """Interpreters that are killed with SIGKILL while they run tasks, again and again; their agent restarts them."""

    engines = 3
    source = "import os, time; time.sleep(0.04); p = os.getpid()"

    async def play(self, retries: int) -> tuple[RawTaskSession, list[int]]:
        """200 tasks, while every half second an interpreter that has shown itself is killed."""
        session = await self.start()
        chance = random.Random(retries)
        self.killed: set[int] = set()
        tasks = [session.submit(string_step(self.source, pull=["p"], retries=retries)) for _ in range(200)]

        def kill() -> None:
            latest = list(session.done.values())[-10:]
            shown = {pid_of(message) for message in latest if message.fields["ok"]} - self.killed
            if shown:
                victim = chance.choice(sorted(shown))
                self.killed.add(victim)
                os.kill(victim, signal.SIGKILL)

        killing = LoopingCall(kill)
        killing.start(0.5, now=False)
        self.addCleanup(lambda: killing.running and killing.stop())
        await session.wait(*tasks)
        killing.stop()
        return session, tasks

    async def test_with_retries(self) -> None:
        """With retries all end well."""
        session, tasks = await self.play(retries=5)
        outcomes = [await session.outcome(task) for task in tasks]
        self.assertEqual([outcome for outcome in outcomes if isinstance(outcome, BaseException)], [])
        self.assertGreater(max(session.record(task)["attempts"] for task in tasks), 1)

    async def test_without_retries(self) -> None:
        """Without retries only those that ran on an engine that was killed are lost, and say so."""
        session, tasks = await self.play(retries=0)
        outcomes = [await session.outcome(task) for task in tasks]
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        self.assertTrue(0 < len(errors) <= len(self.killed), errors)
        for error in errors:
            self.assertIsInstance(error, EngineLost)
            self.assertRegex(str(error), r"engine \d lost its interpreter \(killed by signal 9, SIGKILL\)")
        status = await session.ask("task_status", verbose=False)
        self.assertEqual((status["scheduled"], status["pending"], status["failed"]), (0, 0, len(errors)))
