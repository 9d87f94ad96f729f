"""A session: messages that outlast the connections over which they travel.

This is the plain core of one end: events in (a message is to be sent, a batch came, a connection is there or was lost),
instructions out (this batch is to leave, these messages are to be taken).  It knows no network and no time;
``docs/source/development/sessions.txt`` describes the protocol.

Messages are numbered from 1 in each direction.  They leave in batches of consecutive numbers; a batch names the number of
its first message and the highest number that its sender has received.  That last number is the acknowledgement: it
costs nothing while messages go both ways.  Only after a silence, or when much has come that nothing acknowledged, does
a batch without messages carry it alone.

An end that must not lose what came, even if its process is killed, acknowledges it only when it is stored (`Session.secure`).

What was not acknowledged is kept.  When a connection is lost and another one is there, each end says what it has received,
and what the other kept beyond that leaves again.  A message that comes twice is recognised by its number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ipython1.kernel.error import ProtocolError

T = TypeVar("T")

SILENCE = 0.2
"""Seconds after which what was received is acknowledged alone."""
MAX_MESSAGES = 1_000
"""So many messages unacknowledged are acknowledged at once."""
MAX_BYTES = 1 << 20
"""So many bytes unacknowledged are acknowledged at once."""
BATCH = 1 << 20
"""A batch is closed when it has so many bytes."""
BATCH_MESSAGES = 256
"""... or so many messages: its receiver deals with others before it opens the next one."""
MAX_KEPT = 100_000
"""So many messages are kept for a peer that does not acknowledge them."""
MAX_KEPT_BYTES = 256 << 20
"""They have so many bytes together."""


@dataclass(frozen=True)
class Batch(Generic[T]):
    """Messages that travel together: the number of the first one, and the sender's acknowledgement."""

    first: int
    ack: int
    messages: Sequence[T]


class Session(Generic[T]):
    """One end of a session, over one connection after the other."""

    def __init__(self, holds: bool = False) -> None:
        """With `holds`, what came is acknowledged only when `secure` was told so."""
        self.sent = 0
        """Number of the last message that was given one."""
        self.acknowledged = 0
        """Number of the last message that the peer is known to have."""
        self.received = 0
        """Number of the last message that came."""
        self.connection = 0
        """Number of the connection that is in use; 0 while there is none."""
        self.bytes_kept = 0
        """Bytes of the messages that the peer is not known to have."""
        self._holds = holds
        self._secured = 0
        self._connections = 0
        self._departed = 0
        self._ended = False
        # What the peer is not known to have, with its size: what has left over this connection, and what has not.
        self._left: deque[tuple[T, int]] = deque()
        self._waiting: deque[tuple[T, int]] = deque()
        self._reported = 0
        self._bytes_owed = 0

    # -- connections ---------------------------------------------------------------------------------

    def connected(self, has: int) -> int:
        """There is a connection, and the peer `has` received up to that number; the connection's own number.

        One that was in use is not any more: the new one wins.  All that the peer does not have is to leave (again).
        ProtocolError if the peer cannot have received that.
        """
        if not self.acknowledged <= has <= self.sent:
            raise ProtocolError(
                f"the peer says that it has message {has}: it had {self.acknowledged} before, and {self.sent} were sent"
            )
        self._acknowledge(has)
        self._leave_again()
        # By saying what it has, each end has acknowledged all of it.
        self.report()
        self._connections += 1
        self.connection = self._connections
        return self.connection

    def _leave_again(self) -> None:
        self._left.extend(self._waiting)
        self._left, self._waiting = deque(), self._left

    def disconnected(self, connection: int) -> bool:
        """A connection was lost; whether it was the one in use."""
        if connection != self.connection or not connection:
            return False
        self.connection = 0
        return True

    def end(self) -> None:
        """The session is over: nothing is kept any more."""
        self._ended = True
        self.connection = self.bytes_kept = 0
        self._left.clear()
        self._waiting.clear()

    # -- sending -------------------------------------------------------------------------------------

    def send(self, message: T, size: int) -> int:
        """A message of `size` bytes is to be sent; its number."""
        self.sent += 1
        if not self._ended:
            self._waiting.append((message, size))
            self.bytes_kept += size
        return self.sent

    @property
    def kept(self) -> int:
        """How many messages the peer is not known to have."""
        return self.sent - self.acknowledged

    @property
    def is_full(self) -> bool:
        """Whether no more is to be kept."""
        return self.kept > MAX_KEPT or self.bytes_kept > MAX_KEPT_BYTES

    @property
    def waits(self) -> bool:
        """Whether messages are there that have not left over this connection."""
        return bool(self._waiting)

    def next_batch(self) -> Batch[T] | None:
        """The next batch that is to leave over the connection in use; None if nothing waits, or there is none."""
        if not self._waiting or not self.connection:
            return None
        messages: list[T] = []
        size = 0
        first = self._next
        while self._waiting and len(messages) < BATCH_MESSAGES and size < BATCH:
            entry = self._waiting.popleft()
            self._left.append(entry)
            messages.append(entry[0])
            size += entry[1]
        self._departed = max(self._departed, self._next - 1)
        return Batch(first, self.report(), messages)

    def bare_batch(self) -> Batch[T]:
        """A batch without messages, which acknowledges what came."""
        return Batch(self._next, self.report(), ())

    @property
    def _next(self) -> int:
        """Number of the message that is the next to leave over this connection."""
        return self.sent - len(self._waiting) + 1

    # -- receiving -----------------------------------------------------------------------------------

    def arrived(self, connection: int, batch: Batch[T], size: int) -> Sequence[T]:
        """A batch of `size` bytes came over `connection`; those of its messages that are to be taken.

        The others came before; and nothing that comes over a connection which is no longer in use is taken.
        ProtocolError if messages are missing before them, or what was never sent is acknowledged.
        """
        if connection != self.connection:
            return ()
        # One that is to leave again may have come by now, or be acknowledged only now: over an earlier connection.
        if batch.ack > self._departed:
            raise ProtocolError(f"message {batch.ack} was acknowledged, and has not been sent")
        self._acknowledge(batch.ack)
        return self._accept(batch, size)

    def _acknowledge(self, number: int) -> None:
        """The peer has our messages up to `number`."""
        while self.acknowledged < number:
            _, size = (self._left or self._waiting).popleft()
            self.bytes_kept -= size
            self.acknowledged += 1

    def _accept(self, batch: Batch[T], size: int) -> Sequence[T]:
        if batch.first > self.received + 1:
            raise ProtocolError(
                f"message {batch.first} came after message {self.received}: some are missing"
            )
        new = batch.messages[self.received + 1 - batch.first :]
        self.received += len(new)
        self._bytes_owed += size
        return new

    @property
    def secured(self) -> int:
        """Number of the last message that may be acknowledged."""
        return self._secured if self._holds else self.received

    def secure(self, number: int) -> None:
        """The messages up to `number` need not come again, even if this process is killed."""
        self._secured = max(self._secured, min(number, self.received))

    @property
    def owes(self) -> bool:
        """Whether messages came that may be acknowledged, and were not."""
        return self.secured > self._reported

    @property
    def owes_at_once(self) -> bool:
        """Whether so much came that it is to be acknowledged without waiting for a message to carry it."""
        return self.secured - self._reported >= MAX_MESSAGES or (self.owes and self._bytes_owed >= MAX_BYTES)

    def report(self) -> int:
        """The acknowledgement that leaves now."""
        self._reported = self.secured
        self._bytes_owed = 0
        return self._reported
