"""The end of a program that has submitted tasks: it waits, with a limit, until the controller has confirmed them."""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import sys

from ipython1.kernel.client.reactor import reactor_thread
from ipython1.kernel.error import ClientError
from ipython1.kernel.task_session import sessions

_within: set[float] = set()


def confirm_at_exit(within: float) -> None:
    """Have the end of the interpreter wait for so many seconds at most, or for as many as others have said.

    To be called when the reactor has started, which is stopped after that.
    """
    if not _within:
        atexit.register(_wait)
    _within.add(within)


def _wait() -> None:
    # What is not confirmed is counted below.
    with contextlib.suppress(concurrent.futures.TimeoutError, ClientError):
        reactor_thread.submit(_confirmed).result(max(_within))
    count = sum(session.lost for session in list(sessions))
    if count:
        tasks = "1 task was" if count == 1 else f"{count} tasks were"
        print(f"ipython1: {tasks} not confirmed by the controller, and may never run", file=sys.stderr)


async def _confirmed() -> None:
    for session in list(sessions):
        if session.alive:
            await session.all_confirmed()
