"""The end of a program that has submitted tasks, with a real cluster."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program, RealCluster, asynchronous

SUBMIT = """
from ipython1.kernel import client
tc = client.TaskClient()
for _ in range(50):
    tc.run(client.MapTask(lambda text: len(text), [b"x" * 200_000]))
"""
LOOK = """
from ipython1.kernel import client
tc = client.TaskClient()
tc.barrier(range(50))
print(tc.queue_status())
"""


class ExitTests(TestCase):
    timeout = 180

    @asynchronous
    async def test_confirmed(self) -> None:
        """A program that ends right after it has submitted loses no task."""
        cluster = RealCluster(self, engines=1)
        await cluster.ready()
        for source in (SUBMIT, LOOK):
            program = Program(self, sys.executable, "-c", source, environment=cluster.environment)
            self.assertEqual(await program.ended(), 0, program.output)
        self.assertIn("'succeeded': 50", program.output)
