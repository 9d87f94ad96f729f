"""Starts a controller or an agent with a fault that is patched into it, to see whether the harness finds that.

``python -m ipython1.kernel.tests.chaos.broken FAULT ipcontroller ...``: like ``ipython1.kernel.scripts.child`` otherwise.
"""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from ipython1.kernel.controller.again import Again
from ipython1.kernel.framing import Message
from ipython1.kernel.scripts import child
from ipython1.kernel.session import Batch, Session
from ipython1.kernel.store.keeper import Keeper

EVERY = 40
"""One in so many batches suffers from the fault."""
SKIPPED = 5
"""... and one in so many commits."""
REPEATED = 5
"""So many messages come again after a loss of the connection."""


def drop_ack() -> None:
    """What came is acknowledged though it was dropped: now and then, the last message of a batch."""
    accept = Session._accept
    count = itertools.count(1)

    def accept_and_drop(self: Session[Any], batch: Batch[Any], size: int) -> Sequence[Any]:
        new = accept(self, batch, size)
        return new[:-1] if new and next(count) % EVERY == 0 else new

    Session._accept = accept_and_drop  # type: ignore[method-assign]


def forget_repeat() -> None:
    """Messages that come twice are taken for new; and some come twice after each loss of a connection, as they may."""
    acknowledge, connected = Session._acknowledge, Session.connected
    recent: WeakKeyDictionary[Session[Any], deque[tuple[Any, int]]] = WeakKeyDictionary()

    def acknowledge_and_remember(self: Session[Any], number: int) -> None:
        kept = itertools.chain(self._left, self._waiting)
        entries = list(itertools.islice(kept, max(0, number - self.acknowledged)))
        acknowledge(self, number)
        recent.setdefault(self, deque(maxlen=REPEATED)).extend(entries)

    def connected_and_repeat(self: Session[Any], has: int) -> int:
        connection = connected(self, has)
        again = recent.pop(self, deque())
        self._waiting.extendleft(reversed(again))
        self.acknowledged -= len(again)
        self.bytes_kept += sum(size for _, size in again)
        return connection

    def accept_all(self: Session[Any], batch: Batch[Any], size: int) -> Sequence[Any]:
        self._bytes_owed += size
        self.received = max(self.received, batch.first + len(batch.messages) - 1)
        return batch.messages

    Session._acknowledge = acknowledge_and_remember  # type: ignore[method-assign]
    Session.connected = connected_and_repeat  # type: ignore[method-assign]
    Session._accept = accept_all  # type: ignore[method-assign]


def forget_commands() -> None:
    """A command that comes again, after a restart of the controller, is taken for new."""
    takes = Again.takes

    def take(self: Again, client: Any, message: Message) -> bool:
        message.fields.pop("again", None)
        return takes(self, client, message)

    Again.takes = take  # type: ignore[method-assign]


def skip_commit() -> None:
    """What is to be stored is not, now and then, and is reported as stored."""
    write = Keeper.write
    count = itertools.count(1)

    def write_or_not(self: Keeper, batches: Sequence[Any]) -> None:
        if next(count) % SKIPPED:
            write(self, batches)

    Keeper.write = write_or_not  # type: ignore[method-assign]


BREAKS: dict[str, tuple[Callable[[], None], ...]] = {
    "drop-ack": (drop_ack,),
    "skip-commit": (skip_commit,),
    "forget-repeat": (forget_repeat, forget_commands),
}
"""The faults by their names, and what makes them."""


if __name__ == "__main__":
    for fault in BREAKS[sys.argv.pop(1)]:
        fault()
    sys.exit(child.main())
