"""Messages over the socket to the host agent, in a process where any line may raise.

User code may leave behind a signal handler that raises (an alarm, say), and Python runs it wherever the main
thread happens to be: between a system call and the statement that notes what it did, too.  So whatever a system
call did is noted by the same C call that made it (``extend(map(...))``), state changes by one assignment, and
a call that was left by an exception can simply be made again: no byte is lost or sent twice.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ipython1.kernel import framing
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Message

# Parts below this many bytes are joined before they are sent: a copy costs less than a system call.
_SMALL_PART = 16 << 10


class _Incoming(NamedTuple):
    """A message so far: its parts (length, header, bodies) as far as they are known, which of them is being
    received, and what each recv added to that one."""

    parts: list[bytearray]
    current: int
    counts: list[int]


class Receiver:
    """Takes messages from a blocking socket whose peer is trusted."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._incoming = self._fresh()

    @staticmethod
    def _fresh() -> _Incoming:
        return _Incoming([bytearray(framing.LENGTH.size)], 0, [])

    def receive(self) -> Message | None:
        """The current message, None at the end of file.  Its bodies are writable and were not copied.

        It stays the current one until `advance` is called.
        """
        while True:
            parts, current, counts = self._incoming
            have = sum(counts)
            if have < len(parts[current]):
                counts.extend(map(self._sock.recv_into, (memoryview(parts[current])[have:],)))
                if not counts[-1]:
                    return None
                continue
            if current < 2:
                parts = _known_parts(parts, current)
            if current + 1 == len(parts):
                return _message(parts)
            self._incoming = _Incoming(parts, current + 1, [])

    def advance(self) -> None:
        """Have done with the current message.  Without one, nothing happens."""
        self._incoming = self._fresh()


def _known_parts(parts: list[bytearray], current: int) -> list[bytearray]:
    """The parts of a message, once the part at `current` (the length, the header) is there."""
    if current == 0:
        return [parts[0], bytearray(*framing.LENGTH.unpack(parts[0]))]
    sizes = framing.unpack(parts[1])[2]
    if not all(isinstance(size, int) for size in sizes):
        raise ProtocolError("a body beside the message, on a link that has none")
    return [*parts[:2], *map(bytearray, sizes)]


def _message(parts: list[bytearray]) -> Message:
    kind, fields, _ = framing.unpack(parts[1])
    return Message(kind, fields, list(parts[2:]))


class Sending:
    """One message on its way into a blocking socket."""

    def __init__(self, sock: socket.socket, message: Message) -> None:
        self._sock = sock
        self._views = [memoryview(part).cast("B") for part in _joined(framing.encode(message))]
        # Which view is being sent, and what each send took of it.
        self._progress: tuple[int, list[int]] = (0, [])

    def finish(self) -> None:
        """Send what is left of it."""
        while True:
            index, counts = self._progress
            if index == len(self._views):
                return
            rest = self._views[index][sum(counts) :]
            if rest:
                counts.extend(map(self._sock.send, (rest,)))
            else:
                self._progress = (index + 1, [])


def _joined(parts: Iterable[framing.Bytes]) -> Iterator[framing.Bytes]:
    """The same bytes, with small parts joined to their neighbours."""
    small: list[framing.Bytes] = []
    for part in parts:
        if len(part) < _SMALL_PART:
            small.append(part)
        else:
            yield b"".join(small)
            small = []
            yield part
    yield b"".join(small)
