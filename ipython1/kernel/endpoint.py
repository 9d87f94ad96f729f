"""The listening endpoint: gives each connection a few seconds to show that it may be here.

Foolscap alone lets a silent connection stay for two minutes, and one that negotiated with a Tub of its own but
knows no FURL stays for ever, and may send a string without an end, which is kept.  Here a connection is
*unidentified* until its peer has opened a session through a FURL; an unidentified one is cut off after
`IDENTIFY_WITHIN` seconds or `MAX_UNIDENTIFIED_BYTES`, and when there are more than `MAX_UNIDENTIFIED` of them the
oldest goes, since a peer that means well identifies itself in milliseconds.

By their first byte connections are told apart: Foolscap's begin in plain text, and lines (`ipython1.kernel.line`) with
TLS at once.  What begins otherwise is cut off with that.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.secured import socket_of

IDENTIFY_WITHIN = 5.0
"""Seconds."""
MAX_UNIDENTIFIED = 2048
"""So many that under a thousand new ones a second a peer that means well has two seconds, which it may need then."""
MAX_UNIDENTIFIED_BYTES = 128 << 10
"""More than the negotiation, the TLS handshake and the largest hello have together."""

_FOOLSCAP = b"G"  # of "GET /id/<tub id>"
_TLS = b"\x16"  # a handshake

Accept = Callable[[socket.socket, bytes, Callable[[], None]], Callable[[], None]]
"""Takes a connection that begins with TLS: see `ipython1.kernel.controller.lines.Lines.accept`."""


class Probation:
    """The time in which a connection has to show that it may be here; `abort` cuts it off."""

    def __init__(self, factory: GuardingFactory, abort: Callable[[], None]) -> None:
        self._factory = factory
        self._abort = abort
        self._timeout = factory.reactor.callLater(IDENTIFY_WITHIN, self.abort)
        factory.add_unidentified(self)

    def over(self) -> None:
        """The connection may stay, or is not there any more."""
        if self._timeout.active():
            self._timeout.cancel()
        self._factory.drop_unidentified(self)

    def abort(self) -> None:
        """Cut the connection off."""
        self.over()
        self._abort()


class GuardedConnection(ProtocolWrapper):
    """One connection; `identified` is called on it when its peer opened a session."""

    factory: GuardingFactory
    transport: Any
    _received = 0
    _probation: Probation | None = None

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        self._probation = Probation(self.factory, self.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        if self._probation is not None:
            first = not self._received
            self._received += len(data)
            if first and data[:1] == _TLS and self.factory.accept is not None:
                self._hand_over(self.factory.accept, data)
                return
            if (first and data[:1] != _FOOLSCAP) or self._received > MAX_UNIDENTIFIED_BYTES:
                self._probation.abort()
                return
        super().dataReceived(data)

    def _hand_over(self, accept: Accept, data: bytes) -> None:
        """It is not for Foolscap: `accept` has it from now on."""
        self.identified()
        cut_off: list[Callable[[], None]] = []
        probation = Probation(self.factory, lambda: cut_off[0]())
        cut_off.append(accept(socket_of(self.transport), data, probation.over))

    def identified(self) -> None:
        """The peer has shown a valid FURL: the connection may stay."""
        probation, self._probation = self._probation, None
        if probation is not None:
            probation.over()

    def abortConnection(self) -> None:
        """See `ITCPTransport.abortConnection`."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.identified()
        super().connectionLost(reason)


class GuardingFactory(WrappingFactory):
    """Makes guarded connections, and counts those that are not identified."""

    noisy = False
    protocol = GuardedConnection

    def __init__(self, wrapped: Factory, reactor: IReactorTime, accept: Accept | None = None) -> None:
        super().__init__(wrapped)
        self.reactor = reactor
        self.accept = accept
        # a dictionary for its order: the oldest comes first
        self._unidentified: dict[Probation, None] = {}

    def add_unidentified(self, connection: Probation) -> None:
        """There is a new connection."""
        self._unidentified[connection] = None
        if len(self._unidentified) > MAX_UNIDENTIFIED:
            next(iter(self._unidentified)).abort()

    def drop_unidentified(self, connection: Probation) -> None:
        """A connection was identified, or is over."""
        self._unidentified.pop(connection, None)


@implementer(IStreamServerEndpoint)
class GuardedEndpoint:
    """Listens on another endpoint, with guarded connections; `accept` takes those that begin with TLS."""

    def __init__(
        self, endpoint: IStreamServerEndpoint, reactor: IReactorTime, accept: Accept | None = None
    ) -> None:
        self._endpoint = endpoint
        self._reactor = reactor
        self._accept = accept

    def listen(self, factory: Any) -> Deferred[Any]:
        """See `IStreamServerEndpoint.listen`."""
        return self._endpoint.listen(GuardingFactory(factory, self._reactor, self._accept))
