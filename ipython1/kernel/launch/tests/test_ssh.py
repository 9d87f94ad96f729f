"""What ssh is told, what a cluster over ssh consists of, and what is said when ssh fails: without any server."""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ipython1.kernel.controller.config import READY
from ipython1.kernel.controller.lock import ControllerLock
from ipython1.kernel.error import ConfigError, ControllerCreationError, LaunchError
from ipython1.kernel.furl import prepare_security_dir
from ipython1.kernel.launch.launcher import IPlan
from ipython1.kernel.launch.local import LocalLauncher
from ipython1.kernel.launch.ssh import SshPlan, factory
from ipython1.kernel.launch.ssh_command import PROGRAM, SshSettings, quoted_path, ssh_arguments
from ipython1.kernel.launch.ssh_errors import explain, lost
from ipython1.kernel.launch.ssh_launcher import SshLauncher
from ipython1.kernel.launch.values import Launch, Share, Wanted
from ipython1.kernel.places import Places

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "tcsh", "fish") if shutil.which(shell)]
SETTINGS = SshSettings()


class CommandTests(SynchronousTestCase):
    """The command line."""

    def test_arguments(self) -> None:
        """It asks nothing, takes no terminal, and the host cannot be taken for an option."""
        arguments = ssh_arguments(SshSettings("myssh", "/my config", connect_timeout=7, silence=40), "node1")
        self.assertEqual(arguments[:3], ["myssh", "-F", "/my config"])
        for option in ("BatchMode=yes", "RequestTTY=no", "ConnectTimeout=7", "ServerAliveInterval=10"):
            self.assertIn(option, arguments)
        self.assertEqual(arguments[-3:-1], ["--", "node1"])
        self.assertNotIn("-F", ssh_arguments(SETTINGS, "node1"))

    def test_program(self) -> None:
        """What all shells understand in the same way."""
        for special in "'!\\\n":
            self.assertNotIn(special, PROGRAM)
        compile(PROGRAM, "program", "exec")

    @given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
    def test_quoting(self, path: str) -> None:
        """Whatever the path, sh gets it as it is."""
        command = f"printf %s {quoted_path('x' + path)}"
        said = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
        self.assertEqual(said.decode(), "x" + path)

    def test_shells(self) -> None:
        """The other shells get it too."""
        path = "/it's $HOME \"quoted\" `x` \\ \\\\ !1 * ? [a] {b,c} ~ # % ^ & | ; < > ( ) = ü \u00a0 x"
        for shell in SHELLS:
            command = f"/usr/bin/printf %s {quoted_path(path)}"
            said = subprocess.run([shell, "-c", command], capture_output=True, check=True).stdout
            self.assertEqual(said.decode(), path, shell)

    def test_home(self) -> None:
        """A ~ at the beginning is the home folder of the other end."""
        self.assertEqual(quoted_path("~/my env/bin/python"), "~/my\\ env/bin/python")
        self.assertEqual(quoted_path("~me/python"), "~me/python")
        self.assertEqual(quoted_path("~$(x)/python"), "\\~\\$\\(x\\)/python")


class PlanTests(SynchronousTestCase):
    """What a cluster over ssh consists of."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.places = Places(self.folder, "lab")

    def plan(self, *argv: str, **wanted: Any) -> SshPlan:
        parser = argparse.ArgumentParser()
        factory.add_options(parser)
        parser.set_defaults(parser=parser)
        return factory.plan(Wanted(self.places, **wanted), parser.parse_args(argv))

    def file(self, text: str) -> str:
        path = self.folder / "cf.py"
        path.write_text(text)
        return f"--clusterfile={path}"

    def test_hosts(self) -> None:
        """One agent for each host, with the FURL file copied, and a controller here."""
        plan = self.plan("--host=a=2", "--host", "me@b", "--host=a=1", controller=("--port=1",), engine=("--x",))
        self.assertTrue(verifyObject(IPlan, plan))
        self.assertEqual(plan.shares, (Share("a", 3), Share("me@b", 1)))
        self.assertEqual(
            plan.controller("c"), Launch(("ipcontroller", "--port=1", *self.places.options()), label="c")
        )
        name = "ipcontroller-engine.furl"
        command = ("ipengine", "-n", "3", "--x", "--furl-file", name)
        files = ((str(self.folder / "security" / "lab" / name), name),)
        self.assertEqual(plan.agent("e", Share("a", 3)), Launch(command, "a", "e", files=files))

    def test_launchers(self) -> None:
        """A login for other hosts, a child for this one."""
        plan = self.plan("--host=a", "--host=localhost=2")
        self.assertEqual(plan.shares, (Share("a", 1), Share("", 2)))
        for share, kind in zip(plan.shares, (SshLauncher, LocalLauncher)):
            self.assertIsInstance(plan.launcher(None, plan.agent("e", share)), kind)
        self.assertEqual(
            plan.agent("e", Share("", 2)).command, ("ipengine", "-n", "2", *self.places.options())
        )

    def test_remote_controller(self) -> None:
        """A controller on another host: its FURL files are copied to here."""
        text = "controller = dict(host='c', port=5)\nengines = dict(a=1)"
        plan = self.plan(self.file(text), controller=("--port=6",))
        launch = plan.controller("c")
        there = ("--ipython-dir", "~/.ipython", "--cluster-id", "lab")
        self.assertEqual(launch.command, ("ipcontroller", "--port=5", "--port=6", *there))
        self.assertEqual((launch.host, launch.ready), ("c", READY))
        security = self.folder / "security" / "lab"
        for (remote, here), role in zip(launch.fetch, ("engine", "mec", "tc")):
            self.assertEqual(remote, f"~/.ipython/security/lab/ipcontroller-{role}.furl")
            self.assertEqual(here, str(security / f"ipcontroller-{role}.furl"))
        self.assertEqual(security.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.plan(self.file(text), "--controller-host=localhost").controller("c").host, "")

    def test_controller_here(self) -> None:
        """The FURL files of a controller that runs here are not overwritten by those of another one."""
        plan = self.plan("--host=a", "--controller-host=c")
        lock = ControllerLock(prepare_security_dir(self.places))
        lock.acquire()
        self.addCleanup(lock.release)
        self.assertRaises(ControllerCreationError, plan.controller, "c")

    def test_shared(self) -> None:
        """Where all hosts share the files, nothing is copied and the places are the same."""
        text = "controller = dict(host='c')\nengines = dict(a=1)\n"
        for plan in (self.plan(self.file(text), "--shared-files"), self.plan(self.file(text + "send_furl = False"))):
            agent, controller = plan.agent("e", Share("a", 1)), plan.controller("c")
            self.assertEqual((agent.files, controller.fetch), ((), ()))
            self.assertEqual((agent.host, controller.host), ("a", "c"))
            for launch in (agent, controller):
                self.assertEqual(launch.command[-4:], self.places.options())

    def test_not_shared(self) -> None:
        """The command line goes before the cluster file, and that before the configuration."""
        text = "engines = dict(a=1)\n"
        (self.folder / "ipython1.kernel.ini").write_text("[ssh]\nshared_files = yes\n")
        for plan, files in (
            (self.plan(self.file(text)), 0),
            (self.plan(self.file(text), "--no-shared-files"), 1),
            (self.plan(self.file(text + "send_furl = True")), 1),
            (self.plan(self.file(text + "send_furl = True"), "--shared-files"), 0),
        ):
            self.assertEqual(len(plan.agent("e", Share("a", 1)).files), files)

    def test_other_places(self) -> None:
        """The ipython directory of other hosts."""
        plan = self.plan("--host=a", "--controller-host=c", "--remote-ipython-dir=/r")
        self.assertIn("--ipython-dir /r --furl-file", " ".join(plan.agent("e", Share("a", 1)).command))
        self.assertIn("/r", plan.controller("c").command)

    def test_where(self) -> None:
        """Engines are added on the hosts of the file in turn, or where it is said."""
        plan = self.plan("--host=a", "--host=b")
        self.assertEqual([plan.where(None) for _ in range(3)], ["a", "b", "a"])
        self.assertEqual([plan.where("new"), plan.where("localhost")], ["new", ""])
        self.assertIn("'-x'", str(self.assertRaises(LaunchError, plan.where, "-x")))

    def test_wrong(self) -> None:
        """What makes no sense is refused."""
        file = self.file("engines = dict(a=1)")
        for arguments, wanted, text in (
            ((), {"num": 4}, "-n is not for ssh"),
            ((file, "--host=a"), {}, "both say which hosts"),
            (("--clusterfile=/missing",), {}, "there is no cluster file '/missing'"),
            ((f"--clusterfile={self.folder}",), {}, "Is a directory"),
            ((), {}, "no cluster file 'clusterfile.py'"),
            ((self.file("x"),), {}, "cf.py, line 1"),
            (("--host=a", "--ssh-config=/missing"), {}, "no configuration of ssh '/missing'"),
            (("--host=a", "--controller-host=-x"), {}, "'-x' is no host"),
        ):
            problem = self.assertRaises(ConfigError, self.plan, *arguments, **wanted)
            self.assertIn(text, str(problem))
        (self.folder / "latin").write_bytes(b"engines = {'\xe4': 1}")
        problem = self.assertRaises(ConfigError, self.plan, f"--clusterfile={self.folder}/latin")
        self.assertIn("not in UTF-8", str(problem))

    def test_wrong_options(self) -> None:
        """What the command line cannot mean is refused with the status for that."""
        for option in (
            "--host=a=0",
            "--host=a=x",
            "--host=-a=1",
            "--host=",
            "--python=",
            "--python=a\nb",
            "--connect-timeout=0",
            "--silence=soon",
            "--sshx=x",
            "-e",
            "--copyenvs",
        ):
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                self.assertEqual(self.assertRaises(SystemExit, self.plan, option).code, 2)
            self.assertIn(option.partition("=")[0], said.getvalue())


class ErrorTests(SynchronousTestCase):
    """What ssh and shells say, in our words; what no server here can be made to say."""

    def explained(self, said: str, status: int | None = 255) -> str:
        return explain(SETTINGS, "me@node1", status, said.splitlines())

    def test_texts(self) -> None:
        """Each names the host."""
        for said, expected in (
            ("ssh: connect to host node1 port 22: Connection timed out", "does not answer within 15 s"),
            ("Connection timed out during banner exchange", "does not answer within 15 s"),
            ("ssh: connect to host node1 port 22: No route to host", "(No route to host)"),
            ("ssh: connect to host node1 port 22: Network is unreachable", "(Network is unreachable)"),
            ("Received disconnect from node1: 2: Too many authentication failures", "accepts no key"),
            ("Connection reset by 10.0.0.1 port 22", "MaxStartups"),
            ("ModuleNotFoundError: No module named 'ipython1.kernel.launch'", "is too old"),
            ("ModuleNotFoundError: No module named 'twisted'", "lacks twisted"),
            ("ipython1-needs-another-python 2.7", "is 2.7, and ipython1 needs 3.11"),
        ):
            text = self.explained(said)
            self.assertIn("me@node1", text)
            self.assertIn(expected, text)

    def test_changed_key(self) -> None:
        """Of several lines the telling one counts."""
        said = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."
        self.assertIn("posing as that host", self.explained(said))
        self.assertIn("`ssh-keygen -R node1`", self.explained(said))

    def test_no_python(self) -> None:
        """What shells say that find no program; ssh itself may say the same with its own status."""
        for said in (
            "bash: line 1: python3: command not found",
            "sh: 1: exec: python3: not found",
            "python3: Command not found.",
            "fish: Unknown command: python3",
            "zsh:1: no such file or directory: /x/python3",
            "/x/python3: Permission denied.",
        ):
            self.assertIn("has no Python at 'python3'", self.explained(said, 127))
        self.assertIn("(Load key: No such file)", self.explained("Load key: No such file"))

    def test_unknown(self) -> None:
        """What is not known is passed on."""
        self.assertIn("ended with status 3 (it said nothing)", self.explained("", 3))
        self.assertIn("was killed (it said nothing)", self.explained("", None))
        self.assertIn("`ssh me@node1 true`", self.explained("what\never"))
        self.assertIn("(ever)", self.explained("what\never"))

    def test_lost(self) -> None:
        """How a connection ended."""
        text = "the connection was lost, to node1: Timeout, server node1 not responding."
        self.assertIn(text, lost("node1", 255, ["Timeout, server node1 not responding."]))
        self.assertIn("ssh was killed, to node1;", lost("node1", None, []))
