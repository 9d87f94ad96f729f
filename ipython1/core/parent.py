"""Ends this process when the process that started it ends, however that ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time
from typing import Any

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have this process killed as soon as `parent` is gone, even while its code holds the GIL (on Linux).

    `parent` is what os.getppid() said when this process started.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), name="parent watcher", daemon=True).start()
    # The parent may have ended before the kernel was told.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    if hasattr(select, "kqueue"):
        _wait_by_kqueue(parent)
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_by_kqueue(parent: int) -> None:
    kqueue: Any = select  # Linux's does not have the names
    event = kqueue.kevent(
        parent, filter=kqueue.KQ_FILTER_PROC, flags=kqueue.KQ_EV_ADD, fflags=kqueue.KQ_NOTE_EXIT
    )
    with contextlib.suppress(OSError):  # it is gone already
        kqueue.kqueue().control([event], 1)
