"""Two links joined in memory, for tests of what works over links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel import messages
from ipython1.kernel.hello import hello
from ipython1.kernel.link import SessionLink
from ipython1.kernel.peer import Receiver


class MemoryCarrier:
    """Hands everything to the other end in a later reactor turn."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.own: SessionLink
        self.other: SessionLink | None = None
        self.batches: list[bytes] = []

    def deliver(self, batch: bytes) -> None:
        assert self.other is not None
        self.batches.append(batch)
        self.reactor.callLater(0, self.other.batch_received, batch)

    def piece(self, number: int, offset: int, data: bytes) -> Deferred[bool | None]:
        answer: Deferred[bool | None] = Deferred()

        def arrive() -> None:
            assert self.other is not None
            self.other.piece_received(number, offset, data).addCallback(answer.callback)

        self.reactor.callLater(0, arrive)
        return answer

    def let_go(self) -> None:
        pass

    def close(self, reason: str, goodbye: bool) -> None:
        assert self.other is not None
        self.reactor.callLater(0, self.other.over, reason)

    def cut_off(self) -> None:
        assert self.other is not None
        for end in (self.own, self.other):
            self.reactor.callLater(0, end.over, "cut off")


Allowed = Mapping[str, Mapping[str, messages.Types]]


def link_pair(
    reactor: Any,
    receiver_a: Receiver,
    receiver_b: Receiver,
    a_may_receive: Allowed,
    b_may_receive: Allowed,
    role: str = "multiengine",
) -> tuple[SessionLink, SessionLink]:
    """Two joined links; `reactor` is a Clock or the real one."""
    a = SessionLink(reactor, hello(role, "b"), "incarnation", a_may_receive)
    b = SessionLink(reactor, hello(role, "a"), "incarnation", b_may_receive)
    for link, receiver, other in ((a, receiver_a, b), (b, receiver_b, a)):
        carrier = MemoryCarrier(reactor)
        carrier.own, carrier.other = link, other
        link.attach(carrier, receiver)
    return a, b
