"""Large bodies, which travel beside the messages: sent, collected, or passed on, piece by piece.

The sender offers a piece and waits for the answer before it offers more than `WINDOW` of them: the answer comes when
the piece has found its place, for a piece that is relayed at the last receiver.  So whoever is slow slows down the
source of that stream, and no other, and who relays keeps a few pieces at the most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, succeed

from ipython1.kernel.framing import Bytes, StreamRef, Traffic
from ipython1.kernel.keeping import Keeping

THRESHOLD = 64 * 1024
"""Bodies above this size (bytes) travel as streams."""
PIECE = 512 * 1024
"""The size of a piece (bytes): each costs something on every hop, and what is under way may lie before a message."""
WINDOW = 4
"""So many pieces of one stream are under way unanswered."""


class Sink(Protocol):
    """Takes the pieces of one incoming stream, in order."""

    def piece(self, data: Bytes) -> Deferred[bool]:
        """Fires when there is place for more; False if no more is wanted."""

    def complete(self) -> None:
        """All pieces came."""

    def broken(self, reason: str) -> None:
        """No more will come."""


class Collector:
    """Collects the pieces of a stream of `size` bytes, and gives what `keeping` makes of them to whoever asks."""

    def __init__(self, size: int, keeping: Keeping) -> None:
        self._size = size
        self._has = 0
        self._traffic: Traffic | None = None
        self._keeping: Keeping | None = keeping
        self._body: Any = None
        self._reason: str | None = None
        self._waiting: list[Deferred[None]] = []

    def count(self, traffic: Traffic) -> None:
        """Count there what comes, and has come."""
        traffic.begun(self._size)
        traffic.done += self._has
        self._traffic = traffic

    def piece(self, data: Bytes) -> Deferred[bool]:
        if self._keeping is None:
            return succeed(False)
        try:
            self._keeping.add(data)
        except MemoryError as problem:
            self.broken(_no_room(self._size, problem))
            return succeed(False)
        self._has += len(data)
        if self._traffic is not None:
            self._traffic.done += len(data)
        return succeed(True)

    def complete(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is None:  # it broke before
            return
        try:
            self._body = keeping.whole()
        except MemoryError as problem:
            self._reason = _no_room(self._size, problem)
        self._tell()

    def broken(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._keeping = None
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def when_over(self) -> Deferred[None]:
        """Fires when the stream is complete or broken; see `body` and `reason`."""
        if self._body is not None or self._reason is not None:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        return deferred

    @property
    def body(self) -> Any:
        """The whole of a complete stream; None as long as it is not."""
        return self._body

    @property
    def reason(self) -> str | None:
        """Why the stream broke off."""
        return self._reason


def _no_room(size: int, problem: MemoryError) -> str:
    why = f": {problem}" if str(problem) else ""
    return f"there is no room for {size} bytes{why}"


class Relay:
    """Passes each piece on to every destination that still wants it."""

    def __init__(self, destinations: Sequence[tuple[OutgoingPieces, StreamRef]]) -> None:
        self.refs = [ref for _, ref in destinations]
        self._destinations = list(destinations)
        self._offset = 0
        self._over: str | None | type[Relay] = Relay  # the class stands for: not over yet
        self._callbacks: list[Callable[[str | None], None]] = []

    def piece(self, data: Bytes) -> Deferred[bool]:
        offset, self._offset = self._offset, self._offset + len(data)
        offers = [link.offer(ref.number, offset, data) for link, ref in self._destinations]
        if len(offers) == 1:
            return offers[0].addCallback(self._answered_by, self._destinations[0])
        return DeferredList(offers).addCallback(self._answered, list(self._destinations))

    def _answered_by(self, wanted: bool, destination: tuple[OutgoingPieces, StreamRef]) -> bool:
        if not wanted and destination in self._destinations:
            self._destinations.remove(destination)
        return bool(self._destinations)

    def _answered(self, answers: list[tuple[bool, Any]], asked: list[tuple[OutgoingPieces, StreamRef]]) -> bool:
        for (succeeded, wanted), destination in zip(answers, asked, strict=True):
            if not (succeeded and wanted) and destination in self._destinations:
                self._destinations.remove(destination)
        return bool(self._destinations)

    def complete(self) -> None:
        self._end(None)

    def broken(self, reason: str) -> None:
        for link, ref in self._destinations:
            link.abort(ref.number, reason)
        self._end(reason)

    def _end(self, over: str | None) -> None:
        self._over = over
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(over)

    def when_done(self, callback: Callable[[str | None], None]) -> None:
        """Call with None when each destination has all of it or is gone, or with why it broke off."""
        if isinstance(self._over, type):
            self._callbacks.append(callback)
        else:
            callback(self._over)


class OutgoingPieces(Protocol):
    """The sending side of a link, as far as streams are concerned."""

    def offer(self, number: int, offset: int, data: Bytes) -> Deferred[bool]:
        """Send a piece; fires when it has found its place, False if no more is wanted or the link is lost."""

    def abort(self, number: int, reason: str) -> None:
        """Say that the rest of the stream will not come."""


class Outgoing:
    """Sends one body that is here as a whole, `WINDOW` pieces ahead of the answers."""

    def __init__(self, link: OutgoingPieces, ref: StreamRef, body: Bytes, traffic: Traffic | None = None) -> None:
        self._link = link
        self._traffic = traffic
        self._ref = ref
        self._view: memoryview | None = memoryview(body).cast("B")
        self._offset = 0
        self._under_way = 0

    def start(self) -> None:
        """Send the first pieces; the rest follows as answers come."""
        while self._view is not None and self._under_way < WINDOW and self._offset < self._ref.size:
            data = self._view[self._offset : self._offset + PIECE]
            offset, self._offset = self._offset, self._offset + len(data)
            self._under_way += 1
            self._link.offer(self._ref.number, offset, data).addCallback(self._answered, len(data))

    def _answered(self, wanted: bool, size: int) -> None:
        self._under_way -= 1
        if self._traffic is not None:
            self._traffic.done += size
        if not wanted or self._offset >= self._ref.size:
            self._view = None
        else:
            self.start()
