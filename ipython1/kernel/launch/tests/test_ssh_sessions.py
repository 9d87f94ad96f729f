"""Controllers and engines over a real ssh server."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface.verify import verifyObject

from ipython1.kernel.controller.config import READY
from ipython1.kernel.error import LaunchError
from ipython1.kernel.launch.launcher import ILauncher
from ipython1.kernel.launch.ssh_launcher import SshLauncher
from ipython1.kernel.launch.tests.sshd import Sshd, free_port, need_sshd
from ipython1.kernel.launch.tests.test_local import Observer
from ipython1.kernel.launch.values import Launch
from ipython1.kernel.tests.program import asynchronous, search_path

HOST = "node1"


class SessionCase(TestCase):
    """With a server."""

    timeout = 300

    def setUp(self) -> Any:
        need_sshd()
        self.sshd = Sshd(self)
        self.folder = Path(self.mktemp()).absolute()
        return asynchronous(self.sshd.start)()

    def launcher(self, *command: str, settings: Mapping[str, Any] = {}, **more: Any) -> tuple[SshLauncher, Observer]:
        made = SshLauncher(reactor, Launch(command, HOST, **more), self.sshd.settings(**settings))
        self.addCleanup(made.stop, 0)
        observer = Observer()
        made.observe(observer)
        return made, observer

    def controller(self, **more: Any) -> tuple[SshLauncher, Observer]:
        """One there, of which all that is kept lies in `folder`."""
        options = ("--interface=127.0.0.1", "--location=127.0.0.1", "--ipython-dir", str(self.folder))
        return self.launcher("ipcontroller", *options, **more)

    async def gone(self, *processes: psutil.Process) -> None:
        """Return when these have ended; those that have not after some time are an error."""
        _, alive = await deferToThread(psutil.wait_procs, [each for each in processes if _lives(each)], 20)
        self.assertEqual([each for each in alive if _lives(each)], [])

    def family(self, launcher: SshLauncher) -> list[psutil.Process]:
        """What runs there for it: the guard, the command, and what this has started."""
        process = psutil.Process(launcher.status().pid)
        return [process.parent(), process, *process.children(recursive=True)]


def _lives(process: psutil.Process) -> bool:
    # Orphans may wait for a while until somebody takes note of their end.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class LifeTests(SessionCase):
    """Start, output, signals, the end."""

    @asynchronous
    async def test_life(self) -> None:
        """The states and the process id are those of the process there; it ends in good order."""
        made, observer = self.controller()
        self.assertTrue(verifyObject(ILauncher, made))
        await made.start()
        running = made.status()
        self.assertEqual((running.state, running.host), ("running", HOST))
        process = psutil.Process(running.pid)
        self.assertEqual(process.create_time(), running.created)
        self.assertIn("ipcontroller", process.cmdline())
        await observer.said(READY)
        family = self.family(made)
        await made.stop(10)
        self.assertEqual([state.state for state in observer.states], ["running", "stopping", "ended"])
        self.assertEqual(made.status().reason, "exited with status 0")
        self.assertTrue(made.status().succeeded)
        await self.gone(*family)
        self.assertEqual(list(self.folder.rglob("*.furl")), [])

    @asynchronous
    async def test_killed_in_time(self) -> None:
        """One that does not end is killed there, after the grace time or at once."""
        for grace in (0.2, 0):
            made, observer = self.controller()
            await made.start()
            await observer.said(READY)
            family = self.family(made)
            await made.signal(signal.SIGSTOP)
            await made.stop(grace)
            self.assertEqual(made.status().reason, "killed by signal 9, SIGKILL")
            await self.gone(*family)


class EndTests(SessionCase):
    """What runs there ends, whatever ends first; and it is said how it ended."""

    async def running(self, **more: Any) -> tuple[SshLauncher, Observer, list[psutil.Process]]:
        made, observer = self.controller(**more)
        await made.start()
        await observer.said(READY)
        return made, observer, self.family(made)

    @asynchronous
    async def test_ssh_killed(self) -> None:
        """kill -9 of ssh: the command ends in good order, and the connection is said to be lost."""
        made, observer, family = await self.running()
        os.kill(made.ssh_pid, signal.SIGKILL)
        ended = await observer.ended()
        self.assertRegex(ended.reason, "ssh was killed, to node1")
        self.assertFalse(ended.succeeded)
        await self.gone(*family)
        self.assertEqual(list(self.folder.rglob("*.furl")), [])

    @asynchronous
    async def test_session_killed(self) -> None:
        """kill -9 of the server's end of the connection."""
        _, observer, family = await self.running()
        for process in self.sshd.sessions():
            if process not in family:
                with contextlib.suppress(psutil.NoSuchProcess):  # with the one that was killed before
                    process.kill()
        self.assertIn("the connection was lost, to node1", (await observer.ended()).reason)
        await self.gone(*family)

    @asynchronous
    async def test_guard_killed(self) -> None:
        """kill -9 of the guard."""
        _, observer, family = await self.running()
        family[0].kill()
        self.assertIn("the connection was lost, to node1", (await observer.ended()).reason)
        await self.gone(*family)

    @asynchronous
    async def test_guard_asked(self) -> None:
        """A guard that is asked to end, as when that host is shut down, ends the command in good order."""
        made, observer, family = await self.running()
        family[0].terminate()
        self.assertTrue((await observer.ended()).succeeded)
        await self.gone(*family)
        self.assertEqual(list(self.folder.rglob("*.furl")), [])

    @asynchronous
    async def test_command_killed(self) -> None:
        """kill -9 of the command is reported as what it is."""
        made, observer, family = await self.running()
        await made.signal(signal.SIGKILL)
        ended = await observer.ended()
        self.assertEqual(ended.reason, "killed by signal 9, SIGKILL")
        self.assertFalse(ended.succeeded)
        await self.gone(*family)

    @asynchronous
    async def test_silence(self) -> None:
        """A network that brings nothing any more, in either direction, is noticed at both ends."""
        made, observer, family = await self.running(settings={"silence": 4.0})
        # As if the packets were lost: ssh is there and does nothing.
        os.kill(made.ssh_pid, signal.SIGSTOP)
        await self.gone(*family)
        await made.stop(0.1)
        self.assertIn("node1 has not answered", (await observer.ended()).reason)

    @asynchronous
    async def test_signs_of_life(self) -> None:
        """While nothing has to be said, signs of life keep it running."""
        made, observer, family = await self.running(settings={"silence": 2.0})
        # What must not happen has to have the time to.
        waited = Deferred[None]()
        reactor.callLater(6, waited.callback, None)
        await waited
        self.assertEqual(made.status().state, "running")
        self.assertTrue(all(map(_lives, family)))

    @asynchronous
    async def test_stopped_while_starting(self) -> None:
        """The start fails then, and nothing comes of it later."""
        made, _ = self.controller()
        started = made.start()
        await made.stop(10)
        problem = await self.assertFailure(started, LaunchError)
        self.assertIn("node1 was stopped before it was started", str(problem))
        self.assertEqual(made.status().state, "ended")
        self.assertEqual(list(self.folder.rglob("*.furl")), [])


class ShellTests(SessionCase):
    """Whatever the login shell there is, and says."""

    async def check(self, shell: str, before: str = "") -> None:
        self.sshd.use_shell(shell, before)
        value = "it's $HOME; \"quoted\" `x` \\ !1 *\n\tand ü"
        made, observer = self.launcher("ipengine", f"--{value}", environment={"PYTHONUTF8": "1"})
        await made.start()
        await observer.ended()
        # The command says which option it does not know: what it has got is what was sent.
        self.assertIn(f"unrecognized arguments: --{value}", "\n".join(observer.lines))
        self.assertFalse([line for line in observer.lines if "welcome" in line])

    def need(self, shell: str) -> str:
        found = shutil.which(shell)
        if found is None:
            raise SkipTest(f"there is no {shell}")
        return found

    @asynchronous
    async def test_sh(self) -> None:
        """sh, with a banner, and one that does not end its line"""
        await self.check(self.need("sh"), "echo welcome; echo welcome >&2; printf 'welcome '; ")

    @asynchronous
    async def test_bash(self) -> None:
        """bash"""
        await self.check(self.need("bash"), "echo welcome; ")

    @asynchronous
    async def test_tcsh(self) -> None:
        """tcsh"""
        await self.check(self.need("tcsh"), "echo welcome; ")

    @asynchronous
    async def test_fish(self) -> None:
        """fish"""
        await self.check(self.need("fish"), "echo welcome; ")

    @asynchronous
    async def test_zsh(self) -> None:
        """zsh"""
        await self.check(self.need("zsh"), "echo welcome; ")

    @asynchronous
    async def test_home(self) -> None:
        """A ~ in the path of the Python is the home folder there."""
        (self.sshd.home / "a b").mkdir()
        (self.sshd.home / "a b" / "python").symlink_to(self.sshd.python)
        for shell in ("sh", "tcsh", "fish"):
            if shutil.which(shell):
                self.sshd.use_shell(shell)
                made, observer = self.launcher("ipengine", "--version", settings={"python": "~/a b/python"})
                await made.start()
                self.assertTrue((await observer.ended()).succeeded)


class FileTests(SessionCase):
    """What is copied there and from there."""

    @asynchronous
    async def test_private(self) -> None:
        """A FURL file lies there in a private folder, readable by the user alone, and goes with the command."""
        self.folder.mkdir()
        (self.folder / "a furl").write_text("pb://" + "a" * 32 + "@127.0.0.1:1/secret\n")
        made, observer = self.launcher(
            "ipengine", "--furl-file", "there", files=((str(self.folder / "a furl"), "there"),)
        )
        await made.start()
        command = psutil.Process(made.status().pid).cmdline()
        there = Path(command[-1])
        self.assertEqual(there.name, "there")
        self.assertEqual(there.read_bytes(), (self.folder / "a furl").read_bytes())
        self.assertEqual(there.stat().st_mode & 0o777, 0o600)
        self.assertEqual(there.parent.stat().st_mode & 0o777, 0o700)
        await made.stop(10)
        self.assertFalse(there.parent.exists())

    @asynchronous
    async def test_named(self) -> None:
        """A path in the home folder there is that, and the file stays; what cannot be written is said."""
        self.folder.mkdir()
        (self.folder / "text").write_text("text")
        made, observer = self.launcher(
            "ipengine", "--version", files=((str(self.folder / "text"), "~/new/text"),)
        )
        await made.start()
        await observer.ended()
        self.assertEqual((self.sshd.home / "new" / "text").read_text(), "text")
        made, _ = self.launcher("ipengine", files=((str(self.folder / "text"), "~/new/text/below"),))
        with self.assertRaisesRegex(LaunchError, "ipengine cannot be started on node1: .*new/text"):
            await made.start()

    @asynchronous
    async def test_missing(self) -> None:
        """A file that is not here cannot be copied."""
        made, _ = self.launcher("ipengine", files=((str(self.folder / "missing"), "there"),))
        with self.assertRaisesRegex(LaunchError, "missing cannot be copied to node1: No such file"):
            await made.start()

    @asynchronous
    async def test_fetched(self) -> None:
        """Files are here when the command is ready, private, and go with it."""
        name = "security/ipcontroller-engine.furl"
        here = self.folder / "here" / "engine.furl"
        fetch = ((str(self.folder / name), str(here)),)
        made, observer = self.controller(fetch=fetch, ready=READY)
        await made.start()
        await observer.said(READY)
        self.assertEqual(here.read_bytes(), (self.folder / name).read_bytes())
        self.assertEqual(here.stat().st_mode & 0o777, 0o600)
        await made.stop(10)
        self.assertFalse(here.exists())

    @asynchronous
    async def test_kept(self) -> None:
        """What stays there stays here: after kill -9 a controller is to be started again under its FURLs."""
        name = "security/ipcontroller-engine.furl"
        here = self.folder / "here" / "engine.furl"
        made, observer = self.controller(fetch=((str(self.folder / name), str(here)),), ready=READY)
        await made.start()
        await observer.said(READY)
        await made.signal(signal.SIGKILL)
        await observer.ended()
        self.assertEqual(here.read_bytes(), (self.folder / name).read_bytes())

    @asynchronous
    async def test_not_fetched(self) -> None:
        """What cannot be fetched ends the command, with a text that says so."""
        made, observer = self.controller(fetch=((str(self.folder / "missing"), "/nowhere"),), ready=READY)
        await made.start()
        ended = await observer.ended()
        self.assertRegex(ended.reason, "missing of node1 could not be copied: .*No such file")
        self.assertFalse(ended.succeeded)
        self.assertNotIn(READY, observer.lines)


class ErrorTests(SessionCase):
    """Each thing that can be wrong is said, with the host and what to do."""

    async def refused(self, **settings: Any) -> str:
        """Why nothing is started."""
        made, observer = self.launcher("ipengine", "--version", settings=settings)
        problem = await self.assertFailure(made.start(), LaunchError)
        self.assertEqual(made.status().state, "ended")
        self.assertEqual((await observer.ended()).succeeded, False)
        await made.stop(1)
        return str(problem)

    @asynchronous
    async def test_no_key(self) -> None:
        """The key is another one."""
        self.sshd.make_key("id")
        text = await self.refused()
        self.assertIn("node1 refuses the login", text)
        self.assertIn("ssh-copy-id node1", text)
        self.assertIn(str(self.sshd.ssh_config), text)

    @asynchronous
    async def test_host_key(self) -> None:
        """The host is not known yet, or has another key than before."""
        self.sshd.know(None)
        self.assertIn("the host key of node1 is not known here: log in once", await self.refused())
        self.sshd.know("id")
        text = await self.refused()
        self.assertIn("the host key of node1 is not the one that is known", text)
        self.assertIn("ssh-keygen -R node1", text)

    @asynchronous
    async def test_no_server(self) -> None:
        """Nobody listens there."""
        config = self.sshd.folder / "other config"
        text = self.sshd.ssh_config.read_text().replace(f"Port {self.sshd.port}", f"Port {free_port()}")
        config.write_text(text)
        self.assertIn("node1 refuses the connection", await self.refused(config=str(config)))

    @asynchronous
    async def test_unknown_host(self) -> None:
        """The name means nothing."""
        config = self.sshd.folder / "other config"
        config.write_text("Host *\nHostName no-such-host.invalid\n")
        self.assertIn("there is no host node1", await self.refused(config=str(config)))

    @asynchronous
    async def test_no_answer(self) -> None:
        """Something accepts the connection and says nothing."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        config = self.sshd.folder / "other config"
        config.write_text(f"Host *\nHostName 127.0.0.1\nPort {silent.getsockname()[1]}\n")
        text = await self.refused(config=str(config), connect_timeout=1.0)
        self.assertIn("node1 does not answer within 1 s", text)

    @asynchronous
    async def test_closed(self) -> None:
        """The connection is closed before the login."""
        config = self.sshd.folder / "other config"
        # When ssh has said who it is: one that cannot say that may end without a word.
        config.write_text("Host *\nProxyCommand sh -c 'read line'\n")
        self.assertIn("node1 has closed the connection before the login", await self.refused(config=str(config)))

    @asynchronous
    async def test_wrong_configuration(self) -> None:
        """What ssh says about its own configuration is passed on."""
        config = self.sshd.folder / "other config"
        config.write_text("Bogus yes\n")
        self.assertRegex(await self.refused(config=str(config)), "does not accept its configuration .*[Bb]ogus")

    @asynchronous
    async def test_no_ssh(self) -> None:
        """There is no ssh here."""
        text = await self.refused(program="/nowhere/ssh")
        self.assertIn("'/nowhere/ssh'", text)
        self.assertIn("--ssh", text)

    @asynchronous
    async def test_stuck(self) -> None:
        """The login shell there waits for something."""
        self.sshd.use_shell("sh", "sleep 60; ")
        text = await self.refused(connect_timeout=1.0, start_timeout=1.0)
        self.assertIn("node1 has accepted the connection, but nothing was started there within 1 s", text)

    @asynchronous
    async def test_no_python(self) -> None:
        """There is no such Python, whatever the shell says about it."""
        for shell in ("sh", "bash", "tcsh", "fish", "zsh"):
            if shutil.which(shell):
                self.sshd.use_shell(shell)
                text = await self.refused(python="/nowhere/python3")
                self.assertIn("node1 has no Python at '/nowhere/python3'", text)
                self.assertIn("--python", text)

    def script(self, name: str, text: str) -> str:
        path = self.sshd.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    @asynchronous
    async def test_other_pythons(self) -> None:
        """A Python that is too old, or lacks ipython1 or what it needs."""
        python = shlex.quote(sys.executable)
        old = self.script("old", f"exec {python} -c 'import sys; sys.version_info = (3, 9, 1); exec(sys.argv[1])' \"$2\"")
        self.assertIn(f"{old}, is 3.9, and ipython1 needs 3.11 or newer", await self.refused(python=old))
        bare = self.script("bare", f'cd /; exec {python} -I -S "$@"')
        self.assertIn(f"{bare}, has no ipython1: install it there", await self.refused(python=bare))
        lacking = self.script(
            "lacking", f'PYTHONPATH={shlex.quote(search_path())} exec {python} -S "$@"'
        )
        self.assertRegex(await self.refused(python=lacking), f"{lacking}, lacks \\w+, which ipython1 needs")
