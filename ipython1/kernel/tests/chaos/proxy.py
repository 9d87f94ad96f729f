"""A proxy in front of the controller, for one agent or client: it cuts, stalls and slows down what goes through it.

Unlike `ipython1.kernel.tests.proxy` it keeps the order of bytes when it becomes faster again: what it does to connections is
what a network could do.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

MAX_HELD = 1 << 20
"""So many bytes wait in the proxy; a sender that has more has to wait, too."""


class _Side(Protocol):
    """One side of a connection; what comes here leaves on the other side."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._held: deque[tuple[float, bytes | None]] = deque()
        self._bytes = 0
        self._call: Any = None
        self.other: _Side | None = None

    def connectionMade(self) -> None:
        self._proxy.sides.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._hold(data)

    def _hold(self, data: bytes | None) -> None:
        self._held.append((reactor.seconds() + self._proxy.delay, data))
        self._bytes += len(data or b"")
        if self._bytes > MAX_HELD:
            self.transport.pauseProducing()
        self.pass_on()

    def pass_on(self) -> None:
        """Let go what is due; None stands for the end of the connection."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        while self._held and self.other is not None and not self._proxy.stalled:
            due, data = self._held[0]
            if due > reactor.seconds():
                self._call = reactor.callLater(due - reactor.seconds(), self.pass_on)
                break
            self._held.popleft()
            if data is None:
                self.other.transport.loseConnection()
            else:
                self._bytes -= len(data)
                self.other.transport.write(data)
        if self._bytes <= MAX_HELD and self.transport.connected:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._proxy.sides.remove(self)
        self._hold(None)

    def abort(self) -> None:
        """Reset it; what was held is gone."""
        self._held.clear()
        self.transport.abortConnection()


class Proxy:
    """Listens on a port of this host, and passes connections on to the port that `to` gives."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listening: Any = None
        self.sides: list[_Side] = []
        self.port = 0
        self.stalled = False
        """Whether nothing is passed on, and nobody's end, over the connections that there are and over new ones."""
        self.delay = 0.0
        """Seconds that everything takes."""

    async def start(self) -> None:
        """Listen."""
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self._listening = await endpoint.listen(Factory.forProtocol(self._accepted))
        self.port = self._listening.getHost().port

    def _accepted(self) -> _Side:
        near, far = _Side(self), _Side(self)

        def connected(_: Any) -> None:
            near.other, far.other = far, near
            near.pass_on()

        connecting = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self._to), far)
        connecting.addCallbacks(connected, lambda _: near.transport.abortConnection())
        return near

    async def stop(self) -> None:
        """Listen no more, and end all connections."""
        await self._listening.stopListening()
        self.cut()

    def cut(self) -> None:
        """Reset all connections."""
        for side in list(self.sides):
            side.abort()

    def stall(self, stalled: bool) -> None:
        """Pass nothing on any more; or go on, with what was held."""
        self.stalled = stalled
        for side in list(self.sides):
            side.pass_on()

    def slow_down(self, delay: float) -> None:
        """Let everything take so many seconds from now on."""
        self.delay = delay
