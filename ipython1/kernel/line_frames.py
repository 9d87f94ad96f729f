"""The frames of a line (`ipython1.kernel.line`)::

    >BI kind, length | content

A piece of a stream is announced by a frame of its own, and its bytes follow in parts, between which other frames may
come: so a message waits for one part at the most, and the receiver puts the parts where the piece is to be.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from ipython1.kernel.batches import MAX_BATCH
from ipython1.kernel.connection import MAX_REASON
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Bytes, pack, unpack
from ipython1.kernel.stream import PIECE

PART = 64 << 10
"""Bytes of a piece that travel in one frame."""
MAX_OPENING = 4096
"""So long are the two frames at most that open a line."""

_HEAD = struct.Struct(">BI")
HEAD = _HEAD.size
_PIECE = struct.Struct(">QQI")
_ANSWER = struct.Struct(">QQ?")


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1  # of the dialing end: see `hello`
    WELCOME = 2  # the other's answer: see `welcome`
    BATCH = 3
    PIECE = 4  # a piece is coming
    PART = 5  # the next bytes of the piece that is coming
    ANSWER = 6  # to a piece
    CLOSE = 7  # the session is over
    ASK = 8  # for a sign
    SIGN = 9


_LONGEST: Mapping[Kind, int] = {
    Kind.HELLO: MAX_OPENING,
    Kind.WELCOME: MAX_OPENING,
    Kind.BATCH: MAX_BATCH,
    Kind.PIECE: _PIECE.size,
    Kind.PART: PART,
    Kind.ANSWER: _ANSWER.size,
    Kind.CLOSE: 4 * MAX_REASON + 64,
    Kind.ASK: 0,
    Kind.SIGN: 0,
}


class Piece(NamedTuple):
    """What announces a piece: its stream, its place there, its size."""

    number: int
    offset: int
    size: int


def head(kind: Kind, length: int) -> bytes:
    """What a frame begins with."""
    return _HEAD.pack(kind, length)


def frame(kind: Kind, content: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEAD.pack(kind, len(content)) + content


def parse_head(data: Bytes) -> tuple[Kind, int]:
    """The kind and the length of the frame that begins so; ProtocolError if there is no such frame."""
    number, length = _HEAD.unpack(data)
    try:
        kind = Kind(number)
    except ValueError:
        raise ProtocolError(f"a frame of the unknown kind {number}") from None
    if length > _LONGEST[kind]:
        raise ProtocolError(f"a {kind.name} frame of {length} bytes, at most {_LONGEST[kind]} go")
    return kind, length


def piece(number: int, offset: int, size: int) -> bytes:
    """The frame that announces a piece."""
    return frame(Kind.PIECE, _PIECE.pack(number, offset, size))


def parse_piece(content: Bytes) -> Piece:
    """What a PIECE frame says; ProtocolError if that is nothing that goes."""
    said = Piece(*_unpack(_PIECE, content))
    if not 0 < said.size <= PIECE:
        raise ProtocolError(f"a piece of {said.size} bytes, 1 to {PIECE} go")
    return said


def answer(number: int, offset: int, wanted: bool) -> bytes:
    """The frame that answers a piece."""
    return frame(Kind.ANSWER, _ANSWER.pack(number, offset, wanted))


def parse_answer(content: Bytes) -> tuple[int, int, bool]:
    """Number, offset and answer."""
    number, offset, wanted = _unpack(_ANSWER, content)
    return number, offset, wanted


def _unpack(form: struct.Struct, content: Bytes) -> tuple[Any, ...]:
    try:
        return form.unpack(content)
    except struct.error:
        raise ProtocolError(f"a frame of {len(content)} bytes in the place of {form.size}") from None


def close(reason: str, goodbye: bool) -> bytes:
    """The frame that ends the session."""
    return frame(Kind.CLOSE, pack([reason[:MAX_REASON], goodbye]))


def parse_close(content: Bytes) -> tuple[str, bool]:
    """The reason, and whether the peer itself ends."""
    said = unpack(content)
    if not (isinstance(said, list) and len(said) == 2 and isinstance(said[0], str)):
        raise ProtocolError("a CLOSE frame gives no reason")
    return said[0][:MAX_REASON], said[1] is True


class Hello(NamedTuple):
    """What the dialing end says: the token that it was given, for which session and with which controller it is, and
    how many messages of the session it has received."""

    token: bytes
    session: str
    incarnation: str
    received: int


def hello(said: Hello) -> bytes:
    """The first frame of a line."""
    return frame(Kind.HELLO, pack(list(said)))


def parse_hello(content: Bytes) -> Hello:
    """What the dialing end says."""
    said = unpack(content)
    types = (bytes, str, str, int)
    if not isinstance(said, list) or [type(value) for value in said] != list(types):
        raise ProtocolError("what opens a line is not what one says there")
    return Hello(*said)


def welcome(received: int) -> bytes:
    """The answer to a hello: the session goes on over this line, and so many of its messages were received."""
    return frame(Kind.WELCOME, pack({"received": received}))


def refusal(text: str) -> bytes:
    """The answer to a hello that opens nothing."""
    return frame(Kind.WELCOME, pack({"error": text[:1000]}))


def parse_welcome(content: Bytes) -> int | str:
    """How many messages the other end has received, or why it refuses."""
    said = unpack(content)
    if isinstance(said, dict) and type(said.get("received")) is int:
        return int(said["received"])
    if isinstance(said, dict) and isinstance(said.get("error"), str):
        return str(said["error"])
    raise ProtocolError("an answer to a hello that says nothing")
