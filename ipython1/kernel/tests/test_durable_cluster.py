"""Real processes, of which the controller is killed and started again: nothing that was confirmed is lost."""

from __future__ import annotations

import sys

import psutil
from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.durable_scenarios import ROUNDS
from ipython1.kernel.tests.program import Program, RealCluster, asynchronous, long


class KilledControllerTests(TestCase):
    """`ipcluster` starts the controller again each time."""

    timeout = 300

    async def survives(self, scenario: str, **environment: str) -> None:
        cluster = RealCluster(self, 2, ("--interface", "127.0.0.1"), environment=environment)
        await cluster.ready()
        module = "ipython1.kernel.tests.durable_scenarios"
        folder = cluster.ipython_dir
        client = Program(
            self, sys.executable, "-m", module, scenario, environment=cluster.environment, folder=folder
        )
        for number in range(1, ROUNDS + 1):
            await client.said(rf"(round\s+){{{number}}}")
            controller(cluster).kill()
            await cluster.program.said(rf"(?s)(starting it again.*){{{number}}}")
        self.assertEqual(await client.ended(), 0, f"{client.output}\n{cluster.program.output}")
        self.assertIn(f"{scenario}: done", client.output)

    @long
    @asynchronous
    async def test_commands(self) -> None:
        """Each command runs once on each engine, in order."""
        await self.survives("commands")

    @long
    @asynchronous
    async def test_long_command(self) -> None:
        """Calls return as if nothing had happened: results, large values, errors."""
        await self.survives("long_command")

    @long
    @asynchronous
    async def test_streams(self) -> None:
        """So they do where large values go with the connection."""
        await self.survives("long_command", IPYTHON1_CLIENT_SHARED_MEMORY="no")

    @long
    @asynchronous
    async def test_large(self) -> None:
        """Large values on their way, to an engine and back, when the controller is killed."""
        await self.survives("large")

    @long
    @asynchronous
    async def test_tasks(self) -> None:
        """Each task ends as it should; those that may run once did."""
        await self.survives("tasks")

    @long
    @asynchronous
    async def test_bursts(self) -> None:
        """Each of very many tasks, which go together, runs once, and has one outcome."""
        await self.survives("bursts")


def controller(cluster: RealCluster) -> psutil.Process:
    """The controller of a cluster."""
    family = psutil.Process(cluster.program.pid).children(recursive=True)
    return next(process for process in family if "ipcontroller" in process.cmdline())
