"""Processes on this host, as children that end with us (see `ipython1.kernel.scripts.child`)."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.engine.process import describe_end
from ipython1.kernel.error import LaunchError
from ipython1.kernel.furl import stamp
from ipython1.kernel.launch.base import Told
from ipython1.kernel.launch.launcher import IEarlyPlan, ILauncher, ILauncherFactory
from ipython1.kernel.launch.lines import Lines
from ipython1.kernel.launch.processes import created
from ipython1.kernel.launch.values import Launch, Share, Wanted
from ipython1.kernel.places import FURL_FILES

CHILD = "ipython1.kernel.scripts.child"


@implementer(ILauncher)
class LocalLauncher(Told, ProcessProtocol):
    """One of the commands as a child process."""

    def __init__(self, reactor: Any, launch: Launch) -> None:
        super().__init__(launch)
        self._reactor = reactor
        self._lines = {1: Lines(), 2: Lines()}
        self._process: Any = None
        self._deadline: Any = None

    def start(self) -> Deferred[None]:
        """Start the process; `LaunchError` if the system does not let us."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        if self.has_ended:
            raise LaunchError(f"{self.launch.name} was stopped before it was started")
        command = [sys.executable, "-m", CHILD, *self.launch.command]
        environment = {**os.environ, **self.launch.environment} if self.launch.environment else None
        try:
            self._process = self._reactor.spawnProcess(self, command[0], command, env=environment)
        except OSError as problem:
            self._change(state="ended", reason="it could not be started", succeeded=False)
            raise LaunchError(
                f"the system does not let {self.launch.name} be started ({problem.strerror or problem}):"
                " are there too many processes or open files, or too little memory?"
            ) from problem

    def connectionMade(self) -> None:
        assert self.transport is not None
        pid = self.transport.pid
        self._change(state="running", pid=pid, created=created(pid))

    def stop(self, grace: float) -> Deferred[None]:
        """End it with SIGTERM, and with SIGKILL after `grace` seconds.  The interpreters of an agent end with it."""
        if self._process is None:
            self._change(state="ended", reason="it was not started", succeeded=False)
        if self.has_ended:
            return succeed(None)
        if self._state.state != "stopping":
            self._change(state="stopping")
            self._send("TERM")
        self._cancel_deadline()
        if grace > 0:
            self._deadline = self._reactor.callLater(grace, self._send, "KILL")
        else:
            self._send("KILL")
        return self.when_ended()

    def signal(self, number: int) -> Deferred[None]:
        """Send it a signal."""
        self._send(number)
        return succeed(None)

    def _send(self, signal: str | int) -> None:
        if self._process is not None and not self.has_ended:
            with contextlib.suppress(ProcessExitedAlready):  # its end is about to be reported
                self._process.signalProcess(signal)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        for line in self._lines[childFD].add(data):
            self._say(line)

    def processEnded(self, reason: Failure) -> None:
        self._cancel_deadline()
        for lines in self._lines.values():
            for line in lines.finish():
                self._say(line)
        status = reason.value
        self._change(
            state="ended",
            reason=describe_end(status),
            succeeded=not isinstance(status, ProcessTerminated),
        )


@implementer(IEarlyPlan)
class LocalPlan:
    """A controller and one host agent, as children of this process."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.shares = (Share("", wanted.usual if wanted.num is None else wanted.num),)

    def where(self, host: str | None) -> str:
        """This host."""
        if host:
            raise LaunchError(f"engines on {host!r}: all of this cluster run on this host; leave the host out")
        return ""

    def controller(self, label: str) -> Launch:
        """ipcontroller, with the options for it."""
        return Launch(("ipcontroller", *self._wanted.controller, *self._wanted.places.options()), label=label)

    def agent(self, label: str, share: Share) -> Launch:
        """ipengine, with so many engines."""
        options = ("-n", str(share.engines), *self._wanted.engine)
        return Launch(("ipengine", *options, *self._wanted.places.options()), label=label)

    def early_agent(self, label: str, share: Share) -> Launch:
        """The same, for one that waits for the FURL file that the controller is about to write."""
        launch = self.agent(label, share)
        file = self._wanted.places.security_dir / FURL_FILES["engine"]
        return replace(launch, command=(*launch.command, "--furl-file", str(file), "--after", stamp(file)))

    def launcher(self, reactor: Any, launch: Launch) -> LocalLauncher:
        """A child process for each."""
        return LocalLauncher(reactor, launch)


@implementer(ILauncherFactory)
class LocalFactory:
    """``ipcluster local``."""

    summary = "a controller and engines on this host"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """It has no options but those of all."""

    def plan(self, wanted: Wanted, options: argparse.Namespace) -> LocalPlan:
        """All parts on this host."""
        return LocalPlan(wanted)


factory = LocalFactory()
