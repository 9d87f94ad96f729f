"""ipcluster: its command line, and the process."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
from pathlib import Path

import psutil
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.kernel.scripts.ipcluster import Config, parse
from ipython1.kernel.tests.program import Program, asynchronous


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
        """Two engines on this host."""
        self.patch(os, "environ", {**os.environ, "IPYTHONDIR": "/somewhere"})
        for argv in ([], ["local"]):
            self.assertEqual(parse(argv), Config(2, Path("/somewhere"), ()))

    def test_with_and_without_kind(self) -> None:
        """The kind of cluster may be left out; options of the controller are passed on."""
        options = [
            "-n",
            "4",
            "--port",
            "10105",
            "--interface=::1",
            "--location",
            "host",
            "--interface-class=a.B",
            "--interface-class",
            "c.D",
            "-r",
            "--ipython-dir",
            "/d",
        ]
        passed = (
            "--port=10105",
            "--interface=::1",
            "--location=host",
            "--interface-class=a.B",
            "--interface-class=c.D",
            "--reuse-furls",
        )
        for argv in (options, ["local", *options]):
            self.assertEqual(parse(argv), Config(4, Path("/d"), passed))

    def test_wrong(self) -> None:
        """What makes no sense is refused, by name."""
        self.assertIn("'pbs'", self.refused("pbs", "-n", "4"))
        self.assertIn("at least 1 is needed", self.refused("-n", "0"))
        self.assertIn("--bogus", self.refused("local", "--bogus"))


class ProcessTests(TestCase):
    """The command itself."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()

    def cluster(self, *argv: str) -> Program:
        command = ["ipython1.kernel.scripts.ipcluster", "--interface", "127.0.0.1", *argv]
        return Program(self, sys.executable, "-m", *command, environment={"IPYTHONDIR": str(self.folder)})

    def family(self, cluster: Program) -> list[psutil.Process]:
        """All that runs for the cluster, but itself."""
        return psutil.Process(cluster.pid).children(recursive=True)

    def child(self, cluster: Program, name: str) -> psutil.Process:
        (found,) = (process for process in self.family(cluster) if name in process.cmdline())
        return found

    def assert_gone(self, family: list[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(family, timeout=10)
        self.assertEqual(alive, [])

    @asynchronous
    async def test_ctrl_c(self) -> None:
        """It says how to connect when all engines are there; Ctrl-C leaves nothing behind."""
        cluster = self.cluster("-n", "2")
        await cluster.said(r"with 2 engines(.|\n)*Ctrl-C stops the cluster")
        self.assertIn("client.MultiEngineClient()", cluster.output)
        family = self.family(cluster)
        self.assertEqual(len(family), 4)
        cluster.signal("INT")
        self.assertEqual(await cluster.ended(), 0)
        self.assert_gone(family)
        self.assertEqual([path.name for path in (self.folder / "security").glob("*.furl")], [])

    @asynchronous
    async def test_killed(self) -> None:
        """Nothing is left behind by kill -9 either, and the controller ends in good order."""
        cluster = self.cluster()
        await cluster.said("The cluster is ready")
        family = self.family(cluster)
        cluster.signal("KILL")
        await cluster.ended()
        self.assert_gone(family)
        self.assertEqual([path.name for path in (self.folder / "security").glob("*.furl")], [])

    @asynchronous
    async def test_stopped_early(self) -> None:
        """SIGTERM while it is starting is no failure."""
        cluster = self.cluster()
        await cluster.said("Starting")
        family = self.family(cluster)
        cluster.signal("TERM")
        self.assertEqual(await cluster.ended(), 0)
        self.assert_gone(family)

    @asynchronous
    async def test_child_dies(self) -> None:
        """If the controller or the agent dies, the rest ends, and it is said why."""
        for name in ("ipcontroller", "ipengine"):
            cluster = self.cluster("-n", "1")
            await cluster.said("The cluster is ready")
            family = self.family(cluster)
            self.child(cluster, name).kill()
            self.assertEqual(await cluster.ended(), 1)
            self.assertIn(f"{name} has ended (killed by signal 9, SIGKILL)", cluster.output)
            self.assert_gone(family)

    @asynchronous
    async def test_port_taken(self) -> None:
        """What the controller says about its failure is shown."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        cluster = self.cluster("--port", str(port))
        self.assertEqual(await cluster.ended(), 1)
        self.assertIn(f"cannot listen on port {port}", cluster.output)
        self.assertIn("ipcontroller did not come up", cluster.output)

    @asynchronous
    async def test_killed_by_a_client(self) -> None:
        """A client that kills the engines leaves the controller; one that kills that too ends the cluster."""
        cluster = self.cluster("-n", "2")
        await cluster.said("The cluster is ready")
        for call, text in (
            ("kill()", "all of its engines were killed"),
            ("kill(controller=True)", "was stopped"),
        ):
            source = f"from ipython1.kernel import client; client.MultiEngineClient().{call}"
            environment = {"IPYTHONDIR": str(self.folder)}
            user = Program(self, sys.executable, "-c", source, environment=environment)
            self.assertEqual(await user.ended(), 0, user.output)
            await cluster.said(text)
        self.assertEqual(await cluster.ended(), 0)
