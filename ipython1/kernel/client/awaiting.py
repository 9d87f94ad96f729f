"""Ctrl-C while results are awaited at the prompt of IPython: what they are of is stopped.

They are awaited to their end then, whose errors are theirs, as a KeyboardInterrupt would end the loop of asyncio.  In other programs of asyncio, and in a notebook, Ctrl-C cancels what awaits, and that the result (see `PendingResult`).
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ipython1.kernel.client.patient import TICK
from ipython1.kernel.terminal import in_notebook, running_shell

if TYPE_CHECKING:
    from ipython1.kernel.client.pending import PendingResult

_awaited: list[PendingResult] = []


@contextmanager
def interruptible(pending: PendingResult) -> Iterator[None]:
    """Within it, `pending` is awaited; Ctrl-C has it end, and a second one is Python's own again."""
    if not _at_prompt():
        yield
        return
    looking = _Looking(asyncio.get_running_loop())
    try:
        looking.begin()
        # In this order: the handler finds what it is for.
        _awaited.append(pending)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        yield
    finally:
        looking.end()
        _awaited[:] = [each for each in _awaited if each is not pending]
        if not _awaited and signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class _Looking:
    """Has a loop look for signals from time to time; see `ipython1.kernel.client.patient`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._next: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Have it look, from now on."""
        self._next = self._loop.call_later(TICK, self.begin)

    def end(self) -> None:
        """It need not look any more."""
        if self._next is not None:
            self._next.cancel()


def _at_prompt() -> bool:
    here = threading.current_thread() is threading.main_thread()
    return here and running_shell() is not None and not in_notebook()


def _interrupt(number: int, frame: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for pending in list(_awaited):
        if not pending.done():
            pending.client._calls.abort(pending)
