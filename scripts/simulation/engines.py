"""A process with very many agents of one engine each.  All engines of the process share one interpreter, which is in it.

``python -m simulation.engines COUNT FURL-FILE``; ends when its standard input does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO

from ipython1.core import verbs
from ipython1.core.interpreter import Interpreter
from ipython1.core.remote_error import describe
from ipython1.kernel import dial, tubs
from ipython1.kernel.engine.process import Owner
from ipython1.kernel.engine.service import Agent
from ipython1.kernel.framing import Message
from ipython1.kernel.hello import new_id

AT_ONCE = 16
"""So many sessions are opened at a time."""
PATIENCE = 120.0


class NoOutput:
    """What an engine writes that has no process: nothing."""

    def take(self) -> bytes:
        """See `ipython1.kernel.engine.output.Capture`."""
        return b""

    def running(self, runs: bool) -> None:
        """See `Capture`."""


class Simulated:
    """In the place of an interpreter's process: carries commands out at once, in this process."""

    shared: Interpreter | None = None

    def __init__(self, reactor: Any, owner: Owner) -> None:
        self.stdout = self.stderr = NoOutput()
        self.pid = os.getpid()
        self.ended = False
        self._reactor = reactor
        self._owner = owner

    def start(self) -> None:
        """It is ready in a later turn."""
        if Simulated.shared is None:
            Simulated.shared = Interpreter()
        self._reactor.callLater(0, self._owner.interpreter_said, Message("ready", {}))

    def ready(self) -> None:
        """See `Interpreter`."""

    def send(self, message: Message) -> None:
        """Carry out a command, and answer in a later turn."""
        if message.kind == "command":
            self._reactor.callLater(0, self._perform, message)

    def _perform(self, message: Message) -> None:
        if self.ended:
            return
        fields, bodies = message.fields, message.bodies
        assert Simulated.shared is not None
        try:
            command = verbs.Command(fields["verb"], fields["args"], fields.get("values") or (), bodies)
            reply = verbs.perform(Simulated.shared, command)
            error = reply.error
        except Exception as problem:  # whatever code raises is its client's to see
            reply, error = verbs.Reply(), problem
        said = {"id": fields["id"], "ok": error is None, **reply.fields}
        described = [] if error is None else describe(error, reply.fields.get("number"), reply.traceback)
        self._owner.interpreter_said(Message("reply", said, [*described, *reply.bodies]))

    def interrupt(self, command_id: Any) -> None:
        """Nothing runs for long here."""

    def signal(self, number: int) -> None:
        """Nor is there a process for signals."""

    def end(self, reason: str, idle: bool) -> None:
        """It is over in a later turn."""
        self.kill(reason)

    def kill(self, reason: str) -> None:
        """See `Interpreter`."""
        if not self.ended:
            self.ended = True
            self._reactor.callLater(0, self._owner.interpreter_ended, reason)


async def session(reactor: Any, furl: str) -> Agent:
    """An agent with one engine, over a connection of its own."""
    agent = Agent(reactor, 1, lambda owner: Simulated(reactor, owner), lambda text: None)  # type: ignore[arg-type,return-value]
    link = await dial.dial(furl, "engine", agent, reactor=reactor, timeout=PATIENCE, session=new_id())
    # A process has one connection for all its sessions with a controller; here each is to be like a host's.
    tubs._tubs.clear()
    agent.start()
    agent.attached(link)
    return agent


async def main(reactor: Any, count: int, furl_file: Path) -> None:
    """Open `count` sessions, say so, and stay until the end of standard input."""
    furl = furl_file.read_text(encoding="utf-8").strip()
    limit = DeferredSemaphore(AT_ONCE)
    opening = [limit.run(lambda: Deferred.fromCoroutine(session(reactor, furl))) for _ in range(count)]
    agents = [await each for each in opening]
    print("open", len(agents), flush=True)
    over: Deferred[None] = Deferred()

    class Input(Protocol):
        def connectionLost(self, reason: Any = None) -> None:
            over.callback(None)

    StandardIO(Input())
    await over


if __name__ == "__main__":
    from twisted.internet.task import react

    react(lambda reactor: Deferred.fromCoroutine(main(reactor, int(sys.argv[1]), Path(sys.argv[2]))))
