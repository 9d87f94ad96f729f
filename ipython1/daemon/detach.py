"""A process that goes on in the background: of no terminal, in a session of its own, its output in a log file.

Who starts it waits for its report: what it says until it is ready or has failed, and how it went.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ipython1.kernel.terminal import silence

STATUS = b"\0"
"""What comes before the exit status, at the end of a report."""
COMPLAINT = b"\1"
"""What comes before a line of a report that is for standard error."""


class Report:
    """The way from the process in the background to the one that waits for it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def is_open(self) -> bool:
        """Whether somebody waits."""
        return self._descriptor is not None

    def say(self, text: str) -> None:
        """Have this shown, if somebody still waits."""
        self._write(b"".join(line + b"\n" for line in _lines(text)))

    def complain(self, text: str) -> None:
        """Have this shown on standard error, if somebody still waits."""
        self._write(b"".join(COMPLAINT + line + b"\n" for line in _lines(text)))

    def finish(self, status: int) -> None:
        """Have the waiting process end with that status."""
        self._write(STATUS + str(status).encode("ascii"))
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, data: bytes) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # nobody waits any more
                os.write(self._descriptor, data)


def _lines(text: str) -> list[bytes]:
    return text.encode("utf-8", "replace").replace(STATUS, b"").replace(COMPLAINT, b"").split(b"\n")


def detach(logfile: Path, serve: Callable[[Report], int]) -> int:
    """Run `serve` in the background, and wait until it reports; the exit status that it reports.

    OSError if the log file cannot be opened.  Nothing may run in this process yet, neither threads nor a reactor.
    Ctrl-C while waiting ends the process in the background with SIGTERM.
    """
    output = os.open(logfile, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if not (child := os.fork()):
        status = 1
        try:
            os.close(read)
            os.setsid()
            # A process that leads no session never gets a terminal by opening one.
            if os.fork() == 0:
                _become_daemon(output)
                os.write(write, b"%d\n" % os.getpid())
                status = serve(Report(write))
            else:
                status = 0
        except BaseException:
            # Whatever it is: this copy of the caller must not go on with the caller's work.
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)
    os.close(write)
    os.close(output)
    os.waitpid(child, 0)
    return _wait(read, logfile)


def _become_daemon(output: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for theirs, ours in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(theirs, ours)
    os.close(nothing)
    os.close(output)


def _wait(read: int, logfile: Path) -> int:
    """Show what is said until the end of the report."""
    with os.fdopen(read, "rb") as report:
        pid = int(report.readline())
        try:
            return _show(report.readline, logfile)
        except KeyboardInterrupt:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            _show(report.readline, logfile)
            return 130


def _show(readline: Callable[[], bytes], logfile: Path) -> int:
    while line := readline():
        text, _, status = line.partition(STATUS)
        if text:
            stream = sys.stderr if text.startswith(COMPLAINT) else sys.stdout
            _write(text.removeprefix(COMPLAINT).decode("utf-8", "replace"), stream)
        if status:
            return int(status)
    print(f"it ended without a word; {logfile} may have more", file=sys.stderr)
    return 1


def _write(text: str, stream: TextIO) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Nobody reads it any more. How it went can still be told.
        silence(stream)
