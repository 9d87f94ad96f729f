"""The doors of a controller: the objects that FURLs lead to, through which sessions are opened and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from typing import Any, Protocol

from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ipython1.kernel import line_frames, messages
from ipython1.kernel.carrier import LinkEnd, RIDoor, join, rejoin
from ipython1.kernel.controller.lines import Lines
from ipython1.kernel.endpoint import GuardedConnection
from ipython1.kernel.error import ConnectionError, KernelError, ProtocolError, UnknownSession
from ipython1.kernel.framing import pack, unpack
from ipython1.kernel.hello import check_hello, new_id, welcome
from ipython1.kernel.line import Line
from ipython1.kernel.link import SessionLink
from ipython1.kernel.patience import Patience
from ipython1.kernel.peer import Link, Receiver

WHEN_LOST = "the connection was lost"


class Interface(Protocol):
    """What a FURL gives access to: takes the sessions that are opened through it."""

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A peer that said `hello` opened a session; returns what takes its messages."""


@dataclass(eq=False)
class _Session:
    """A session that goes on, with or without a connection."""

    key: str
    ticket: str
    link: SessionLink
    attempt: int
    token: bytes | None = None
    """For a line, if it was given one."""


class _Grace:
    """Ends a session whose peer does not come back: see `ipython1.kernel.connection.Absence`."""

    def __init__(self, door: Door, key: str, reactor: IReactorTime, seconds: float) -> None:
        self._door = door
        self._key = key
        self._reactor = reactor
        self._seconds = seconds
        self._call: IDelayedCall | None = None

    def begin(self, link: SessionLink, reason: str) -> None:
        """See `Absence`."""
        text = f"{reason}, and not taken up again within {self._seconds:g} s"
        self._call = self._reactor.callLater(self._seconds, self._too_late, link, text)

    def _too_late(self, link: SessionLink, text: str) -> None:
        self._call = None
        link.over(text)

    def end(self, link: SessionLink) -> None:
        """See `Absence`."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if link.ending is not None:
            self._door.forget(self._key, link)


@implementer(RIDoor)
class Door(Referenceable):
    """Opens the sessions of one role, and knows those that go on."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        role: str,
        interface: Interface,
        incarnation: str,
        patience: Patience,
        lines: Lines | None = None,
        house: str = "",
        settled: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        self._reactor = reactor
        self.role = role
        self._published = interface
        self._incarnation = incarnation
        self._lines = lines
        self._house = house
        self._settled = settled
        self._grace = patience.grace
        self._silence = patience.silence(role)
        self._allowed = messages.FROM_AGENT if role == "engine" else messages.FROM_CLIENT
        self._sessions: dict[str, _Session] = {}

    def __len__(self) -> int:
        """How many sessions go on."""
        return len(self._sessions)

    def remote_open(self, hello: bytes, link: Any) -> tuple[bytes, LinkEnd | None]:
        end = LinkEnd()
        try:
            said = unpack(hello)
            check_hello(said, self.role)
            self._check_late(said)
            session = self._resume(said, link, end) if said["ticket"] else self._open(said, link, end)
        except KernelError as refusal:
            self.log.warn("refused a session: {refusal}", refusal=refusal)
            return pack({"error": [type(refusal).__name__, str(refusal)]}), None
        self._identified(link.tracker.broker)
        received = session.link.received
        answer = welcome(self._incarnation, session.ticket, received, self._grace, self._silence, self._house)
        return pack({**answer, "line": self._token(session)}), end

    def _token(self, session: _Session) -> bytes | None:
        """What lets the peer have a line for this session; what it was given for that before is void."""
        if self._lines is None:
            return None
        self._revoke(session)
        session.token = self._lines.grant(session.key, partial(self._go_over, session))
        return session.token

    def _revoke(self, session: _Session) -> None:
        if self._lines is not None and session.token is not None:
            self._lines.revoke(session.token)

    def _go_over(self, session: _Session, line: Line, has: int) -> None:
        """The peer, which has so many messages, has opened a line: the session goes on over that."""
        if session.link.ending is not None:
            raise ConnectionError(f"the session is over ({session.link.ending.value})")
        line.send(line_frames.welcome(session.link.received))
        # What it has acknowledged over Foolscap since it said so may be here before.
        line.carry(session.link, max(has, session.link.peer_has), WHEN_LOST, self._silence)

    def _open(self, said: dict[str, Any], remote: Any, end: LinkEnd) -> _Session:
        key = said["session"]
        absence = _Grace(self, key, self._reactor, self._grace)
        link = SessionLink(self._reactor, said, self._incarnation, self._allowed, absence, self._settled)
        receiver = self._published.open_session(said, link)
        session = self._sessions[key] = _Session(key, self._incarnation + new_id(), link, said["attempt"])
        join(remote, end, link, receiver, WHEN_LOST)
        return session

    def _check_late(self, said: dict[str, Any]) -> None:
        """Refuse what the peer said before something that came already: it has given that attempt up since."""
        session = self._sessions.get(said["session"])
        if session is not None and said["attempt"] <= session.attempt:
            raise ConnectionError(
                "an attempt to open this session was overtaken by a later one, and does not count any more"
            )

    def _resume(self, said: dict[str, Any], remote: Any, end: LinkEnd) -> _Session:
        session = self._sessions.get(said["session"])
        if session is None or not compare_digest(session.ticket.encode(), said["ticket"].encode()):
            raise UnknownSession(self._unknown(said["ticket"]))
        session.attempt = said["attempt"]
        try:
            rejoin(remote, end, session.link, said["received"], WHEN_LOST)
        except ProtocolError as problem:
            session.link.close(f"protocol error: {problem}")
            raise
        return session

    def _unknown(self, ticket: str) -> str:
        if ticket.startswith(self._incarnation):
            return "the controller has given up this session, as there was no connection for too long"
        return "the controller was restarted, and does not know the sessions of the earlier one"

    def _identified(self, broker: Any) -> None:
        """The peer of a connection has shown a valid FURL: the connection may stay, while it is not silent."""
        broker.watch(self._reactor, self._silence)
        if isinstance(broker.transport, GuardedConnection):
            broker.transport.identified()

    def forget(self, key: str, link: SessionLink) -> None:
        """A session is over."""
        session = self._sessions.get(key)
        if session is not None and session.link is link:
            self._revoke(session)
            del self._sessions[key]

    def close(self, reason: str) -> None:
        """End all sessions: the controller stops."""
        for session in list(self._sessions.values()):
            session.link.close(reason, goodbye=True)
