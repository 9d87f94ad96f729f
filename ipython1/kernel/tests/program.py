"""Programs that tests run, and end with the test; and a cluster of real processes made of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import struct
import sys
import termios
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import skipUnless

import psutil
from twisted.internet import error, protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import ipython1
from ipython1.daemon.state import ProcessId


def asynchronous(method: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Deferred[None]]:
    """A test that is a coroutine."""

    @wraps(method)
    def run(*arguments: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(method(*arguments))

    return run


long = skipUnless(os.environ.get("IPYTHON1_TEST_ALL"), "takes long: sh scripts/test --all")
"""A test, or a class of tests, that takes long, where others see to the same in less time."""


SCREEN = 40, 120
"""Lines and columns of the terminals that programs get."""


class Program(protocol.ProcessProtocol):
    """A process that runs `arguments` in `folder`, with `environment` added to this process's, until the test ends.

    Its standard input is a pipe that stays open until the test ends, unless `stdin` says what it is to hold.  With
    `terminal`, a terminal of its own is all of its streams.
    """

    transport: IProcessTransport

    def __init__(
        self,
        test: TestCase,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: bytes | None = None,
        terminal: bool = False,
    ) -> None:
        from twisted.internet import reactor

        self.arguments = arguments
        self.output = ""
        """What it has written to standard output and standard error."""
        self.errors = ""
        """What it has written to standard error."""
        self._stdin = stdin
        self._status: int | None = None
        self._waiting: list[Deferred[None]] = []
        started: Any = reactor
        started.spawnProcess(
            self,
            arguments[0],
            arguments,
            env={**os.environ, "PYTHONPATH": search_path(), **(environment or {})},
            path=None if folder is None else str(folder),
            usePTY=terminal,
        )
        if terminal:
            size = struct.pack("HHHH", *SCREEN, 0, 0)
            fcntl.ioctl(self.transport.fileno(), termios.TIOCSWINSZ, size)  # type: ignore[attr-defined]
        test.addCleanup(self._end)

    @property
    def pid(self) -> int:
        """Its process id; valid until it has ended."""
        pid: int = self.transport.pid  # type: ignore[attr-defined]
        return pid

    def type(self, text: str) -> None:
        """Write to its standard input; at a terminal, control characters are keys: ``\\x03`` is Ctrl-C."""
        self.transport.write(text.encode())  # type: ignore[arg-type] # Twisted's stubs

    def signal(self, name: str) -> None:
        """Send it ``INT``, ``TERM``, ``KILL`` …, if it is there."""
        with contextlib.suppress(error.ProcessExitedAlready):
            self.transport.signalProcess(name)

    async def said(self, pattern: str) -> re.Match[str]:
        """Return when its output matches; AssertionError if it ends before."""
        while (match := re.search(pattern, self.output)) is None:
            if self._status is not None:
                raise AssertionError(
                    f"{self} ended ({self._status}) and did not say {pattern!r}:\n{self.output}"
                )
            await self.news()
        return match

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._status is None

    async def ended(self) -> int:
        """Return when it has ended: its exit status, negative if it was a signal."""
        while self._status is None:
            await self.news()
        return self._status

    def __repr__(self) -> str:
        return " ".join(self.arguments)

    async def _end(self) -> None:
        self.signal("KILL")
        await self.ended()

    def news(self) -> Deferred[None]:
        """Fires when it has written something, or has ended; AssertionError if it has ended before."""
        if self._status is not None:
            raise AssertionError(f"{self} has ended ({self._status}):\n{self.output}")
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def connectionMade(self) -> None:
        if self._stdin is not None:
            self.transport.write(self._stdin)
            self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        self.output += text
        if childFD == 2:
            self.errors += text
        self._tell()

    def processEnded(self, reason: Failure) -> None:
        signal = getattr(reason.value, "signal", None)
        self._status = -signal if signal else getattr(reason.value, "exitCode", 0)
        self._tell()


def clusters_processes(folder: Path) -> list[psutil.Process]:
    """All that runs for the clusters that are recorded somewhere in `folder`: their supervisors come first."""
    found = []
    for file in folder.glob("**/clusters/*/state.json"):
        state = json.loads(file.read_text())
        recorded = [state["supervisor"], *(part["process"] for part in state["parts"] if part["process"])]
        for identity in recorded:
            process = ProcessId(**identity).find()
            if process is not None:
                found += [process, *process.children(recursive=True)]
    return found


def end_clusters(folder: Path) -> None:
    """End what a test has left in the background, by the process ids that are recorded there."""
    for process in clusters_processes(folder):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def search_path() -> str:
    """What lets other processes find the ipython1 that runs here, also where that is not installed."""
    source = str(Path(ipython1.__file__).parent.parent)
    return os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


class RealCluster:
    """A controller and `engines` engines, of real processes, in a folder of their own; gone with the test.

    `options` are ipcluster's, and it runs in `folder`.
    """

    def __init__(
        self,
        test: TestCase,
        engines: int = 4,
        options: Sequence[str] = (),
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ipython_dir = Path(test.mktemp()).absolute()
        self.environment = {"IPYTHONDIR": str(self.ipython_dir), **(environment or {})}
        """What processes need to connect to it."""
        # As a child that ends also with a parent that is killed, and takes the cluster with it.
        command = ["ipython1.kernel.scripts.child", "ipcluster", "-n", str(engines), *options]
        self.program = Program(
            test, sys.executable, "-m", *command, environment=self.environment, folder=folder
        )
        # Cleanups run last in, first out: it has the time to stop in good order before it is killed.
        test.addCleanup(self.stop)

    async def ready(self) -> None:
        """Return when all engines are there."""
        await self.program.said("The cluster is ready")

    def processes(self, script: str) -> list[psutil.Process]:
        """Those that run this one of our programs for it."""
        own = psutil.Process(self.program.pid).children(recursive=True)
        return [process for process in own if script in process.cmdline()]

    async def stop(self) -> None:
        """Stop it in good order."""
        self.program.signal("TERM")
        await self.program.ended()
