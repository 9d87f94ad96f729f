"""ipengine: its command line, and the process."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

import psutil
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.kernel.config.settings import ENGINE_LOG, NUM, TIMEOUT
from ipython1.kernel.controller.config import READY
from ipython1.kernel.engine.connect import Address
from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipengine import parse
from ipython1.kernel.tests.program import Program, asynchronous, long

NOBODY = "pb://abcdefghijklmnopqrstuvwxyz234567@127.0.0.1:1/secret"


class OptionTests(SynchronousTestCase):
    """What the command line means."""

    def refused(self, *argv: str) -> str:
        """What is said of a wrong command line."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            problem = self.assertRaises(SystemExit, parse, argv)
        self.assertEqual(problem.code, 2)
        return said.getvalue()

    def test_defaults(self) -> None:
        """Nothing need be said."""
        self.patch(os, "environ", {**os.environ, "IPYTHONDIR": "/somewhere"})
        config = parse([])
        self.assertEqual(config.address, Address("", Places(Path("/somewhere"))))
        self.assertEqual([config.settings[each] for each in (NUM, ENGINE_LOG, TIMEOUT)], [1, "", 60.0])

    def test_all(self) -> None:
        """Everything can be said."""
        config = parse(
            ["-n", "4", "--furl-file", NOBODY, "--ipython-dir", "/d", "-l", "/l/f.log", "--timeout", "2.5"]
        )
        self.assertEqual(config.address, Address(NOBODY, Places(Path("/d"))))
        self.assertEqual([config.settings[each] for each in (NUM, ENGINE_LOG, TIMEOUT)], [4, "/l/f.log", 2.5])

    def test_wrong_values(self) -> None:
        """What makes no sense is refused, by name."""
        for number in ("0", "-1", "many", ""):
            self.assertIn("at least 1 is needed", self.refused("-n", number))
        for seconds in ("soon", "-1", "nan", "inf"):
            self.assertIn("no number of seconds", self.refused("--timeout", seconds))
        self.assertIn("--bogus", self.refused("--bogus"))

    def test_old_options(self) -> None:
        """Options of old are named, with what to do instead."""
        for argv in (
            ("--controller-ip", "host0"),
            ("--controller-ip=host0",),
            ("--controller-port", "10105"),
        ):
            said = self.refused(*argv)
            self.assertIn(argv[0].partition("=")[0], said)
            self.assertIn("--furl-file", said)
        self.assertIn("--mpi does not exist any more", self.refused("--mpi=mpi4py"))


class ProcessTests(TestCase):
    """The command itself."""

    timeout = 180

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()

    def program(self, name: str, *argv: str) -> Program:
        command = [f"ipython1.kernel.scripts.{name}", *argv]
        return Program(self, sys.executable, "-m", *command, environment={"IPYTHONDIR": str(self.folder)})

    async def controller(self) -> Program:
        controller = self.program("ipcontroller", "--interface", "127.0.0.1")
        await controller.said(READY)
        return controller

    def interpreters(self, agent: Program) -> list[psutil.Process]:
        return psutil.Process(agent.pid).children()

    def assert_gone(self, interpreters: list[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(interpreters, timeout=5)
        self.assertEqual(alive, [])

    @asynchronous
    async def test_no_furl_file(self) -> None:
        """A FURL file that does not appear is named, with what to do."""
        agent = self.program("ipengine", "--timeout", "0.2")
        self.assertEqual(await agent.ended(), 1)
        waiting, failed = agent.output.splitlines()
        self.assertIn("waiting, up to", waiting)
        for text in ("ipengine: gave up after 0.2 s", str(self.folder), "ipcontroller"):
            self.assertIn(text, failed)

    @asynchronous
    async def test_nobody_listens(self) -> None:
        """So is a host where no controller answers."""
        agent = self.program("ipengine", "--timeout", "0.2", "--furl-file", NOBODY)
        self.assertEqual(await agent.ended(), 1)
        self.assertIn("127.0.0.1:1", agent.output.splitlines()[-1])

    @long
    @asynchronous
    async def test_wrong_furls(self) -> None:
        """No FURL, the FURL of another role, or one of an earlier run: said at once."""
        await self.controller()
        security = self.folder / "security"
        stale = security / "stale.furl"
        stale.write_text((security / "ipcontroller-engine.furl").read_text().strip()[:-5] + "xxxxx")
        for file, text in (
            ("pb://bogus", "no FURL"),
            (str(security / "ipcontroller-mec.furl"), "other FURL file"),
            (str(stale), "earlier run"),
        ):
            agent = self.program("ipengine", "--furl-file", file)
            self.assertEqual(await agent.ended(), 1)
            self.assertIn(text, agent.output)
            self.assertEqual(len(agent.output.splitlines()), 1)

    @asynchronous
    async def test_logfile_not_to_be_had(self) -> None:
        """A log file that cannot be written is named."""
        agent = self.program("ipengine", "-l", "/nonexistent/log")
        self.assertEqual(await agent.ended(), 1)
        self.assertIn("/nonexistent/log", agent.output)

    @asynchronous
    async def test_before_the_controller(self) -> None:
        """An agent that is started first waits for the controller; SIGTERM ends it and its interpreters."""
        agent = self.program("ipengine", "-n", "2")
        await agent.said("waiting")
        await self.controller()
        await agent.said("2 engines registered: 0, 1")
        interpreters = self.interpreters(agent)
        self.assertEqual(len(interpreters), 2)
        agent.signal("TERM")
        self.assertEqual(await agent.ended(), 0)
        self.assert_gone(interpreters)

    @asynchronous
    async def test_stopped_while_waiting(self) -> None:
        """Ctrl-C while it waits is no failure."""
        agent = self.program("ipengine")
        await agent.said("waiting")
        agent.signal("INT")
        self.assertEqual(await agent.ended(), 0)

    @asynchronous
    async def test_killed(self) -> None:
        """Interpreters end with an agent that is killed."""
        await self.controller()
        agent = self.program("ipengine", "-n", "2")
        await agent.said("registered")
        interpreters = self.interpreters(agent)
        agent.signal("KILL")
        await agent.ended()
        self.assert_gone(interpreters)

    @asynchronous
    async def test_controller_killed(self) -> None:
        """The interpreters outlast their controller, and register with the next one under their old ids."""
        controller = await self.controller()
        agent = self.program("ipengine", "-n", "2")
        await agent.said("2 engines registered: 0, 1")
        before = {process.pid for process in self.interpreters(agent)}
        controller.signal("KILL")
        await agent.said("the interpreters live on")
        await self.controller()
        await agent.said("(?s)live on.*2 engines registered: 0, 1")
        self.assertEqual({process.pid for process in self.interpreters(agent)}, before)

    @asynchronous
    async def test_memory_limit(self) -> None:
        """A command that uses too much memory fails, and says how much; the engine is started again under its id."""
        await self.controller()
        agent = self.program("ipengine", "--memory-limit", "300M")
        await agent.said("registered")
        source = (
            "from ipython1.kernel import client\n"
            "mec = client.MultiEngineClient()\n"
            "try: mec.execute('x = b\"x\" * (400 << 20); import time; time.sleep(60)')\n"
            "except client.CompositeError as problem: print(type(problem.elist[0][1]).__name__, problem.elist[0][1])\n"
            "mec.execute('y = 1')\n"
            "print(mec.pull('y'), mec.get_ids())\n"
        )
        user = Program(self, sys.executable, "-c", source, environment={"IPYTHONDIR": str(self.folder)})
        self.assertEqual(await user.ended(), 0, user.output)
        self.assertRegex(
            user.output,
            r"MemoryLimitExceeded engine 0 lost its interpreter \(it used \d\d\d\.\d MiB of memory, 300.0 MiB are"
            r" allowed\) while it ran",
        )
        self.assertIn("[1] [0]", user.output)
        await agent.said("engine 0 lost its interpreter .it used")

    @long
    @asynchronous
    async def test_memory_limit_too_low(self) -> None:
        """A limit that no interpreter can keep is no reason to start one after the other."""
        await self.controller()
        agent = self.program("ipengine", "--memory-limit", "1M")
        self.assertEqual(await agent.ended(), 1)
        self.assertRegex(agent.output, r"is gone: it used .*, and it has not run anything yet: the limit is too low")
