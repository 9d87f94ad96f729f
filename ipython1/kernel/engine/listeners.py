"""Who waits to see what an engine's commands write, as they write it.

A listener asks for what there is from an offset on, and is answered when there is something.  It asks again when it has
shown that: so nothing is kept for one that is slow, no more than one answer is on its way to it, and after a loss of the
connection it goes on where it was.  What it does not ask for in time comes with the outcome, which has all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from ipython1.kernel.engine.output import Capture
from ipython1.kernel.engine.queue import Command, CommandQueue, Stage
from ipython1.kernel.error import KernelError
from ipython1.kernel.framing import Bytes

GATHER = 0.01
"""Seconds for which it is waited, when something was written, whether more comes: most is written in several pieces."""
TIMES = 5
"""So many times it is waited, as long as a line is not ended: print() writes one in several pieces, too."""
PATIENCE = 10.0
"""Seconds after which a listener is told that there is nothing: it may have gone, or its command never come."""
PIECE = 32 << 10
"""Bytes that a listener is given at a time, of each stream."""
MOST = 1000
"""So many may listen to one engine."""


class Streams(Protocol):
    """What an interpreter writes."""

    stdout: Capture
    stderr: Capture


class Answers(Protocol):
    """How listeners are answered."""

    def reply(self, command: Command, bodies: list[Bytes] | None = None, **fields: Any) -> None:
        """Answer with success."""

    def fail(self, command: Command, error: Exception) -> None:
        """Answer with an error of ours."""


class _Listener:
    """A request, and whether the command that it is about has been seen."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.was_here = False
        self.deadline: IDelayedCall | None = None

    def cancel(self) -> None:
        """It needs no deadline any more."""
        if self.deadline is not None:
            self.deadline.cancel()


class Listeners:
    """Those of one engine, whose commands are in `queue`; `streams` is its interpreter, if there is one."""

    def __init__(
        self, reactor: Any, queue: CommandQueue, streams: Callable[[], Streams | None], answers: Answers
    ) -> None:
        self._reactor = reactor
        self._queue = queue
        self._streams = streams
        self._answers = answers
        self._waiting: list[_Listener] = []
        self._gathering: IDelayedCall | None = None
        self._gathered = 0

    def listen(self, command: Command) -> None:
        """A request came: the verb ``output``."""
        if len(self._waiting) >= MOST:
            self._answers.fail(command, KernelError(f"{len(self._waiting)} listen already: no more can"))
            return
        listener = _Listener(command)
        unfinished = self._is_unfinished()
        if unfinished or not self._answer(listener):
            listener.deadline = self._reactor.callLater(PATIENCE, self._nothing, listener)
            self._waiting.append(listener)
        if unfinished:
            self.heard()

    def heard(self) -> None:
        """Something was written."""
        if self._waiting and self._gathering is None:
            self._gathering = self._reactor.callLater(GATHER, self._gather)

    def _gather(self) -> None:
        self._gathering = None
        self._gathered += 1
        if self._gathered < TIMES and self._is_unfinished():
            self.heard()
        else:
            self.look()

    def _is_unfinished(self) -> bool:
        """Whether a line has been begun, and is not ended."""
        streams = self._streams()
        texts = [] if streams is None else [streams.stdout, streams.stderr]
        return any(text.size > 0 and text.since(text.size - 1, 1) != b"\n" for text in texts)

    def look(self) -> None:
        """Answer those for whom there is something, or for whom nothing can come any more."""
        self._stop_gathering()
        self._gathered = 0
        waiting, self._waiting = self._waiting, []
        for listener in waiting:
            if self._answer(listener):
                listener.cancel()
            else:
                self._waiting.append(listener)

    def end(self) -> None:
        """Nobody hears any more."""
        self._stop_gathering()
        waiting, self._waiting = self._waiting, []
        for listener in waiting:
            listener.cancel()

    def _stop_gathering(self) -> None:
        gathering, self._gathering = self._gathering, None
        if gathering is not None and gathering.active():
            gathering.cancel()

    def _answer(self, listener: _Listener) -> bool:
        """Answer, if there is something to be said."""
        command, args = listener.command, listener.command.args
        stage = self._queue.stage(args["only"], args.get("index"))
        if stage is Stage.OVER or (stage is Stage.UNKNOWN and listener.was_here):
            self._answers.reply(command)
            return True
        listener.was_here = stage is not Stage.UNKNOWN
        streams = self._streams()
        if stage is not Stage.RUNNING or streams is None:
            return False
        pieces: list[Bytes] = [
            streams.stdout.since(args["stdout"], PIECE),
            streams.stderr.since(args["stderr"], PIECE),
        ]
        if not any(pieces):
            return False
        sizes = {"stdout": streams.stdout.size, "stderr": streams.stderr.size}
        self._answers.reply(command, pieces, result=sizes)
        return True

    def _nothing(self, listener: _Listener) -> None:
        self._waiting.remove(listener)
        command = listener.command
        sizes = {name: command.args[name] for name in ("stdout", "stderr")}
        self._answers.reply(command, [b"", b""], result=sizes)
