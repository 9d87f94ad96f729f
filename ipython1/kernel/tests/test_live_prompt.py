"""What engines print, at a real prompt: an IPython in a pseudo-terminal."""

from __future__ import annotations

import re

from twisted.trial.unittest import TestCase

from ipython1.kernel.excerpt import HEAD, TAIL
from ipython1.kernel.tests.program import RealCluster, asynchronous, long
from ipython1.kernel.tests.prompt import CTRL_C, PATIENT, Arrivals, Prompt

LINES = 10**6

TIMED = """
import re, time
from ipython1.kernel import live
late, put = [], live.put
def timed(stream, text):
    put(stream, text)
    late.extend(time.time() - float(at) for at in re.findall("at ([0-9.]+)", text))
live.put = timed
"""
"""Notes how long ago it was printed on an engine, what says when that was."""


class LiveTests(TestCase):
    timeout = 110

    async def start(self) -> None:
        self.cluster = RealCluster(self, 2)
        self.prompt = Prompt(self, self.cluster.environment)
        await self.cluster.ready()
        await self.prompt.ready()
        await self.prompt.enter("from ipython1.kernel import client; mec = client.MultiEngineClient(); mec.activate()")

    @asynchronous
    async def test_soon(self) -> None:
        """What a loop prints is shown within 200 ms, while it runs; once."""
        await self.start()
        self.assertEqual(await self.prompt.enter(f"exec({TIMED!r})"), "")
        loop = "import time\\nfor i in range(8): print(f\\'at {time.time()}\\\\n\\', end=\\'\\'); time.sleep(0.25)"
        shown = await self.prompt.enter(f"mec.execute('{loop}')")
        for engine in (0, 1):
            self.assertEqual(len(re.findall(rf"^\[stdout:{engine}\] at ", shown, re.M)), 8, shown)
        self.assertEqual(shown.count("\n[0] Out["), 0)
        late = sorted(map(float, (await self.prompt.enter("print(*late)")).split()))
        # On a machine that is busy one or the other may take longer.
        self.assertLess(late[len(late) // 2], 0.2, late)
        shown = await self.prompt.enter("_")
        self.assertIn("[0] Out[1]: at ", shown)
        await self.prompt.enter(f"pr = mec.execute('{loop}', block=False)")
        shown = await self.prompt.enter("pr.r")
        self.assertEqual((shown.count("[stdout:1] at "), shown.count("\n[0] Out[")), (8, 0), shown)

    @long
    @asynchronous
    async def test_flood(self) -> None:
        """A million lines are complete in the result; the terminal shows their beginning and their end."""
        await self.start()
        shown = await self.prompt.enter(f"r = mec.execute('for i in range({LINES}): print(i)', targets=1)")
        lines = [line.removeprefix("[stdout:1] ") for line in shown.splitlines()]
        self.assertEqual(lines[:HEAD], [*map(str, range(HEAD))])
        self.assertEqual(lines[-TAIL:], [*map(str, range(LINES - TAIL, LINES))])
        self.assertLess(len(lines), LINES // 20)
        self.assertTrue(any("left out" in line for line in lines))
        whole = f"'\\n'.join(map(str, range({LINES}))) + '\\n'"
        self.assertEqual(await self.prompt.enter(f"r[0].stdout == {whole}"), "Out[3]: True")
        # Nor does it appear as a whole when the result is looked at.
        self.assertLess(len(await self.prompt.enter("r")), 20 * HEAD)

    @asynchronous
    async def test_garbage(self) -> None:
        """Orders to a terminal, broken UTF-8 and the end of a line that is missing do no harm."""
        await self.start()
        code = "import os, time; os.write(1, bytes(range(256)) + bytes([27, 99])); time.sleep(0.5)"
        shown = await self.prompt.enter_coloured(f"mec.execute('{code}', targets=0)[0].stdout[-2:]")
        self.assertIn("\\x1bc", shown)
        self.assertNotRegex(shown, "[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]|\x1b[^\\[]")
        self.assertIn("Out[2]: '\\x1bc'", shown)

    @asynchronous
    async def test_tasks(self) -> None:
        """What tasks print that are waited for by their ids, and the first ones of a large map, is shown; each line once."""
        await self.start()
        here = Arrivals(self)
        code = f"print('begun'); {here.waits}; print('done')"
        await self.prompt.enter(f"tc = client.TaskClient(); task = client.StringTask({code!r})")
        self.prompt.begin("tc.barrier([tc.run(task), tc.run(task)])")
        shown = await self.prompt.rest(re.compile(r"begun(?s:.*)begun\r?\n"))
        self.assertNotIn("done", shown)
        await here.come(2)
        here.let_go()
        shown += await self.prompt.rest()
        self.assertEqual([shown.count(f"] {word}") for word in ("begun", "done")], [2, 2], shown)
        work = f"def work(n, wait={here.waits!r}): print('begun' if n < 1 else '', n); n < 1 and exec(wait); return n"
        await self.prompt.enter(f"exec({work!r})")
        self.prompt.begin("tc.map(work, range(300)) == list(range(300))")
        await self.prompt.rest(re.compile(r"begun 0\r?\n"))
        await here.come(1)
        here.let_go()
        shown = await self.prompt.rest()
        self.assertTrue(shown.endswith(": True"), shown)
        self.assertNotIn("begun 0", shown)

    @asynchronous
    async def test_transfer(self) -> None:
        """How much of a large value has gone is shown, while there is more to go; and how many items of a map are done."""
        await self.start()
        (engines,) = self.cluster.processes("ipengine")
        await self.prompt.enter("import os; os.environ['IPYTHON1_CLIENT_SHARED_MEMORY'] = 'false'")
        await self.prompt.enter("far = client.MultiEngineClient(); far.progress = 0; tc = client.TaskClient(); tc.progress = 0")
        self.assertEqual(await self.prompt.enter("far.push({'a': 5})"), "Out[4]: [None, None]")
        engines.suspend()
        self.prompt.begin("far.push({'a': bytes(16 << 20)})")
        await self.prompt.rest(re.compile(r"push: +\d+%.*/16\.0M .*B/s"))
        engines.resume()
        shown = await self.prompt.rest()
        self.assertIn("16.0M/16.0M", shown)
        self.assertTrue(shown.endswith("Out[5]: [None, None]"), shown)
        here = Arrivals(self)
        self.prompt.begin(f"len(tc.map(lambda n, wait={here.waits!r}: n == 299 and exec(wait), range(300)))")
        await self.prompt.rest(re.compile(r"map: +\d+%.*/300 "))
        await here.come(1)
        here.let_go()
        self.assertIn("300/300 ", await self.prompt.rest())

    @asynchronous
    async def test_interrupted(self) -> None:
        """Ctrl-C while something is shown ends it on the engines; what it printed is there."""
        await self.start()
        await self.prompt.enter(PATIENT)
        self.prompt.begin("mec.execute('import time\\nwhile True: print(5); time.sleep(0.1)', targets=0)")
        self.assertIn("[stdout:0] 5", await self.prompt.rest(re.compile(r"\[stdout:0\] 5\r?\n$")))
        self.prompt.press(CTRL_C)
        self.assertIn("KeyboardInterrupt", await self.prompt.rest())
        # The same where several are waited for.
        loop = "mec.execute('while True: print(id); time.sleep(0.1)', block=False)"
        await self.prompt.enter(f"import time; mec.execute('import time'); prs = [{loop}]")
        self.prompt.begin("mec.barrier(prs)")
        await self.prompt.rest(re.compile(r"\[stdout:1\] 1\r?\n$"))
        self.prompt.press(CTRL_C)
        self.assertIn("barrier was interrupted", await self.prompt.rest())
        self.assertEqual(await self.prompt.enter("prs[0].done(), prs[0].raised"), "Out[6]: (True, True)")
