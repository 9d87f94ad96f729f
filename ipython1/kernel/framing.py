"""Messages to bytes and back: the one format that every link uses.

A frame is a four-byte length, a header of that length, and the bodies::

    >I header length | msgpack [kind, fields, sizes] | body | body | ...

`sizes` has one entry per body: its length, or ``[number, length]`` for a body that is not in the frame but
travels beside it as a stream.  The header is plain data (msgpack: None, bool, numbers, str, bytes, lists and
dicts), so reading it runs no code; bodies are opaque here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from ipython1.kernel.error import ProtocolError

Bytes = bytes | bytearray | memoryview

LENGTH = struct.Struct(">I")
# A header holds short things; what is long is a body. The limit is what a hostile peer can make us keep.
MAX_HEADER = 1 << 20
MAX_BODIES = 1 << 16


class StreamRef(NamedTuple):
    """Stands in `Message.bodies` for a body that travels beside the message, as the stream of that number."""

    number: int
    size: int


@dataclass
class Traffic:
    """How many bytes of streams have come or gone, of how many that there are as far as is known."""

    done: int = 0
    total: int = 0

    def begun(self, size: int) -> None:
        """A stream of that size was begun."""
        self.total += size

    def again(self) -> None:
        """All of it begins anew."""
        self.done = self.total = 0


@dataclass
class Message:
    """A kind, its fields (plain data), and its bodies (bytes, or references to streams)."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    bodies: list[Bytes | StreamRef] = field(default_factory=list)
    traffic: Traffic | None = field(default=None, compare=False, repr=False)
    """Where it is counted what of its streams has come or gone, if somebody wants to know."""

    def streams(self) -> list[StreamRef]:
        """The bodies that travel beside this message."""
        return [body for body in self.bodies if isinstance(body, StreamRef)]


def pack(plain: Any) -> bytes:
    """Plain data (None, bool, numbers, str, bytes, lists, dicts) as one body.

    Raises TypeError, ValueError or OverflowError for anything else.
    """
    packed: bytes = msgpack.packb(plain, use_bin_type=True)
    return packed


def unpack(body: Bytes) -> Any:
    """The plain data that `pack` made `body` of; ProtocolError if it is no such thing."""
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as problem:
        raise ProtocolError(f"not plain data: {type(problem).__name__}: {problem}") from None


def encode(message: Message, max_header: int = MAX_HEADER) -> list[Bytes]:
    """The frame of `message`, as parts to be written one after the other; large bodies are not copied.

    Raises ProtocolError if its header is too long or no plain data, or its bodies are too many.
    """
    if len(message.bodies) > MAX_BODIES:
        raise ProtocolError(f"a {message.kind} message has {len(message.bodies)} bodies, at most {MAX_BODIES} go")
    sizes = [list(body) if isinstance(body, StreamRef) else _length(body) for body in message.bodies]
    try:
        header = pack([message.kind, message.fields, sizes])
    except (TypeError, ValueError, OverflowError) as problem:
        raise ProtocolError(f"a {message.kind} message cannot be encoded: {problem}") from None
    if len(header) > max_header:
        raise ProtocolError(
            f"a {message.kind} message names too much: its header has {len(header)} bytes, at most {max_header} go"
        )
    parts: list[Bytes] = [LENGTH.pack(len(header)) + header]
    parts.extend(body for body in message.bodies if not isinstance(body, StreamRef))
    return parts


def _length(body: Bytes) -> int:
    return body.nbytes if isinstance(body, memoryview) else len(body)


def _parse_header(header: Bytes, max_body: int | None) -> tuple[str, dict[str, Any], list[int | StreamRef]]:
    plain = unpack(header)
    if not (isinstance(plain, list) and len(plain) == 3):
        raise ProtocolError("a header is no list of kind, fields and sizes")
    kind, fields, sizes = plain
    if not (isinstance(kind, str) and isinstance(fields, dict) and isinstance(sizes, list)):
        raise ProtocolError("a header's kind, fields or sizes are of the wrong type")
    if len(sizes) > MAX_BODIES:
        raise ProtocolError(f"a message has {len(sizes)} bodies, at most {MAX_BODIES} go")
    return kind, fields, [_parse_size(size, max_body) for size in sizes]


_CUT_SHORT = "it ends in the middle of a message"


def _parse_size(size: Any, max_body: int | None) -> int | StreamRef:
    if type(size) is int and size >= 0:
        if max_body is not None and size > max_body:
            raise ProtocolError(f"a body has {size} bytes, at most {max_body} go in a frame")
        return size
    if isinstance(size, list) and len(size) == 2 and all(type(n) is int and n >= 0 for n in size):
        return StreamRef(size[0], size[1])
    raise ProtocolError(f"a body's size is {size!r:.50}")


def decode(data: Bytes, max_body: int | None = None) -> list[Message]:
    """The messages in `data`, all of which is there; ProtocolError if it is malformed, or ends in the middle of one."""
    messages = []
    view, place, end = memoryview(data), 0, len(data)
    while place < end:
        start = place + LENGTH.size
        if start > end:
            raise ProtocolError(_CUT_SHORT)
        (length,) = LENGTH.unpack_from(view, place)
        if length > MAX_HEADER:
            raise ProtocolError(f"a header of {length} bytes, at most {MAX_HEADER} go")
        place = start + length
        if place > end:
            raise ProtocolError(_CUT_SHORT)
        kind, fields, sizes = _parse_header(view[start:place], max_body)
        bodies: list[Bytes | StreamRef] = []
        for size in sizes:
            if isinstance(size, StreamRef):
                bodies.append(size)
            else:
                start, place = place, place + size
                bodies.append(bytes(view[start:place]))
        if place > end:
            raise ProtocolError(_CUT_SHORT)
        messages.append(Message(kind, fields, bodies))
    return messages


class Decoder:
    """Takes bytes as they come and gives the messages that are complete.

    `max_body` limits the bodies inside a frame (bytes); None for links whose other end is trusted.
    """

    def __init__(self, max_body: int | None = None) -> None:
        self._max_body = max_body
        self._machine = self._frames()
        self._wanted: int = next(self._machine)
        self._chunks: list[Bytes] = []
        self._have = 0
        self._inside = False

    @property
    def partial(self) -> bool:
        """Whether the bytes so far end in the middle of a message."""
        return self._have > 0 or self._inside

    def feed(self, data: Bytes) -> list[Message]:
        """Take `data`; return the messages that it completes. ProtocolError if it is malformed."""
        messages = []
        view = memoryview(data)
        while self._have + len(view) >= self._wanted:
            end = self._wanted - self._have
            self._chunks.append(view[:end])
            view = view[end:]
            # Joined when it is complete: a large body is copied once.
            part = b"".join(self._chunks)
            self._chunks.clear()
            self._have = 0
            step = self._machine.send(part)
            self._inside = not isinstance(step, Message)
            while isinstance(step, Message):
                messages.append(step)
                step = next(self._machine)
            self._wanted = step
        if view:
            self._chunks.append(bytes(view))
            self._have += len(view)
        return messages

    def _frames(self) -> Generator[Any, Bytes, None]:
        """A coroutine that yields how many bytes it wants next, or a finished message."""
        while True:
            # In no variable: that would keep the last message, however large, until the next one comes.
            yield (yield from self._frame())

    def _frame(self) -> Generator[Any, Bytes, Message]:
        (length,) = LENGTH.unpack((yield LENGTH.size))
        if length > MAX_HEADER:
            raise ProtocolError(f"a header of {length} bytes, at most {MAX_HEADER} go")
        kind, fields, sizes = _parse_header((yield length), self._max_body)
        bodies: list[Bytes | StreamRef] = []
        for size in sizes:
            if isinstance(size, StreamRef):
                bodies.append(size)
            else:
                bodies.append((yield size) if size else b"")
        return Message(kind, fields, bodies)


def send(sock: socket.socket, message: Message) -> None:
    """Write `message` to a blocking socket."""
    for part in encode(message):
        sock.sendall(part)


def receive(sock: socket.socket) -> Message | None:
    """The next message from a blocking socket; None at the end of file.

    The bodies are writable and were not copied: arrays that are unpickled from them own their memory.
    """
    prefix = _receive_exactly(sock, LENGTH.size)
    if prefix is None:
        return None
    (length,) = LENGTH.unpack(prefix)
    header = _receive_exactly(sock, length)
    if header is None:
        return None
    kind, fields, sizes = _parse_header(header, None)
    bodies: list[Bytes | StreamRef] = []
    for size in sizes:
        body = size if isinstance(size, StreamRef) else _receive_exactly(sock, size)
        if body is None:
            return None
        bodies.append(body)
    return Message(kind, fields, bodies)


def _receive_exactly(sock: socket.socket, size: int) -> bytearray | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = sock.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return buffer
