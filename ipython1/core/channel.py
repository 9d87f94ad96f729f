"""Messages over the socket to the host agent, in a process where any line may raise.

User code may leave behind a signal handler that raises (an alarm, say), and Python runs it wherever the main
thread happens to be: between a system call and the statement that notes what it did, too.  So whatever a system
call did is noted by the same C call that made it (``extend(map(...))``), state changes by one assignment, and
a call that was left by an exception can simply be made again: no byte is lost or sent twice.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

from ipython1.kernel import framing
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Message


class _Incoming(NamedTuple):
    """A message so far: the parts that are complete, the one that is being received, what each recv added."""

    parts: list[bytearray]
    buffer: bytearray
    counts: list[int]


class Receiver:
    """Takes messages from a blocking socket whose peer is trusted."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._incoming = self._fresh()

    @staticmethod
    def _fresh() -> _Incoming:
        return _Incoming([], bytearray(framing.LENGTH.size), [])

    def receive(self) -> Message | None:
        """The current message, None at the end of file.  Its bodies are writable and were not copied.

        It stays the current one until `advance` is called.
        """
        while True:
            parts, buffer, counts = self._incoming
            have = sum(counts)
            if have < len(buffer):
                counts.extend(map(self._sock.recv_into, (memoryview(buffer)[have:],)))
                if not counts[-1]:
                    return None
                continue
            complete = [*parts, buffer]
            sizes = _sizes(complete)
            if len(complete) == len(sizes):
                return _message(complete)
            self._incoming = _Incoming(complete, bytearray(sizes[len(complete)]), [])

    def advance(self) -> None:
        """Have done with the current message.  Without one, nothing happens."""
        self._incoming = self._fresh()


def _sizes(parts: list[bytearray]) -> list[int]:
    """The sizes of a message's parts (length, header, bodies), as far as the first parts tell."""
    sizes = [framing.LENGTH.size, *framing.LENGTH.unpack(parts[0])]
    if len(parts) > 1:
        sizes.extend(framing.unpack(parts[1])[2])
    return sizes


def _message(parts: list[bytearray]) -> Message:
    kind, fields, sizes = framing.unpack(parts[1])
    if not all(isinstance(size, int) for size in sizes):
        raise ProtocolError("a body beside the message, on a link that has none")
    return Message(kind, fields, list(parts[2:]))


class Sending:
    """One message on its way into a blocking socket."""

    def __init__(self, sock: socket.socket, message: Message) -> None:
        self._sock = sock
        self._views = [memoryview(part).cast("B") for part in framing.encode(message)]
        self._counts: list[int] = []

    def finish(self) -> None:
        """Send what is left of it."""
        while True:
            view = self._rest()
            if view is None:
                return
            self._counts.extend(map(self._sock.send, (view,)))

    def _rest(self) -> memoryview | None:
        skip = sum(self._counts)
        for view in self._views:
            if skip < view.nbytes:
                return view[skip:]
            skip -= view.nbytes
        return None
