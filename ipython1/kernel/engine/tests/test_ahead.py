"""Agents with real interpreters, which are given tasks before they have done with others."""

from __future__ import annotations

import os
import pickle
import select
import signal
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from ipython1.kernel.engine.queue import AHEAD, Command
from ipython1.kernel.engine.requests import REQUESTS
from ipython1.kernel.engine.tests.harness import AgentCase, Outcome
from ipython1.kernel.framing import Message

PATIENCE = 60
"""Seconds; it takes a moment."""
_SAYS = "print(file=open('BEGUN', 'w'), flush=True)"
# The interpreter looks for tickets only when the agent has done what it does on a reply.
_SLOW = """
import time
from ipython1.core.tickets import Tickets
may_begin = Tickets.may_begin
Tickets.may_begin = lambda self, ticket: time.sleep(0.01) or may_begin(self, ticket)
"""
# The agent has not read yet what was printed when the command has ended.
_UNREAD = """
from ipython1.core import loop
look = loop.unread
def found_once(descriptor):
    loop.unread = look
    return True
loop.unread = found_once
print('said')
"""
_PRINTS = """
import os
if {n} % 4 == 1: print({n}, flush=True)
if {n} % 7 == 2: os.system('echo {n}')
if {n} % 9 == 3: os.write(2, b'{n}')
x = {n}
"""


class AheadTests(AgentCase):
    async def test_results(self) -> None:
        """Each of many tasks is begun, in their order, and has its own result."""
        await self.start()
        outcomes = await gatherResults([self.controller.task(f"x = {n}", pull=["x"]) for n in range(3 * AHEAD)])
        self.assertEqual([pickle.loads(outcome.bodies[0]) for outcome in outcomes], list(range(3 * AHEAD)))
        heard = self.controller.kinds("started", "reply")
        begun = [one.fields["id"][0] for one in heard if one.kind == "started" or one.fields.get("began")]
        ended = [one.fields["id"][0] for one in heard if one.kind == "reply"]
        for ids in (begun, ended):
            self.assertEqual(ids, [f"t{n + 1}" for n in range(3 * AHEAD)])

    async def test_output(self) -> None:
        """What a task prints, in whatever way, is in its own outcome; where most print nothing, too."""
        await self.start()
        outcomes = await gatherResults([self.controller.task(_PRINTS.format(n=n)) for n in range(200)])
        for n, outcome in enumerate(outcomes):
            stdout = f"{n}\n" * ((n % 4 == 1) + (n % 7 == 2))
            stderr = str(n) * (n % 9 == 3)
            told = outcome.bodies[-outcome.message.fields["output"] :] if "output" in outcome.message.fields else [b"", b""]
            self.assertEqual((told[0].decode(), told[1].decode()), (stdout, stderr), n)

    async def test_cancel_behind_a_long_one(self) -> None:
        """What was given and has not begun is given back at once, whatever runs; what stays runs."""
        await self.start()
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        source = f"open('/proc/{os.getpid()}/fd/{read}', 'rb').read(1)"
        long = self.controller.task(source)
        tasks = [self.controller.task(f"x{n} = {n}") for n in range(2, 12)]
        await self.until(lambda: len(self.agent.engines[0].queue.ahead) == 10)
        returned = gatherResults([self.controller.hears("returned", id=[f"t{n}", n]) for n in range(4, 12)])
        ids = [[f"t{n}", n] for n in (1, *range(4, 12))]
        self.controller.link.send(Message("cancel", {"engine": 0, "ids": ids}))
        await returned
        os.write(write, b"x")
        outcomes = await gatherResults([long, *tasks[:2]])
        self.assertTrue(all(outcome.ok for outcome in outcomes))
        there = await self.controller.execute("[n for n in range(2, 12) if f'x{n}' in globals()]")
        self.assertEqual(there.shown, "[2, 3]")

    async def test_commands_go_before(self) -> None:
        """A command that is no task runs before the tasks that were given and have not begun."""
        await self.start()
        tasks = [self.controller.task(f"import time; time.sleep(0.02); x = {n}", pull=["x"]) for n in range(20)]
        await self.until(lambda: len(self.agent.engines[0].queue.ahead) > 10)
        x = int((await self.controller.execute("x")).shown)
        self.assertLess(x, 15)
        outcomes = await gatherResults(tasks)
        self.assertEqual([pickle.loads(outcome.bodies[0]) for outcome in outcomes], list(range(20)))

    async def test_commands_that_print(self) -> None:
        """So does one that prints; the tasks that were taken back on its account, and given again, run all the same."""
        await self.start()
        self.assertTrue((await self.controller.execute(_SLOW)).ok)
        tasks = [self.controller.task(f"import time; time.sleep({0.2 * (n == 0)})") for n in range(20)]
        await self.until(lambda: len(self.agent.engines[0].queue.ahead) == 19)
        said = await self.controller.execute(_UNREAD)
        self.assertEqual(said.stdout, "said\n")
        for outcome in await gatherResults(tasks):
            self.assertTrue(outcome.ok)

    async def test_death(self) -> None:
        """Of many that were given, that is lost which ended the interpreter, and none other has begun or is lost."""
        await self.start()
        log = self.mktemp()
        path = os.path.abspath(log)
        sources = [f"with open({path!r}, 'a') as f: print({n}, file=f)" for n in range(40)]
        sources[17] += "\nimport os; os._exit(3)"
        outcomes = await gatherResults([self.controller.task(source) for source in sources])
        self.assertEqual([outcome.ok for outcome in outcomes], [True] * 17 + [False] * 23)
        self.assertEqual(outcomes[17].error, "EngineLost")
        self.assertEqual({outcome.error for outcome in outcomes[18:]}, {"QueueCleared"})
        with open(log) as file:
            self.assertEqual(file.read().split(), [str(n) for n in range(18)])

    async def test_failures(self) -> None:
        """A task that fails takes none with it."""
        await self.start()
        outcomes = await gatherResults([self.controller.task(f"1 / ({n} % 3)") for n in range(30)])
        self.assertEqual([outcome.ok for outcome in outcomes], [n % 3 > 0 for n in range(30)])

    async def test_interrupt(self) -> None:
        """An interrupt strikes the task that runs, and none that is next."""
        await self.start()
        spins = self.controller.task("while True: pass")
        others = [self.controller.task("for n in range(1000): pass") for _ in range(20)]
        await self.until(lambda: len(self.agent.engines[0].queue.ahead) == 20)
        await self.controller.command("interrupt", args={"only": ["t1", 1]})
        self.assertEqual((await spins).error, "KeyboardInterrupt")
        self.assertEqual([outcome.ok for outcome in await gatherResults(others)], [True] * 20)

    async def lagging(self, source: str) -> tuple[Deferred[Outcome], Deferred[Outcome]]:
        """Two tasks, of which the second one, `source`, runs, while the agent does not know that the first has ended.

        It is to write to the file BEGUN when it does.
        """
        await self.start()
        (go, end), (begun, begin) = os.pipe(), os.pipe()
        for descriptor in (go, end, begun, begin):
            self.addCleanup(os.close, descriptor)
        folder = f"/proc/{os.getpid()}/fd"
        first = self.controller.task(f"open('{folder}/{go}', 'rb').read(1)")
        second = self.controller.task(source.replace("BEGUN", f"{folder}/{begin}"))
        await self.until(lambda: len(self.agent.engines[0].queue.ahead) == 1)
        os.write(end, b"x")
        self.assertEqual(select.select([begun], [], [], PATIENCE)[0], [begun])
        return first, second

    def request(self, verb: str, **args: Any) -> None:
        """Have the agent do what it is asked, before it looks at anything else."""
        command = Command(("r", 1), verb, verb, self.agent.engines[0].generation, args=args)
        REQUESTS[verb](self.agent.engines[0], command)

    async def test_late_interrupt(self) -> None:
        """An interrupt for a task that has ended strikes the next one neither, nor what that has started."""
        first, second = await self.lagging("import os; status = os.system('echo > BEGUN; sleep 0.3')")
        self.request("interrupt", only=["t1", 1])
        self.assertTrue((await first).ok)
        self.assertTrue((await second).ok)
        self.assertEqual((await self.controller.execute("status")).shown, "0")

    async def test_late_signal(self) -> None:
        """A signal that is to end the interpreter for a task that has ended does not end the next one."""
        first, second = await self.lagging(f"{_SAYS}; import time; time.sleep(0.3)")
        self.request("signal", only=["t1", 1], signal=signal.SIGTERM)
        self.assertEqual([outcome.ok for outcome in await gatherResults([first, second])], [True, True])

    async def test_memory(self) -> None:
        """What is lost when an interpreter uses too much memory is the task that runs at that moment."""
        first, second = await self.lagging(f"{_SAYS}\nwhile True: pass")
        third = self.controller.task("x = 1")
        self.agent.engines[0].exceeded_memory("uses 5 GB, more than the 4 GB that it may")
        self.assertTrue((await first).ok)
        self.assertEqual((await second).error, "MemoryLimitExceeded")
        self.assertEqual((await third).error, "QueueCleared")

    async def test_restart(self) -> None:
        """What has not begun when the interpreter is ended is refused, and runs never."""
        await self.start()
        spins = self.controller.task("while True: pass")
        others = [self.controller.task("x = 1") for _ in range(20)]
        await self.until(lambda: len(self.agent.engines[0].queue.ahead) == 20)
        await self.controller.command("restart")
        outcomes: list[Outcome] = await gatherResults([spins, *others])
        self.assertEqual([outcome.error for outcome in outcomes], ["EngineLost"] + ["QueueCleared"] * 20)

    async def test_another_controller(self) -> None:
        """What the controller that is gone had given is not run, and what runs is nobody's."""
        await self.start()
        log = os.path.abspath(self.mktemp())
        self.controller.task("import time; time.sleep(0.3)")
        for _ in range(20):
            self.controller.task(f"open({log!r}, 'a')")
        await self.until(lambda: len(self.agent.engines[0].queue.ahead) == 20)
        self.link.close("gone")
        await self.disconnected
        self.connect()
        await self.all_registered(1)
        self.assertTrue((await self.controller.task("x = 1")).ok)
        self.assertFalse(os.path.exists(log))
