"""The two counters of a session: what was sent and acknowledged, what was received and is to be acknowledged.

A session numbers its messages from 1 in each direction.  They leave in batches of consecutive numbers; a batch
names the number of its first message and the highest number that its sender has received.  That last number is
the acknowledgement: it costs nothing while messages go both ways.  Only after a silence, or when much has come
that nothing acknowledged, does a batch without messages carry it alone.
"""

from __future__ import annotations

from collections import deque

from ipython1.kernel.error import ProtocolError

SILENCE = 0.2
"""Seconds after which what was received is acknowledged alone."""
MAX_MESSAGES = 1_000
"""So many messages unacknowledged are acknowledged at once."""
MAX_BYTES = 1 << 20
"""So many bytes unacknowledged are acknowledged at once."""


class Sequence:
    """The counters of one end of a session."""

    def __init__(self) -> None:
        self.sent = 0
        """Number of the last message that was given one."""
        self.acknowledged = 0
        """Number of the last message that the peer is known to have."""
        self.received = 0
        """Number of the last message that came."""
        self._reported = 0
        self._bytes = 0
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self.bytes_in_flight = 0
        """Bytes of the messages that the peer is not known to have."""

    def number(self, size: int) -> int:
        """Give the next number to a message of `size` bytes that is to be sent."""
        self.sent += 1
        self._unacknowledged.append((self.sent, size))
        self.bytes_in_flight += size
        return self.sent

    def acknowledge(self, number: int) -> bool:
        """The peer has our messages up to `number`; whether that was not known."""
        if number > self.sent:
            raise ProtocolError(f"message {number} was acknowledged, the last one sent is {self.sent}")
        while self._unacknowledged and self._unacknowledged[0][0] <= number:
            self.bytes_in_flight -= self._unacknowledged.popleft()[1]
        news = number > self.acknowledged
        self.acknowledged = max(self.acknowledged, number)
        return news

    def accept(self, first: int, count: int, size: int) -> int:
        """`count` messages of together `size` bytes came, the first of them with number `first`.

        Returns how many of them, from the first, are repeats and must have no effect.
        Raises ProtocolError if messages are missing before them.
        """
        if first > self.received + 1:
            raise ProtocolError(f"message {first} came after message {self.received}: some are missing")
        repeats = min(count, self.received + 1 - first)
        self.received = max(self.received, first + count - 1)
        self._bytes += size
        return repeats

    @property
    def owes(self) -> bool:
        """Whether messages came that were not acknowledged."""
        return self.received > self._reported

    @property
    def owes_at_once(self) -> bool:
        """Whether so much came that it is to be acknowledged without waiting for a message to carry it."""
        return self.received - self._reported >= MAX_MESSAGES or (self.owes and self._bytes >= MAX_BYTES)

    def report(self) -> int:
        """The acknowledgement to be put into a batch that leaves now."""
        self._reported = self.received
        self._bytes = 0
        return self.received
