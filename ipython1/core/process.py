"""The interpreter process: one interpreter at the end of a socket pair, its commands one after the other.

``python -m ipython1.core.process --socket FD --control FD --tickets FD``; the host agent starts it, and feeds it
commands.  It leaves with status 0 at the end of file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import socket
import sys
from collections.abc import Sequence

from ipython1.core import parent, stdio
from ipython1.core.tickets import Tickets


def main(argv: Sequence[str] | None = None) -> None:
    """Be the interpreter process."""
    starter = os.getppid()
    options = _options(argv)
    parent.end_with(starter)
    with contextlib.suppress(PermissionError):  # it leads a group already
        os.setsid()  # Ctrl-C at the agent's terminal is not meant for user code
    stdio.install()
    _prepare_environment()
    from ipython1.core.loop import Loop  # brings IPython; not before the streams are ours

    command_socket, control_socket = (_socket(fd) for fd in (options.socket, options.control))
    os.set_inheritable(options.tickets, False)
    loop = Loop(command_socket, control_socket, Tickets(options.tickets))
    loop.run({"pid": os.getpid(), "python": platform.python_version()})


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ipython1.core.process", description=main.__doc__)
    parser.add_argument("--socket", type=int, required=True, metavar="FD", help="commands and replies")
    parser.add_argument("--control", type=int, required=True, metavar="FD", help="which command to interrupt")
    parser.add_argument("--tickets", type=int, required=True, metavar="FD", help="which commands may begin")
    return parser.parse_args(argv)


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)  # programs that user code starts have no business with it
    return socket.socket(fileno=descriptor)


def _prepare_environment() -> None:
    """What user code finds: as in Python at a prompt, where it was started, with matplotlib drawing no windows."""
    sys.argv[:] = [""]
    here = os.getcwd()
    sys.path[:] = ["", *(entry for entry in sys.path if entry not in ("", here))]
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")


if __name__ == "__main__":
    # By its own name: under the name __main__ it would be a second copy of the module, and that name is the
    # user's namespace's.
    from ipython1.core import process

    process.main()
