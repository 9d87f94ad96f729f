"""ipcontroller: its command line, and the process."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import socket
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.kernel.controller.config import READY, ControllerConfig
from ipython1.kernel.controller.lock import LOCK_FILE, ControllerLock
from ipython1.kernel.error import ControllerCreationError, SecurityError
from ipython1.kernel.patience import Patience
from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipcontroller import Config, parse
from ipython1.kernel.tests.program import Program, asynchronous, long


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
        folder = Path("/somewhere")
        self.assertEqual(parse([]), Config(ControllerConfig(Places(folder)), 0, folder / "log" / "ipcontroller.log"))

    def test_all(self) -> None:
        """Everything can be said."""
        argv = [
            "-r",
            "--port",
            "10105",
            "--interface",
            "127.0.0.1",
            "--location",
            "a.example,10.0.0.1,fe80::1",
            "--interface-class",
            "a.B",
            "--interface-class=c.D",
            "--engines",
            "4",
        ]
        argv += ["--grace", "30", "--engine-keepalive", "2.5", "--client-keepalive", "20"]
        config = parse([*argv, "--ipython-dir", "/d", "-l", "/l/f.log"])
        hosts = "a.example,10.0.0.1,fe80::1"
        controller = ControllerConfig(
            Places(Path("/d")),
            10105,
            "127.0.0.1",
            hosts,
            True,
            "",
            ("a.B", "c.D"),
            patience=Patience(grace=30, agents=2.5, clients=20),
        )
        self.assertEqual(config, Config(controller, 4, Path("/l/f.log")))

    def test_wrong_values(self) -> None:
        """What makes no sense is refused, by name."""
        for argv in (
            ("--port", "70000"),
            ("--port", "x"),
            ("--location", "host:80"),
            ("--location", "a/b"),
            ("--engines", "0"),
            ("--grace", "0"),
            ("--client-keepalive", "soon"),
            ("--scheduler", "no name"),
            ("--nosuch",),
        ):
            self.assertIn(argv[0], self.refused(*argv))
        for argv in (("--cluster-id", "../b"), ("--profile", "")):
            self.assertIn(f"{argv[1]!r} cannot be the name", self.refused(*argv))

    def test_old_options(self) -> None:
        """Options of IPython 0.10 are refused with what takes their place."""
        for argv, instead in (
            (("--client-port", "10"), "--port"),
            (("--engine-port=10",), "--port"),
            (("--client-ip", "h"), "--interface"),
            (("--engine-location", "h"), "--location"),
            (("--engine-furl-file", "f"), "--ipython-dir"),
            (("-xy",), "encrypted"),
            (("-x",), "encrypted"),
        ):
            said = self.refused(*argv)
            self.assertIn("does not exist any more", said)
            self.assertIn(instead, said)


class LockTests(SynchronousTestCase):
    """One controller for each security folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_second(self) -> None:
        """A second one is refused, with the first one's pid, until the first is released."""
        first, second = ControllerLock(self.folder), ControllerLock(self.folder)
        self.addCleanup(first.release)
        self.addCleanup(second.release)
        first.acquire()
        problem = self.assertRaises(ControllerCreationError, second.acquire)
        self.assertIn(f"another controller (pid {os.getpid()}) is running", str(problem))
        first.release()
        self.assertEqual(list(self.folder.iterdir()), [])
        second.acquire()

    def test_removed_before_it_was_locked(self) -> None:
        """A lock that one gets on a file which its last holder has removed meanwhile is none."""
        first, second, third = (ControllerLock(self.folder) for _ in range(3))
        self.addCleanup(second.release)
        first.acquire()
        flock = fcntl.flock

        def late(descriptor: int, operation: int) -> None:
            first.release()
            flock(descriptor, operation)

        self.patch(fcntl, "flock", late)
        second.acquire()
        self.assertRaises(ControllerCreationError, third.acquire)

    def test_removed_by_others(self) -> None:
        """Who has lost the file does not remove the one that somebody else has made since."""
        first, second, third = (ControllerLock(self.folder) for _ in range(3))
        self.addCleanup(second.release)
        first.acquire()
        (self.folder / LOCK_FILE).unlink()
        second.acquire()
        first.release()
        self.assertRaises(ControllerCreationError, third.acquire)

    def test_no_folder(self) -> None:
        """A lock that cannot be written says so."""
        lock = ControllerLock(self.folder / "missing")
        self.assertIn("cannot write", str(self.assertRaises(SecurityError, lock.acquire)))


class ProcessTests(TestCase):
    """The command itself."""

    timeout = 180

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()

    def start(self, *argv: str) -> Program:
        command = ["ipython1.kernel.scripts.ipcontroller", "--interface", "127.0.0.1", *argv]
        environment = {"IPYTHONDIR": str(self.folder)}
        return Program(self, sys.executable, "-m", *command, environment=environment)

    def files(self) -> dict[str, str]:
        """The FURL files and the certificate, by name."""
        security = self.folder / "security"
        return {
            path.name: path.read_text() for path in security.iterdir() if path.suffix in (".furl", ".pem")
        }

    async def stop(self, program: Program) -> None:
        program.signal("TERM")
        self.assertEqual(await program.ended(), 0)

    @asynchronous
    async def test_clean_end(self) -> None:
        """It says where it is, its files are private, and a clean end removes them."""
        program = self.start()
        await program.said(READY)
        for text in ("listens on port", "127.0.0.1:", "ipcontroller-mec.furl", "client.MultiEngineClient()"):
            self.assertIn(text, program.output)
        self.assertEqual(len(self.files()), 4)
        for path in (self.folder / "security").iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        for folder in ("security", "log"):
            self.assertEqual((self.folder / folder).stat().st_mode & 0o777, 0o700)
        await self.stop(program)
        self.assertEqual(self.files(), {})

    @asynchronous
    async def test_killed(self) -> None:
        """After kill -9 the next start takes the same port, certificate and FURLs."""
        program = self.start()
        await program.said(READY)
        before = self.files()
        program.signal("KILL")
        await program.ended()
        program = self.start()
        await program.said(READY)
        self.assertEqual(self.files(), before)
        await self.stop(program)
        self.assertEqual(self.files(), {})

    @asynchronous
    async def test_reuse(self) -> None:
        """With -r the files outlast a clean end, and are the same the next time."""
        program = self.start("-r")
        await program.said(READY)
        before = self.files()
        await self.stop(program)
        self.assertEqual(self.files(), before)
        program = self.start("-r")
        await program.said(READY)
        self.assertEqual(self.files(), before)
        await self.stop(program)

    @asynchronous
    async def test_second_controller(self) -> None:
        """A second controller in the same folder is refused, and leaves the first one's files alone."""
        program = self.start()
        await program.said(READY)
        before = self.files()
        second = self.start()
        self.assertEqual(await second.ended(), 1)
        self.assertIn(f"another controller (pid {program.pid}) is running", second.output)
        self.assertEqual(self.files(), before)
        await self.stop(program)

    @long
    @asynchronous
    async def test_side_by_side(self) -> None:
        """Controllers of different names run side by side in one folder, each with engines and clients of its own."""
        for number, options in enumerate(([], ["--cluster-id", "b"], ["--profile", "lab", "--cluster-id", "b"])):
            program = self.start("--engines", str(number + 1), *options)
            await program.said("registered")
        for number, names in enumerate(("", "cluster_id='b'", "profile='lab', cluster_id='b'")):
            self.assertEqual(await self.count_engines(names), number + 1)
        await self.stop(program)
        self.assertEqual(await self.count_engines("cluster_id='b'"), 2)

    async def count_engines(self, names: str) -> int:
        """How many engines a client of that cluster finds."""
        source = f"from ipython1.kernel import client; print(len(client.MultiEngineClient({names})))"
        user = Program(self, sys.executable, "-c", source, environment={"IPYTHONDIR": str(self.folder)})
        self.assertEqual(await user.ended(), 0, user.output)
        return int(user.output)

    @asynchronous
    async def test_port_taken(self) -> None:
        """A port that is taken is named, with what to do."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        program = self.start("--port", str(taken.getsockname()[1]))
        self.assertEqual(await program.ended(), 1)
        self.assertIn(f"cannot listen on port {taken.getsockname()[1]}", program.output)
        self.assertEqual(len(program.output.splitlines()), 1)

    @asynchronous
    async def test_folder_not_to_be_had(self) -> None:
        """A folder that cannot be made is named, with what to do."""
        self.folder.write_text("")
        program = self.start()
        self.assertEqual(await program.ended(), 1)
        self.assertIn(str(self.folder), program.output)
        self.assertIn("--ipython-dir", program.output)

    @asynchronous
    async def test_interface_classes(self) -> None:
        """Interfaces are published beside the others; one that cannot be is an error at the start."""
        name = "ipython1.kernel.controller.tests.test_interface"
        program = self.start("--interface-class", f"{name}.Shelf")
        await program.said(READY)
        self.assertIn("FURL file for shelf: ", program.output)
        self.assertIn("ipcontroller-shelf.furl", self.files())
        await self.stop(program)
        self.assertEqual(self.files(), {})
        for wrong, said in (
            ("nowhere.Shelf", "there is no interface 'nowhere.Shelf'"),
            (f"{name}.ShelfCase", "is no interface: it must be a subclass of"),
            (f"{name}.Failing", "cannot be started (OSError: no disk)"),
            ("ipython1.kernel.controller.tasks.TaskController", "that of the role 'task': give it another one"),
        ):
            program = self.start("--interface-class", wrong)
            self.assertEqual(await program.ended(), 1, program.output)
            self.assertIn(said, program.output)
            self.assertNotIn("Traceback", program.output)

    @asynchronous
    async def test_engines(self) -> None:
        """With --engines a host agent runs beside it, and ends with it."""
        program = self.start("--engines", "2")
        await program.said("2 engines registered")
        log = (self.folder / "log" / "ipcontroller.log").read_text()
        pids = {int(pid) for pid in re.findall(r"pid (\d+)", log)}
        self.assertEqual(len(pids), 3)
        await self.stop(program)
        for pid in pids:
            self.assertRaises(ProcessLookupError, os.kill, pid, 0)
