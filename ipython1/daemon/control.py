"""The control socket of a cluster: a UNIX socket by which its owner, and nobody else, asks it for things.

One connection is for one request, which may take long; who does not want to wait any more hangs up.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.daemon.state import CONTROL_SOCKET
from ipython1.kernel import error
from ipython1.kernel.error import CallTimeout, ClusterError, IPythonError, NoSuchCluster, ProtocolError
from ipython1.kernel.framing import Decoder, Message, encode, pack, receive, send, unpack

LONGEST_PATH = 100
"""Bytes that the path of a socket may have; the systems allow 104 (macOS) or 108 (Linux)."""
TIMEOUT = 30.0
"""Seconds that a request may take, if nothing else is said."""
MAX_REQUEST = 1 << 20
_FOLDER = "ipython1-"
_EXAMPLE = f"{_FOLDER}12345678/{CONTROL_SOCKET}"
_TEMPORARY = ("/tmp", "/var/tmp")

Answerer = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Carries out a verb with its arguments: gives plain data, or raises an error of ours."""


# The side of the cluster.


def place_socket(folder: Path) -> Path:
    """A path for the socket: in `folder` or, where that path is too long for one, in a private temporary folder.

    Raises ClusterError if there is none.
    """
    path = folder / CONTROL_SOCKET
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    # The folder that $TMPDIR names may be as deep.
    for place in (tempfile.gettempdir(), *_TEMPORARY):
        if len(os.fsencode(Path(place, _EXAMPLE))) <= LONGEST_PATH:
            with contextlib.suppress(OSError):  # no room there, maybe
                return Path(tempfile.mkdtemp(prefix=_FOLDER, dir=place)) / CONTROL_SOCKET
    raise ClusterError(f"there is no folder for the control socket: {path} is too long for one, and no other can be made in $TMPDIR")


def remove_socket(path: Path, folder: Path) -> None:
    """Remove a socket that `place_socket` has placed, with its temporary folder."""
    path.unlink(missing_ok=True)
    if path.parent != folder and path.parent.name.startswith(_FOLDER):
        with contextlib.suppress(FileNotFoundError):
            path.parent.rmdir()


class ControlServer:
    """Listens at `path`, and has `answer` carry out what is asked."""

    def __init__(self, reactor: Any, path: Path, answer: Answerer) -> None:
        self._reactor = reactor
        self._path = path
        self._answer = answer
        self._port: Any = None

    def start(self) -> None:
        """Listen; ClusterError if that cannot be done."""
        # The one that was killed has left its socket. The caller has the cluster's lock: nobody listens there.
        try:
            self._path.unlink(missing_ok=True)
            factory = Factory.forProtocol(lambda: _Request(self._answer))
            factory.noisy = False
            self._port = self._reactor.listenUNIX(str(self._path), factory, mode=0o600)
        except (OSError, CannotListenError) as problem:
            raise ClusterError(f"cannot make the control socket {self._path}: {problem}") from None

    async def stop(self) -> None:
        """Listen no more.  Requests that are being answered go on."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()


class _Request(Protocol):
    """One connection: a request, and its answer."""

    log = Logger()

    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self._decoder = Decoder(MAX_REQUEST)
        self._answering: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except ProtocolError as problem:
            self._refuse(problem)
            return
        for message in messages:
            if self._answering is not None:
                self._refuse(ProtocolError("one connection is for one request"))
                return
            self._answering = Deferred.fromCoroutine(self._respond(message))
            self._answering.addErrback(lambda failure: failure.trap(CancelledError))
            self._answering.addErrback(lambda failure: self.log.failure("while answering", failure))

    async def _respond(self, message: Message) -> None:
        verb, args = message.fields.get("verb"), message.fields.get("args")
        try:
            if message.kind != "request" or not isinstance(verb, str) or not isinstance(args, dict):
                raise ProtocolError("this is no request")
            result = await self._answer(verb, args)
        except IPythonError as problem:
            self._refuse(problem)
        else:
            self._send(Message("answer", {"ok": True}, [pack(result)]))

    def _refuse(self, problem: IPythonError) -> None:
        fields = {"ok": False, "kind": type(problem).__name__, "error": str(problem)}
        self._send(Message("answer", fields))

    def _send(self, message: Message) -> None:
        assert self.transport is not None
        self.transport.writeSequence([bytes(part) for part in encode(message)])  # type: ignore[arg-type]
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._answering is not None:
            self._answering.cancel()


# The side of who asks.


def ask(path: Path, verb: str, args: Mapping[str, Any] | None = None, timeout: float = TIMEOUT) -> Any:
    """Ask the cluster whose control socket is at `path`, and wait for the answer.

    Raises NoSuchCluster if nobody listens there, CallTimeout after `timeout` seconds, or the error of the cluster.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(str(path))
            send(sock, _request(verb, args))
            answer = receive(sock)
        except TimeoutError:
            raise _late(verb, timeout) from None
        except OSError as problem:
            raise _nobody(path, problem.strerror or str(problem)) from None
    return _result(answer, verb)


async def ask_async(
    reactor: Any, path: Path, verb: str, args: Mapping[str, Any] | None = None, timeout: float = TIMEOUT
) -> Any:
    """The same, in a program that runs the reactor itself."""
    answered: Deferred[Message | None] = Deferred()
    endpoint = UNIXClientEndpoint(reactor, str(path), timeout=timeout)
    try:
        asker = await endpoint.connect(Factory.forProtocol(lambda: _Asker(answered)))
    except ConnectError as problem:
        raise _nobody(path, str(problem)) from None
    asker.transport.writeSequence([bytes(part) for part in encode(_request(verb, args))])
    try:
        answer = await answered.addTimeout(timeout, reactor, onTimeoutCancel=lambda *_: _raise(_late(verb, timeout)))
    finally:
        asker.transport.abortConnection()
    return _result(answer, verb)


class _Asker(Protocol):
    def __init__(self, answered: Deferred[Message | None]) -> None:
        self._answered = answered
        self._decoder = Decoder()

    def dataReceived(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            self._tell(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._tell(None)

    def _tell(self, message: Message | None) -> None:
        if not self._answered.called:
            self._answered.callback(message)


def _request(verb: str, args: Mapping[str, Any] | None) -> Message:
    return Message("request", {"verb": verb, "args": dict(args or {})})


def _result(answer: Message | None, verb: str) -> Any:
    if answer is None:
        raise ClusterError(f"the cluster ended before it answered to {verb}")
    if answer.fields.get("ok") and answer.bodies:
        return unpack(answer.bodies[0])  # type: ignore[arg-type]  # nothing travels beside the socket
    kind = getattr(error, str(answer.fields.get("kind")), ClusterError)
    if not (isinstance(kind, type) and issubclass(kind, IPythonError)):
        kind = ClusterError
    raise kind(answer.fields.get("error"))


def _late(verb: str, timeout: float) -> CallTimeout:
    return CallTimeout(f"the cluster has not answered to {verb} within {timeout:g} s")


def _nobody(path: Path, why: str) -> NoSuchCluster:
    return NoSuchCluster(f"no cluster answers at {path} ({why})")


def _raise(problem: Exception) -> None:
    raise problem
