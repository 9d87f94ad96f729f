"""The listening endpoint: gives each connection a few seconds to show that it may be here.

Foolscap alone lets a silent connection stay for two minutes, and one that negotiated with a Tub of its own but
knows no FURL stays for ever, and may send a string without an end, which is kept.  Here a connection is
*unidentified* until its peer has opened a session through a FURL; an unidentified one is cut off after
`IDENTIFY_WITHIN` seconds or `MAX_UNIDENTIFIED_BYTES`, and when there are more than `MAX_UNIDENTIFIED` of them the
oldest goes, since a peer that means well identifies itself in milliseconds.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

IDENTIFY_WITHIN = 5.0
"""Seconds."""
MAX_UNIDENTIFIED = 2048
"""So many that under a thousand new ones a second a peer that means well has two seconds, which it may need then."""
MAX_UNIDENTIFIED_BYTES = 128 << 10
"""More than the negotiation, the TLS handshake and the largest hello have together."""

# A Foolscap connection opens with "GET /id/<tub id>". What starts otherwise is cut off with its first byte; 0x16, with
# which TLS starts, is kept for a second protocol on the same port.
_FIRST_BYTE = b"G"


class GuardedConnection(ProtocolWrapper):
    """One connection; `identified` is called on it when its peer opened a session."""

    factory: GuardingFactory
    transport: Any
    _received = 0
    _identified = False
    _timeout: Any = None

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        self._timeout = self.factory.reactor.callLater(IDENTIFY_WITHIN, self.abort)
        self.factory.add_unidentified(self)

    def dataReceived(self, data: bytes) -> None:
        if not self._identified:
            first = not self._received
            self._received += len(data)
            if (first and data[:1] != _FIRST_BYTE) or self._received > MAX_UNIDENTIFIED_BYTES:
                self.abort()
                return
        super().dataReceived(data)

    def identified(self) -> None:
        """The peer has shown a valid FURL: the connection may stay."""
        self._identified = True
        self._leave_unidentified()

    def _leave_unidentified(self) -> None:
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()
        self.factory.drop_unidentified(self)

    def abort(self) -> None:
        """Cut the connection off."""
        self._leave_unidentified()
        self.abortConnection()

    def abortConnection(self) -> None:
        """See `ITCPTransport.abortConnection`."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._leave_unidentified()
        super().connectionLost(reason)


class GuardingFactory(WrappingFactory):
    """Makes guarded connections, and counts those that are not identified."""

    noisy = False
    protocol = GuardedConnection

    def __init__(self, wrapped: Factory, reactor: IReactorTime) -> None:
        super().__init__(wrapped)
        self.reactor = reactor
        # a dictionary for its order: the oldest comes first
        self._unidentified: dict[GuardedConnection, None] = {}

    def add_unidentified(self, connection: GuardedConnection) -> None:
        """Called by a new connection."""
        self._unidentified[connection] = None
        if len(self._unidentified) > MAX_UNIDENTIFIED:
            next(iter(self._unidentified)).abort()

    def drop_unidentified(self, connection: GuardedConnection) -> None:
        """Called by a connection that was identified or is over."""
        self._unidentified.pop(connection, None)


@implementer(IStreamServerEndpoint)
class GuardedEndpoint:
    """Listens on another endpoint, with guarded connections."""

    def __init__(self, endpoint: IStreamServerEndpoint, reactor: IReactorTime) -> None:
        self._endpoint = endpoint
        self._reactor = reactor

    def listen(self, factory: Any) -> Deferred[Any]:
        """See `IStreamServerEndpoint.listen`."""
        return self._endpoint.listen(GuardingFactory(factory, self._reactor))
