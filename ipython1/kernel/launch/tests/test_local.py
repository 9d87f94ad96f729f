"""Launchers are found by name; the one for this host starts children, and ends them."""

from __future__ import annotations

import os
import signal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import psutil
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ipython1.kernel.error import LaunchError
from ipython1.kernel.launch import launcher
from ipython1.kernel.launch.launcher import ILauncher, ILauncherFactory, ILaunchObserver, IPlan, find_launcher
from ipython1.kernel.launch.lines import LONGEST, Lines
from ipython1.kernel.launch.local import LocalLauncher, factory
from ipython1.kernel.launch.values import Launch, LaunchState, Share, Wanted
from ipython1.kernel.places import Places
from ipython1.kernel.tests.program import asynchronous, search_path

PLACES = Places(Path("/d"), "lab")


@implementer(ILaunchObserver)
class Observer:
    """Remembers what it is told, and lets tests wait for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.states: list[LaunchState] = []
        self._waiting: list[Deferred[None]] = []

    def output(self, line: str) -> None:
        self.lines.append(line)
        self._tell()

    def changed(self, state: LaunchState) -> None:
        self.states.append(state)
        self._tell()

    async def said(self, text: str) -> None:
        """Return when a line has that text; AssertionError if the launch ends before."""
        while not any(text in line for line in self.lines):
            assert not self.states or self.states[-1].state != "ended", (self.lines, self.states[-1])
            await self._news()

    async def ended(self) -> LaunchState:
        """Return when the launch has ended: its last state."""
        while not self.states or self.states[-1].state != "ended":
            await self._news()
        return self.states[-1]

    def _news(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)


class FindingTests(SynchronousTestCase):
    """By name, ours and those of others."""

    def entries(self, *entries: EntryPoint) -> None:
        self.patch(launcher, "entry_points", lambda group: [each for each in entries if each.group == group])

    def test_own(self) -> None:
        """Ours are there without an installation."""
        self.entries()
        self.assertIs(find_launcher("local"), factory)
        for name in ("local", "ssh"):
            self.assertTrue(verifyObject(ILauncherFactory, find_launcher(name)))

    def test_other(self) -> None:
        """Another package's is found by its entry point, and cannot take the name of one of ours."""
        value = f"{__name__}:another"
        self.entries(EntryPoint("other", value, launcher.GROUP), EntryPoint("local", value, launcher.GROUP))
        self.assertIs(find_launcher("other"), another)
        self.assertIs(find_launcher("local"), factory)

    def test_unknown(self) -> None:
        """The names that there are, are in the text."""
        self.entries(EntryPoint("other", f"{__name__}:another", launcher.GROUP))
        problem = self.assertRaises(LookupError, find_launcher, "xgrid")
        self.assertIn("'xgrid': known are local, other, ssh", str(problem))

    def test_broken(self) -> None:
        """One that cannot be imported, or is something else, is refused by its name."""
        for value, text in (("no_such_module:factory", "No module named"), ("os:sep", "ILauncherFactory")):
            self.entries(EntryPoint("broken", value, launcher.GROUP))
            problem = self.assertRaises(LaunchError, find_launcher, "broken")
            self.assertIn("'broken'", str(problem))
            self.assertIn(text, str(problem))


another: Any = type(factory)()


class PlanTests(SynchronousTestCase):
    """What a local cluster consists of."""

    def test_parts(self) -> None:
        """A controller and one host agent, with the options for each and the places for both."""
        plan = factory.plan(Wanted(PLACES, 3, ("--port=1",), ("--memory-limit=1G",)), None)
        self.assertTrue(verifyObject(IPlan, plan))
        self.assertEqual(plan.shares, (Share("", 3),))
        places = PLACES.options()
        self.assertEqual(plan.controller("c"), Launch(("ipcontroller", "--port=1", *places), label="c"))
        agent = plan.agent("e", Share("", 2))
        self.assertEqual(agent, Launch(("ipengine", "-n", "2", "--memory-limit=1G", *places), label="e"))

    def test_number(self) -> None:
        """Two engines, if nothing else is said."""
        self.assertEqual(factory.plan(Wanted(PLACES), None).shares, (Share("", 2),))

    def test_where(self) -> None:
        """Engines cannot be added on other hosts."""
        plan = factory.plan(Wanted(PLACES), None)
        self.assertEqual(plan.where(None), "")
        self.assertIn("'node1'", str(self.assertRaises(LaunchError, plan.where, "node1")))


class LinesTests(SynchronousTestCase):
    """Pieces become lines."""

    def test_pieces(self) -> None:
        """Whatever the pieces, the lines are the same; ends and what is no UTF-8 do no harm."""
        text = "one\r\ntwö\n\nfour".encode() + b"\xff"
        for size in range(1, len(text) + 1):
            lines = Lines()
            found = [
                line
                for start in range(0, len(text), size)
                for line in lines.add(text[start : start + size])
            ]
            self.assertEqual(found + lines.finish(), ["one", "twö", "", "four\ufffd"])
            self.assertEqual(lines.finish(), [])

    def test_endless(self) -> None:
        """A line without an end does not fill the memory."""
        lines = Lines()
        found = [line for _ in range(10) for line in lines.add(b"x" * LONGEST)]
        self.assertEqual(sum(map(len, found)) + len("".join(lines.finish())), 10 * LONGEST)


class LocalTests(TestCase):
    """Real processes."""

    timeout = 180

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": search_path()})

    def launcher(self, *command: str, **more: Any) -> tuple[LocalLauncher, Observer]:
        made = LocalLauncher(reactor, Launch((*command, "--ipython-dir", str(self.folder)), **more))
        self.addCleanup(made.stop, 0)
        observer = Observer()
        made.observe(observer)
        return made, observer

    def test_contract(self) -> None:
        """It has what launchers are to have."""
        made, observer = self.launcher("ipcontroller")
        self.assertTrue(verifyObject(ILauncher, made))
        self.assertTrue(verifyObject(ILaunchObserver, observer))

    @asynchronous
    async def test_life(self) -> None:
        """Starting, running with a process id, stopping, ended; its output comes line by line."""
        made, observer = self.launcher("ipcontroller", "--interface=127.0.0.1", label="controller")
        self.assertEqual(made.status(), LaunchState())
        await made.start()
        running = made.status()
        self.assertEqual(running.state, "running")
        process = psutil.Process(running.pid)
        self.assertEqual(process.create_time(), running.created)
        await observer.said("ipcontroller: ready")
        await made.stop(10)
        self.assertEqual([state.state for state in observer.states], ["running", "stopping", "ended"])
        self.assertEqual(made.status().reason, "exited with status 0")
        self.assertTrue(made.status().succeeded)
        self.assertFalse(process.is_running())
        await made.stop(10)

    @asynchronous
    async def test_killed(self) -> None:
        """One that does not end in time is killed, as is one that must not take time."""
        for grace in (0.01, 0):
            made, observer = self.launcher("ipcontroller", "--interface=127.0.0.1")
            await made.start()
            await observer.said("ipcontroller: ready")
            await made.signal(signal.SIGSTOP)
            await made.stop(grace)
            self.assertIn("SIGKILL", (await observer.ended()).reason)
            self.assertFalse(made.status().succeeded)

    @asynchronous
    async def test_signal(self) -> None:
        """A signal is passed on; how it ended is known."""
        made, observer = self.launcher("ipcontroller", "--interface=127.0.0.1")
        await made.start()
        await observer.said("ipcontroller: ready")
        await made.signal(signal.SIGKILL)
        self.assertIn("SIGKILL", (await observer.ended()).reason)
        await made.signal(signal.SIGKILL)

    @asynchronous
    async def test_environment(self) -> None:
        """Variables are added to those that are there."""
        made, observer = self.launcher("ipengine", "--bogus", environment={"COLUMNS": "200", "PYTHONUTF8": "1"})
        await made.start()
        ended = await observer.ended()
        self.assertEqual(ended.reason, "exited with status 2")
        self.assertFalse(ended.succeeded)
        await observer.said("--bogus")

    @asynchronous
    async def test_stopped_before(self) -> None:
        """One that is stopped before its start does not start."""
        made, observer = self.launcher("ipcontroller")
        await made.stop(1)
        self.assertEqual((await observer.ended()).reason, "it was not started")
        with self.assertRaises(LaunchError):
            await made.start()

    @asynchronous
    async def test_not_allowed(self) -> None:
        """If the system refuses another process, the text says what to look at."""
        made, _ = self.launcher("ipcontroller")

        class Full:
            def spawnProcess(self, *arguments: Any, **more: Any) -> None:
                raise BlockingIOError(11, "Resource temporarily unavailable")

        self.patch(made, "_reactor", Full())
        with self.assertRaisesRegex(LaunchError, "Resource temporarily unavailable.*too many processes"):
            await made.start()
        self.assertTrue(made.has_ended)
