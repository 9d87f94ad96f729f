"""The helpers that run programs and clusters for tests."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program, RealCluster, asynchronous


class ProgramTests(TestCase):
    @asynchronous
    async def test_output_and_status(self) -> None:
        """A program's output is there when it comes, and its status when it has ended."""
        program = Program(
            self, sys.executable, "-c", "print('one', flush=True); input(); exit(3)", stdin=b"x\n"
        )
        match = await program.said("o(n)e")
        self.assertEqual(match.group(1), "n")
        self.assertEqual(await program.ended(), 3)

    @asynchronous
    async def test_signal(self) -> None:
        """A program that a signal ended has its negative number as status."""
        program = Program(self, sys.executable, "-c", "print('up', flush=True); input()")
        await program.said("up")
        program.signal("TERM")
        self.assertEqual(await program.ended(), -15)

    @asynchronous
    async def test_silent_program(self) -> None:
        """Waiting for words that do not come ends when the program ends."""
        program = Program(self, sys.executable, "-c", "print('other')")
        with self.assertRaisesRegex(AssertionError, "did not say 'these':\nother"):
            await program.said("these")


class RealClusterTests(TestCase):
    @asynchronous
    async def test_start_and_stop(self) -> None:
        """A cluster of real processes comes up, and stops when asked to with the status 0."""
        cluster = RealCluster(self, engines=1)
        await cluster.ready()
        cluster.program.signal("TERM")
        self.assertEqual(await cluster.program.ended(), 0)
