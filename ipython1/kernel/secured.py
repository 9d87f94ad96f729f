"""TLS over a socket: a descriptor of the reactor that encrypts and decrypts where the data lies.

In the place of Twisted's transports, which copy and join what is written, and send it in the reactor's next turn only:
here a short message leaves at once, long ones are encrypted as the network takes them, and what comes is decrypted
into the buffer where it is to stay.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import sys
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReadWriteDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.framing import Bytes

CHUNK = 256 << 10
"""So much is read or written before other descriptors have their turn."""
LINGER = 2.0
"""Seconds that the other end has to take the last that was sent to it."""
_AHEAD = 256 << 10
"""Bytes that the system takes and that are not on their way yet: what comes later cannot overtake them."""
# The module socket has no name for it before Python 3.12.
_TCP_NOTSENT_LOWAT = 25 if sys.platform == "linux" else None

_NOTHING = memoryview(b"")

# What comes is copied on from here before anything else happens: one for all connections will do.
_scratch = memoryview(bytearray(CHUNK))


def serving_context(certificate: Path) -> ssl.SSLContext:
    """For the end that has the certificate; the file has it, and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.load_cert_chain(certificate)
    return context


def dialing_context() -> ssl.SSLContext:
    """For the end that dials, which looks at the certificate itself: see `SecuredSocket.tub_id`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def socket_of(transport: Any) -> socket.socket:
    """The socket of a connection of Twisted's, which lets go of it, and is over for its protocol.

    What it has read already has left the socket.
    """
    transport.abortConnection()
    # Twisted closes a socket object that has no socket any more.
    return socket.socket(fileno=transport.getHandle().detach())


class User(Protocol):
    """What uses a secured socket."""

    def secured(self) -> None:
        """The connection is there, and secret."""

    def data_ready(self) -> None:
        """Something came: `SecuredSocket.read_into` has it."""

    def next_part(self) -> Bytes | None:
        """What is to be sent next; None if there is nothing at the moment."""

    def lost(self, reason: str) -> None:
        """The connection is over, and not because this end wanted it."""


@implementer(IReadWriteDescriptor)
class SecuredSocket:
    """One connection; it begins at once.  `early` is what has been read from it; while an `allowance` is set, the other end
    may send so many bytes in all."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        sock: socket.socket,
        context: ssl.SSLContext,
        user: User,
        server_side: bool,
        allowance: int | None = None,
    ) -> None:
        self.allowance = allowance
        self.closed: Deferred[None] = Deferred()
        """Fires when it is over, however that came."""
        self._reactor: Any = reactor
        self._socket = sock
        self._user = user
        # None once it is over.
        self._incoming: Any = ssl.MemoryBIO()
        self._outgoing: Any = ssl.MemoryBIO()
        self._tls: Any = context.wrap_bio(self._incoming, self._outgoing, server_side)
        self._shaken = False
        # Whether there may be more of the record that was read last.  To ask would let other threads go first.
        self._partly_read = False
        self._leaving = _NOTHING
        self._more = False
        self._writing = False
        self._finishing = False
        self._over = False
        self._linger: IDelayedCall | None = None
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # not TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _TCP_NOTSENT_LOWAT is not None:
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _AHEAD)

    def start(self, early: bytes = b"") -> None:
        """Begin; `early` is what came already."""
        self._reactor.addReader(self)
        if early:
            self._came(early)
        elif not self._tls.server_side:
            self._progress()

    @property
    def is_open(self) -> bool:
        """Whether anything can still be sent and received."""
        return not self._over and not self._finishing

    @property
    def tub_id(self) -> str:
        """The id of the Tub whose certificate the other end has shown."""
        certificate = self._tls.getpeercert(True) or b""
        # As Foolscap has it, and so the FURL.
        return base64.b32encode(hashlib.sha1(certificate).digest()).decode().lower()

    # -- reading -------------------------------------------------------------------------------------

    def doRead(self) -> Any:  # Twisted's reactors want an exception, and its interface a Failure
        try:
            count = self._socket.recv_into(_scratch)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not count:
            return CONNECTION_DONE
        if not self._finishing:
            self._came(_scratch[:count])
        return None

    def _came(self, data: Bytes) -> None:
        if self.allowance is not None:
            self.allowance -= len(data)
            if self.allowance < 0:
                self._fail("too much came before it was known from whom")
                return
        self._incoming.write(data)
        self._progress()

    def _progress(self) -> None:
        """Go on with what came."""
        if not self._shaken:
            self._shake_hands()
        if self._shaken and self.is_open:
            self._user.data_ready()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._push()
            return
        except ssl.SSLError as problem:
            self._push()
            self._fail(f"no TLS could be agreed on: {problem.reason or problem}")
            return
        self._shaken = True
        self._user.secured()
        self._push()

    def read_into(self, place: memoryview) -> int:
        """Read what has come, up to the size of `place`, which is not empty; 0 if there is nothing more now."""
        if not self.is_open or not (self._incoming.pending or self._partly_read):
            return 0
        try:
            count: int = self._tls.read(len(place), place)
        except ssl.SSLWantReadError:
            self._partly_read = False
            return 0
        except ssl.SSLError as problem:
            self._fail(f"what came is no TLS: {problem.reason or problem}")
            return 0
        if not count:
            self._fail("")
        self._partly_read = count == len(place)
        return count

    # -- writing -------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There is something to be sent: as much as the network takes leaves now."""
        if self._shaken and not self._writing and self.is_open:
            self._push()

    def doWrite(self) -> None:
        self._push()

    def _push(self) -> None:
        if self._over:
            return
        if not self._leaving:
            self._encrypt()
        if self._leaving:
            try:
                sent = self._socket.send(self._leaving)
            except BlockingIOError:
                sent = 0
            except OSError:
                # The reading side says so.
                self._leaving = _NOTHING
                self._want_to_write(False)
                return
            # An empty part of it would keep all of it in memory.
            self._leaving = self._leaving[sent:] or _NOTHING
        more = bool(self._leaving) or self._more
        self._want_to_write(more)
        if self._finishing and not more:
            # To close now might take from the other end what it has not read yet.
            with contextlib.suppress(OSError):  # it was closed at the other end already
                self._socket.shutdown(socket.SHUT_WR)

    def _encrypt(self) -> None:
        """Have the next chunk ready to leave."""
        self._more = False
        while self._shaken and (part := self._user.next_part()) is not None:
            rest = memoryview(part)
            while rest:
                rest = rest[self._tls.write(rest) :]
            if self._outgoing.pending >= CHUNK:
                self._more = True
                break
        self._leaving = memoryview(self._outgoing.read())

    def _want_to_write(self, wanted: bool) -> None:
        if wanted != self._writing:
            self._writing = wanted
            (self._reactor.addWriter if wanted else self._reactor.removeWriter)(self)

    # -- the end -------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Send what is to be sent, and then close; what comes meanwhile is not taken."""
        if self.is_open:
            self._finishing = True
            self._linger = self._reactor.callLater(LINGER, self.abort)
            self._push()

    def abort(self) -> None:
        """Be over, at once."""
        if self._over:
            return
        self._over = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        with contextlib.suppress(OSError):  # it is closed at the other end already
            # The system would keep what the other end does not take.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # A child that was forked off may have it, too.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._leaving = _NOTHING
        # These are large, and would stay until the garbage collector, to which they look small, finds who had them.
        self._tls = self._incoming = self._outgoing = None
        self.closed.callback(None)

    def _fail(self, reason: str) -> None:
        self.abort()
        self._user.lost(reason)

    def connectionLost(self, reason: Failure) -> None:
        # Reactors say this also of a descriptor that was closed while they looked at it.
        if self._finishing:
            self.abort()
        elif not self._over:
            self._fail("" if reason.check(ConnectionDone, ConnectionLost) else reason.getErrorMessage())

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "line"
