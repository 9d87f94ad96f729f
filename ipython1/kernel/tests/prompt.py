"""A real IPython in a pseudo-terminal, with somebody who types; and news of what runs on engines."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program
from ipython1.kernel.tests.transcript import COLOUR

PROMPT = re.compile(r"In \[\d+\]: $")
DEBUGGER = re.compile(r"ipdb> $")
CTRL_C = "\x03"
CTRL_D = "\x04"
PATIENT = (
    "import ipython1.kernel.client_session; ipython1.kernel.client_session.STOPPED_WITHIN = 50.0;"
    " ipython1.kernel.client.interrupted.OUTCOME_WITHIN = 50.0; import gc; gc.disable()"
)
"""A line after which commands that were interrupted may take long to end: the machine may be busy.

And garbage is not looked for: Python loses a KeyboardInterrupt that is raised while it finalizes a socket there, of which there
are some when code was interrupted that connects.
"""
SILENT = "ipython1.kernel.client.interrupted.SOON = 60.0"
"""One after which it is not said, either, that they take long."""


class Prompt:
    """IPython as at a terminal, but for completion and the like, which need a screen."""

    def __init__(self, test: TestCase, environment: Mapping[str, str], colors: str = "nocolor") -> None:
        options = ["--simple-prompt", "--no-banner", "--no-confirm-exit", f"--colors={colors}"]
        options += ["--HistoryManager.hist_file=:memory:"]
        self.program = Program(
            test,
            sys.executable,
            "-m",
            "IPython",
            *options,
            environment={"TERM": "xterm", "NO_COLOR": "", "COLUMNS": "120", **environment},
            terminal=True,
        )
        self._read = 0

    async def ready(self) -> None:
        """Return when it has its first prompt."""
        await self._until(PROMPT)

    async def enter(self, line: str, until: re.Pattern[str] = PROMPT) -> str:
        """Type a line; what is printed until the next prompt, without the line itself and without colours."""
        return COLOUR.sub("", await self.enter_coloured(line, until))

    async def enter_coloured(self, line: str, until: re.Pattern[str] = PROMPT) -> str:
        """As `enter`, with colours."""
        self.begin(line)
        return (await self.rest(until)).partition("\n")[2]

    def begin(self, line: str) -> None:
        """Type a line, and do not wait."""
        self.program.type(f"{line}\n")

    def press(self, key: str) -> None:
        """Press a key."""
        self.program.type(key)

    async def rest(self, until: re.Pattern[str] = PROMPT) -> str:
        """What is printed until the next prompt."""
        return await self._until(until)

    async def _until(self, pattern: re.Pattern[str]) -> str:
        while True:
            said = self.program.output[self._read :]
            match = pattern.search(COLOUR.sub("", said))
            if match is not None:
                self._read = len(self.program.output)
                return said.replace("\r\n", "\n").rpartition("\n")[0].strip("\n")
            await self.program.news()


class Arrivals:
    """Tells when code runs: `code` is Python that knocks here, once for each engine that runs it."""

    def __init__(self, test: TestCase) -> None:
        from twisted.internet import reactor

        self._count = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._there: list[protocol.Protocol] = []
        listener = protocol.Factory()
        listener.buildProtocol = self._arrived  # type: ignore[method-assign]
        any_reactor: Any = reactor
        self._port = any_reactor.listenTCP(0, listener, interface="127.0.0.1")
        test.addCleanup(self._port.stopListening)

    @property
    def code(self) -> str:
        """To be run first."""
        return f"__import__('socket').create_connection(('127.0.0.1', {self._port.getHost().port})).close()"

    @property
    def waits(self) -> str:
        """As `code`, but it goes on at `let_go` only."""
        return f"__import__('socket').create_connection(('127.0.0.1', {self._port.getHost().port})).recv(1)"

    def let_go(self) -> None:
        """Let all go on that wait."""
        there, self._there = self._there, []
        for visitor in there:
            visitor.transport.loseConnection()  # type: ignore[union-attr] # it is connected

    def _arrived(self, address: Any) -> protocol.Protocol:
        self._there.append(protocol.Protocol())
        self._count += 1
        for wanted, waiter in list(self._waiting):
            if self._count >= wanted:
                self._waiting.remove((wanted, waiter))
                waiter.callback(None)
        return self._there[-1]

    async def come(self, count: int) -> None:
        """Return when `count` more have come than when this returned last."""
        if self._count < count:
            waiter: Deferred[None] = Deferred()
            self._waiting.append((count, waiter))
            await waiter
        self._count -= count
