"""What one interpreter is given: the command that runs, and ahead of their turn those that are next.

What was given ahead is taken back by its tickets, and passed over by the interpreter: see `ipython1.core.tickets`.
"""

from __future__ import annotations

from typing import Any

from ipython1.kernel.engine.incoming import LEAST
from ipython1.kernel.engine.memories import Memories
from ipython1.kernel.engine.process import Interpreter
from ipython1.kernel.engine.queue import Command, CommandQueue, Instruction
from ipython1.kernel.framing import Message
from ipython1.kernel.shared_memory import system


class Feeder:
    """Gives the commands of `queue` to one interpreter; `memories` is where outcomes may be left for clients."""

    def __init__(self, interpreter: Interpreter, queue: CommandQueue, memories: Memories) -> None:
        self.was_fed = False
        """Whether it was given a command yet."""
        self._interpreter = interpreter
        self._queue = queue
        self._memories = memories
        self._sees_memory = False
        # Whether the interpreter may still have to pass over commands that were taken back, and what it was sent after
        # them: until that is answered it is given none ahead.
        self._passed_over = False
        self._behind_them: Command | None = None

    def feed(self, command: Command) -> None:
        """Give it the command that runs now."""
        self.was_fed = True
        command.ticket = None
        # What the code did that has run there may have made it invisible.
        self._sees_memory = self._memories.enabled and system.is_visible(self._interpreter.pid)
        if self._passed_over:
            self._behind_them = command
        self._interpreter.send(self._message(command))

    def answered(self, command: Command) -> None:
        """The interpreter has answered the command that ran."""
        if command is self._behind_them:
            self._passed_over, self._behind_them = False, None

    def feed_ahead(self) -> None:
        """Give it what is next, if it may have that."""
        commands = [] if self._passed_over else self._queue.next_ahead()
        if commands:
            tickets = self._interpreter.run_next([self._message(command) for command in commands])
            for command, ticket in zip(commands, tickets, strict=True):
                command.ticket = ticket

    def call_back(self) -> list[Instruction]:
        """Have it begin with nothing after what runs, so that it can be decided anew what that is to be."""
        taken = self._interpreter.take_back()
        if taken:
            self._passed_over = True
        return self._queue.recalled(taken)

    def _message(self, command: Command) -> Message:
        fields: dict[str, Any] = {"id": list(command.id), "verb": command.verb, "args": command.args}
        if command.values is not None:
            fields["values"] = command.values
        if command.memories:
            fields["memories"] = [memory.reference.to_plain() for memory in command.memories]
        least = self._answer_in(command)
        if least is not None and self._memories.has_room:
            fields["answer_in"] = least
        return Message("command", fields, list(command.bodies))

    def _answer_in(self, command: Command) -> int | None:
        """From how many bytes on its outcome is left in memory, by which it comes to this process at least."""
        return LEAST if command.answer_in is None and self._sees_memory else command.answer_in
