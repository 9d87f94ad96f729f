"""How much is kept for a peer that takes none of it: with a connection, and without."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from ipython1.kernel import session
from ipython1.kernel.offers import Offers
from ipython1.kernel.session import Session

MAX_IN_FLIGHT = 256 << 20
"""More bytes than this a controller does not keep for a peer that takes nothing for `STALLED` seconds."""
STALLED = 20.0


class Room:
    """The room that a session takes; `serves` is whether this is the controller, which others must not fill up."""

    def __init__(self, clock: IReactorTime, session: Session[Any], offers: Offers, serves: bool) -> None:
        self._clock = clock
        self._session = session
        self._offers = offers
        self._serves = serves
        self._bodies = 0
        self._taken_at = clock.seconds()

    def taken(self) -> None:
        """The peer has taken something, or can take something from now on."""
        self._taken_at = self._clock.seconds()

    def disconnected(self) -> None:
        """The connection is lost: what is sent from now on is kept as a whole."""
        self._bodies = 0

    def body_sent(self, size: int) -> None:
        """A large body was sent, and is kept beside its message."""
        self._bodies += size

    def has_stalled(self) -> bool:
        """Whether the peer takes nothing, though there is a connection, and much is kept for it."""
        in_flight = self._session.bytes_kept + self._offers.bytes
        if not in_flight:
            self.taken()
        return (
            self._serves and in_flight > MAX_IN_FLIGHT and self._clock.seconds() > self._taken_at + STALLED
        )

    def is_full(self) -> bool:
        """Whether, without a connection, no more can be kept.  What users themselves keep does not count."""
        bodies = self._bodies if self._serves else 0
        return self._session.is_full or self._session.bytes_kept + bodies > session.MAX_KEPT_BYTES
