"""How a program ends that Ctrl-C ended while it waited for engines: by the signal, as any program of Python's does."""

from __future__ import annotations

import atexit
import contextlib
import sys

from ipython1.kernel.error import CallInterrupted, StillRunning


def end_as_interrupted() -> None:
    """At the end of a program: have it end by the signal, if one of our errors is what has ended it.

    Python does so for an exception that is a KeyboardInterrupt itself and none of a class of its own.  What code that is
    given as text has raised last is what it goes by.
    """
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return  # somebody sat there, and went on after it
    if isinstance(getattr(sys, "last_value", None), CallInterrupted | StillRunning):
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


def watch_end() -> None:
    """See to that at the end of this program; to be called early, as what else there is to do then comes first."""
    atexit.register(end_as_interrupted)
