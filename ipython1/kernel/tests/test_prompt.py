"""At a real prompt: Ctrl-C, magics, errors and the debugger, in an IPython in a pseudo-terminal."""

from __future__ import annotations

import re

from twisted.internet import threads
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel.client import MultiEngineClient
from ipython1.kernel.client.interrupted import NOTICE
from ipython1.kernel.dial import hang_up_all
from ipython1.kernel.tests.program import RealCluster, asynchronous
from ipython1.kernel.tests.prompt import CTRL_C, CTRL_D, DEBUGGER, PATIENT, SILENT, Arrivals, Prompt

CONNECT = "from ipython1.kernel import client; mec = client.MultiEngineClient(); mec.activate()"
NOTICED = re.compile(rf"{re.escape(NOTICE)}\r?\n")
BEGUN = re.compile(r"\] begun\r?\n$")
INTERRUPTED = "[0:execute]: KeyboardInterrupt\n[1:execute]: KeyboardInterrupt"


class PromptTestCase(TestCase):
    timeout = 110

    async def start(self, colors: str = "nocolor") -> None:
        self.cluster = RealCluster(self, 2)
        self.here = Arrivals(self)
        self.prompt = Prompt(self, self.cluster.environment, colors)
        await self.cluster.ready()
        await self.prompt.ready()
        self.assertEqual(await self.prompt.enter(CONNECT), "")
        await self.prompt.enter(PATIENT)

    async def interrupt(self, call: str, engines: int = 2) -> str:
        """What is shown when Ctrl-C is pressed while `call` runs on so many engines; ``KNOCK`` there tells that it does."""
        self.prompt.begin(call.replace("KNOCK", self.here.code))
        await self.here.come(engines)
        self.prompt.press(CTRL_C)
        return await self.prompt.rest()

    def shown(self, output: str) -> list[str]:
        """The lines of a traceback that are not the input."""
        return [line for line in output.splitlines() if not line.startswith(("---", "Cell In", "---->", "%px"))]


class InterruptTests(PromptTestCase):
    @asynchronous
    async def test_interrupt(self) -> None:
        """Ctrl-C ends what runs, whatever it is, and shows what each engine raised, and no frame of ours."""
        await self.start()
        for code in (
            "KNOCK\\nwhile True: pass",
            "KNOCK; import time; time.sleep(1000)",
            "KNOCK; import subprocess; subprocess.run(['sleep', '1000'])",
            # An interrupt while numpy is being imported may be lost in there.
            "import numpy\\na = numpy.ones((500, 500))\\nKNOCK\\nwhile True: a.dot(a)",
        ):
            output = await self.interrupt(f'mec.execute("{code}")')
            self.assertIn(INTERRUPTED, output)
            self.assertNotIn("File ", output)
        self.assertIn(INTERRUPTED, await self.interrupt("%px KNOCK; import time; time.sleep(1000)"))
        output = ""
        while INTERRUPTED not in output:  # as below: then there is no result that could tell
            output = await self.interrupt("%px --progress 0 KNOCK; import time; time.sleep(1000)")
            self.assertIn("KeyboardInterrupt", output)
            await self.prompt.enter("mec.interrupt()")  # where it was struck in between, which is shorter than any human's key
        await self.prompt.enter(f'pr = mec.execute("{self.here.code}; import time; time.sleep(1000)", block=False)')
        await self.here.come(2)
        await self.prompt.enter(f"knock = {self.here.code!r}")
        output = ""
        while "CallInterrupted" not in output:  # it may strike before that begins to wait
            output = await self.interrupt("exec(knock); pr.r", engines=1)
        self.assertIn(INTERRUPTED, output)
        self.assertIn("CompositeError", await self.prompt.enter("pr.r"))
        await self.prompt.enter("pr = mec.execute('import time; time.sleep(1000)', block=False)")
        output = ""
        while "CompositeError" not in output:
            output = await self.interrupt("exec(knock); await pr", engines=1)
        self.assertIn(INTERRUPTED, output)
        await self.prompt.enter("prs = [mec.execute('import time; time.sleep(1000)', i, block=False) for i in (0, 1)]")
        output = ""
        while "CallInterrupted: barrier was interrupted" not in output:
            output = await self.interrupt("exec(knock); mec.barrier(prs)", engines=1)
        self.assertIn(INTERRUPTED, output)
        shown = await self.prompt.enter("mec.barrier(mec.execute('time.sleep(1000)', block=False), timeout=0.01)")
        self.assertIn("CallTimeout: 1 of 1 results were not there within 0.01 s", shown)

    @asynchronous
    async def test_aborted(self) -> None:
        """What was submitted without waiting is aborted, waiting or running, and leaves other commands alone."""
        await self.start()
        await self.prompt.enter(SILENT)
        await self.prompt.enter(f'first = mec.execute("{self.here.code}; import time; time.sleep(1000)", block=False)')
        await self.prompt.enter("second = mec.execute('b = 2', block=False)")
        await self.here.come(2)
        self.assertEqual(await self.prompt.enter("second.abort()"), "")
        shown = await self.prompt.enter("second.r")
        self.assertIn("[1:execute]: QueueCleared: execute('b = 2') was dropped from the queue of engine 1:", shown)
        self.assertIn("False", await self.prompt.enter("first.done()"))
        self.assertEqual(await self.prompt.enter("first.abort()"), "")
        self.assertIn(INTERRUPTED, await self.prompt.enter("first.r"))
        self.assertIn("NameError", await self.prompt.enter("mec.pull('b')"))

    @asynchronous
    async def test_deaf(self) -> None:
        """Of code that cannot be interrupted it is said where it goes on, and what ends it; a second Ctrl-C does not wait."""
        await self.start()
        deaf = "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, [2]); KNOCK; time.sleep(1000)"
        self.prompt.begin(f'mec.execute("{deaf}")'.replace("KNOCK", self.here.code))
        await self.here.come(2)
        self.prompt.press(CTRL_C)
        await self.prompt.rest(NOTICED)
        self.prompt.press(CTRL_C)
        self.assertRegex(await self.prompt.rest(), r"StillRunning: execute\(.*\) is not waited for any more, and may go on\Z")
        await self.prompt.enter("mec.restart(); ipython1.kernel.client_session.STOPPED_WITHIN = 0.1")
        output = await self.interrupt(f'mec.execute("{deaf}", targets=1)', engines=1)
        text = "it is in code that cannot be interrupted, or that does not end when it is. mec.restart(1) ends it"
        self.assertRegex(output, r"StillRunning: execute\(.*\) still runs on engine 1: " + re.escape(text))
        self.assertNotIn("File ", output)
        self.assertEqual(await self.prompt.enter("mec.restart(1)"), "Out[6]: [None]")
        self.assertEqual(await self.prompt.enter("mec.pull('id')"), "Out[7]: [0, 1]")

    @asynchronous
    async def test_tasks(self) -> None:
        """Ctrl-C in a call that waits for tasks aborts them, and says so; a second one does not wait for that."""
        await self.start()
        code = "import time; print('begun'); time.sleep(1000)"
        await self.prompt.enter(f"tc = client.TaskClient(); task = client.StringTask({code!r})")
        for number, (call, name) in enumerate(
            (
                ("tc.run(task, block=True)", r"run\(\d+\)"),
                ("tc.submit(task).r", r"submit\(\d+\)"),
                ("tc.get_task_result(tc.run(task), block=True)", r"get_task_result\(\d+\)"),
                ("tc.barrier(tc.run(task))", "barrier"),
                ("tc.barrier([tc.submit(task)])", "barrier"),
            )
        ):
            self.prompt.begin(call)
            await self.prompt.rest(BEGUN)
            self.prompt.press(CTRL_C)
            output = await self.prompt.rest()
            self.assertRegex(output, rf"CallInterrupted: {name} was interrupted: its task was aborted\Z")
            self.assertNotIn("another exception occurred", output)
            failed = f"'pending': 0, 'succeeded': 0, 'failed': {number + 1}}}"
            self.assertIn(failed, await self.prompt.enter("tc.queue_status()"))
        self.prompt.begin("tc.run(task, block=True)")
        await self.prompt.rest(BEGUN)
        (controller,) = self.cluster.processes("ipcontroller")
        controller.suspend()
        self.prompt.press(CTRL_C)
        await self.prompt.rest(NOTICED)
        self.prompt.press(CTRL_C)
        output = await self.prompt.rest()
        controller.resume()
        self.assertRegex(output, r"StillRunning: run\(\d+\) is not waited for any more, and its tasks may go on\Z")

    @asynchronous
    async def test_map_of_tasks(self) -> None:
        """Ctrl-C in a map of tasks aborts them."""
        await self.start()
        await self.prompt.enter(f"tc = client.TaskClient(); knock = {self.here.code!r}")
        self.prompt.begin("tc.map(lambda t, k=knock: (exec(k), __import__('time').sleep(t)), range(1000, 1020))")
        await self.here.come(2)
        self.prompt.press(CTRL_C)
        self.assertIn("CallInterrupted: map was interrupted: 20 tasks were aborted", await self.prompt.rest())
        self.assertEqual(
            await self.prompt.enter("tc.queue_status()"),
            "Out[5]: {'scheduled': 0, 'pending': 0, 'succeeded': 0, 'failed': 20}",
        )


class DebuggerTests(PromptTestCase):
    @asynchronous
    async def test_debugger(self) -> None:
        """The frames of an engine, at this prompt; others are told, and nobody waits."""
        await self.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(hang_up_all()))  # of the other clients
        await self.prompt.enter(r"r = mec.execute('def f(x):\n    y = x - id\n    return 1 / y')")
        self.assertIn("[1:execute]: ZeroDivisionError: division by zero", await self.prompt.enter("%px f(1)"))
        first = await self.prompt.enter("%pxdebug", DEBUGGER)
        self.assertEqual(first.splitlines()[0], "The debugger looks at engine 1; q leaves it.")
        self.assertEqual(first.splitlines()[-1], "----> 3     return 1 / y")
        self.assertEqual(await self.prompt.enter("p x, y", DEBUGGER), "(1, 0)")
        self.assertIn("f(1)", await self.prompt.enter("up", DEBUGGER))
        self.assertEqual(await self.prompt.enter("print(id, 'here')", DEBUGGER), "1 here")
        self.prompt.begin(f"{self.here.code}; __import__('time').sleep(1000)")
        await self.here.come(1)
        self.prompt.press(CTRL_C)
        self.assertIn("*** KeyboardInterrupt", await self.prompt.rest(DEBUGGER))
        status = await self.status()
        self.assertRegex(status.pop("debugger"), r"the client on .* \(pid \d+\) is in the debugger")
        self.assertEqual(status, {"queue": [], "pending": "None"})
        self.assertEqual(await self.prompt.enter("q"), "")
        self.assertNotIn("debugger", await self.status())
        # Python notices a signal that comes between a prompt and the reading behind it when it has read a line.
        for key in (f"{CTRL_C}\n", CTRL_D):
            self.assertIn("return 1 / y", await self.prompt.enter("mec.debug(1)", DEBUGGER))
            self.prompt.press(key)
            await self.prompt.rest()
        self.assertIn("NothingToDebug: nothing has failed here", await self.prompt.enter("mec.debug(0)"))
        await self.prompt.enter("mec.debug(1)", DEBUGGER)
        await threads.deferToThread(lambda: self.other().reset())
        self.assertIn("NothingToDebug: this debugger has ended", await self.prompt.enter("p x"))

    def other(self) -> MultiEngineClient:
        """Another client."""
        return MultiEngineClient(str(self.cluster.ipython_dir / "security" / "ipcontroller-mec.furl"))

    async def status(self) -> dict[str, object]:
        """What another client is told of engine 1."""
        found: list[tuple[int, dict[str, object]]] = await threads.deferToThread(lambda: self.other().queue_status(1))
        return found[0][1]
