"""What the services see of a session with a peer, whatever carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from ipython1.kernel.framing import Message, StreamRef

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from ipython1.kernel.keeping import Keeping


class Ending(Enum):
    """How a session came to its end."""

    CLOSED = "closed"  # by one of the ends, or for a fault
    GOODBYE = "goodbye"  # the controller stopped in order
    UNKNOWN = "unknown"  # the controller does not know it any more
    STAYED_AWAY = "stayed away"  # there was no connection for too long


class Receiver(Protocol):
    """Takes what comes from a peer."""

    def message_received(self, message: Message) -> None:
        """A message came.

        Its large bodies are `StreamRef`; collect or relay them before returning, or they are refused.
        """

    def link_away(self, reason: str) -> None:
        """The connection is lost, and is to come back: until then nothing comes, and what is sent is kept."""

    def link_back(self) -> None:
        """There is a connection again: nothing was lost."""

    def link_lost(self, reason: str) -> None:
        """The session is over: nothing more will come, and what is sent goes nowhere.  Called once."""


class Relayed(Protocol):
    """A stream that is being passed on."""

    @property
    def refs(self) -> Sequence[StreamRef]:
        """How each destination knows it, in the order given."""

    def when_done(self, callback: Callable[[str | None], None]) -> None:
        """Call with None when each destination has all of it or is gone, or with why it broke off."""


class Link(Protocol):
    """A session with a peer: messages in both directions, in order, each once, and streams beside them.

    It outlasts its connection: see ``docs/source/development/sessions.txt``.
    """

    @property
    def ending(self) -> Ending | None:
        """How the session came to its end; None while it has not."""

    @property
    def peer(self) -> Mapping[str, Any]:
        """What the peer said of itself: host, pid, version, … (see `ipython1.kernel.hello`)."""

    def send(self, message: Message) -> int:
        """Send `message` with what else is sent in this reactor turn; bodies above 64 KiB leave as streams.

        A body that is a `StreamRef` refers to a stream that `relay` opened on this link.
        Returns the message's sequence number.
        """

    def acknowledged(self, sequence: int) -> bool:
        """Whether the peer is known to have received the message of that number."""

    def collect(self, message: Message) -> Deferred[Message]:
        """Fires with `message`, its streams replaced by bytes (or see `keep_in`), when all have come; at once if it has none.

        Fails with `ConnectionError` if a stream breaks off.
        """

    def keep_in(self, new_keeping: Callable[[int, int], Keeping]) -> None:
        """Have streams that are collected from now on put together in what this makes for size and uses of each."""

    def relay(self, ref: StreamRef, to: Sequence[tuple[Link, int]]) -> Relayed:
        """Pass on a stream that a message which came here refers to, piece by piece as it comes.

        Each entry of `to` is a link and how many messages sent there will refer to the stream (its uses, 1 or
        more); the peer keeps it until so many have come or were released.
        """

    def hold(self) -> Callable[[], None]:
        """Do not acknowledge the message that is being taken, nor later ones, until what is returned is called.

        So whoever sent it keeps it.  Without effect where nothing is kept for a successor of this process.
        """

    def release(self, number: int, uses: int) -> None:
        """So many messages that were to refer to the relayed stream `number` of this link will not be sent."""

    def close(self, reason: str) -> None:
        """End the session; both receivers' `link_lost` get `reason`."""
