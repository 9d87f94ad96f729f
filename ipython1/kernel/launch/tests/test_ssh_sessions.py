"""Controllers and engines over a real ssh server."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from ipython1.kernel.controller.config import READY
from ipython1.kernel.error import LaunchError
from ipython1.kernel.launch.launcher import ILauncher
from ipython1.kernel.launch.ssh_launcher import SshLauncher
from ipython1.kernel.launch.tests.sshd import Sshd, free_port, need_sshd
from ipython1.kernel.launch.tests.test_local import Observer
from ipython1.kernel.launch.values import Launch
from ipython1.kernel.tests.program import asynchronous

HOST = "node1"


class SessionCase(TestCase):
    """With a server."""

    timeout = 110

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
