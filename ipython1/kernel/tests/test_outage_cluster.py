"""Real processes whose connections are cut, silenced and slow, and which are stopped for a while."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from ipython1.kernel.controller.config import READY
from ipython1.kernel.furl import read_furl, tub_and_location
from ipython1.kernel.places import FURL_FILES
from ipython1.kernel.tests.program import Program, asynchronous, long
from ipython1.kernel.tests.proxy import Proxy

SILENCE = 1.0
"""Seconds after which a connection is taken for lost."""


class OutageTestCase(TestCase):
    timeout = 300
    grace = 30.0
    store = ""
    shared_memory = False
    """Whether large values go through memory, and not over the connections that are cut."""

    async def cluster(self, engines: int = 2) -> None:
        """A controller, an agent, and a proxy before each door."""
        self.folder = Path(self.mktemp()).absolute()
        self.controller = self.start_controller()
        await self.controller.said(READY)
        self.proxies = {}
        for role in ("engine", "multiengine", "task"):
            furl = self.furl(role)
            proxy = self.proxies[role] = Proxy(self, int(tub_and_location(furl)[1].rpartition(":")[2]))
            await proxy.start()
        self.agent = self.program("scripts.ipengine", "-n", str(engines), "--furl-file", self.through("engine"))
        await self.agent.said("registered")

    def start_controller(self) -> Program:
        seconds = ("--grace", str(self.grace), "--engine-keepalive", str(SILENCE), "--client-keepalive", str(SILENCE))
        return self.program("scripts.ipcontroller", "--interface", "127.0.0.1", "--store", self.store, *seconds)

    def program(self, name: str, *argv: str) -> Program:
        command = [sys.executable, "-m", f"ipython1.kernel.{name}", *argv]
        shared_memory = "yes" if self.shared_memory else "no"
        environment = {"IPYTHONDIR": str(self.folder), "IPYTHON1_CLIENT_SHARED_MEMORY": shared_memory}
        return Program(self, *command, environment=environment)

    def furl(self, role: str) -> str:
        return read_furl(self.folder / "security" / FURL_FILES[role], role)

    def through(self, role: str) -> str:
        """The FURL that leads through the proxy."""
        return self.proxies[role].furl(self.furl(role))

    def client(self, name: str, role: str = "multiengine") -> Program:
        """One of `outage_scenarios`."""
        return self.program("tests.outage_scenarios", name, self.through(role))

    async def done(self, client: Program, name: str) -> None:
        status = await client.ended()
        self.assertEqual(status, 0, f"{client.output}\n{self.agent.output}\n{self.controller.output}")
        self.assertIn(f"{name}: done", client.output)
        # Nobody was given up, and no engine was registered anew.
        self.assertEqual(self.agent.output.count("registered"), 1, self.agent.output)

    async def pause(self, seconds: float) -> None:
        await deferLater(reactor, seconds, lambda: None)


class CutTests(OutageTestCase):
    async def cuts(self, client: Program, name: str, roles: tuple[str, ...], seed: int = 0) -> None:
        """Cut, silence and slow down connections, one after the other, while the client works."""
        chance = random.Random(seed)
        await client.said("begun")
        for _ in range(6):
            proxy = self.proxies[chance.choice(roles)]
            event = chance.randrange(4)
            if event == 0:
                proxy.cut()
            elif event == 1:
                proxy.cut_after(chance.randrange(1, 4_000_000))
            elif event == 2:
                proxy.silence(new_ones=False)
            else:
                proxy.delay = chance.choice((0.0, 0.01, 0.05))
            await self.pause(chance.uniform(0.1, 0.8))
        for proxy in self.proxies.values():
            proxy.delay = 0.0
        await self.done(client, name)

    @long
    @asynchronous
    async def test_client(self) -> None:
        """The connection of a client that works."""
        await self.cluster()
        await self.cuts(self.client("work"), "work", ("multiengine",))

    @long
    @asynchronous
    async def test_agent(self) -> None:
        """The connection of an agent whose engines work."""
        await self.cluster()
        await self.cuts(self.client("work"), "work", ("engine",), 1)

    @long
    @asynchronous
    async def test_shared_memory(self) -> None:
        """All connections, while large values go through memory."""
        self.shared_memory = True
        await self.cluster()
        await self.cuts(self.client("work"), "work", ("multiengine", "engine"), 3)

    @asynchronous
    async def test_both(self) -> None:
        """All connections."""
        await self.cluster()
        await self.cuts(self.client("work"), "work", ("engine", "multiengine"), 2)

    @long
    @asynchronous
    async def test_tasks(self) -> None:
        """All connections, while tasks run that may run once."""
        await self.cluster()
        await self.cuts(self.client("tasks", "task"), "tasks", ("engine", "task"), 3)

    @asynchronous
    async def test_no_connection_for_a_while(self) -> None:
        """A call that waits when the connection goes, and one that is made meanwhile, end well."""
        await self.cluster()
        waiting, late = self.client("sleep"), self.client("away")
        await waiting.said("sleeping")
        await late.said("begun")
        await self.proxies["multiengine"].refuse()
        await late.said("waits")
        await self.pause(1)
        await self.proxies["multiengine"].accept()
        await self.done(waiting, "sleep")
        await self.done(late, "away")

    @long
    @asynchronous
    async def test_engine_away(self) -> None:
        """Engines whose agent cannot be reached are shown as away, and go on when it is back."""
        await self.cluster()
        client = self.client("status")
        await client.said("begun")
        await self.proxies["engine"].refuse()
        await client.said("away")
        await self.proxies["engine"].accept()
        await self.done(client, "status")


class StopTests(OutageTestCase):
    async def stopped(self, program: Program) -> None:
        """Stop a process for longer than a connection may be silent."""
        os.kill(program.pid, signal.SIGSTOP)
        await self.pause(2 * SILENCE)
        os.kill(program.pid, signal.SIGCONT)

    @long
    @asynchronous
    async def test_agent(self) -> None:
        """An agent that was stopped while its engines worked goes on without losing a result."""
        await self.cluster()
        client = self.client("sleep")
        await client.said("sleeping")
        await self.stopped(self.agent)
        await self.done(client, "sleep")
        self.assertIn("connected again", self.agent.output)

    @asynchronous
    async def test_client(self) -> None:
        """So does a client that was stopped while its calls waited."""
        await self.cluster()
        client = self.client("sleep")
        await client.said("sleeping")
        await self.stopped(client)
        await self.done(client, "sleep")

    @asynchronous
    async def test_controller(self) -> None:
        """And all of them, when it was the controller."""
        await self.cluster()
        client = self.client("sleep")
        await client.said("sleeping")
        await self.stopped(self.controller)
        await self.done(client, "sleep")


class EndTests(OutageTestCase):
    grace = 1.0

    @long
    @asynchronous
    async def test_agent_stays_away(self) -> None:
        """An agent that does not come back is given up, with its engines, and gives up itself."""
        await self.cluster()
        client = self.client("lost")
        await client.said("waits")
        await self.proxies["engine"].refuse()
        await client.said("failed: .*(?s:.*)EngineLost.*not taken up again within 1 s")
        self.assertEqual(await self.agent.ended(), 1)
        self.assertIn("the controller stayed away for 1 s", self.agent.output)

    @asynchronous
    async def test_controller_stays_away(self) -> None:
        """A controller that does not come back is given up, with a clear error."""
        await self.cluster()
        client = self.client("lost")
        await client.said("waits")
        await self.proxies["multiengine"].refuse()
        await client.said("failed: .*stayed away for 1 s.*had reached the controller, and may have been carried out")

    @asynchronous
    async def test_goodbye(self) -> None:
        """A controller that stops in order says so: nobody waits for it."""
        self.grace = 1000.0
        await self.cluster()
        client = self.client("lost")
        await client.said("waits")
        self.controller.signal("INT")
        await client.said("failed: the controller stopped")
        self.assertEqual(await self.agent.ended(), 0)
        self.assertIn("the controller stopped, and the engines with it", self.agent.output)

    @asynchronous
    async def test_controller_killed(self) -> None:
        """One without a store that was killed and is started again does not know what waits; the engines are kept."""
        self.grace = 1000.0
        self.store = "memory"
        await self.cluster()
        client = self.client("lost")
        await client.said("waits")
        self.controller.signal("KILL")
        await self.controller.ended()
        self.controller = self.start_controller()
        await client.said("failed: the controller was restarted")
        await self.agent.said("(?s)the controller was restarted.*2 engines registered: 0, 1")
