"""What the commands have in common: logging, signals, and the way from an exception to an exit status."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

from ipython1.kernel.config.settings import LOG_COUNT, LOG_SIZE
from ipython1.kernel.error import ConfigError, IPythonError
from ipython1.kernel.terminal import silence

MAX_DESCRIPTORS = 1 << 16
"""No more than this: some programs that engines start try to close every descriptor that there may be."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLLECT_AFTER = 10_000
"""So many objects more than before, and Python looks which of them are garbage.  After 700, as is usual, most are about to
become free in any case, and to look through all those that stay takes a third of a busy controller's time."""


def say(text: str) -> None:
    """Tell the person who started the command, at once."""
    _write(text, sys.stdout)


def complain(program: str, text: str) -> None:
    """Say on stderr why the command fails."""
    _write(f"{program}: {text}", sys.stderr)


def _write(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # Nobody reads it any more: the parent was killed, or the terminal is gone. That must not keep a command from
        # ending its own children.
        silence(stream)


def check_folder() -> None:
    """ConfigError if the current folder was removed: engines could not be started there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the current folder does not exist any more: go to another one, with cd") from None


def start_logging(
    program: str, logfile: str, size: int = LOG_SIZE.default, count: int = LOG_COUNT.default
) -> None:
    """Log to the file, with everything of note; without a file (''), warnings go to stderr.

    A file of `size` bytes is put aside, and `count` of these are kept.

    Raises OSError if the file cannot be opened.
    """
    if logfile:
        path = Path(logfile).expanduser().absolute()
        rotated: Any = LogFile  # which is not typed
        output = rotated(
            path.name, str(path.parent), rotateLength=size, maxRotatedFiles=count, defaultMode=0o600
        )
        observer: ILogObserver = textFileLogObserver(output)
        level = LogLevel.info
    else:
        observer = _StderrObserver(program, sys.stderr)
        level = LogLevel.warn
    filtered = FilteringLogObserver(observer, [LogLevelFilterPredicate(level)])
    globalLogBeginner.beginLoggingTo([filtered], redirectStandardIO=False)


@implementer(ILogObserver)
class _StderrObserver:
    def __init__(self, program: str, stream: TextIO) -> None:
        self._program = program
        self._stream = stream

    def __call__(self, event: LogEvent) -> None:
        text = formatEvent(event)
        if "log_failure" in event:
            text = f"{text}\n{event['log_failure'].getTraceback()}"
        _write(f"{self._program}: {text}", self._stream)


def _raise_descriptor_limit() -> None:
    """Have as many descriptors as the system lets us have: each connection, and each engine, takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # less than promised, as on some systems: then it stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(
    program: str, reactor: Any, main: Callable[[], Coroutine[Any, Any, int]], stop: Callable[[], None]
) -> int:
    """Run `main` with the reactor; its result is the exit status.

    `stop` is called on SIGINT, SIGTERM and SIGHUP, each time, and should make `main` return.  An error of ours
    becomes a message and the status 1.
    """
    status = 1
    _raise_descriptor_limit()
    gc.set_threshold(COLLECT_AFTER)

    def finished(result: int | Failure) -> None:
        nonlocal status
        if isinstance(result, int):
            status = result
        elif isinstance(result.value, IPythonError):
            complain(program, str(result.value))
        else:
            complain(program, f"this should not have happened:\n{result.getTraceback()}")
        reactor.stop()

    def begin() -> None:
        # Now, since the reactor has just put its own in place. A SIGHUP that is ignored (nohup) stays so; a SIGINT
        # that is ignored does not: to what it starts with &, a shell without job control does that unasked.
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: reactor.callFromThread(stop))
        Deferred.fromCoroutine(main()).addBoth(finished)

    reactor.callWhenRunning(begin)
    reactor.run()
    return status
