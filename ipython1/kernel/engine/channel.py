"""The agent's end of the socket pair over which it exchanges messages with an interpreter.

A descriptor of our own instead of a Twisted transport: large bodies are written from where they are (a transport
would join them with what else waits), and when the interpreter has died, what it had still written can be read at
once.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Decoder, Message, encode

PIECE = 256 << 10
"""So much is read or written before other descriptors have their turn."""
MOST_PARTS = 64
"""So many parts are sent at a time."""
LAST_PIECES = 64
"""So many pieces are drained at most: a child of a dead interpreter that has its socket must not keep us here."""


@implementer(IReadWriteDescriptor)
class Channel:
    """Sends messages and gives those that come to `received`, as many as came together.

    `lost` is called once with a reason if the other end is closed or sends what is no message.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        sock: socket.socket,
        received: Callable[[list[Message]], None],
        lost: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._socket = sock
        self._received = received
        self._lost = lost
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()
        self._finishing = False
        self._reading = True
        sock.setblocking(False)
        reactor.addReader(self)

    def send(self, sent: Iterable[Message]) -> None:
        """Send messages as soon as the interpreter takes them; their bodies must not change until then."""
        if self._socket.fileno() < 0 or self._finishing:
            return
        for message in sent:
            for part in encode(message):
                view = memoryview(part).cast("B")
                if view.nbytes:
                    self._outgoing.append(view)
        self._write()

    def finish(self) -> None:
        """Send what was to be sent and then end of file, which asks the interpreter to leave."""
        self._finishing = True
        self._write()

    def drain(self) -> None:
        """Take what has arrived."""
        for _ in range(LAST_PIECES):
            if not self._reading:
                return
            try:
                data = self._socket.recv(PIECE)
            except OSError:  # there is no more; or it is broken, which the reactor will see, too
                return
            if not data:
                return
            self._take(data)

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._socket.close()
        self._outgoing.clear()
        self._reading = False

    def doRead(self) -> Any:  # Twisted's reactors want an exception, and its interface a Failure
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self._take(data)
        return None

    def _take(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except ProtocolError as problem:
            self._broken(f"sent what is no message: {problem}")
            return
        if messages:
            self._received(messages)

    def doWrite(self) -> None:
        if self._outgoing:
            try:
                sent = self._socket.sendmsg(self._next_parts())
            except BlockingIOError:
                return
            except OSError:
                # The interpreter has ended or closed its socket: the reading side says so.
                self._outgoing.clear()
            else:
                self._was_sent(sent)
        if not self._outgoing:
            self._reactor.removeWriter(self)
            if self._finishing:
                with contextlib.suppress(OSError):  # the other end is closed already
                    self._socket.shutdown(socket.SHUT_WR)

    def _next_parts(self) -> list[memoryview]:
        """What is sent next, of several parts at once: each call to send may wake the interpreter."""
        parts, size = [], 0
        for view in islice(self._outgoing, MOST_PARTS):
            parts.append(view[: PIECE - size])
            size += parts[-1].nbytes
            if size == PIECE:
                break
        return parts

    def _was_sent(self, size: int) -> None:
        while size:
            view = self._outgoing[0]
            if size < view.nbytes:
                self._outgoing[0] = view[size:]
                return
            size -= view.nbytes
            self._outgoing.popleft()

    def _write(self) -> None:
        if self._socket.fileno() >= 0:
            # Most messages are small and need not wait for the reactor's next turn.
            self.doWrite()
            if self._outgoing:
                self._reactor.addWriter(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def connectionLost(self, reason: Failure) -> None:
        done = isinstance(reason.value, ConnectionDone)
        self._broken("closed its connection to the agent" if done else "broke its connection to the agent")

    def _broken(self, reason: str) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)
            self._lost(reason)

    def logPrefix(self) -> str:
        return "interpreter"
