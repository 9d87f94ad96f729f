"""What the controller is told of one engine: that commands have begun, what they came to, what becomes of the engine.

That a command has begun is said at the end of the turn of the reactor; as a rule it has ended before, and its answer says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ipython1.kernel.engine.memories import Left, Memories
from ipython1.kernel.engine.outbox import Answered, Outbox
from ipython1.kernel.engine.queue import Command
from ipython1.kernel.error import EngineLost, ProtocolError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message
from ipython1.kernel.shared_memory.system import Unavailable


class Outlet(Protocol):
    """What an agent offers for what its engines have to say."""

    @property
    def connected(self) -> bool:
        """Whether there is a controller at the moment."""

    @property
    def outlived(self) -> bool:
        """Whether the controller, or the one before, is to be outlived: what it has asked for goes to its successor."""

    def send(self, message: Message) -> int | None:
        """Send a message to the controller, if there is one at the moment; the number that it was given."""

    def acknowledged(self, number: int) -> bool:
        """Whether the controller has the message of that number for good."""

    def answered(self) -> None:
        """An answer was put into the outbox."""

    @property
    def memories(self) -> Memories:
        """The memory that is shared with interpreters, and with clients."""


class Reports:
    """Those of one engine; its answers are kept in `outbox`.

    `engine` is the id under which the controller knows it, or has known it; None before that.
    """

    def __init__(self, outlet: Outlet, outbox: Outbox) -> None:
        self.engine: int | None = None
        self._outlet = outlet
        self._outbox = outbox
        self._unsaid: Command | None = None

    def begun(self, command: Command) -> None:
        """A command has begun, which is to be said."""
        self.say_begun()
        self._unsaid = command

    def say_begun(self) -> None:
        """Say what has begun, if that was not said."""
        command, self._unsaid = self._unsaid, None
        if command is not None:
            self.send("started", {"id": list(command.id)})

    def send(
        self, kind: str, fields: dict[str, Any], bodies: list[Bytes] | None = None
    ) -> tuple[Message, int | None]:
        """Say something: the message, and the number that it was given if there is a controller."""
        self.say_begun()
        message = Message(kind, {**fields, "engine": self.engine}, list(bodies or []))
        return message, self._outlet.send(message)

    def answer(
        self,
        command: Command,
        fields: dict[str, Any],
        bodies: list[Bytes],
        began: bool,
        printed: Sequence[bytes] = (),
    ) -> None:
        """Answer a command of the queue, and keep the answer until the controller is known to have it.

        What it has `printed`, to stdout and stderr, goes with it.
        """
        command.memories = ()
        if command is self._unsaid:
            self._unsaid = None
            fields = {**fields, "began": True}
        if any(printed):
            fields, bodies = {**fields, "output": len(printed)}, [*bodies, *printed]
        try:
            message, number = self.send("reply", {"id": list(command.id), **fields}, bodies)
        except ProtocolError as problem:
            # It was not too long for the pipe; the agent's link leaves room for what the controller adds.
            fields = {**{name: fields[name] for name in fields if name == "began"}, "ok": False}
            message, number = self.send("reply", {"id": list(command.id), **fields}, list(failure_bodies(problem)))
        if self._outlet.outlived:
            self._outbox.keep(Answered(command, message, began, number))
            self._outlet.answered()

    def answer_again(self) -> None:
        """Send what an earlier controller may not have stored."""
        for answered in self._outbox.all():
            answered.message.fields["engine"] = self.engine
            answered.number = self._outlet.send(answered.message)

    def disconnected(self) -> None:
        """The controller is gone, and with it who was to take outcomes out of memory: those that are kept are taken out."""
        self._unsaid = None
        for answered in self._outbox.all():
            said = answered.message.fields.pop("memory", None)
            left = None if said is None else self._outlet.memories.left(said["nonce"])
            if left is not None:
                self._take_out(answered, left)

    def _take_out(self, answered: Answered, left: Left) -> None:
        message = answered.message
        try:
            message.bodies = self._outlet.memories.lend(left, message.bodies)
        except Unavailable as problem:
            error = EngineLost(f"the values of {answered.command.label} could not be kept: {problem}")
            message.fields = {name: message.fields[name] for name in ("id", "engine", "began") if name in message.fields}
            message.fields["ok"] = False
            message.bodies = list(failure_bodies(error))
