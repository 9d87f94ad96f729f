"""Starts a controller or an agent with a fault that is patched into it, to see whether the harness finds that.

``python -m ipython1.kernel.tests.chaos.broken FAULT ipcontroller ...``: like ``ipython1.kernel.scripts.child`` otherwise.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ipython1.kernel.scripts import child
from ipython1.kernel.session import Batch, Session

EVERY = 40
"""One in so many batches suffers from the fault."""


def drop_ack() -> None:
    """What came is acknowledged though it was dropped: now and then, the last message of a batch."""
    accept = Session._accept
    count = itertools.count(1)

    def accept_and_drop(self: Session[Any], batch: Batch[Any], size: int) -> Sequence[Any]:
        new = accept(self, batch, size)
        return new[:-1] if new and next(count) % EVERY == 0 else new

    Session._accept = accept_and_drop  # type: ignore[method-assign]


def forget_repeat() -> None:
    """What came and was not acknowledged when the connection was lost comes again, and is taken for new."""
    disconnected = Session.disconnected

    def forget(self: Session[Any], connection: int) -> bool:
        was_used = disconnected(self, connection)
        if was_used:
            self.received = self._reported
        return was_used

    Session.disconnected = forget  # type: ignore[method-assign]


BREAKS: dict[str, Callable[[], None]] = {"drop-ack": drop_ack, "forget-repeat": forget_repeat}


if __name__ == "__main__":
    fault = sys.argv.pop(1)
    BREAKS[fault]()
    sys.exit(child.main())
