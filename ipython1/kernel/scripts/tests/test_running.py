"""What the commands have in common."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program, asynchronous

# A shell without job control has what it starts with & ignore SIGINT; nohup has it ignore SIGHUP.
IGNORING = 'trap "" {}; exec "$@"'


class SignalTests(TestCase):
    """Signals that whoever started the command has it ignore."""

    timeout = 180

    async def waiting_agent(self, ignored: str, *options: str) -> Program:
        command = [sys.executable, "-m", "ipython1.kernel.scripts.ipengine", *options]
        folder = str(Path(self.mktemp()).absolute())
        agent = Program(
            self, "/bin/sh", "-c", IGNORING.format(ignored), "sh", *command, environment={"IPYTHONDIR": folder}
        )
        await agent.said("waiting")
        return agent

    @asynchronous
    async def test_started_in_the_background(self) -> None:
        """SIGINT and SIGTERM stop it, though they were to be ignored."""
        for name in ("INT", "TERM"):
            agent = await self.waiting_agent("INT TERM")
            agent.signal(name)
            self.assertEqual(await agent.ended(), 0)

    @asynchronous
    async def test_nohup(self) -> None:
        """SIGHUP stops it, unless it was to be ignored."""
        agent = await self.waiting_agent("INT")
        agent.signal("HUP")
        self.assertEqual(await agent.ended(), 0)
        agent = await self.waiting_agent("HUP", "--timeout", "1")
        agent.signal("HUP")
        self.assertEqual(await agent.ended(), 1)
        self.assertIn("gave up after 1 s", agent.output)


class LimitTests(TestCase):
    """How many descriptors a command may have."""

    timeout = 180

    @asynchronous
    async def test_raised(self) -> None:
        """As many as the system lets it have."""
        code = (
            "import resource, sys; from ipython1.kernel.scripts import running\n"
            "from twisted.internet import reactor\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))\n"
            "async def main(): return 0\n"
            "running.run('x', reactor, main, lambda: None)\n"
            "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
        )
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertTrue(hard == resource.RLIM_INFINITY or hard >= 1000)
        program = Program(self, sys.executable, "-c", code)
        self.assertEqual(await program.ended(), 0)
        self.assertEqual(program.output.strip(), "(1000, 1000)")
