"""Large values on one host, between real processes."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.tests.scenarios import LEAST
from ipython1.kernel.tests.program import Program, RealCluster, asynchronous, long

OFF = {"IPYTHON1_CLIENT_SHARED_MEMORY": "no"}
SHORT_GRACE = {"IPYTHON1_CONTROLLER_GRACE": "3"}
OFF_FOR_ENGINES = {"IPYTHON1_ENGINE_SHARED_MEMORY": "no"}


class SharedMemoryTests(TestCase):
    timeout = 240
    if sys.platform != "linux":
        skip = "shared memory is for Linux"

    async def cluster(self, **environment: str) -> RealCluster:
        system.check_supported()
        cluster = RealCluster(self, 3, ("--interface", "127.0.0.1"), environment=environment)
        cluster.environment["IPYTHON1_CLIENT_SHARED_MEMORY_FROM"] = str(LEAST)
        await cluster.ready()
        return cluster

    async def scenario(self, cluster: RealCluster, name: str, **environment: str) -> None:
        """Run one of `scenarios` against the cluster."""
        command = [sys.executable, "-m", "ipython1.kernel.shared_memory.tests.scenarios", name]
        program = Program(self, *command, environment={**cluster.environment, **environment}, folder=cluster.ipython_dir)
        status = await program.ended()
        self.assertEqual(status, 0, f"{program.output}\n{cluster.program.output}")
        self.assertIn(f"{name}: done", program.output)

    @asynchronous
    async def test_ways(self) -> None:
        """Values arrive as they were; where there is no shared memory, they go the other way."""
        cluster = await self.cluster()
        await self.scenario(cluster, "falls_back")
        await self.scenario(cluster, "values")
        await self.scenario(cluster, "off", **OFF)
        await self.scenario(cluster, "streams", **OFF)
        await self.scenario(cluster, "come_and_go")

    @long
    @asynchronous
    async def test_turned_off(self) -> None:
        """It can be turned off for engines."""
        await self.scenario(await self.cluster(**OFF_FOR_ENGINES), "refused_by_agent")

    @long
    @asynchronous
    async def test_nothing_is_left(self) -> None:
        """However it ends."""
        await self.scenario(await self.cluster(**SHORT_GRACE), "nothing_is_left")

    @long
    @asynchronous
    async def test_nothing_is_left_of_streams(self) -> None:
        """Nor of what went with the connection."""
        await self.scenario(await self.cluster(**SHORT_GRACE), "nothing_is_left_of_streams", **OFF)
