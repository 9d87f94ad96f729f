"""Held outcomes: what two-phase calls came to, until somebody fetches it.

Plain state.  A client names the result when it makes the call, and anyone who knows the name may fetch it, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ipython1.kernel.config.settings import KEPT_RESULTS, KEPT_RESULTS_SIZE
from ipython1.kernel.error import InvalidDeferredID, ResultNotCompleted
from ipython1.kernel.framing import Bytes
from ipython1.kernel.messages import CommandId

_OVERHEAD = 500  # bytes that an outcome takes beside its bodies, roughly


@dataclass(frozen=True)
class Outcome:
    """One reply: its fields, but for the command id, and its bodies."""

    fields: dict[str, Any]
    bodies: Sequence[Bytes]

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return _OVERHEAD + sum(map(len, self.bodies))


@dataclass(frozen=True)
class Waiter:
    """A command that waits for a result: the session that it came by, and its id."""

    session: str
    command: CommandId


@dataclass(eq=False)
class Held:
    """The outcomes, so far, of one call; `waiter` is who waits for the rest."""

    result_id: str
    session: str
    outcomes: list[Outcome] = field(default_factory=list)
    size: int = 0
    finished: bool = False
    waiter: Waiter | None = None


@dataclass(frozen=True)
class Delivery:
    """Somebody waited for these outcomes, which are complete now."""

    waiter: Waiter
    outcomes: list[Outcome]


class PendingTable:
    """The held outcomes of all clients.

    When there are more than `max_results`, or more bytes than `max_bytes`, those that were finished first are
    dropped; the latest stays, however large.
    """

    def __init__(self, max_results: int = KEPT_RESULTS.default, max_bytes: int = KEPT_RESULTS_SIZE.default) -> None:
        self._max_results = max_results
        self._max_bytes = max_bytes
        self._held: dict[str, Held] = {}
        # Those finished and not fetched, in the order in which they finished, and the bytes of them together.
        self._finished: dict[str, Held] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def bytes_kept(self) -> int:
        """Bytes of the finished results."""
        return self._bytes

    def begin(self, result_id: str, session: str) -> Held:
        """A call begins whose outcomes are to be held; InvalidDeferredID if another one has that id."""
        if result_id in self._held:
            raise InvalidDeferredID(f"the result id {result_id!r} is in use by another call")
        held = self._held[result_id] = Held(result_id, session)
        return held

    def add(self, held: Held, outcome: Outcome, last: bool) -> Delivery | None:
        """An outcome came; `last` if no more will.  It is dropped if the result was cleared meanwhile."""
        if self._held.get(held.result_id) is not held:
            return None
        held.outcomes.append(outcome)
        held.size += outcome.size
        if not last:
            return None
        held.finished = True
        if held.waiter is not None:
            del self._held[held.result_id]
            return Delivery(held.waiter, held.outcomes)
        self._finished[held.result_id] = held
        self._bytes += held.size
        self._shrink()
        return None

    def fetch(self, result_id: str, waiter: Waiter, block: bool) -> list[Outcome] | None:
        """The outcomes, which are forgotten here; None if they are not complete and `waiter` waits for them.

        Raises InvalidDeferredID if there are none or somebody waits for them, ResultNotCompleted if they are not
        complete and `block` is False.
        """
        held = self._held.get(result_id)
        if held is None or held.waiter is not None:
            raise InvalidDeferredID(
                f"there is no pending result {result_id!r}: it was fetched already, flushed, or never existed"
            )
        if held.finished:
            self._forget(held)
            return held.outcomes
        if not block:
            raise ResultNotCompleted(f"the result {result_id!r} is not complete yet")
        held.waiter = waiter
        return None

    def clear(self, session: str) -> list[Waiter]:
        """Forget all that the session's calls came to, or will come to; returns who waited for that."""
        cleared = [held for held in self._held.values() if held.session == session]
        for held in cleared:
            self._forget(held)
        return [held.waiter for held in cleared if held.waiter is not None]

    def waiter_left(self, session: str) -> None:
        """The session is over: what it waited for may be fetched by others."""
        for held in self._held.values():
            if held.waiter is not None and held.waiter.session == session:
                held.waiter = None

    def _shrink(self) -> None:
        while len(self._finished) > 1 and (
            len(self._finished) > self._max_results or self._bytes > self._max_bytes
        ):
            self._forget(next(iter(self._finished.values())))

    def _forget(self, held: Held) -> None:
        del self._held[held.result_id]
        if self._finished.pop(held.result_id, None) is not None:
            self._bytes -= held.size
