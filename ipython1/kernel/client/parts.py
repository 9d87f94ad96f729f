"""What a pending result says of the parts that it is made of: how many are there, and what was printed for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ipython1.kernel.framing import Message
from ipython1.kernel.replies import Replies, displayed, printed
from ipython1.kernel.request import Request, plain_value
from ipython1.kernel.results import Result, ResultList

if TYPE_CHECKING:
    Base = Future[Any]
else:
    Base = object


class Parts(Base):
    """A base class of `PendingResult`, beside Future."""

    @property
    def _requests(self) -> Sequence[Request]:
        """What was asked for it last, of which replies come."""
        raise NotImplementedError

    _submitted: float
    _settled: float | None

    @property
    def total(self) -> int | None:
        """Of how many parts the result is made: one for each engine, or share of a map; None if that is not known yet."""
        totals = [request.replies.total for request in self._requests if request.replies is not None]
        return sum(totals) if totals and None not in totals else None  # type: ignore[arg-type]

    @property
    def progress(self) -> int:
        """How many of its parts are there."""
        return sum(len(request.replies) for request in self._requests if request.replies is not None)

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked for, until the result was there."""
        return (time.monotonic() if self._settled is None else self._settled) - self._submitted

    @property
    def serial_time(self) -> float:
        """Seconds that engines have worked for the parts that are there, all together."""
        return sum(map(_took, self._messages()))

    @property
    def speedup(self) -> float:
        """How many times longer one engine would have had to work than was waited."""
        return self.serial_time / self.elapsed

    @property
    def stdout(self) -> list[str]:
        """What was written to stdout, for each part that is there."""
        return self._results().stdout

    @property
    def stderr(self) -> list[str]:
        """What was written to stderr, for each part that is there."""
        return self._results().stderr

    def display_outputs(self, group: str = "engine", again: bool = True) -> None:
        """Show what was printed and displayed by the parts that are there; see `ResultList.display_outputs`."""
        self._results().display_outputs(group, again)

    def _messages(self) -> list[Message]:
        replies = [request.replies for request in self._requests if request.replies is not None]
        return [message for each in replies for _, message in each.numbered()]

    def _results(self) -> ResultList:
        """A `Result` for each part: its own, or one that has only what was printed."""
        messages = self._messages()
        values = self._values()
        found = ResultList()
        for place, message in enumerate(messages):
            value = values[place] if len(values) == len(messages) else None
            if not isinstance(value, Result):
                stdout, stderr = (text.decode("utf-8", "replace") for text in printed(message))
                record = message.fields.get("result")
                engine = record.get("engine") if isinstance(record, dict) else message.fields.get("engine")
                value = Result({"mime": displayed(message)}, engine, stdout, stderr)
                value.shown_at = message.fields.get("shown_at")
            found.append(value)
        return found

    def _values(self) -> Sequence[Any]:
        """The results of the parts, if they are there."""
        if not self.done() or self.cancelled():
            return [plain_value(each) if each.fields["ok"] else None for each in self._messages()]
        error = Future.exception(self, 0)
        value = getattr(error, "results", ()) if error is not None else Future.result(self, 0)
        return value if isinstance(value, list) else [value]

    def _all_replies(self) -> list[Replies]:
        return [request.replies for request in self._requests if request.replies is not None]


def _took(message: Message) -> float:
    """Seconds that an engine worked for that."""
    record = message.fields.get("result")
    if isinstance(record, dict) and record.get("started") is not None:
        return float(record["completed"] - record["started"])
    return float(message.fields.get("took") or 0.0)
