"""Foolscap as the carrier of sessions: few remote methods, and errors as data.

Whoever holds the FURL of a role gets its *door*; through it a session is opened, with a link object at each end.
"""

from __future__ import annotations

from typing import Any

from foolscap.api import Referenceable, RemoteInterface
from foolscap.schema import ByteStringConstraint, ChoiceOf, IntegerConstraint, TupleOf, UnicodeConstraint
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.link import SessionLink
from ipython1.kernel.peer import Receiver
from ipython1.kernel.stream import PIECE

MAX_BATCH = 4 << 20
"""More than any batch has: the limits of `ipython1.kernel.link` and the largest header together."""
MAX_HELLO = 64 << 10
MAX_REASON = 4096

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
        """Take a piece of a stream; the answer comes when it has found its place: whether more is wanted."""
        return bool

    def close(reason=_REASON):  # type: ignore[no-untyped-def]
        """The session is over."""
        return None


class RIDoor(RemoteInterface):
    """What a FURL leads to."""

    def open(hello=_HELLO, link=RILink):  # type: ignore[no-untyped-def]
        """Open a session: say who one is, and get the other's welcome and link.

        Where it is refused the welcome says why (``{"error": [class, text]}``), and the link is None.
        """
        return TupleOf(_HELLO, ChoiceOf(RILink, None))


@implementer(RILink)
class LinkEnd(Referenceable):
    """The object that the peer calls; hands on to a `SessionLink`."""

    def __init__(self) -> None:
        self._link: SessionLink | None = None
        self._early: list[bytes] = []

    def attach(self, link: SessionLink) -> None:
        """Hand on to `link`, beginning with what came before."""
        self._link = link
        early, self._early = self._early, []
        for batch in early:
            link.batch_received(batch)

    def remote_deliver(self, batch: bytes) -> None:
        if self._link is None:
            # The peer's first batch may overtake the answer that made us open the session.
            self._early.append(batch)
        else:
            self._link.batch_received(batch)

    def remote_piece(self, number: int, offset: int, data: bytes) -> Any:
        return False if self._link is None else self._link.piece_received(number, offset, data)

    def remote_close(self, reason: str) -> None:
        if self._link is not None:
            self._link.lost(reason)


class FoolscapCarrier:
    """Calls the peer's `LinkEnd`."""

    def __init__(self, remote: Any) -> None:
        self._remote = remote
        self._watch: Any = None

    def watch(self, link: SessionLink, reason: str) -> None:
        """When the connection is lost, `link` is, for `reason`."""
        self._watch = self._remote.notifyOnDisconnect(link.lost, reason)

    def deliver(self, batch: bytes) -> None:
        self._remote.callRemoteOnly("deliver", batch)

    def piece(self, number: int, offset: int, data: bytes) -> Deferred[bool]:
        answer: Deferred[bool] = self._remote.callRemote("piece", number, offset, data)
        return answer.addErrback(_not_wanted)

    def close(self, reason: str | None) -> None:
        # The connection may be shared with other sessions and stay: it must not remember this one.
        self._remote.dontNotifyOnDisconnect(self._watch)
        if reason is not None:
            self._remote.callRemoteOnly("close", reason[:MAX_REASON])

    def cut_off(self) -> None:
        # Not loseConnection, which would wait until all that was written has been taken.
        self._remote.tracker.broker.transport.abortConnection()


def _not_wanted(_: Failure) -> bool:
    # Whatever went wrong with a piece, the session itself reports: the connection is lost, or the peer closed it.
    return False


def join(remote: Any, end: LinkEnd, link: SessionLink, receiver: Receiver, when_lost: str) -> None:
    """Make `link` the session between our `end` and the peer's, `remote`."""
    carrier = FoolscapCarrier(remote)
    link.attach(carrier, receiver)
    carrier.watch(link, when_lost)
    end.attach(link)
