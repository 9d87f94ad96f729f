"""The agent's end of the tickets by which an interpreter begins with commands that were sent ahead.

What they are is written in `ipython1.core.tickets`.
"""

from __future__ import annotations

import contextlib
import os

from ipython1.core.tickets import TICKET
from ipython1.kernel.engine.queue import Ticket

_MOST = 64 << 10  # more than are in the pipe at any time


class Tickets:
    """Gives tickets to one interpreter, and takes back those that it has not read.

    The agent keeps both ends of the pipe: `theirs` is the descriptor that the interpreter inherits.
    """

    def __init__(self) -> None:
        self.theirs, self._ours = os.pipe()
        for descriptor in (self.theirs, self._ours):
            os.set_blocking(descriptor, False)
        self._round = self._number = 0
        self._rest: bytes | None = None

    def give(self, count: int) -> list[Ticket]:
        """So many tickets for the commands that are sent next."""
        numbers = range(self._number + 1, self._number + 1 + count)
        self._number += count
        given = [(self._round, number) for number in numbers]
        os.write(self._ours, b"".join(TICKET.pack(*ticket) for ticket in given))
        return given

    def take_back(self) -> set[Ticket]:
        """Those that the interpreter has not read, and will not any more."""
        data = self._unread() if self._rest is None else self._rest
        return set(TICKET.iter_unpack(data))  # type: ignore[arg-type] # each is two numbers

    def next_round(self) -> None:
        """A reply came which said that output was not read; and now it is."""
        self._round += 1

    def close(self) -> None:
        """Let go of the pipe; what is in it can be taken back all the same."""
        if self._rest is None:
            self._rest = self._unread()
            os.close(self.theirs)
            os.close(self._ours)

    def _unread(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self.theirs, _MOST)
        return b""
