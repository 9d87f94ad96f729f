"""The answers of one engine to what its agent carries out itself: at once, or when what they wait for has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from ipython1.kernel.engine.history import History
from ipython1.kernel.engine.queue import Command, CommandQueue
from ipython1.kernel.error import EngineLost
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes

INTERRUPTED_WITHIN = 1.0
"""Seconds after which an interrupt is answered though the command that it was for goes on, if it does not say."""
LONGEST_WITHIN = 60.0
"""Nor can it say more than that."""


class Answers:
    """Commands that wait for something else than their turn; `send` takes kind, fields and bodies of a message."""

    def __init__(
        self,
        reactor: Any,
        queue: CommandQueue,
        history: History,
        send: Callable[[str, dict[str, Any], list[Bytes]], Any],
    ) -> None:
        self._reactor = reactor
        self._queue = queue
        self._history = history
        self._send = send
        # To be answered when the successor is ready or the engine gone, and when a result has come.
        self._until_ready: list[Command] = []
        self._until_gone: list[Command] = []
        self._until_result: list[Command] = []
        # Interrupts, to be answered when the running command has ended, and when at the latest.
        self._until_ended: list[tuple[Command, IDelayedCall]] = []

    def reply(self, command: Command, bodies: list[Bytes] | None = None, **fields: Any) -> None:
        """Answer a command with success."""
        self._send("reply", {"id": list(command.id), "ok": True, **fields}, bodies or [])

    def fail(self, command: Command, error: Exception) -> None:
        """Answer a command with an error of ours."""
        self._send("reply", {"id": list(command.id), "ok": False}, list(failure_bodies(error)))

    def when_ready(self, command: Command) -> None:
        """Answer when there is an interpreter that takes commands."""
        self._until_ready.append(command)

    def when_ended(self, command: Command) -> None:
        """Answer when the command that runs now has ended; before long, if it does not: whether it has."""
        within = command.args.get("within")
        seconds = INTERRUPTED_WITHIN if within is None else min(max(within, 0.0), LONGEST_WITHIN)
        deadline = self._reactor.callLater(seconds, self._answer_still_running, command)
        self._until_ended.append((command, deadline))

    def _answer_still_running(self, command: Command) -> None:
        self._until_ended = [waiting for waiting in self._until_ended if waiting[0] is not command]
        self.reply(command, result=False)

    def ended(self) -> None:
        """The running command has ended."""
        answered, self._until_ended = self._until_ended, []
        for command, deadline in answered:
            deadline.cancel()
            self.reply(command, result=True)

    def when_gone(self, command: Command) -> None:
        """Answer when the engine is gone."""
        self._until_gone.append(command)

    def with_result(self, command: Command) -> None:
        """Answer a get_result: now, or when nothing runs or waits any more by which the number could come."""
        self._until_result.append(command)
        self.results()

    def ready(self) -> None:
        """There is an interpreter that takes commands."""
        answered, self._until_ready = self._until_ready, []
        for command in answered:
            self.reply(command)

    def results(self) -> None:
        """A result may have come, or it is sure that none comes any more."""
        asked, self._until_result = self._until_result, []
        for command in asked:
            record = self._history.get(command.args.get("number"))
            if record is not None:
                bodies: list[Bytes] = [record.document, record.stdout, record.stderr]
                self.reply(command, bodies, number=record.number)
            elif self._queue.busy:
                self._until_result.append(command)
            else:
                self.fail(command, IndexError(self._no_result(command.args.get("number"))))

    def _no_result(self, number: int | None) -> str:
        if number is None:
            return f"{self._queue.name} has executed nothing yet"
        return f"index {number} out of range on {self._queue.name}"

    def gone(self, reason: str) -> None:
        """The engine is gone."""
        for command in self._until_ready:
            self.fail(command, EngineLost(f"{self._queue.name} is gone: {reason}"))
        for command in self._until_gone:
            self.reply(command)
        self._until_ready.clear()
        self._until_gone.clear()

    def drop(self) -> None:
        """Nobody waits any more."""
        self._until_ready.clear()
        self._until_gone.clear()
        self._until_result.clear()
        for _, deadline in self._until_ended:
            deadline.cancel()
        self._until_ended.clear()
