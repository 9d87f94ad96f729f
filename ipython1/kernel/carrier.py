"""Foolscap as the carrier of sessions: few remote methods, and errors as data.

Whoever holds the FURL of a role gets its *door*; through it a session is opened, with a link object at each end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foolscap.api import Referenceable, RemoteException, RemoteInterface, Violation
from foolscap.schema import (
    ByteStringConstraint,
    ChoiceOf,
    IntegerConstraint,
    ListOf,
    TupleOf,
    UnicodeConstraint,
)
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.batches import MAX_BATCH
from ipython1.kernel.connection import MAX_REASON
from ipython1.kernel.framing import Bytes
from ipython1.kernel.link import SessionLink
from ipython1.kernel.peer import Ending, Receiver
from ipython1.kernel.stream import PIECE

MAX_HELLO = 64 << 10

# What a remote method takes is written in its signature, as default values; Foolscap reads them from there.
_NUMBER = IntegerConstraint(maxBytes=8)
_BATCH = ByteStringConstraint(MAX_BATCH)
_PIECE = ByteStringConstraint(PIECE)
_HELLO = ByteStringConstraint(MAX_HELLO)
_REASON = UnicodeConstraint(MAX_REASON)


class RILink(RemoteInterface):
    """One end of a session."""

    def deliver(batch=_BATCH):  # type: ignore[no-untyped-def]
        """Take a batch of messages (see `ipython1.kernel.link`)."""
        return None

    def piece(number=_NUMBER, offset=_NUMBER, data=_PIECE):  # type: ignore[no-untyped-def]
        """Take a piece of a stream; the answer comes when it has found its place: whether more is wanted.

        It is empty where the piece was not taken, since the session is not on this connection any more.
        """
        return ListOf(bool, maxLength=1)

    def close(reason=_REASON, goodbye=bool):  # type: ignore[no-untyped-def]
        """The session is over; with `goodbye`, so is the peer itself."""
        return None


class RIDoor(RemoteInterface):
    """What a FURL leads to."""

    def open(hello=_HELLO, link=RILink):  # type: ignore[no-untyped-def]
        """Open a session, or take one up again: say who one is, and get the other's welcome and link.

        Where it is refused the welcome says why (``{"error": [class, text]}``), and the link is None.
        """
        return TupleOf(_HELLO, ChoiceOf(RILink, None))


@implementer(RILink)
class LinkEnd(Referenceable):
    """The object that the peer calls, over one connection; hands on to a `SessionLink`."""

    def __init__(self) -> None:
        self._link: SessionLink | None = None
        self._connection = 0
        # The peer's first calls may overtake the answer that made us open the session. None: they are not awaited.
        self._early: list[Callable[[], None]] | None = []

    def attach(self, link: SessionLink) -> None:
        """Hand on to `link`, beginning with what came before."""
        self._link, self._connection = link, link.connection
        early, self._early = self._early or [], None
        for call in early:
            call()

    def detach(self) -> None:
        """Hand nothing on any more: the session has another connection, or is over."""
        self._link = self._early = None

    def remote_deliver(self, batch: bytes) -> None:
        if self._link is not None:
            self._link.batch_received(batch, self._connection)
        elif self._early is not None:
            self._early.append(lambda: self.remote_deliver(batch))

    def remote_piece(self, number: int, offset: int, data: bytes) -> Deferred[list[bool]]:
        if self._link is not None:
            return self._link.piece_received(number, offset, data).addCallback(lambda wanted: [wanted])
        if self._early is None:
            # A peer that has not heard yet that the session goes over to another connection has to send it again there.
            return succeed([])
        answer: Deferred[list[bool]] = Deferred()

        def pass_on() -> None:
            self.remote_piece(number, offset, data).chainDeferred(answer)

        self._early.append(pass_on)
        return answer

    def remote_close(self, reason: str, goodbye: bool) -> None:
        if self._link is not None:
            self._link.over(reason, Ending.GOODBYE if goodbye else Ending.CLOSED)
        elif self._early is not None:
            self._early.append(lambda: self.remote_close(reason, goodbye))


class FoolscapCarrier:
    """Calls the peer's `LinkEnd`; `end` is our own.  Where it is let go of, `release` is called."""

    def __init__(self, remote: Any, end: LinkEnd, release: Callable[[], None] | None) -> None:
        self._remote = remote
        self._end = end
        self._release = release
        self._watch: Any = None

    def watch(self, link: SessionLink, reason: str) -> None:
        """When the connection is lost, `link` is told, with `reason`."""
        self._watch = self._remote.notifyOnDisconnect(link.carrier_lost, self, reason)

    def deliver(self, batch: bytes) -> None:
        self._remote.callRemoteOnly("deliver", batch)

    def piece(self, number: int, offset: int, data: Bytes) -> Deferred[bool | None]:
        asked: Deferred[list[bool]] = self._remote.callRemote("piece", number, offset, bytes(data))
        answer: Deferred[bool | None] = asked.addCallback(lambda wanted: wanted[0] if wanted else None)
        return answer.addErrback(_not_answered)

    def let_go(self) -> None:
        # The connection may be shared with other sessions and stay: it must not remember this one.
        self._remote.dontNotifyOnDisconnect(self._watch)
        self._end.detach()
        if self._release is not None:
            self._release()

    def close(self, reason: str, goodbye: bool) -> None:
        self.let_go()
        self._remote.callRemoteOnly("close", reason[:MAX_REASON], goodbye)

    def cut_off(self) -> None:
        self._remote.tracker.broker.cut_off()


def _not_answered(failure: Failure) -> bool | None:
    # A peer that does not take a piece wants no more of them. All else is some way of losing the connection.
    return False if failure.check(RemoteException, Violation) else None


def join(
    remote: Any,
    end: LinkEnd,
    link: SessionLink,
    receiver: Receiver,
    when_lost: str,
    release: Callable[[], None] | None = None,
) -> None:
    """Make `link` the session between our `end` and the peer's, `remote`."""
    carrier = FoolscapCarrier(remote, end, release)
    link.attach(carrier, receiver)
    carrier.watch(link, when_lost)
    end.attach(link)


def rejoin(
    remote: Any,
    end: LinkEnd,
    link: SessionLink,
    has: int,
    when_lost: str,
    release: Callable[[], None] | None = None,
) -> None:
    """Let `link` go on between our `end` and the peer's, which has received `has` messages.

    ProtocolError if it cannot have that many.
    """
    carrier = FoolscapCarrier(remote, end, release)
    link.resume(carrier, has)
    carrier.watch(link, when_lost)
    end.attach(link)
