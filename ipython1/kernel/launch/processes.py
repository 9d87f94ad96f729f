"""What tells a process from another one that has its id later."""

from __future__ import annotations

import psutil


def created(pid: int) -> float | None:
    """When the process began, in seconds since 1970; None if there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
