"""No system: bytes over TLS from one process through a second one to a third, all with Twisted, and nothing else.

What goes through a controller cannot be faster.  ``python -m benchmarks.systems.relay sink`` and ``... relay PORT`` are the
other two processes; they write their port, and end with their standard input.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.stdio import StandardIO
from twisted.internet.threads import blockingCallFromThread
from zope.interface import implementer

from benchmarks.systems.base import Stopwatch, System
from ipython1.kernel.tub import new_certificate

reactor: Any = _reactor
PIECE = 256 << 10
LENGTH = 8


class Sink(Protocol):
    """Takes so many bytes as the first ones say, and then answers."""

    left: int | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.left is None:  # the length comes by itself: nothing is sent after it until it is here
            self.left = int.from_bytes(data[:LENGTH], "big") + LENGTH
        self.left -= len(data)
        if self.left == 0:
            self.left = None
            self.transport.write(b"!")


class Passing(Protocol):
    """One end of the relay: gives all to the other one, as fast as that takes it."""

    def __init__(self, port: int, other: Passing | None = None) -> None:
        self._port = port
        self._other = other

    def connectionMade(self) -> None:
        if self._other is None:
            self.transport.pauseProducing()
            factory = ClientFactory()
            factory.buildProtocol = lambda address: Passing(0, self)
            reactor.connectSSL("127.0.0.1", self._port, factory, ssl.CertificateOptions(verify=False))
        else:
            self._other._other = self
            self._other.transport.registerProducer(self.transport, True)
            self.transport.registerProducer(self._other.transport, True)
            self._other.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        assert self._other is not None
        self._other.transport.write(data)


@implementer(IPullProducer)
class Sender(Protocol):
    """Sends when it is told to."""

    def __init__(self, connected: Deferred[Sender]) -> None:
        self._connected = connected

    def connectionMade(self) -> None:
        self._connected.callback(self)

    def send(self, data: memoryview) -> Deferred[None]:
        """Fires when all has arrived."""
        self._data, self._position = data, 0
        self._arrived: Deferred[None] = Deferred()
        self.transport.write(len(data).to_bytes(LENGTH, "big"))
        self.transport.registerProducer(self, False)
        return self._arrived

    def resumeProducing(self) -> None:
        self.transport.write(bytes(self._data[self._position : self._position + PIECE]))
        self._position += PIECE
        if self._position >= len(self._data):
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection is lost: the worker ends."""

    def dataReceived(self, data: bytes) -> None:
        self._arrived.callback(None)


class Relay(System):
    """Its only work is to push."""

    def start(self, engines: int) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
            file.write(new_certificate())
        self._certificate = Path(file.name)
        self._programs: list[subprocess.Popen[str]] = []
        port = self._program("sink", str(self._certificate))
        port = self._program("relay", str(self._certificate), str(port))
        if not reactor.running:
            threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True).start()
        self._sender: Sender = blockingCallFromThread(reactor, self._connect, port)

    def _program(self, *arguments: str) -> int:
        command = [sys.executable, "-m", __name__, *arguments]
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._programs.append(program)
        assert program.stdout is not None
        return int(program.stdout.readline())

    def _connect(self, port: int) -> Deferred[Sender]:
        connected: Deferred[Sender] = Deferred()
        factory = ClientFactory()
        factory.buildProtocol = lambda address: Sender(connected)
        reactor.connectSSL("127.0.0.1", port, factory, ssl.CertificateOptions(verify=False))
        return connected

    def stop(self) -> None:
        for program in self._programs:
            program.communicate()
        self._certificate.unlink()

    def measure_push(self, size: int) -> float:
        data = memoryview(self.array(size)).cast("B")
        with Stopwatch() as watch:
            blockingCallFromThread(reactor, self._sender.send, data)
        return watch.seconds


def main() -> None:
    kind, certificate, *rest = sys.argv[1:]
    options = ssl.PrivateCertificate.loadPEM(Path(certificate).read_text(encoding="ascii")).options()
    factory = Factory()
    factory.buildProtocol = lambda address: Sink() if kind == "sink" else Passing(int(rest[0]))
    port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")

    class Input(Protocol):
        def connectionMade(self) -> None:
            print(port.getHost().port, flush=True)

        def connectionLost(self, reason: Any = None) -> None:
            reactor.stop()

    StandardIO(Input(), stdout=2)
    reactor.run()


if __name__ == "__main__":
    main()
