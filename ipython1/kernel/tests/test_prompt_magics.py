"""The magics, their options and what they say, at a real prompt in a pseudo-terminal."""

from __future__ import annotations

import re

from ipython1.kernel.tests.program import asynchronous
from ipython1.kernel.tests.test_prompt import PromptTestCase
from ipython1.kernel.tests.transcript import COLOUR

RUNS = "Parallel execution on engines: "
TARGETS = "targets are all, an engine id, ids with commas between them, or a slice such as ::2"
PX = "--targets, --block, --noblock, --local, --group-outputs, --name, --progress, --timeout"

# What is typed, and what is printed then; "..." at the end stands for anything.
STORY = [
    ("%load_ext ipython1", ""),
    ("%px --targets 0 a = 5", f"{RUNS}0\nOut[4]: \n<Results List>\n[0] In [1]: a = 5"),
    ("%px --targets 0,1 a = id", f"{RUNS}[0, 1]\nOut[5]: \n<Results List>\n[0] In [2]: a = id\n[1] In [1]: a = id"),
    ("%px --targets=[1] a = id", f"{RUNS}[1]\nOut[6]: \n<Results List>\n[1] In [2]: a = id"),
    ("%px --targets 1: a = id", f"{RUNS}1:\nOut[7]: \n<Results List>\n[1] In [3]: a = id"),
    ("%px --targets='all' --group-outputs engine print(id); id", f"{RUNS}all\n[stdout:0] 0\nOut[0:3]: 0\n[stdout:1] 1\nOut[1:4]: 1"),
    ("%px --group-outputs type print(id); id", f"{RUNS}all\n[stdout:0] 0\n[stdout:1] 1\nOut[0:4]: 0\nOut[1:5]: 1"),
    ("%px --group-outputs order print(id); id", f"{RUNS}all\n[stdout:0] 0\n[stdout:1] 1\nOut[0:5]: 0\nOut[1:6]: 1"),
    ("%px --local --name found here = 3 * 4", f"{RUNS}all\nOut[11]: \n<Results List>\n[0] In [6]: here = 3 * 4\n[1] In [7]: here = 3 * 4"),
    ("here, len(found)", "Out[12]: (12, 2)"),
    ("%px --noblock --name later b = 1", f"{RUNS}all\nOut[13]: <ipython1.kernel.client.PendingResult object at ..."),
    ("later.r", "Out[14]: \n<Results List>\n[0] In [7]: b = 1\n[1] In [8]: b = 1"),
    ("%px --foo 1", f"UsageError: %px has no option --foo; it has {PX}"),
    ("%px --targets x 1", f"UsageError: --targets x: {TARGETS}"),
    ("%px --targets", "UsageError: --targets needs a value: the engines: all, 0, 0,2 or ::2"),
    ("%px --block=1 1", "UsageError: --block takes no value"),
    ("%px --group-outputs colour 1", "UsageError: --group-outputs colour: outputs are grouped by engine, order, type"),
    ("%px --name 1a 1", "UsageError: --name 1a: that is no name of a variable"),
    ("%px --progress soon 1", "UsageError: --progress soon: that is no number of seconds"),
    ("%px -(-id)", f"{RUNS}all\nOut[22]: \n<Results List>\n[0] In [8]: -(-id)\n[0] Out[8]: 0\n[1] In [9]: -(-id)\n[1] Out[9]: 1"),
    ("%result 7", "Out[23]: \n<Results List>\n[0] In [7]: b = 1\n[1] In [7]: here = 3 * 4"),
    ("%result --targets 1 8", "Out[24]: \n<Results List>\n[1] In [8]: b = 1"),
    ("%result --group-outputs type", "Out[0:8]: 0\nOut[1:9]: 1"),
    ("%pxconfig", "targets: all\nblock: True\ngroup-outputs: as a list of results\nprogress: none\ntimeout: none"),
    ("%pxconfig --targets 1 --group-outputs engine --progress 60 --timeout 60", ""),
    ("%pxconfig", "targets: 1\nblock: True\ngroup-outputs: engine\nprogress: after 60 s\ntimeout: 60 s"),
    ("%px print(5)", f"{RUNS}1\n[stdout:1] 5"),
    ("%pxconfig --noblock --timeout 0", ""),
    ("mec.targets, mec.block, mec.timeout", "Out[31]: (1, False, None)"),
    ("%pxconfig all", "UsageError: %pxconfig takes options, and not 'all'"),
    ("%px2 1", "UsageError: Line magic function `%px2` not found."),
    ("two = client.MultiEngineClient(); two.targets = 0; two.activate('2')", ""),
    ("%px2 c = 1", f"{RUNS}0\nOut[35]: \n<Results List>\n[0] In [9]: c = 1"),
    ("%autopx2", "Auto Parallel Enabled\nType %autopx2 to disable"),
    ("c = 2", "<Results List>\n[0] In [10]: c = 2"),
    ("%autopx2", "Auto Parallel Disabled"),
    ("mec[0]['c']", "Out[39]: <ipython1.kernel.client.PendingResult object at ..."),
    ("%pxinterrupt2", "Interrupting engines: 0"),
    ("%pxinterrupt 0,1", "Interrupting engines: [0, 1]"),
    ("%pxinterrupt me", f"UsageError: me: {TARGETS}"),
    ("%pxdebug me", "UsageError: 'me' is no engine id"),
    ("%pxdebug2 1", "---------------------------------------------------------------------------\nNothingToDebug ..."),
    ("%px --name class 1", "UsageError: --name class: that is no name of a variable"),
    ("%px --targets ::0 1", f"UsageError: --targets ::0: {TARGETS}"),
    ("mec.activate(5)", f"{'-' * 75}\nTypeError ..."),
    ("%autopx2", "Auto Parallel Enabled\nType %autopx2 to disable"),
    ("%pxconfig2", "targets: 0\n..."),
    ("%autopx", "Auto Parallel Disabled\nAuto Parallel Enabled\nType %autopx to disable"),
    ("%px --targets 0 --block c = 3", f"{RUNS}0"),
    ("%autopx", "Auto Parallel Disabled"),
    ("%unload_ext ipython1", ""),
    ("%px a", "No client is active: make one with mec = client.MultiEngineClient(), then call mec.activate()"),
    ("%result2", "No client is active: make one with mec = client.MultiEngineClient(), then call mec.activate('2')"),
]


class MagicTests(PromptTestCase):
    @asynchronous
    async def test_story(self) -> None:
        """Each does what it says, and says what is wrong."""
        await self.start()
        for line in ("%%px --targets 0 --group-outputs engine", "_ = 1 +\\", "  1", "print(_)", ""):
            self.prompt.begin(line)
        self.assertTrue((await self.prompt.enter("")).endswith(f"{RUNS}0\n[stdout:0] 2"))
        for line in ("%%px --targets 0 1", "print(1)", ""):
            self.prompt.begin(line)
        shown = await self.prompt.enter("")
        self.assertTrue(shown.endswith("UsageError: the code for the engines is below %%px; what is '1'?"), shown)
        await self.prompt.enter("mec.reset(); get_ipython().execution_count = 3")
        for line, expected in STORY:
            came = "\n".join(each.rstrip() for each in (await self.prompt.enter(line)).strip("\n").splitlines())
            wanted = "\n".join(each.rstrip() for each in expected.splitlines())
            if wanted.endswith("..."):
                came, wanted = came[: len(wanted) - 3], wanted[:-3]
            self.assertEqual(came, wanted, line)

    @asynchronous
    async def test_errors(self) -> None:
        """What is wrong with the arguments of a call is said without frames of ours; what is printed is said once."""
        await self.start()
        await self.prompt.enter("tc = client.TaskClient()")
        for call, problem in (
            ("mec.push()", "TypeError: push(): missing a required argument: 'namespace'"),
            ("mec.map(5, [1])", "TypeError: 5 is neither callable nor the name of something that is"),
            ("tc.submit(5)", "TypeError: 5 is neither callable nor a task"),
            ("tc.barrier('a')", "TypeError: 'a' is not the id of a task"),
            ("tc.submit(lambda: 1/0).r", "ZeroDivisionError: division by zero"),
            ("mec.execute('1/0', 0, block=False).r", "CompositeError: one or more exceptions from call to method: execute"),
        ):
            shown = await self.prompt.enter(call)
            self.assertIn(f"\n{problem}", shown)
            self.assertNotIn("File ", shown)
        await self.prompt.enter("mec.timeout = 0.1")
        self.assertIn("CallTimeout", await self.prompt.enter("%px import time; time.sleep(0.5)"))
        self.assertNotIn("CallTimeout", await self.prompt.enter("%px --timeout 0 time.sleep(0.5)"))
        self.assertNotIn("Error", await self.prompt.enter("mec.execute('time.sleep(0.5)', timeout=float('inf'))"))
        await self.prompt.enter("mec.timeout = None")
        await self.prompt.enter("%autopx")
        shown = await self.prompt.enter("import time; print(2 * 'a'); time.sleep(0.4)")
        self.assertEqual(len(re.findall("aa$", shown, re.M)), 2, shown)

    @asynchronous
    async def test_colours(self) -> None:
        """With colours errors and results have them, and are otherwise the same; progress and deadlines are seen."""
        await self.start("linux")
        shown = await self.prompt.enter_coloured("%px 1/0")
        self.assertRegex(shown, r"\x1b\[[0-9;]*m\[0:execute\]: \x1b\[0m\x1b\[[0-9;]*mZeroDivisionError\x1b\[0m: division by zero")
        self.assertIn("[1:execute]: ZeroDivisionError: division by zero", COLOUR.sub("", shown))
        self.assertIn("\x1b", await self.prompt.enter_coloured("mec.execute('a=1')"))
        await self.prompt.enter("%colors nocolor")
        plain = await self.prompt.enter_coloured("mec.execute('a=1')")
        self.assertNotIn("\x1b", plain.rpartition("Out[")[2])
        self.prompt.begin(f"%px --progress 0 {self.here.waits} if id else None")
        await self.prompt.rest(re.compile(r"1/2 \["))
        self.here.let_go()
        self.assertIn("2/2 [", await self.prompt.rest())
        self.assertIn(
            "CallTimeout: execute('import time; time.sleep(1000)') was not done within 0.1 s; what runs of it",
            await self.prompt.enter("%px --timeout 0.1 import time; time.sleep(1000)"),
        )
        self.assertEqual(await self.prompt.enter("%pxinterrupt"), "Interrupting engines: all")
