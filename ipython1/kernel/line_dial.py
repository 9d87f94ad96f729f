"""The dialing end of lines: a session that was opened, or taken up again, over Foolscap goes over to a line of its own.

Nothing depends on it: where no line can be had, the session stays where it is.  How the two ends go over together, so
that nothing is lost, is in ``docs/source/development/sessions.txt``.
"""

from __future__ import annotations

import functools
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel import line_frames as frames
from ipython1.kernel.connection import Absence
from ipython1.kernel.framing import Bytes
from ipython1.kernel.line import Line, OpenLines
from ipython1.kernel.line_frames import Kind
from ipython1.kernel.link import SessionLink
from ipython1.kernel.secured import dialing_context, socket_of

WITHIN = 5.0
"""Seconds within which a line is there, or not to be had."""
ATTEMPTS = 3
"""So often in a row a line may fail in the moment at which the session goes over; then there are no more attempts."""

_context = functools.cache(dialing_context)
open_lines = OpenLines()
"""Those that this process has dialed."""


class LineDialer:
    """Sees to the lines of one session, one after the other; what else is to be done for a connection, `absence` does."""

    log = Logger()

    def __init__(self, reactor: Any, absence: Absence) -> None:
        self._reactor = reactor
        self._absence = absence
        self._failures = 0
        self._attempt: _Attempt | None = None

    def go_over(self, link: SessionLink, token: Any, session: str, tub_id: str, address: Any, when_lost: str) -> None:
        """Have `link`, which has a connection, go over to a line to `address`, the other end of that.

        `token` is what the controller gave for it; None if it knows no lines.
        """
        if not isinstance(token, bytes):
            self.log.info("the controller has no lines: the session goes on over Foolscap")
        elif not isinstance(address, IPv4Address | IPv6Address):
            self.log.info("there are no lines to {address}: the session goes on over Foolscap", address=address)
        elif self._failures < ATTEMPTS:
            self._attempt = _Attempt(self, self._reactor, link, token, session, tub_id, when_lost)
            self._attempt.begin(address)

    def over(self, attempt: _Attempt, problem: str = "", half: bool = False) -> None:
        """An attempt is over; `half` is whether the controller may have gone over and we have not."""
        if attempt is self._attempt:
            self._attempt = None
        self._failures = self._failures + 1 if half else 0
        if problem:
            self.log.info("no line: the session goes on over Foolscap: {problem}", problem=problem)

    def begin(self, link: SessionLink, reason: str) -> None:
        """See `Absence`."""
        self._stop()
        self._absence.begin(link, reason)

    def end(self, link: SessionLink) -> None:
        """See `Absence`."""
        self._stop()
        self._absence.end(link)

    def _stop(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.give_up()


class _Attempt:
    """One attempt; it counts as long as the connection that the session had when it began is in use."""

    def __init__(
        self, dialer: LineDialer, reactor: Any, link: SessionLink, token: bytes, session: str, tub_id: str, when_lost: str
    ) -> None:
        self._dialer = dialer
        self._reactor = reactor
        self._link = link
        self._connection = link.connection
        self._token = token
        self._session = session
        self._tub_id = tub_id
        self._when_lost = when_lost
        self._line: Line | None = None
        self._asked = False
        self._connecting: Deferred[Any] | None = None
        self._timeout: IDelayedCall = reactor.callLater(WITHIN, self._failed, f"it was not there within {WITHIN:g} s")

    def begin(self, address: Any) -> None:
        """Dial."""
        kind = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
        endpoint = kind(self._reactor, address.host, address.port)
        self._connecting = connectProtocol(endpoint, Protocol())
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def _connected(self, protocol: Any) -> None:
        self._connecting = None
        line = self._line = Line(self._reactor, socket_of(protocol.transport), _context())
        open_lines.add(line)
        line.ready, line.opening, line.broken = self._secured, self._answered, self._failed
        line.socket.start()

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        self._failed(failure.getErrorMessage())

    def _is_current(self) -> bool:
        return self._link.ending is None and self._link.connection == self._connection

    def _secured(self) -> None:
        assert self._line is not None
        if self._line.socket.tub_id != self._tub_id:
            self._failed("what answers has not the certificate of the controller")
        elif not self._is_current():
            self._failed("the session has another connection by now")
        else:
            self._asked = True
            peer = self._link.peer
            said = frames.Hello(self._token, self._session, peer["incarnation"], self._link.received)
            self._line.send(frames.hello(said))

    def _answered(self, kind: Kind, content: Bytes) -> None:
        line, has = self._line, frames.parse_welcome(content) if kind is Kind.WELCOME else "it answers with a hello"
        if isinstance(has, str) or line is None:
            self._asked = False
            self._failed(str(has))
        elif not self._is_current():
            self._failed("the session has another connection by now")
        else:
            self._end()
            self._dialer.over(self)
            line.carry(self._link, has, self._when_lost, self._link.peer["silence"])

    def _failed(self, problem: str) -> None:
        half = self._asked and self._is_current()
        self.give_up()
        self._dialer.over(self, problem, half)
        if half:
            # The controller may have gone over, and hear nothing more of what we say where we are.
            self._link.connection_void(f"{self._when_lost}: a line for it broke off ({problem})")

    def give_up(self) -> None:
        """It is not wanted any more."""
        self._end()
        line, self._line = self._line, None
        if line is None:
            return
        line.broken = None
        if self._asked and self._link.ending is not None:
            # The controller may have gone over, and have heard of the end nowhere else.
            line.finish(frames.close(self._link.reason, False))
        else:
            line.let_go()

    def _end(self) -> None:
        if self._timeout.active():
            self._timeout.cancel()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.addErrback(lambda _: None)
            connecting.cancel()
