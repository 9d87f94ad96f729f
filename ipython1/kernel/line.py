"""A line: a session's messages and streams on frames of our own, over a TLS connection that has nothing else.

Beside Foolscap, through which sessions are opened and taken up again, a controller takes lines on the same port and with
the same certificate.  Whoever has opened a session is given a token for one line, which takes the place of the
Foolscap connection (`ipython1.kernel.line_dial`, `ipython1.kernel.controller.lines`); ``docs/source/development/
sessions.txt`` has the rules.  Here is the line itself, alike at both ends.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from ipython1.kernel import line_frames as frames
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Bytes
from ipython1.kernel.line_frames import Kind
from ipython1.kernel.link import SessionLink
from ipython1.kernel.peer import Ending
from ipython1.kernel.secured import SecuredSocket
from ipython1.kernel.watch import Watch

JOINED = 16 << 10
"""Up to so many bytes, what is to be sent is joined: each record of TLS costs."""

# What comes is read into this, unless it is part of something large: a record of TLS at a time, since each call to read one
# may make this thread wait for those of users.
_scratch = memoryview(bytearray(16 << 10))

Opening = Callable[[Kind, Bytes], None]


class OpenLines:
    """Those of one controller, or of one process that dials."""

    def __init__(self) -> None:
        self._lines: set[Line] = set()

    def add(self, line: Line) -> None:
        """There is a new one."""
        self._lines.add(line)
        line.socket.closed.addCallback(lambda _: self._lines.discard(line))

    async def stop(self) -> None:
        """Cut off those that are not about to end; returns when none is left."""
        closed = [line.socket.closed for line in self._lines]
        for line in list(self._lines):
            if line.socket.is_open:
                line.cut_off()
        await DeferredList(closed)


class Line:
    """One connection; see `ipython1.kernel.connection.Carrier`.

    `ready` is called when it is there.  Until it carries a session, frames go to `opening`, which may raise ProtocolError,
    and its end to `broken`, with a reason.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_side: bool = False,
        allowance: int | None = None,
    ) -> None:
        self.opening: Opening | None = None
        self.ready: Callable[[], None] | None = None
        self.broken: Callable[[str], None] | None = None
        self.socket = SecuredSocket(reactor, sock, context, self, server_side, allowance)
        self._reactor = reactor
        self._watch = Watch(lambda: self.send(frames.frame(Kind.ASK)), self.cut_off)
        self._link: SessionLink | None = None
        self._connection = 0
        self._when_lost = ""
        # Whole frames, which go before the parts of pieces.
        self._frames: deque[Bytes] = deque()
        self._pieces: deque[tuple[bytes, memoryview]] = deque()
        self._sending = memoryview(b"")
        self._part = memoryview(b"")
        self._answers: dict[tuple[int, int], Deferred[bool | None]] = {}
        # Of the frame that is being read: what there is of its head, its kind, its content, and what is missing of that.
        self._head = b""
        self._kind: Kind | None = None
        self._content: Bytes = b""
        self._rest = memoryview(b"")
        self._coming: frames.Piece | None = None
        self._piece = bytearray()
        self._filled = 0

    # -- the session ---------------------------------------------------------------------------------

    def carry(self, link: SessionLink, has: int, when_lost: str, silence: float) -> None:
        """Be the connection of `link`, whose peer has received `has` messages, from now on.

        A session whose peer cannot have that many is closed, and the line with it.
        """
        self.socket.allowance = None
        self.opening = self.broken = None
        self._when_lost = when_lost
        try:
            link.resume(self, has)
        except ProtocolError as problem:
            link.close(f"protocol error: {problem}")
            self.let_go()
            return
        self._link, self._connection = link, link.connection
        self._watch.begin(self._reactor, silence)

    def deliver(self, batch: bytes) -> None:
        head = frames.head(Kind.BATCH, len(batch))
        if len(batch) <= JOINED:
            self.send(head + batch)
        else:
            self._frames.append(head)
            self.send(batch)

    def piece(self, number: int, offset: int, data: Bytes) -> Deferred[bool | None]:
        answer: Deferred[bool | None] = Deferred()
        view = memoryview(data)
        self._answers[number, offset] = answer
        self._pieces.append((frames.piece(number, offset, len(view)), view))
        self.socket.wake()
        return answer

    def let_go(self) -> None:
        self._link = None
        self._drop_pieces()
        self._watch.end()
        if self.socket.is_open:
            self.socket.abort()
        self._forget_answers()

    def _drop_pieces(self) -> None:
        self._pieces.clear()
        self._sending = memoryview(b"")

    def close(self, reason: str, goodbye: bool) -> None:
        self._drop_pieces()
        self.finish(frames.close(reason, goodbye))

    def cut_off(self) -> None:
        self.socket.abort()
        self._reactor.callLater(0, self.lost, "")

    def finish(self, frame: bytes) -> None:
        """Send this last frame, and be over."""
        self._frames.append(frame)
        self.socket.finish()
        self.let_go()

    # -- sending -------------------------------------------------------------------------------------

    def send(self, frame: Bytes) -> None:
        """Send a frame, with no more delay than the network makes."""
        self._frames.append(frame)
        self.socket.wake()

    def next_part(self) -> Bytes | None:
        """See `ipython1.kernel.secured.User`."""
        if self._part:
            part, self._part = self._part, memoryview(b"")
            return part
        if self._frames:
            return self._next_frames()
        if not self._sending:
            if not self._pieces:
                return None
            announced, self._sending = self._pieces.popleft()
            return announced
        self._part = self._sending[: frames.PART]
        # An empty part of it would keep all of it in memory.
        self._sending = self._sending[frames.PART :] or memoryview(b"")
        return frames.head(Kind.PART, len(self._part))

    def _next_frames(self) -> Bytes:
        first = self._frames.popleft()
        if not self._frames or len(first) + len(self._frames[0]) > JOINED:
            return first
        joined, size = [first], len(first)
        while self._frames and size + len(self._frames[0]) <= JOINED:
            joined.append(self._frames.popleft())
            size += len(joined[-1])
        return b"".join(joined)

    # -- receiving -----------------------------------------------------------------------------------

    def secured(self) -> None:
        """See `ipython1.kernel.secured.User`."""
        if self.ready is not None:
            self.ready()

    def data_ready(self) -> None:
        """See `ipython1.kernel.secured.User`."""
        self._watch.heard = True
        read_into = self.socket.read_into
        try:
            while count := read_into(self._rest or _scratch):
                if self._rest:
                    # It is where it belongs.
                    self._rest = self._rest[count:]
                    if not self._rest:
                        self._whole()
                else:
                    # Not what it was read into: that is for all lines, and this goes on while other things happen.
                    self._read(memoryview(bytes(_scratch[:count])))
        except ProtocolError as problem:
            self.log.warn("garbage ended a line: {problem}", problem=problem)
            self.socket.abort()
            self.lost(str(problem))

    def _read(self, data: memoryview) -> None:
        """Take the frames that are in `data`; of the last one, what there is of it."""
        while data:
            missing = frames.HEAD - len(self._head)
            self._head += data[:missing]
            data = data[missing:]
            if len(self._head) < frames.HEAD:
                return
            kind, length = frames.parse_head(self._head)
            self._head = b""
            self._begin(kind, length)
            if len(data) < length:
                if kind is not Kind.PART:
                    self._content = bytearray(length)
                    self._rest = memoryview(self._content)
                self._rest[: len(data)] = data
                self._rest = self._rest[len(data) :]
                return
            if kind is Kind.PART:
                self._rest[:] = data[:length]
            else:
                self._content = data[:length]
            data = data[length:]
            self._whole()

    def _begin(self, kind: Kind, length: int) -> None:
        """A frame of that kind and length comes."""
        if (self.opening is not None) != (kind in (Kind.HELLO, Kind.WELCOME)):
            raise ProtocolError(f"a {kind.name} frame at a time when there is none")
        self._kind = kind
        if kind is Kind.PART:
            if self._coming is None or self._filled + length > self._coming.size:
                raise ProtocolError("a part of a piece that was not announced")
            self._rest = memoryview(self._piece)[self._filled : self._filled + length]
            self._filled += length

    def _whole(self) -> None:
        kind, content = self._kind, self._content
        self._kind, self._content, self._rest = None, b"", memoryview(b"")
        assert kind is not None
        self._take(kind, content)

    def _take(self, kind: Kind, content: Bytes) -> None:
        link = self._link
        if self.opening is not None:
            self.opening(kind, content)
        elif kind is Kind.ASK:
            self.send(frames.frame(Kind.SIGN))
        elif kind is Kind.PART:
            self._part_came()
        elif link is None:
            pass
        elif kind is Kind.BATCH:
            link.batch_received(content, self._connection)
        elif kind is Kind.ANSWER:
            self._answered(*frames.parse_answer(content))
        elif kind is Kind.PIECE:
            self._piece_comes(frames.parse_piece(content))
        elif kind is Kind.CLOSE:
            reason, goodbye = frames.parse_close(content)
            link.over(reason, Ending.GOODBYE if goodbye else Ending.CLOSED)

    def _piece_comes(self, piece: frames.Piece) -> None:
        if self._coming is not None:
            raise ProtocolError("a piece before all of the last one was here")
        self._coming = piece
        self._piece = bytearray(piece.size)
        self._filled = 0

    def _part_came(self) -> None:
        coming = self._coming
        if coming is None or self._filled < coming.size:
            return
        piece, self._piece, self._coming = self._piece, bytearray(), None
        if self._link is not None:
            number, offset, _ = coming
            answer = self._link.piece_received(number, offset, piece)
            answer.addCallback(lambda wanted: self.send(frames.answer(number, offset, wanted)))

    def _answered(self, number: int, offset: int, wanted: bool) -> None:
        answer = self._answers.pop((number, offset), None)
        if answer is not None:
            answer.callback(wanted)

    # -- the end -------------------------------------------------------------------------------------

    def lost(self, reason: str) -> None:
        """See `ipython1.kernel.secured.User`."""
        self._watch.end()
        link, self._link = self._link, None
        broken, self.broken, self.opening = self.broken, None, None
        if link is not None:
            link.carrier_lost(self, f"{self._when_lost} ({reason})" if reason else self._when_lost)
        elif broken is not None:
            broken(reason or "it was closed")
        self._forget_answers()

    def _forget_answers(self) -> None:
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.callback(None)
