"""Tickets: what says, between an agent and its interpreter, which of the commands sent ahead have begun.

A command that is sent while another one runs has a ticket, a round and a number, which is also put into a pipe that both
processes can read.  The interpreter begins with the command when it has read its ticket; the agent takes commands back by
reading theirs.  Whoever reads a ticket has it: so both know for certain what has begun, however busy the other one is,
and what is taken back from behind a task that takes long need not wait for that.

Tickets are read in their order, and the commands that have lost theirs are passed over.  A command without a number needs
no ticket: it was sent when nothing ran.  To pass over a command the interpreter may have to read the ticket of a later one,
with which it has not begun then: so the agent gives none as long as there may be commands that are to be passed over, that
is until a command has been answered which it has sent after them.

*Rounds.*  Output belongs to the command that runs when it is written, and the agent finds out which one that is by the
replies.  So when something is in the pipes of the output at the end of a command, the interpreter says so in its reply, and
begins with nothing that was sent before the agent has seen that, and read the output.  Both ends count these replies: a
ticket is good in its round only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Sequence

TICKET = struct.Struct(">II")
"""A round and a number, in the pipe."""


class Tickets:
    """The interpreter's end of the pipe, which does not block.

    As in `ipython1.core.channel`, any line may be left by an exception, and be run again.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.round = 0
        """How many replies have said that output was not read."""
        self._read: list[bytes] = [TICKET.pack(0, 0)]

    def may_begin(self, ticket: Sequence[int]) -> bool:
        """Whether the command of that ticket is to begin; asked in the order in which commands have come."""
        round_, number = ticket
        if not number:
            return True
        if round_ != self.round:
            return False
        wanted = TICKET.pack(round_, number)
        # Big-endian, so they compare like what they stand for.
        while self._read[-1] < wanted:
            try:
                self._read.extend(map(os.read, (self._descriptor,), (TICKET.size,)))
            except BlockingIOError:
                return False
            del self._read[:-1]
        return self._read[-1] == wanted

    def close(self) -> None:
        """Let go of the pipe."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def unread(descriptor: int) -> bool:
    """Whether something is in that pipe, or it cannot be told."""
    count = bytearray(4)
    with contextlib.suppress(OSError):
        fcntl.ioctl(descriptor, termios.FIONREAD, count)
        return any(count)
    return True
