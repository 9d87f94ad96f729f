"""The end of a program that has submitted tasks: it waits, with a limit, until the controller has confirmed them."""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import functools
import sys

from ipython1.kernel.client.reactor import reactor_thread
from ipython1.kernel.error import ClientError
from ipython1.kernel.task_session import LEAVE_WITHIN, sessions


@functools.cache
def confirm_at_exit() -> None:
    """Have the end of the interpreter wait; to be called when the reactor has started, which is stopped after that."""
    atexit.register(_wait)


def _wait() -> None:
    # What is not confirmed is counted below.
    with contextlib.suppress(concurrent.futures.TimeoutError, ClientError):
        reactor_thread.submit(_confirmed).result(LEAVE_WITHIN)
    count = sum(session.lost for session in list(sessions))
    if count:
        tasks = "1 task was" if count == 1 else f"{count} tasks were"
        print(f"ipython1: {tasks} not confirmed by the controller, and may never run", file=sys.stderr)


async def _confirmed() -> None:
    for session in list(sessions):
        if session.alive:
            await session.all_confirmed()
