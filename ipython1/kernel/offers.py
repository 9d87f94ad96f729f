"""The pieces of streams that were sent over a link and not yet answered: sent again over its next connection."""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from ipython1.kernel.connection import Carrier
from ipython1.kernel.framing import Bytes


@dataclass(eq=False)
class _Offer:
    """A piece; `answer` fires with the peer's answer, over whichever connection that comes."""

    number: int
    offset: int
    data: Bytes
    answer: Deferred[bool] = field(default_factory=Deferred)


class Offers:
    """Keeps what is not answered.  Each stream has a few pieces under way, so it is not much."""

    def __init__(self) -> None:
        # a dictionary for its order
        self._open: dict[_Offer, None] = {}
        self.bytes = 0
        """How much that is."""
        self._carrier: Carrier | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, number: int, offset: int, data: Bytes) -> Deferred[bool]:
        """Send a piece, now or as soon as there is a connection."""
        offer = _Offer(number, offset, data)
        self._open[offer] = None
        self.bytes += len(data)
        self._send(offer)
        return offer.answer

    def use(self, carrier: Carrier) -> None:
        """Send over this connection; if it is another one than before, everything leaves again."""
        if carrier is self._carrier:
            return
        self._carrier = carrier
        for offer in list(self._open):
            self._send(offer)

    def disconnected(self) -> None:
        """The connection was lost."""
        self._carrier = None

    def _send(self, offer: _Offer) -> None:
        if self._carrier is not None:
            answer = self._carrier.piece(offer.number, offer.offset, offer.data)
            answer.addCallback(self._answered, offer, self._carrier)

    def _answered(self, wanted: bool | None, offer: _Offer, carrier: Carrier) -> None:
        # What a connection brings late that is no longer in use may be the answer of one who no longer listened there.
        if wanted is not None and carrier is self._carrier:
            self._close(offer, wanted)

    def _close(self, offer: _Offer, wanted: bool) -> None:
        del self._open[offer]
        self.bytes -= len(offer.data)
        offer.answer.callback(wanted)

    def end(self) -> None:
        """The session is over: nothing more is wanted."""
        self._carrier = None
        for offer in list(self._open):
            if offer in self._open:
                self._close(offer, False)
