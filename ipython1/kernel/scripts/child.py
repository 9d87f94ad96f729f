"""Runs one of the commands as a child that ends when its parent ends, however that ends.

``python -m ipython1.kernel.scripts.child ipengine -n 4``.  The standard input is a pipe that the parent keeps open
and never writes to.  When the parent is gone, by kill -9 too, the system closes the pipe, and the child ends itself
in an orderly way, as on SIGTERM.  This works on every POSIX system, and at every moment: what Linux offers for it
(PR_SET_PDEATHSIG) must first be asked for by the child, and kills it, without a chance to end its own children.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time

GRACE = 15.0
"""Seconds that the command has for ending in an orderly way."""


def main() -> int:
    """Be that child; the exit status of the command."""
    command, arguments = sys.argv[1], sys.argv[2:]
    # Ctrl-C at the terminal is for the parent, which ends its children one after the other.
    os.setsid()
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()
    sys.argv[:] = [command, *arguments]
    module = importlib.import_module(f"ipython1.kernel.scripts.{command}")
    status: int = module.main(arguments)
    return status


def _watch(lifeline: int) -> None:
    """Wait for the end of the parent in a thread: it must be noticed whatever the command is doing."""
    while os.read(lifeline, 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
