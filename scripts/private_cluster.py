"""A cluster for one program: in a folder of its own, started with it and gone with it, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from ipython1.kernel import client
from ipython1.kernel.error import FURLError

READY_WITHIN = 60
_AGAIN = 0.2  # seconds


class NotStarted(Exception):
    """The cluster did not start; the text has what it said."""


@contextlib.contextmanager
def private_cluster(command: str, *options: str, engines: int) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the ``command`` of ipython1 that starts a cluster, until the end of the block.

    In the block $IPYTHONDIR is the cluster's folder, so that clients made there connect to it, and all engines
    are ready. SIGTERM and SIGHUP end the block like Ctrl-C does.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="ipython1-") as folder:
        os.environ["IPYTHONDIR"] = folder
        said = Path(folder, "said.txt")
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ipython1.kernel.scripts.child", command, *options],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(process, engines, said)
            yield process
        finally:
            _stop(process)


def exit_status(script: str, work: Callable[[], int], more: str = "") -> int:
    """What `work` returns; if its cluster does not start, or Ctrl-C comes, that is said, with `more`, and is the status."""
    try:
        return work()
    except NotStarted as problem:
        print(f"{script}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{script}: interrupted{more}", file=sys.stderr)
        return 130


def _leave(number: int, frame: FrameType | None) -> None:
    # In some moments, as in the callback of a weak reference, Python ignores exceptions: then this one comes again.
    signal.signal(signal.SIGALRM, lambda *_: _leave(number, None))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _wait_for(process: subprocess.Popen[bytes], engines: int, said: Path) -> None:
    mec = None
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        if mec is None:
            with contextlib.suppress(FURLError):
                mec = client.MultiEngineClient()
        elif len(mec) == engines:
            return
        time.sleep(0.1)
    raise NotStarted(f"the cluster did not start:\n{said.read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    # A second Ctrl-C must not leave the cluster behind.
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The end of its standard input, which comes also when this process is killed, makes the command stop.
    process.communicate()
