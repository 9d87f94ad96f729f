"""The controller's end of lines: who has a token gets his session carried by the line that he opened.

A token is given with the welcome, through Foolscap, to who has shown a FURL.  It is good for one session of this
controller, for some seconds, once; and not any more when the session has another connection.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from ipython1.kernel import line_frames as frames
from ipython1.kernel.endpoint import MAX_UNIDENTIFIED_BYTES
from ipython1.kernel.error import KernelError
from ipython1.kernel.framing import Bytes
from ipython1.kernel.line import Line, OpenLines
from ipython1.kernel.line_frames import Hello, Kind
from ipython1.kernel.secured import serving_context

GOOD_FOR = 10.0
"""Seconds for which a token is good."""

GoOver = Callable[[Line, int], None]


@dataclass
class _Grant:
    """What a token is for; `go_over` has the session go over to a line, whose other end has so many messages."""

    session: str
    until: float
    go_over: GoOver


class Lines:
    """Knows the tokens that were given, and opens lines."""

    log = Logger()

    def __init__(self, reactor: Any, certificate: Path, incarnation: str) -> None:
        self._reactor = reactor
        self._incarnation = incarnation
        self._context: ssl.SSLContext = serving_context(certificate)
        # By the digests of the tokens: how long a search takes tells nothing of what is there.
        self._grants: dict[bytes, _Grant] = {}
        self.open = OpenLines()

    def __len__(self) -> int:
        """How many tokens are out."""
        return len(self._grants)

    def grant(self, session: str, go_over: GoOver) -> bytes:
        """A new token."""
        token = secrets.token_bytes(32)
        self._grants[_digest(token)] = _Grant(session, self._reactor.seconds() + GOOD_FOR, go_over)
        return token

    def revoke(self, token: bytes) -> None:
        """A token is good for nothing any more."""
        self._grants.pop(_digest(token), None)

    def accept(
        self, sock: socket.socket, early: bytes, identified: Callable[[], None]
    ) -> Callable[[], None]:
        """Take a connection that begins with TLS; `early` is what has been read of it.

        Call what this returns to cut it off.  When its end has shown a token, or it is over, `identified` is called.
        """
        line = Line(self._reactor, sock, self._context, server_side=True, allowance=MAX_UNIDENTIFIED_BYTES)
        self.open.add(line)
        line.opening = lambda kind, content: self._opened(line, identified, kind, content)
        line.broken = lambda reason: identified()
        line.socket.start(early)
        return line.socket.abort

    def _opened(self, line: Line, identified: Callable[[], None], kind: Kind, content: Bytes) -> None:
        identified()
        try:
            said = frames.parse_hello(content) if kind is Kind.HELLO else None
            self._good(said).go_over(line, 0 if said is None else said.received)
        except KernelError as problem:
            self.log.warn("refused a line: {problem}", problem=problem)
            line.finish(frames.refusal(str(problem)))

    def _good(self, said: Hello | None) -> _Grant:
        grant = None if said is None else self._grants.pop(_digest(said.token), None)
        if grant is None or said is None or self._reactor.seconds() > grant.until:
            raise KernelError("a line was to be opened with a token that is not good, or not any more")
        if said.session != grant.session or said.incarnation != self._incarnation:
            raise KernelError("a line was to be opened with a token for another session")
        return grant


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
