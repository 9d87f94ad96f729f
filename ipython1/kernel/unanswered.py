"""The commands of a session that are not answered: what would have to be sent again."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ipython1.kernel.config.settings import KEPT_RESULTS
from ipython1.kernel.framing import Message
from ipython1.kernel.request import Answer, Request


class Call:
    """A command that has not all its replies; `hold` is the result id under which the controller is to keep these."""

    def __init__(self, request: Request, hold: str | None = None) -> None:
        self.request = request
        self.hold = hold
        self.sequence = 0
        """Its number on the link; 0 while it was not sent."""
        self.replies: dict[int, Message] = {}
        self.done: Deferred[Answer] = Deferred()


class Unanswered:
    """The calls of a session by their numbers.

    A call whose outcome the controller holds is answered, but its outcome has not been fetched: it is kept too, up to a
    number of them, if `durable`.
    """

    def __init__(self) -> None:
        self.durable = False
        self._calls: dict[int, Call] = {}
        self._held: dict[str, tuple[int, Call]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, number: int, call: Call) -> None:
        """A command got that number."""
        self._calls[number] = call

    def get(self, number: int) -> Call | None:
        """The call of that number; None if there is none, or it was answered."""
        return self._calls.get(number)

    def pop(self, number: int, answer: Answer | None = None) -> Call | None:
        """The same, with which the call is over; `answer`, if it has come."""
        call = self._calls.pop(number, None)
        if call is not None and answer is not None and self.durable:
            self._answered(number, call, answer)
        return call

    def _answered(self, number: int, call: Call, answer: Answer) -> None:
        succeeded = answer.whole is None or answer.whole.fields["ok"]
        if call.request.verb == "clear_pending":
            self._held = {hold: held for hold, held in self._held.items() if held[0] > number}
        elif succeeded and call.request.verb == "get_pending":
            self._held.pop(call.request.args["result_id"], None)
        elif succeeded and call.hold is not None:
            self._held[call.hold] = number, call
            if len(self._held) > KEPT_RESULTS.default:
                del self._held[next(iter(self._held))]

    def numbers(self) -> list[int]:
        """Those of all calls that are not answered, in order."""
        return sorted(self._calls)

    def to_send_again(self) -> list[tuple[int, Call]]:
        """All that a controller must be asked again, which lost it or not, in order."""
        return sorted([*self._calls.items(), *self._held.values()], key=lambda entry: entry[0])

    def renumbered(self) -> list[Call]:
        """All calls, in order; they are to be added again, with other numbers."""
        calls = [call for _, call in sorted(self._calls.items())]
        self._calls.clear()
        return calls
