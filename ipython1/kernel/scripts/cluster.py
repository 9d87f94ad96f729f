"""A controller and a host agent as children of this process, in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ipython1.kernel.engine.process import describe_end
from ipython1.kernel.engine.service import is_registered_text
from ipython1.kernel.error import ControllerCreationError, EngineCreationError
from ipython1.kernel.furl import FURL_FILES
from ipython1.kernel.scripts.running import complain

LOOK = 0.05
"""Seconds between two looks at whether the FURL files have been written."""
GRACE = 10.0
"""Seconds that a child has for ending when it is asked to."""


class Child(ProcessProtocol):
    """One of the commands, as a child that ends with us (see `ipython1.kernel.scripts.child`).

    `show` gets each line that it writes.
    """

    def __init__(self, reactor: Any, arguments: Sequence[str], show: Callable[[str], None]) -> None:
        self.name = arguments[0]
        self.ended: str | None = None
        """How it ended; None while it runs."""
        self.succeeded = False
        self._reactor = reactor
        self._show = show
        self._rests = {1: b"", 2: b""}
        self._waiting: list[Deferred[None]] = []
        command = [sys.executable, "-m", f"{__package__}.child", *arguments]
        self._process = reactor.spawnProcess(self, command[0], command, env=None)

    def when_ended(self) -> Deferred[None]:
        """Fires when it has ended."""
        waiter: Deferred[None] = Deferred()
        if self.ended is not None:
            waiter.callback(None)
        else:
            self._waiting.append(waiter)
        return waiter

    async def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        if self.ended is None:
            self._process.signalProcess("TERM")
            deadline = self._reactor.callLater(GRACE, self.kill)
            await self.when_ended()
            if deadline.active():
                deadline.cancel()

    def kill(self) -> None:
        """End it at once.  The interpreters of an agent end with it."""
        if self.ended is None:
            self._process.signalProcess("KILL")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        *lines, self._rests[childFD] = (self._rests[childFD] + data).split(b"\n")
        for line in lines:
            self._show_line(line)

    def _show_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self._show(text if text.startswith(f"{self.name}:") else f"{self.name}: {text}")

    def processEnded(self, reason: Failure) -> None:
        for rest in self._rests.values():
            self._show_line(rest)
        self.ended = describe_end(reason.value)
        self.succeeded = not isinstance(reason.value, ProcessTerminated)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)


@dataclass(frozen=True)
class Settings:
    """What a local cluster consists of; `controller` are the options that ipcontroller gets."""

    num: int
    ipython_dir: Path
    controller: Sequence[str]

    @property
    def security_dir(self) -> Path:
        """Where the controller writes its FURL files."""
        return self.ipython_dir / "security"


class Cluster:
    """Starts a controller and then an agent with `num` engines; ends both when either ends, or on demand."""

    def __init__(self, reactor: Any, settings: Settings, say: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._settings = settings
        self._say = say
        self._children: list[Child] = []
        self._stopping = False
        self._registered = False
        self._event: Deferred[None] | None = None

    async def run(self) -> int:
        """Until the end; the exit status."""
        try:
            controller = await self._start_controller()
            agent = self._start_agent()
            await self._until(lambda: self._registered or self._ended(agent, controller))
            self._check(controller, ControllerCreationError)
            self._check(agent, EngineCreationError)
            if not self._stopping:
                self._say(connect_text(self._settings))
                await self._until(lambda: self._ended(agent, controller))
            if agent.succeeded and controller.ended is None and not self._stopping:
                # A client has killed them; it may be about to end the controller as well, or to start others.
                self._say(
                    "ipcluster: all of its engines were killed; the controller goes on. Ctrl-C stops it."
                )
                await self._until(lambda: self._ended(controller))
            return self._verdict(controller, agent)
        finally:
            await self._end()

    def stop(self) -> None:
        """End the cluster: in order the first time, at once the second time."""
        if self._stopping:
            for child in self._children:
                child.kill()
            return
        self._stopping = True
        self._say("ipcluster: stopping")
        self._woken()

    async def _start_controller(self) -> Child:
        # An old file may lead to another controller: the agent is started when the new one is there.
        path = self._settings.security_dir / FURL_FILES["engine"]
        before = _version(path)
        controller = self._start("ipcontroller", *self._settings.controller)
        while _version(path) in (before, None):
            self._check(controller, ControllerCreationError)
            if self._stopping:
                break
            await deferLater(self._reactor, LOOK)
        return controller

    def _start_agent(self) -> Child:
        return self._start("ipengine", "-n", str(self._settings.num))

    def _start(self, *arguments: str) -> Child:
        command = [*arguments, "--ipython-dir", str(self._settings.ipython_dir)]
        child = Child(self._reactor, command, self._show)
        child.when_ended().addCallback(lambda _: self._woken())
        self._children.append(child)
        return child

    def _show(self, line: str) -> None:
        self._say(line)
        if is_registered_text(line):
            self._registered = True
            self._woken()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds, or the cluster is to be stopped."""
        while not condition() and not self._stopping:
            self._event = Deferred()
            await self._event

    def _woken(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.callback(None)

    def _ended(self, *children: Child) -> bool:
        return any(child.ended is not None for child in children)

    def _check(self, child: Child, kind: type[Exception]) -> None:
        if child.ended is not None and not self._stopping:
            raise kind(f"{child.name} {child.ended} while the cluster was starting: see what it said above")

    def _verdict(self, controller: Child, agent: Child) -> int:
        if self._stopping:
            return 0
        if (
            controller.ended is not None
            and controller.succeeded
            and agent.ended in (None, "exited with status 0")
        ):
            self._say("ipcluster: the controller has ended at somebody's wish, and so does the cluster")
            return 0
        for child in (controller, agent):
            if child.ended is not None and not child.succeeded:
                complain(
                    "ipcluster", f"{child.name} {child.ended}, so the cluster ends: see what it said above"
                )
        return 1

    async def _end(self) -> None:
        self._stopping = True
        # The agent first: its engines leave the controller in an orderly way.
        for child in reversed(self._children):
            await child.stop()


def _version(path: Path) -> tuple[int, int] | None:
    """What changes whenever the file is written; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def connect_text(settings: Settings) -> str:
    """How to connect to a cluster that is ready."""
    file = settings.security_dir / FURL_FILES["multiengine"]
    usual = Path("~/.ipython").expanduser().absolute()
    argument = "" if settings.ipython_dir == usual else repr(str(file))
    engines = "1 engine" if settings.num == 1 else f"{settings.num} engines"
    return (
        f"\nThe cluster is ready, with {engines}. To use it, in IPython or Python on this host:\n\n"
        "    from ipython1.kernel import client\n"
        f"    mec = client.MultiEngineClient({argument})\n\n"
        f"On other hosts, with a copy of {file}.\n"
        "Ctrl-C stops the cluster.\n"
    )
