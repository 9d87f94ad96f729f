"""What an interpreter writes to a descriptor (1 or 2): read by the agent as it comes, kept until it is taken.

The descriptor belongs to everything in the interpreter: Python, C code, child processes and threads.  So text is
assigned to commands by time alone: what was written before the reply to one that runs code (an execute, a function that
is applied, a task), and was not taken, is part of its output.  This gives a place to what is written while none runs (by a
thread, a child in the background, or a value that prints while it is unpickled): it goes to the next one, where the person
who caused it sees it, and not to a log of the agent that this person may not be able to read.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.config.settings import OUTPUT_LIMIT

PIPE_SIZE = 256 << 10
"""Wanted size of the pipe, so that the interpreter can go on writing while the agent is busy.

Linux gives a user 64 MiB of such pipes; 32 engines take a quarter of it.
"""
CHUNK = 256 << 10
LIMIT_IDLE = 1 << 20
"""Bytes that are kept while no command runs."""


class Text:
    """Bytes that are kept in pieces and joined once; what goes beyond the limit is dropped, and a note says so."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        # Where each of them ends.
        self._ends: list[int] = []
        self._size = 0
        self._full = False

    @property
    def size(self) -> int:
        """How many bytes there are to be taken."""
        return self._ends[-1] if self._ends else 0

    def add(self, chunk: bytes) -> None:
        """Keep what was written."""
        room = self._limit - self._size
        if len(chunk) <= room:
            self._keep(chunk)
            self._size += len(chunk)
        elif not self._full:
            self._keep(chunk[:room] + b"\n[more than %d bytes of output: the rest was dropped]\n" % self._limit)
            self._size = self._limit
            self._full = True

    def _keep(self, chunk: bytes) -> None:
        self._ends.append(self.size + len(chunk))
        self._chunks.append(chunk)

    def since(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes of what there is to be taken, from `offset` on."""
        place = bisect_right(self._ends, offset)
        found: list[bytes] = []
        while limit > 0 and place < len(self._chunks):
            chunk = self._chunks[place]
            skipped = max(0, offset - (self._ends[place] - len(chunk)))
            found.append(chunk[skipped : skipped + limit])
            limit -= len(found[-1])
            place += 1
        return b"".join(found)

    def set_limit(self, limit: int) -> None:
        """From now on, keep so many bytes."""
        self._limit = limit
        self._full = False

    def take(self) -> bytes:
        """All that was kept; it is kept no longer."""
        taken = b"".join(self._chunks)
        self._chunks.clear()
        self._ends.clear()
        self._size = 0
        self._full = False
        return taken


@implementer(IReadDescriptor)
class Capture:
    """Reads the agent's end of such a pipe, whenever there is something and when it is asked to.

    All text comes through `_received`, once.  `limit` is how many bytes are kept of one command: an endless loop that
    prints must not take all of the memory.
    """

    def __init__(self, reactor: Any, descriptor: int, limit: int = OUTPUT_LIMIT.default) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._capacity = _enlarge(descriptor)
        self._limit_running = limit
        self._text = Text(LIMIT_IDLE)
        self.heard: Callable[[], None] | None = None
        """Called when something has come."""
        self.ready: Callable[[], None] | None = None
        """Called when something is there, before it is read unasked."""
        os.set_blocking(descriptor, False)
        reactor.addReader(self)

    def take(self) -> bytes:
        """The text since the last time."""
        return self._text.take()

    @property
    def size(self) -> int:
        """How many bytes of text there are, since the last time."""
        return self._text.size

    def since(self, offset: int, limit: int) -> bytes:
        """A part of that text, which is not taken."""
        return self._text.since(offset, limit)

    def running(self, runs: bool) -> None:
        """Whether a command runs now: then much more is kept."""
        self._text.set_limit(self._limit_running if runs else LIMIT_IDLE)

    def drain(self) -> None:
        """Read all that was written before this call.

        That is no more than the pipe holds; a child that goes on writing must not keep us here.
        """
        left = self._capacity
        while left > 0:
            count = self._read()
            if not count:
                return
            left -= count

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            # Its end may be among the events that the reactor has fetched. Were its number free now, the next interpreter's
            # pipe could get it within this round, and be taken for the one that has ended.
            self._reactor.callLater(0, os.close, self._descriptor)
            self._descriptor = -1

    def _read(self) -> int:
        if self._descriptor < 0:
            return 0
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return 0
        except OSError:
            chunk = b""
        if chunk:
            self._received(chunk)
        else:
            # Everybody closed the other end; the interpreter may still live, and compute.
            self.close()
        return len(chunk)

    def _received(self, chunk: bytes) -> None:
        self._text.add(chunk)
        if self.heard is not None:
            self.heard()

    def doRead(self) -> None:
        if self.ready is not None:
            self.ready()
        self._read()

    def fileno(self) -> int:
        return self._descriptor

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def logPrefix(self) -> str:
        return "output"


def _enlarge(descriptor: int) -> int:
    """Make the pipe large where the system has a way to; returns its size."""
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return 64 << 10
    with contextlib.suppress(OSError):  # this user has too many large pipes already
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
