"""Messages over the socket to the host agent, in a process where any line may raise.

User code may leave behind a signal handler that raises (an alarm, say), and Python runs it wherever the main
thread happens to be: between a system call and the statement that notes what it did, too.  So whatever a system
call did is noted by the same C call that made it (``extend(map(...))``), state changes by one assignment, and
a call that was left by an exception can simply be made again: no byte is lost or sent twice.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ipython1.kernel import framing
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Message

# Parts below this many bytes are joined before they are sent: a copy costs less than a system call.
_SMALL_PART = 16 << 10
# What one system call may read ahead. Messages that do not fit are received into memory of their own.
_READ_AHEAD = 64 << 10


class _Ahead(NamedTuple):
    """What was read: `data` up to the sum of `counts`, which are what each recv added.

    The current message begins at `start` and ends at `stop`; the two are equal as long as there is none.
    """

    data: bytearray
    start: int
    stop: int
    counts: list[int]


class _Large(NamedTuple):
    """A message that is too long to be read ahead: its parts (length, header, bodies) as far as they are known, which of
    them is being received, and what each recv added to that one."""

    parts: list[bytearray]
    current: int
    counts: list[int]


class Receiver:
    """Takes messages from a blocking socket whose peer is trusted, as many with one system call as have come."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray(_READ_AHEAD)
        self._state: _Ahead | _Large = _Ahead(self._buffer, 0, 0, [])

    def receive(self) -> Message | None:
        """The current message, None at the end of file.  Its bodies are writable; large ones were not copied.

        It stays the current one until `advance` is called.
        """
        while True:
            state = self._state
            if isinstance(state, _Large):
                return self._receive_large(state)
            data, start, _, counts = state
            end = sum(counts)
            message, stop = _read(data, start, end)
            if message is not None:
                self._state = _Ahead(data, start, stop, counts)
                return message
            if stop - start > len(data):
                self._state = _begun(data[start:end])
            elif stop > len(data):
                self._buffer = bytearray(data[start:end]).ljust(_READ_AHEAD, b"\0")
                self._state = _Ahead(self._buffer, 0, 0, [end - start])
            else:
                counts.extend(map(self._sock.recv_into, (memoryview(data)[end:],)))
                if not counts[-1]:
                    return None

    def _receive_large(self, state: _Large) -> Message | None:
        while True:
            parts, current, counts = state
            have = sum(counts)
            if have < len(parts[current]):
                counts.extend(map(self._sock.recv_into, (memoryview(parts[current])[have:],)))
                if not counts[-1]:
                    return None
                continue
            if current < 2:
                parts = _known_parts(parts, current)
            if current + 1 == len(parts):
                kind, fields, _ = framing.unpack(parts[1])
                return Message(kind, fields, list(parts[2:]))
            self._state = state = _Large(parts, current + 1, [])

    def advance(self) -> None:
        """Have done with the current message.  Without one, nothing happens."""
        state = self._state
        if isinstance(state, _Large) or state.stop == sum(state.counts):
            # Nothing more has come, and no message refers to the buffer.
            self._state = _Ahead(self._buffer, 0, 0, [])
        else:
            self._state = _Ahead(state.data, state.stop, state.stop, state.counts)


def _read(data: bytearray, start: int, end: int) -> tuple[Message | None, int]:
    """The message at `start`, and where it stops; None if not all of it is there, and how much is wanted at the least."""
    place = start + framing.LENGTH.size
    if place > end:
        return None, place
    header = place
    place += framing.LENGTH.unpack_from(data, start)[0]
    if place > end:
        return None, place
    kind, fields, sizes = framing.unpack(data[header:place])
    _check_sizes(sizes)
    stop = place + sum(sizes)
    if stop > end:
        return None, stop
    bodies: list[framing.Bytes | framing.StreamRef] = []
    for size in sizes:
        bodies.append(data[place : place + size])
        place += size
    return Message(kind, fields, bodies), stop


def _begun(have: bytearray) -> _Large:
    """A message of which not all was read ahead."""
    parts, current = [bytearray(framing.LENGTH.size)], 0
    while True:
        part = parts[current]
        count = min(len(part), len(have))
        part[:count], have = have[:count], have[count:]
        if count < len(part):
            return _Large(parts, current, [count])
        if current < 2:
            parts = _known_parts(parts, current)
        current += 1


def _known_parts(parts: list[bytearray], current: int) -> list[bytearray]:
    """The parts of a message, once the part at `current` (the length, the header) is there."""
    if current == 0:
        return [parts[0], bytearray(*framing.LENGTH.unpack(parts[0]))]
    sizes = framing.unpack(parts[1])[2]
    _check_sizes(sizes)
    return [*parts[:2], *map(bytearray, sizes)]


def _check_sizes(sizes: list[Any]) -> None:
    if not all(isinstance(size, int) for size in sizes):
        raise ProtocolError("a body beside the message, on a link that has none")


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
