"""ipcluster: its command lines, and clusters of real processes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from ipython1.daemon.clusters import look
from ipython1.daemon.control import ask_async
from ipython1.kernel.config.settings import ENGINES
from ipython1.kernel.error import ClusterError
from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipcluster import parse
from ipython1.kernel.scripts.ipcluster_common import FAILED, FINE, NOT_RUNNING, RUNNING, WRONG
from ipython1.kernel.scripts.ipcluster_start import passed_on
from ipython1.kernel.scripts.options import configured
from ipython1.kernel.tests.program import (
    Program,
    asynchronous,
    clusters_processes,
    end_clusters,
    long,
    search_path,
)


def engines(options: Any) -> int | None:
    """How many engines the command line asks for."""
    number: int | None = getattr(options, ENGINES.name)
    return number


def passed(section: str, options: Any) -> tuple[str, ...]:
    """What ipcontroller or ipengine is told."""
    return passed_on(section, configured(options.parser, options, options.places))


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
        """A cluster on this host, in the foreground."""
        self.patch(os, "environ", {**os.environ, "IPYTHONDIR": "/somewhere"})
        for argv in ([], ["local"], ["start"], ["start", "--launcher", "local"]):
            options = parse(argv)
            self.assertEqual((options.launcher, engines(options), options.daemonize), ("local", None, False))
            self.assertEqual(options.places, Places(Path("/somewhere")))
            self.assertEqual((passed("controller", options), passed("engine", options)), ((), ()))

    def test_with_and_without_command(self) -> None:
        """The command may be left out; options of the controller are passed on."""
        options = ["-n", "4", "--port", "10105", "--interface=::1", "--location", "host", "-r", "--ipython-dir", "/d"]
        options += ["--memory-limit", "80%", "--interface-class=a.B", "--interface-class", "c.D"]
        of_controller = ("--port=10105", "--interface=::1", "--location=host", "--reuse-furls")
        of_controller += ("--interface-class=a.B,c.D",)
        for argv in (options, ["local", *options], ["start", *options]):
            parsed = parse(argv)
            self.assertEqual((engines(parsed), parsed.places), (4, Places(Path("/d"))))
            self.assertEqual(passed("controller", parsed), of_controller)
            self.assertEqual(passed("engine", parsed), ("--memory-limit=80%",))

    def test_places_first(self) -> None:
        """Which cluster is meant may also be said before the command."""
        for argv, command in (
            (["--profile", "lab", "stop"], "stop"),
            (["--cluster-id=b", "--profile=lab", "status", "--json"], "status"),
            (["--profile", "lab", "local", "-n", "4"], "local"),
            (["--profile", "stop", "-n", "4"], "start"),
            (["--profile", "lab", "engines", "add", "2"], "engines"),
        ):
            options = parse(argv)
            self.assertEqual(options.command, command)
            profile = "stop" if command == "start" else "lab"
            self.assertEqual(options.places.ipython_dir.name, f"profile_{profile}")
        self.assertIn("--profile", self.refused("--profile"))

    def test_wrong(self) -> None:
        """What makes no sense is refused, by name."""
        self.assertRegex(self.refused("pbs", "-n", "4"), "^ipcluster: error: .*'pbs'.*'local', 'ssh'")
        self.assertIn("at least 1 is needed", self.refused("-n", "0"))
        self.assertIn("--bogus", self.refused("local", "--bogus"))
        self.assertIn("known are local", self.refused("start", "--launcher", "pbs"))
        self.assertIn("no number of restarts", self.refused("--max-restarts", "many"))
        self.assertIn("no id of an engine", self.refused("engines", "remove", "all"))
        self.assertIn("name of a cluster", self.refused("status", "--cluster-id", "../b"))

    def test_old_options(self) -> None:
        """Options of IPython 0.10 are refused with what takes their place."""
        for argv, instead in (
            (("-n", "4", "--client-port", "10105"), "--port"),
            (("local", "--controller-ip=host0"), "--location"),
            (("ssh", "-xy"), "encrypted"),
            (("start", "-x"), "encrypted"),
            (("local", "--logdir", "here"), "--ipython-dir"),
        ):
            said = self.refused(*argv)
            self.assertRegex(said, "^ipcluster [a-z]+: error: -.* does not exist any more: .*\n$")
            self.assertIn(instead, said)


class ClusterCase(TestCase):
    """Clusters in a folder of their own; whatever a test has left running is ended by its id."""

    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.addCleanup(end_clusters, self.folder)

    def ipcluster(self, *argv: str) -> Program:
        command = ["ipython1.kernel.scripts.ipcluster", *argv]
        return Program(self, sys.executable, "-m", *command, environment={"IPYTHONDIR": str(self.folder)})

    def cluster(self, *argv: str) -> Program:
        """One in the foreground."""
        return self.ipcluster(*argv, "--interface", "127.0.0.1")

    async def said(self, *argv: str, status: int = FINE) -> str:
        """What the command says, and that it ends with `status`."""
        program = self.ipcluster(*argv)
        self.assertEqual(await program.ended(), status, program.output)
        return program.output

    async def status(self, *argv: str) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(await self.said("status", "--json", *argv))
        return plain

    def process(self, status: dict[str, Any], label: str) -> psutil.Process:
        (part,) = (part for part in status["parts"] if part["label"] == label)
        return psutil.Process(part["process"]["pid"])

    def assert_gone(self, family: list[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(family, timeout=10)
        self.assertEqual(alive, [])

    def assert_nothing_left(self) -> None:
        """No file is left of a cluster but its logs."""
        left = [path.name for path in self.folder.rglob("*") if path.is_file() or path.is_socket()]
        # What was done is kept for the next start.
        self.assertEqual([name for name in left if ".log" not in name and name != "ipcontroller.sqlite"], [])


class OutputTests(ClusterCase):
    """What commands write where nobody reads it."""

    UNREAD = (
        "import os, subprocess, sys; theirs, ours = os.pipe(); os.close(theirs);"
        " print('status', subprocess.run(sys.argv[1:], stdout=ours).returncode)"
    )

    @asynchronous
    async def test_unread(self) -> None:
        """As with "| head", which has seen enough: nothing is said of it, and the exit status is the usual one."""
        (self.folder / "log").mkdir(parents=True)
        (self.folder / "log" / "ipcluster.log").write_text("2026-01-01T10:00:00+0000 [a#info] one\n")
        for argv, status in (
            (["config"], FINE),
            (["config", "--json"], FINE),
            (["list"], FINE),
            (["logs"], FINE),
            (["clean"], FINE),
            (["status"], NOT_RUNNING),
            (["status", "--json"], NOT_RUNNING),
        ):
            command = [sys.executable, "-m", "ipython1.kernel.scripts.ipcluster", *argv]
            program = Program(
                self, sys.executable, "-c", self.UNREAD, *command, environment={"IPYTHONDIR": str(self.folder)}
            )
            self.assertEqual(await program.ended(), 0, program.output)
            self.assertEqual(program.output, f"status {status}\n")

    @long
    @asynchronous
    async def test_unread_start(self) -> None:
        """A cluster in the background starts, whether anybody reads that it does or not."""
        command = [sys.executable, "-m", "ipython1.kernel.scripts.ipcluster", "start", "-n", "1", "--daemonize"]
        command += ["--interface", "127.0.0.1"]
        program = Program(self, sys.executable, "-c", self.UNREAD, *command, environment={"IPYTHONDIR": str(self.folder)})
        self.assertEqual(await program.ended(), 0, program.output)
        self.assertEqual(program.output, f"status {FINE}\n")
        self.assertEqual((await self.said("engines")).split(), ["0"])
        await self.said("stop")


class ForegroundTests(ClusterCase):
    """A cluster that runs until Ctrl-C."""

    def family(self, cluster: Program) -> list[psutil.Process]:
        """All that runs for the cluster, but itself."""
        return psutil.Process(cluster.pid).children(recursive=True)

    def child(self, cluster: Program, name: str) -> psutil.Process:
        (found,) = (process for process in self.family(cluster) if name in process.cmdline())
        return found

    @asynchronous
    async def test_ctrl_c(self) -> None:
        """It says how to connect when all engines are there; Ctrl-C leaves nothing behind."""
        cluster = self.cluster("-n", "2")
        await cluster.said(r"with 2 engines(.|\n)*Ctrl-C stops the cluster")
        self.assertIn("client.MultiEngineClient()", cluster.output)
        family = self.family(cluster)
        self.assertEqual(len(family), 4)
        cluster.signal("INT")
        self.assertEqual(await cluster.ended(), FINE)
        self.assert_gone(family)
        self.assert_nothing_left()

    @asynchronous
    async def test_killed(self) -> None:
        """Nothing runs on after kill -9; status says what happened, and clean puts the rest right."""
        cluster = self.cluster("-n", "1")
        await cluster.said("The cluster is ready")
        family = self.family(cluster)
        cluster.signal("KILL")
        await cluster.ended()
        self.assert_gone(family)
        self.assertEqual([path.name for path in (self.folder / "security").glob("*.furl")], [])
        self.assertIn("it was killed", await self.said("status", status=NOT_RUNNING))
        self.assertIn("lost", await self.said("list"))
        self.assertIn("it was killed", await self.said("stop", status=NOT_RUNNING))
        self.assertIn("removed the state", await self.said("clean"))
        self.assert_nothing_left()
        self.assertIn("no cluster 'default' runs", await self.said("status", status=NOT_RUNNING))

    @long
    @asynchronous
    async def test_stopped_early(self) -> None:
        """SIGTERM while it is starting is no failure."""
        cluster = self.cluster()
        await cluster.said("Starting")
        family = self.family(cluster)
        cluster.signal("TERM")
        self.assertEqual(await cluster.ended(), FINE)
        self.assert_gone(family)
        self.assert_nothing_left()

    @asynchronous
    async def test_parts_die(self) -> None:
        """A controller or host agent that dies is started again; the FURLs stay, and the engines come back."""
        cluster = self.cluster("-n", "2")
        await cluster.said("The cluster is ready")
        furl = self.folder / "security" / "ipcontroller-mec.furl"
        before = furl.read_text()
        self.child(cluster, "ipcontroller").kill()
        await cluster.said(r"ipcontroller has ended \(killed by signal 9, SIGKILL\); starting it again(.|\n)*registered")
        self.assertEqual(furl.read_text(), before)
        self.child(cluster, "ipengine").kill()
        await cluster.said(r"ipengine has ended \(killed by signal 9, SIGKILL\); starting it again(.|\n)*registered: 0, 1")
        family = self.family(cluster)
        self.assertEqual(len(family), 4)
        cluster.signal("TERM")
        self.assertEqual(await cluster.ended(), FINE)
        self.assert_gone(family)

    @long
    @asynchronous
    async def test_too_often(self) -> None:
        """What dies too often is not started again: the cluster ends, and the reason is kept until it is cleaned."""
        cluster = self.cluster("-n", "1", "--max-restarts", "0")
        await cluster.said("The cluster is ready")
        family = self.family(cluster)
        self.child(cluster, "ipengine").kill()
        self.assertEqual(await cluster.ended(), FAILED)
        self.assertIn("ipengine is given up (killed by signal 9, SIGKILL)", cluster.output)
        self.assert_gone(family)
        self.assertIn("ipengine is given up", await self.said("status", status=NOT_RUNNING))
        await self.said("clean")
        self.assert_nothing_left()

    @asynchronous
    async def test_port_taken(self) -> None:
        """What the controller says about its failure is shown."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        for options in ([], ["--daemonize"]):
            cluster = self.cluster("--port", str(port), *options)
            self.assertEqual(await cluster.ended(), FAILED)
            self.assertIn(f"ipcluster: ipcontroller did not come up: cannot listen on port {port}", cluster.errors)
            self.assertEqual(cluster.output.count("cannot listen"), 1)
            self.assert_nothing_left()

    @long
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
        self.assertEqual(await cluster.ended(), FINE)


class FullDiskTests(ClusterCase):
    """A disk that is full, by way of a small file system that nobody else sees."""

    FULL = (
        'mkdir -p "$1" && mount -t tmpfs -o size=16k,mode=700 none "$1" || exit 77; cat /dev/zero >"$1/fill" 2>/dev/null;'
        ' shift; exec "$@"'
    )

    async def full(self, place: Path, *argv: str) -> Program:
        """What comes of the command where there is no room left in `place`."""
        if not os.environ.get("IPYTHON1_TEST_ALL"):
            raise SkipTest("needs a file system of its own: sh scripts/test --all")
        command = [sys.executable, "-m", "ipython1.kernel.scripts.ipcluster", *argv]
        shell = ["unshare", "--mount", "sh", "-c", self.FULL, "sh", str(place), *command]
        program = Program(self, "/bin/sh", "-c", 'exec "$@"', "sh", *shell, environment={"IPYTHONDIR": str(self.folder)})
        if await program.ended() in (1, 77, 127) and re.search("unshare:|mount:|not found", program.output):
            raise SkipTest(f"no file system of its own can be had: {program.output}")
        return program

    @asynchronous
    async def test_security_folder(self) -> None:
        """One clear message says what cannot be written and why, in the foreground and in the background."""
        for options in ([], ["--daemonize"]):
            program = await self.full(self.folder / "security", "start", "-n", "1", *options)
            self.assertEqual(await program.ended(), FAILED, program.output)
            self.assertRegex(program.output, "cannot write .*/security/.*: No space left on device")
            self.assertNotIn("Traceback", program.output)
            self.assert_nothing_left()

    @asynchronous
    async def test_state_folder(self) -> None:
        """The same for the record of the cluster."""
        program = await self.full(self.folder / "clusters", "start", "-n", "1")
        self.assertEqual(await program.ended(), FAILED, program.output)
        self.assertIn("No space left on device", program.output)
        self.assertNotIn("Traceback", program.output)


class BackgroundTests(ClusterCase):
    """A cluster that goes on in the background."""

    @asynchronous
    async def test_its_life(self) -> None:
        """Start, look, add and remove engines, restart one and all, read the logs, stop: nothing is left behind."""
        said = await self.said("start", "-n", "2", "--daemonize", "--interface", "127.0.0.1")
        self.assertIn("The cluster is ready, with 2 engines", said)
        self.assertIn("ipcluster stop stops the cluster", said)
        again = await self.said("start", status=RUNNING)
        self.assertIn("cluster 'default' runs (pid ", again)
        self.assertIn("of ipengine-2", await self.said("engines", "add", "2"))
        self.assertEqual((await self.said("engines")).split(), ["0", "1", "2", "3"])
        self.assertIn("engine 3 ended", await self.said("engines", "remove", "3"))
        self.assertIn("there is no engine 7", await self.said("engines", "remove", "7", status=FAILED))
        await self.said("restart", "--engine", "0")
        status = await self.status()
        self.assertEqual([part["engines"] for part in status["parts"]], [[], [0, 1], [2]])
        self.assertEqual([engine["waiting"] for engine in status["engines"]], [0, 0, 0])
        self.assertIn("ipengine-2", await self.said("status"))
        self.assertIn("with engines 0, 1", await self.said("restart"))
        await self.check_control()
        logs = await self.said("logs")
        for text in (" ipcontroller: ", " ipcluster: ", "engine 3 is gone"):
            self.assertIn(text, logs)
        archive = self.folder / "logs.tar.gz"
        self.assertIn("files are in", await self.said("logs", "--archive", str(archive)))
        archive.unlink()
        family = clusters_processes(self.folder)
        self.assertIn("is stopped", await self.said("stop"))
        self.assert_gone(family)
        self.assert_nothing_left()
        self.assertFalse((self.folder / "clusters" / "default").exists())

    async def check_control(self) -> None:
        """What programs ask over the control socket."""
        control = look(Places(self.folder)).control()
        self.assertEqual(await ask_async(reactor, control, "wait", {"n": 2}), {"engines": [0, 1]})
        for verb, args, problem in (
            ("wait", {"n": 3}, "2 of 3 engines are registered, and no others are on their way"),
            ("bogus", {}, "does not know the verb 'bogus'; it knows status, stop"),
            ("wait", {}, "missing a required argument: 'n'"),
            ("wait", {"n": True}, "the argument 'n' is not allowed, or not as True"),
            ("signal", {"number": 10_000}, "10000 is not the number of a signal"),
        ):
            with self.assertRaisesRegex(ClusterError, problem):
                await ask_async(reactor, control, verb, args)

    @long
    @asynchronous
    async def test_side_by_side(self) -> None:
        """Two clusters of different names do not know of each other; kill -9 of one is not seen by the other."""
        for name in ("a", "b"):
            await self.said("start", "-n", "1", "--daemonize", "--interface", "127.0.0.1", "--cluster-id", name)
        first, second = [await self.status("--cluster-id", name) for name in ("a", "b")]
        family = psutil.Process(first["supervisor"]["pid"]).children(recursive=True)
        os.kill(first["supervisor"]["pid"], 9)
        self.assert_gone(family)
        clusters = json.loads(await self.said("list", "--json"))
        self.assertEqual([each["standing"] for each in clusters], ["lost", "running"])
        # It is started again without more ado.
        await self.said("start", "-n", "1", "--daemonize", "--interface", "127.0.0.1", "--cluster-id", "a")
        for name in ("a", "b"):
            await self.said("stop", "--cluster-id", name)
        self.assert_nothing_left()

    @long
    @asynchronous
    async def test_no_folder(self) -> None:
        """In a folder that was removed, no cluster can be started."""
        gone = self.folder / "gone"
        gone.mkdir(parents=True)
        command = [sys.executable, "-m", "ipython1.kernel.scripts.ipcluster", "start", "--daemonize"]
        shell = 'rmdir "$PWD" && exec "$@"'
        environment = {"IPYTHONDIR": str(self.folder)}
        program = Program(self, "/bin/sh", "-c", shell, "sh", *command, environment=environment, folder=gone)
        self.assertEqual(await program.ended(), WRONG)
        self.assertEqual(program.output.count("\n"), 1, program.output)
        self.assertIn("the current folder does not exist any more", program.errors)

    @long
    @asynchronous
    async def test_engine_does_not_start(self) -> None:
        """An engine that cannot start is an error with what it has said, and nothing is left of the cluster."""
        broken = self.folder / "broken"
        (broken / "IPython").mkdir(parents=True)
        (broken / "IPython" / "__init__.py").write_text("raise ImportError('no IPython today')")
        path = os.pathsep.join([str(broken), search_path()])
        environment = {"IPYTHONDIR": str(self.folder), "PYTHONPATH": path}
        command = ["ipython1.kernel.scripts.ipcluster", "start", "-n", "1", "--daemonize"]
        program = Program(self, sys.executable, "-m", *command, environment=environment)
        self.assertEqual(await program.ended(), FAILED)
        why = r"^ipcluster: ipengine did not come up: .* given up after 5 attempts: .*ImportError: no IPython today\n$"
        self.assertRegex(program.errors, why)
        shutil.rmtree(broken)
        self.assert_nothing_left()
