"""Commands whose large bodies are still on their way, and those that have to wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.calls import Call
from ipython1.kernel.error import ConnectionError
from ipython1.kernel.framing import Message

Perform = Callable[[Call, Message], Deferred[None] | None]
"""Carries out a command; fires when the next one may be, if that is not at once."""


@dataclass(eq=False)
class _Arrival:
    """A command; `message` is there when it is whole, or `problem`."""

    call: Call
    message: Message | None = None
    problem: ConnectionError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether its turn can come."""
        return self.message is not None or self.problem is not None


class Arrivals:
    """Commands of one client, which are carried out in the order in which they came: later ones count on earlier ones.

    `what` is what texts call one of them.
    """

    log = Logger()

    def __init__(self, perform: Perform, what: str) -> None:
        self._perform = perform
        self._what = what
        self._line: deque[_Arrival] = deque()
        self._busy = False
        self._going = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is carried out, and nothing waits for that."""
        return not self._busy and not self._line

    def came(self, call: Call, message: Message) -> None:
        """A command came; it is carried out when it is whole, and all that came before it was carried out."""
        arrival = _Arrival(call)
        self._line.append(arrival)
        if not message.streams():
            arrival.message = message
            self._go_on()
            return

        def collected(whole: Message) -> None:
            arrival.message = whole
            self._go_on()

        def broken(failure: Failure) -> None:
            arrival.problem = ConnectionError(f"{self._what} did not arrive: {failure.getErrorMessage()}")
            self._go_on()

        collecting = call.client.link.collect(message).addCallbacks(collected, broken)
        collecting.addErrback(lambda failure: self.log.failure("while taking {what}", failure, what=self._what))

    def _go_on(self) -> None:
        if self._going:  # one that is done at once must not make this call itself again, once for each in the line
            return
        self._going = True
        try:
            while not self._busy and self._line and self._line[0].is_complete:
                self._carry_out(self._line.popleft())
        finally:
            self._going = False

    def _carry_out(self, arrival: _Arrival) -> None:
        if arrival.problem is not None:
            arrival.call.whole_failed(arrival.problem)
        elif arrival.message is not None:
            performed = self._perform(arrival.call, arrival.message)
            if performed is not None:
                self._busy = True
                performed.addBoth(self._performed)

    def _performed(self, outcome: object) -> None:
        if isinstance(outcome, Failure):
            self.log.failure("while carrying out a command", outcome)
        self._busy = False
        self._go_on()
