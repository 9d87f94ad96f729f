"""Commands that run as children of this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from ipython1.kernel.engine.process import describe_end

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
