"""What can happen to connections: a TCP proxy that cuts them, makes them silent, or lets nobody through."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ipython1.kernel.furl import secret, tub_and_location


class _Side(Protocol):
    """One side of a connection."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._held: list[bytes] = []
        self.silent = False
        self.other: _Side | None = None
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._proxy.sides.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._proxy.bytes += len(data)
        if self.silent:
            self._held.append(data)
            if len(self._held) > 4:
                self.transport.pauseProducing()
        elif self._proxy.delay:
            reactor.callLater(self._proxy.delay, self._pass_on, data)
        else:
            self._pass_on(data)
        self._proxy.look()

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self._held.append(data)
        elif self.other.transport is not None and self.other.transport.connected:
            self.other.transport.write(data)

    def go_on(self) -> None:
        """Pass on what was held back."""
        self.silent = False
        held, self._held = self._held, []
        for data in held:
            self._pass_on(data)
        if self.transport.connected:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._proxy.sides.remove(self)
        if self.other is not None and not self.silent:
            self.other.transport.loseConnection()
        self.over.callback(None)


class Proxy:
    """Listens on a port of this host, and passes connections on to another one."""

    def __init__(self, test: Any, port: int) -> None:
        self._test = test
        self._to = port
        self._listening: Any = None
        self._silent = False
        self._cut_at: int | None = None
        self._connecting: set[Deferred[Any]] = set()
        self.port = 0
        self.sides: list[_Side] = []
        self.bytes = 0
        """How many have come."""
        self.delay = 0.0
        """Seconds that everything takes."""

    async def start(self) -> None:
        """Listen; until the test ends."""
        await self._listen()
        self._test.addCleanup(self._stop)

    async def _listen(self) -> None:
        endpoint = TCP4ServerEndpoint(reactor, self.port, interface="127.0.0.1")
        self._listening = await endpoint.listen(Factory.forProtocol(self._accepted))
        self.port = self._listening.getHost().port

    def _accepted(self) -> _Side:
        near, far = _Side(self), _Side(self)
        near.silent = far.silent = self._silent

        def connected(_: Any) -> None:
            near.other, far.other = far, near
            if near.over.called:
                far.transport.abortConnection()
            elif not near.silent:
                near.go_on()

        connecting = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self._to), far)
        self._connecting.add(connecting)
        connecting.addCallbacks(connected, lambda failure: near.transport.abortConnection())
        connecting.addBoth(lambda _: self._connecting.discard(connecting))
        return near

    async def _stop(self) -> None:
        if self._listening is not None:
            await self._listening.stopListening()
        self.cut()
        for connecting in list(self._connecting):
            connecting.cancel()
        for side in list(self.sides):
            await side.over

    def furl(self, furl: str) -> str:
        """The FURL that leads through here."""
        tub, _ = tub_and_location(furl)
        return f"pb://{tub}@tcp:127.0.0.1:{self.port}/{secret(furl)}"

    # What can happen.

    def cut(self) -> None:
        """Reset all connections."""
        for side in list(self.sides):
            side.transport.abortConnection()

    def cut_after(self, count: int) -> None:
        """Reset all connections when so many more bytes have come."""
        self._cut_at = self.bytes + count

    def look(self) -> None:
        """Something came."""
        if self._cut_at is not None and self.bytes >= self._cut_at:
            self._cut_at = None
            self.cut()

    def silence(self, new_ones: bool = True) -> None:
        """Pass nothing on, and nobody's end, over the connections that there are, and over new ones."""
        self._silent = new_ones
        for side in self.sides:
            side.silent = True

    def go_on(self) -> None:
        """Pass on what was held back."""
        self._silent = False
        for side in list(self.sides):
            side.go_on()

    async def refuse(self) -> None:
        """Let nobody through, and cut the connections that there are."""
        listening, self._listening = self._listening, None
        await listening.stopListening()
        self.cut()

    async def accept(self) -> None:
        """Let them through again."""
        await self._listen()
