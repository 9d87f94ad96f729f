"""Agents with real interpreters: commands, deaths, interrupts, and the verbs that agents carry out themselves."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from ipython1.kernel.engine.tests.harness import AgentCase, Outcome
from ipython1.kernel.framing import Message


class CommandTests(AgentCase):
    """What an engine answers."""

    async def test_execute(self) -> None:
        """The result document comes with the text of both streams, and its number beside it."""
        await self.start()
        outcome = await self.controller.execute("import sys; print('a'); print('b', file=sys.stderr); 6*7")
        self.assertEqual((outcome.stdout, outcome.stderr, outcome.shown), ("a\n", "b\n", "42"))
        self.assertEqual(outcome.message.fields["number"], 1)

    async def test_identity(self) -> None:
        """The namespace knows the engine's id, after a reset and a restart too."""
        await self.start(2)
        for verb in ("keys", "reset", "restart"):
            await self.controller.command(verb, engine=1)
            self.assertEqual((await self.controller.execute("id", engine=1)).shown, "1")

    async def test_order_of_output(self) -> None:
        """What Python, C code and child processes print stays in order, and belongs to its command."""
        await self.start()
        source = "import os\nfor i in range(3):\n    print(i); os.system('echo child'); os.write(1, b'fd\\n')"
        outcomes = await gatherResults(
            [self.controller.execute(source), self.controller.execute("print('next')")]
        )
        self.assertEqual(outcomes[0].stdout, "".join(f"{i}\nchild\nfd\n" for i in range(3)))
        self.assertEqual(outcomes[1].stdout, "next\n")

    async def test_output_between_commands(self) -> None:
        """What is written while no execute runs goes to the next one."""
        await self.start()
        source = "import threading, os\nlater = threading.Event()\n"
        source += "def w():\n    later.wait(); os.write(1, b'background')\n"
        source += "thread = threading.Thread(target=w); thread.start()"
        await self.controller.execute(source)
        await self.controller.execute("later.set()")
        outcome = await self.controller.execute("thread.join()")
        before = await self.controller.command("get_result", args={"number": 2})
        self.assertEqual(before.stdout + outcome.stdout, "background")

    async def test_flood(self) -> None:
        """A million lines are all there."""
        await self.start()
        outcome = await self.controller.execute("for i in range(1000000): print(i)")
        self.assertEqual(outcome.bodies[1].count(b"\n"), 1_000_000)
        self.assertTrue(outcome.stdout.endswith("\n999999\n"))

    async def test_large_values(self) -> None:
        """50 MB go there and back."""
        await self.start()
        value = os.urandom(1 << 20) * 50
        self.assertTrue((await self.controller.push(a=value)).ok)
        pulled = await self.controller.command("pull", args={"names": ["a"]})
        self.assertEqual(len(pulled.message.fields["values"]), 1)
        self.assertIn(value, b"".join(pulled.bodies))

    async def test_failure(self) -> None:
        """A failed command gives an error document and a pickled exception; its result is in the history."""
        await self.start()
        outcome = await self.controller.execute("print('before'); 1/0")
        self.assertEqual((outcome.ok, outcome.error, len(outcome.bodies)), (False, "ZeroDivisionError", 4))
        record = await self.controller.command("get_result")
        self.assertEqual((record.result["number"], record.stdout), (1, "before\n"))
        self.assertIn("ZeroDivisionError", record.result["traceback"])

    async def test_failure_drops_the_clients_own(self) -> None:
        """A failure takes the waiting commands of its client along, and no others."""
        await self.start()
        execute = self.controller.execute
        outcomes = await gatherResults(
            [
                execute("1/0", failures=0),
                execute("a = 1", failures=0),
                execute("b = 1", client="other", failures=0),
                execute("c = 1", failures=1),
            ]
        )
        self.assertEqual([outcome.ok for outcome in outcomes], [False, False, True, True])
        self.assertEqual(outcomes[1].error, "QueueCleared")
        self.assertIn("execute('1/0') failed", outcomes[1].text)
        late = await execute("d = 1", failures=0)
        self.assertEqual(late.error, "QueueCleared")

    async def test_started(self) -> None:
        """Each start is announced, before the outcome or with it."""
        await self.start()
        await gatherResults([self.controller.execute("1"), self.controller.execute("2")])
        story: list[tuple[str, int]] = []
        for message in self.controller.kinds("started", "reply"):
            number = message.fields["id"][1]
            story += [("started", number)] * bool(message.fields.get("began")) + [(message.kind, number)]
        self.assertEqual(story, [("started", 1), ("reply", 1), ("started", 2), ("reply", 2)])

    async def test_cancel(self) -> None:
        """What has not started is given back, what runs goes on."""
        await self.start()
        started = self.controller.hears("started")
        running = self.controller.execute("import time; time.sleep(0.2)")
        self.controller.execute("a = 1", command_id=["c", 77])
        await started
        returned = self.controller.hears("returned")
        self.controller.link.send(Message("cancel", {"engine": 0, "ids": [["c", 1], ["c", 77]]}))
        self.assertEqual((await returned).fields["id"], ["c", 77])
        self.assertTrue((await running).ok)
        self.assertEqual((await self.controller.execute("'a' in globals()")).shown, "False")

    async def test_repeat(self) -> None:
        """A command that comes a second time has no effect; one for the same engine twice has two."""
        await self.start()
        await self.controller.execute("n = 0")
        again = [self.controller.execute("n += 1", command_id=["c", 50], index=index) for index in (0, 0, 1)]
        await again[0]
        self.assertEqual((await self.controller.execute("n")).shown, "2")

    async def test_properties(self) -> None:
        """Changed properties are told before the reply."""
        await self.start()
        await self.controller.command("set_properties", b"\x81\xa1a\x01")
        kinds = [message.kind for message in self.controller.kinds("properties", "reply")]
        self.assertEqual(kinds, ["properties", "reply"])
        self.assertEqual(self.controller.kinds("properties")[0].fields["properties"], {"a": 1})

    async def test_standard_input(self) -> None:
        """User code that reads its standard input finds the end of it."""
        await self.start()
        self.assertEqual((await self.controller.execute("import sys; sys.stdin.read()")).shown, "''")

    async def test_unknown_engine(self) -> None:
        """A command for an engine that is not here is refused."""
        await self.start()
        outcome = await self.controller.execute("1", engine=7)
        self.assertEqual(outcome.error, "InvalidEngineID")


class DeathTests(AgentCase):
    """An interpreter that ends is replaced, under the same id."""

    async def dies(self, source: str, reason: str) -> Outcome:
        """Run `source`, which ends the interpreter; the outcome."""
        await self.start()
        await self.controller.execute("a = 1")
        died, restarted = self.controller.hears("died"), self.controller.hears("restarted")
        lost = self.controller.execute(source, failures=0)
        waiting = self.controller.execute("b = 2", failures=0, client="other")
        before = time.monotonic()
        outcome = await lost
        self.assertEqual((outcome.ok, outcome.error), (False, "EngineLost"))
        self.assertIn("engine 0 lost its interpreter", outcome.text)
        self.assertIn(reason, outcome.text)
        self.assertEqual((await waiting).error, "QueueCleared")
        # First: it is the reason for all that follows.
        self.assertEqual(
            [message.kind for message in self.controller.kinds("died", "reply")[-3:]], ["died", "reply", "reply"]
        )
        self.assertEqual((await died).fields["generation"], 1)
        self.assertEqual((await restarted).fields["generation"], 2)
        self.assertLess(time.monotonic() - before, 10)
        self.assertEqual((await self.controller.execute("'a' in globals()")).shown, "False")
        return outcome

    async def test_killed(self) -> None:
        """By kill -9, during a command."""
        await self.dies("import os; os.kill(os.getpid(), 9)", "killed by signal 9, SIGKILL")

    async def test_segmentation_fault(self) -> None:
        """By a segmentation fault, whose report is in the history."""
        await self.start()
        restarted = self.controller.hears("restarted")
        outcome = await self.controller.execute("print('before')\nimport ctypes; ctypes.string_at(0)")
        self.assertIn("killed by signal 11, SIGSEGV", outcome.text)
        record = await self.controller.command("get_result")
        self.assertEqual(record.stdout, "before\n")
        self.assertIn("EngineLost", record.result["traceback"])
        await restarted

    async def test_exit(self) -> None:
        """By os._exit."""
        await self.dies("import os; os._exit(3)", "exited with status 3")

    async def test_abort(self) -> None:
        """By os.abort."""
        await self.dies("import os; os.abort()", "killed by signal 6, SIGABRT")

    async def test_sys_exit(self) -> None:
        """sys.exit is an error of the command, and the namespace stays."""
        await self.start()
        await self.controller.execute("a = 1")
        outcome = await self.controller.execute("import sys; sys.exit(4)")
        self.assertEqual(outcome.error, "SystemExit")
        self.assertEqual((await self.controller.execute("a")).shown, "1")
        self.assertEqual(self.controller.kinds("died"), [])

    async def test_forked_child(self) -> None:
        """A child that user code forked and that outlives the interpreter neither keeps it alive nor hears anything.

        It has a session of its own, as otherwise it would be ended with the interpreter.
        """
        child = "import os, signal, time\nchild = os.fork()\nif not child:\n    os.setsid()\n"
        child += "    time.sleep(60); os._exit(0)\nchild"
        await self.start()
        pid = int((await self.controller.execute(child)).shown)
        self.addCleanup(_kill, pid)
        restarted = self.controller.hears("restarted")
        outcome = await self.controller.execute("os.kill(os.getpid(), 9)")
        self.assertEqual(outcome.error, "EngineLost")
        await restarted
        os.kill(pid, 0)
        for _ in range(10):
            self.assertTrue((await self.controller.execute("1")).ok)

    async def test_children_end_with_their_engine(self) -> None:
        """What an engine has started in its process group is gone with it."""
        await self.start()
        source = "import subprocess; subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid"
        pid = int((await self.controller.execute(source)).shown)
        self.addCleanup(_kill, pid)
        await self.controller.command("restart")
        await _gone(pid)

    async def test_closed_socket(self) -> None:
        """User code that closes every descriptor has lost its engine; nothing hangs."""
        await self.start()
        restarted = self.controller.hears("restarted")
        outcome = await self.controller.execute("import os, time; os.closerange(3, 100); time.sleep(30)")
        self.assertIn("closed its connection", outcome.text)
        await restarted

    async def test_garbage_on_the_socket(self) -> None:
        """User code that writes to the message socket has lost its engine; the agent lives."""
        await self.start(2)
        restarted = self.controller.hears("restarted", engine=0)
        source = "import os, time\nfor fd in range(3, 12):\n"
        source += "    try: os.write(fd, b'garbage' * 10)\n    except OSError: pass\ntime.sleep(30)"
        outcome = await self.controller.execute(source)
        self.assertIn("no message", outcome.text)
        await restarted
        self.assertTrue((await self.controller.execute("1", engine=1)).ok)

    async def test_idle_death(self) -> None:
        """An interpreter that is killed while it is idle is replaced too."""
        await self.start()
        died, restarted = self.controller.hears("died"), self.controller.hears("restarted")
        os.kill(self.interpreter().pid, signal.SIGKILL)
        self.assertIn("SIGKILL", (await died).fields["reason"])
        await restarted
        self.assertTrue((await self.controller.execute("1")).ok)

    async def test_old_generation(self) -> None:
        """What was meant for a lost namespace never runs in its successor."""
        await self.start()
        await self.controller.command("restart")
        outcome = await self.controller.execute("1", generation=1)
        self.assertEqual(outcome.error, "QueueCleared")


class InterruptTests(AgentCase):
    """KeyboardInterrupt in the command that it is meant for."""

    async def test_endless_loop(self) -> None:
        """An endless loop ends, and the namespace stays."""
        await self.start()
        await self.controller.execute("a = 1")
        started = self.controller.hears("started")
        endless = self.controller.execute("while True: pass")
        await started
        self.assertTrue((await self.controller.command("interrupt")).ok)
        self.assertEqual((await endless).error, "KeyboardInterrupt")
        self.assertEqual((await self.controller.execute("a")).shown, "1")

    async def test_answered_when_it_has_ended(self) -> None:
        """The interrupt is answered after the command and what was dropped with it: what follows is not."""
        await self.start()
        started = self.controller.hears("started")
        self.controller.execute("while True: pass", failures=0)
        self.controller.execute("1", failures=0)
        await started
        before = len(self.controller.kinds("reply"))
        await self.controller.command("interrupt")
        replies = [Outcome(reply) for reply in self.controller.kinds("reply")[before:]]
        self.assertEqual([reply.ok or reply.error for reply in replies], ["KeyboardInterrupt", "QueueCleared", True])

    async def test_answered_though_it_goes_on(self) -> None:
        """A command that does not end does not keep the answer for long."""
        await self.start()
        os.kill(self.interpreter().pid, signal.SIGSTOP)
        started = self.controller.hears("started")
        deaf = self.controller.execute("while True: pass")
        await started
        told = await self.controller.command("interrupt", args={"within": 0.1})
        self.assertEqual((told.ok, told.message.fields["result"]), (True, False))
        self.assertFalse(deaf.called)
        os.kill(self.interpreter().pid, signal.SIGCONT)
        self.assertEqual((await deaf).error, "KeyboardInterrupt")

    async def test_child_process(self) -> None:
        """A child process that the command waits for is interrupted with it."""
        await self.start()
        started = self.controller.hears("started")
        waiting = self.controller.execute("import subprocess; subprocess.run(['sleep', '60'])")
        await started
        await self.controller.command("interrupt")
        self.assertEqual((await waiting).error, "KeyboardInterrupt")

    async def test_unnoticed_signal(self) -> None:
        """A signal that ends no waiting, as if it had come right before, is heeded before long."""
        await self.start()
        waits = Path(self.mktemp()).absolute()
        source = (
            "import pathlib, signal, threading, time\n"
            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # which gets it\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
            f"pathlib.Path({str(waits)!r}).touch()\n"
            "time.sleep(60)"
        )
        waiting = self.controller.execute(source)
        await self.until(waits.exists)
        await self.settle()
        await self.controller.command("interrupt")
        self.assertEqual((await waiting).error, "KeyboardInterrupt")

    async def test_nothing_runs(self) -> None:
        """An interrupt of an idle engine has no effect."""
        await self.start()
        for _ in range(20):
            self.assertTrue((await self.controller.command("interrupt")).ok)
            self.assertTrue((await self.controller.execute("1")).ok)

    async def test_no_other_command(self) -> None:
        """Of many rounds, an interrupt never strikes a command but the one that ran when it was asked for."""
        await self.start()
        for _ in range(200):
            first = self.controller.hears("started")
            short = self.controller.execute("pass", client="one")
            following = [self.controller.execute("sum(range(1000))", client=f"c{n}") for n in range(3)]
            await first
            await self.controller.command("interrupt")
            outcomes = await gatherResults([short, *following])
            # When the agent carries it out, a later command may run; but it strikes once, and nothing else happens.
            self.assertIn(
                [outcome.error for outcome in outcomes if not outcome.ok], ([], ["KeyboardInterrupt"])
            )

    async def test_named_before(self) -> None:
        """The signal that comes after its command has ended does nothing."""
        await self.start()
        for _ in range(100):
            await self.controller.execute("pass")
            self.interpreter().interrupt(("c", 999_999))
            self.assertTrue((await self.controller.execute("sum(range(10000))")).ok)


class OtherVerbsTests(AgentCase):
    """The verbs that the agent carries out itself."""

    async def test_gil_holder(self) -> None:
        """Code that holds the GIL in C disturbs no other engine, and can be killed."""
        await self.start(2)
        started = self.controller.hears("started")
        wedged = self.controller.execute("import ctypes; ctypes.PyDLL(None).usleep(10_000_000)")
        await started
        for _ in range(20):
            self.assertTrue((await self.controller.execute("1", engine=1)).ok)
        self.assertFalse(wedged.called)
        restarted = self.controller.command("restart")
        self.assertIn("restarted on request", (await wedged).text)
        self.assertTrue((await restarted).ok)
        self.assertTrue((await self.controller.execute("1")).ok)

    async def test_restart(self) -> None:
        """A restart gives an empty namespace; its reply comes when that takes commands."""
        await self.start()
        await self.controller.execute("a = 1; import atexit; atexit.register(print, 'left')")
        self.assertTrue((await self.controller.command("restart")).ok)
        self.assertEqual((await self.controller.execute("'a' in globals()")).shown, "False")
        self.assertEqual([m.kind for m in self.controller.kinds("died", "restarted")], ["died", "restarted"])

    async def test_stubborn(self) -> None:
        """An interpreter that ignores SIGTERM is killed."""
        await self.start()
        started = self.controller.hears("started")
        source = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
        stubborn = self.controller.execute(source)
        await started
        await self.controller.command("restart")
        self.assertEqual((await stubborn).error, "EngineLost")

    async def test_signal(self) -> None:
        """A signal reaches the handler of user code; what is no signal is an error."""
        await self.start()
        source = "import signal, time; got = []; signal.signal(signal.SIGUSR1, lambda n, f: got.append(n))"
        await self.controller.execute(source)
        self.assertTrue((await self.controller.command("signal", args={"signal": int(signal.SIGUSR1)})).ok)
        self.assertEqual((await self.controller.execute("got")).shown, f"[{int(signal.SIGUSR1)}]")
        self.assertEqual(
            (await self.controller.command("signal", args={"signal": 12345})).error, "ValueError"
        )

    async def test_kill(self) -> None:
        """A killed engine is gone for good; what it ran is lost."""
        await self.start(2)
        started = self.controller.hears("started")
        running = self.controller.execute("while True: pass")
        await started
        gone = self.controller.hears("gone")
        self.assertTrue((await self.controller.command("kill")).ok)
        self.assertIn("killed on request", (await running).text)
        self.assertEqual((await gone).fields["engine"], 0)
        self.assertEqual(list(self.agent.engines), [1])
        over = self.agent.when_over()
        self.assertTrue((await self.controller.command("kill", engine=1)).ok)
        await over
        self.assertEqual(self.agent.failures, [])

    async def test_kill_runs_exit_functions(self) -> None:
        """An idle engine that is killed leaves in an orderly way."""
        await self.start()
        path = self.mktemp()
        await self.controller.execute(
            f"import atexit, os; atexit.register(os.mkdir, {os.path.abspath(path)!r})"
        )
        await self.controller.command("kill")
        self.assertTrue(os.path.isdir(path))

    async def test_get_result(self) -> None:
        """By number, or the latest; a number that has not come waits; one that will not come is an IndexError."""
        await self.start()
        get_result = self.controller.command
        missing = await get_result("get_result")
        self.assertEqual((missing.error, missing.text), ("IndexError", "engine 0 has executed nothing yet"))
        await self.controller.execute("print('one')")
        started = self.controller.hears("started")
        running = self.controller.execute("import time; time.sleep(0.2); print('two')")
        await started
        latest = get_result("get_result", args={"number": None})
        second = get_result("get_result", args={"number": 2})
        third = get_result("get_result", args={"number": 3})
        self.assertEqual((await latest).stdout, "one\n")
        self.assertFalse(running.called)
        self.assertEqual((await second).stdout, "two\n")
        self.assertEqual((await third).error, "IndexError")

    async def test_reset_clears_the_history(self) -> None:
        """After a reset numbers begin again, and old results are gone."""
        await self.start()
        await self.controller.execute("1")
        await self.controller.command("reset")
        self.assertEqual((await self.controller.command("get_result")).error, "IndexError")
        self.assertEqual((await self.controller.execute("1")).message.fields["number"], 1)


class ConnectionTests(AgentCase):
    """Engines whose controller goes away."""

    async def test_reconnect(self) -> None:
        """Interpreters live on, register again under their old ids, and what they ran is not delivered."""
        await self.start(2)
        await self.controller.execute("a = 1", engine=1)
        started = self.controller.hears("started")
        path = os.path.abspath(self.mktemp())
        wait = f"import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)\nb = 2"
        self.controller.execute(wait, engine=1)
        self.controller.execute("c = 3", engine=1)
        await started
        disconnected = self.disconnected
        self.controller.link.close("the controller has ended")
        self.assertIn("controller has ended", await disconnected)
        self.connect()
        await self.all_registered(2)
        self.assertEqual([m.fields["wanted"] for m in self.controller.kinds("register")], [0, 1])
        names = self.controller.execute("[name in globals() for name in 'abc']", engine=1)
        os.mkdir(path)
        self.assertEqual((await names).shown, "[True, True, False]")
        self.assertEqual(len(self.controller.kinds("reply")), 1)

    async def test_death_while_disconnected(self) -> None:
        """An interpreter that ends meanwhile is replaced, and its successor registers under the old id."""
        await self.start()
        self.controller.link.close("gone")
        await self.disconnected
        os.kill(self.interpreter().pid, signal.SIGKILL)
        engine = self.agent.engines[0]
        while engine.generation == 1 or not engine.ready:
            await deferLater(reactor, 0.01)
        self.connect()
        await self.all_registered(1)
        self.assertEqual(self.controller.kinds("register")[0].fields["generation"], 2)
        self.assertTrue((await self.controller.execute("1")).ok)

    async def test_new_id(self) -> None:
        """The next controller may give another id, and the namespace is told."""
        await self.start()
        self.controller.link.close("gone")
        await self.disconnected
        self.connect()
        self.controller.ids = lambda message: 5
        await self.all_registered(1)
        self.assertEqual((await self.controller.execute("id", engine=5)).shown, "5")

    async def test_refused(self) -> None:
        """An engine that the controller does not take is ended, and the agent knows why."""
        await self.start(2)
        self.controller.link.close("gone")
        await self.disconnected
        self.connect()
        self.controller.ids = lambda message: 3 if message.fields["place"] == 0 else None
        await self.all_registered(1)
        self.assertEqual(list(self.agent.engines), [0])
        self.assertIn("no room", self.agent.failures[0])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def _gone(pid: int) -> None:
    """Returns when there is no such process, or only what is left of it until somebody waits for it."""
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]
