"""Real processes, whose controller is killed and started again."""

from __future__ import annotations

import os
import signal

from ipython1.kernel.controller.config import READY
from ipython1.kernel.tests.program import Program, asynchronous, long
from ipython1.kernel.tests.test_outage_cluster import OutageTestCase


class RestartTests(OutageTestCase):
    grace = 60.0

    async def kill(self) -> None:
        """Kill the controller, and start another one."""
        self.controller.signal("KILL")
        await self.controller.ended()
        self.controller = self.start_controller()
        await self.controller.said(READY)

    async def endured(self, name: str, role: str) -> None:
        await self.cluster()
        client = self.client(name, role)
        await client.said("begun")
        for _ in range(3):
            await self.pause(0.7)
            await self.kill()
        await self.well(client, name)

    async def well(self, client: Program, name: str) -> None:
        status = await client.ended()
        self.assertEqual(status, 0, f"{client.output}\n{self.agent.output}\n{self.controller.output}")
        self.assertIn(f"{name}: done", client.output)

    @long
    @asynchronous
    async def test_tasks(self) -> None:
        """Tasks run once, and what waits for them goes on."""
        await self.endured("endure", "task")

    @long
    @asynchronous
    async def test_commands(self) -> None:
        """So do commands."""
        await self.endured("endure_commands", "multiengine")

    @asynchronous
    async def test_detached(self) -> None:
        """What a client has left can be fetched by another one of the same name, and submitted again."""
        await self.cluster()
        await self.well(self.client("evening", "task"), "evening")
        await self.kill()
        await self.well(self.client("morning", "task"), "morning")

    @asynchronous
    async def test_given_up(self) -> None:
        """A client that slept for longer than the controller waits comes back, and its calls return their results."""
        self.grace = 1.0
        await self.cluster()
        client = self.client("sleep")
        await client.said("sleeping")
        os.kill(client.pid, signal.SIGSTOP)
        await self.pause(4.0)
        os.kill(client.pid, signal.SIGCONT)
        await self.well(client, "sleep")
