"""What a session needs of the connections over which it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from ipython1.kernel.framing import Bytes
    from ipython1.kernel.link import SessionLink

MAX_REASON = 4096
"""So many characters of a reason are told to the peer."""


class Carrier(Protocol):
    """One connection: moves batches and pieces to the peer.

    Batches come in the order in which they are given, and pieces too; a batch may overtake pieces, and not the other way
    round.
    """

    def deliver(self, batch: bytes) -> None:
        """Send a batch."""

    def piece(self, number: int, offset: int, data: Bytes) -> Deferred[bool | None]:
        """Send a piece of a stream; fires with the peer's answer, or with None if the connection was lost before."""

    def let_go(self) -> None:
        """The session does not use it any more: from now on nothing that comes over it reaches the session."""

    def close(self, reason: str, goodbye: bool) -> None:
        """The session is over: tell the peer `reason`, and, with `goodbye`, that no other one is to be had; let go."""

    def cut_off(self) -> None:
        """End the connection, soon and without a word: the peer takes none."""


class Absence(Protocol):
    """What is done while a session has no connection."""

    def begin(self, link: SessionLink, reason: str) -> None:
        """The connection is lost, for that reason."""

    def end(self, link: SessionLink) -> None:
        """There is another connection, or the session is over (whether or not the connection was lost before)."""
