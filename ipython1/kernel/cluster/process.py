"""The process of a cluster that this program has started: ``ipcluster start``, and the two pipes to it.

One pipe is its standard input, its lifeline (see `ipython1.kernel.scripts.child`): when this end is closed, by this
program or by the system when this program is gone, the cluster ends.  By the other it reports how its start went; that
pipe is at its end when the process has ended.  This works in any thread, and without a reactor.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import select
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import ipython1
from ipython1.kernel.cluster.said import Said, start_error
from ipython1.kernel.cluster.steps import Readable, Steps, Work
from ipython1.kernel.error import CallTimeout, KernelError
from ipython1.kernel.scripts import child

COMMAND = "ipython1.kernel.scripts.ipcluster"
END_WITHIN = 60.0
"""Seconds in which a cluster has to end in good order."""
LEAVE_WITHIN = 10.0
"""Seconds for which the end of this program waits for the ends of its clusters, which end without it too."""
_CHUNK = 1 << 16
_FIRST = 3  # after the standard streams

_processes: weakref.WeakSet[ClusterProcess] = weakref.WeakSet()


class ClusterProcess:
    """``ipcluster start`` with these arguments; with `stays`, in the background, and it does not end with this program.

    OSError if the system does not let it be started.
    """

    def __init__(self, arguments: Sequence[str], stays: bool = False) -> None:
        self._said = Said()
        self._stays = stays
        self._owner = os.getpid()
        self._stray = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as this object
        report, their_report = _pipe()
        their_input, lifeline = _pipe()
        try:
            command, output = self._command(arguments, their_report)
            self._process = subprocess.Popen(
                command,
                stdin=their_input,
                stdout=output,
                stderr=output,
                pass_fds=() if stays else (their_report,),
                env=_environment(),
            )
        except OSError:
            os.close(report)
            os.close(lifeline)
            raise
        finally:
            os.close(their_report)
            os.close(their_input)
        os.set_blocking(report, False)
        self._report = report
        self._open = {report, lifeline}
        self._lifeline = lifeline
        # Nobody has this object any more: nobody can stop the cluster then, nor use it.
        weakref.finalize(self, _close, self._open, self._owner).atexit = False
        _processes.add(self)

    def _command(self, arguments: Sequence[str], report: int) -> tuple[list[str], int]:
        """The command, and where its output goes."""
        if self._stays:
            return [sys.executable, "-m", COMMAND, *arguments, "--daemonize"], report
        # What it writes past its report is of interest only if there is none.
        return [sys.executable, "-m", child.__name__, "ipcluster", *arguments, f"--report={report}"], self._stray.fileno()

    def ready(self, timeout: float) -> Steps[None]:
        """Wait until the cluster can be used; the error with which it has not come up, or CallTimeout."""
        deadline = time.monotonic() + timeout
        while not self._said.is_ready:
            if not (yield Readable(self._report, max(deadline - time.monotonic(), 0))):
                raise CallTimeout(f"the cluster was not ready within {timeout:g} s, and was stopped")
            if not self._read():
                yield from self._failed_or_detached()
                return

    def _failed_or_detached(self) -> Steps[None]:
        status = yield Work(self._process.wait)
        if status != 0 or not self._stays:
            raise self._error(status)

    def _error(self, status: int) -> KernelError:
        self._stray.seek(0)
        return start_error(self._said.text + self._stray.read().decode("utf-8", "replace"), status)

    def _read(self) -> bool:
        """Take what there is; false when the process has ended."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._report, _CHUNK):
                self._said.add(data)
            return False
        return True

    @property
    def is_tied(self) -> bool:
        """Whether it is to end with this program."""
        return not self._stays

    @property
    def has_ended(self) -> bool:
        """Whether it does not run any more."""
        return self._process.poll() is not None

    def give_up(self) -> None:
        """Have it end, now that its start is of no use any more."""
        if self._stays:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
        self.let_go()

    def let_go(self) -> None:
        """Have it end in good order."""
        if self._lifeline in self._open:
            self._open.discard(self._lifeline)
            os.close(self._lifeline)

    def ended(self) -> Steps[None]:
        """Wait for its end, which is made to come after a time."""
        deadline = time.monotonic() + END_WITHIN
        while not self.has_ended:
            late = not (yield Readable(self._report, max(deadline - time.monotonic(), 0)))
            if late:
                self._process.kill()
            if late or not self._read():
                yield Work(self._process.wait)

    def wait_a_little(self, deadline: float) -> None:
        """Wait for its end until `deadline`, without a driver."""
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        while not self.has_ended and (left := deadline - time.monotonic()) > 0:
            if poll.poll(left * 1000) and not self._read():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(left)

    def forget(self) -> None:
        """Leave it to the process that has started it: this is a copy of that one."""
        _close(self._open, os.getpid())


def _environment() -> dict[str, str] | None:
    """What it needs to find ipython1 as this program has: None if that is nothing."""
    source = str(Path(ipython1.__file__).parent.parent)
    if source in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()):
        return None
    # A source tree, which this program may have found by its sys.path alone.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), source]))}


def _pipe() -> tuple[int, int]:
    """A pipe, of descriptors that are not those of standard streams, even if this program has none."""
    ends = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST) for end in ends)
    for end in ends:
        os.close(end)
    return read, write


def _close(descriptors: set[int], owner: int) -> None:
    # The copy of this process that a fork makes has closed its own already.
    if os.getpid() == owner:
        while descriptors:
            os.close(descriptors.pop())


@atexit.register
def _leave() -> None:
    """The program ends: its clusters end with it."""
    left = [process for process in _processes if process.is_tied]
    for process in left:
        process.let_go()
    deadline = time.monotonic() + LEAVE_WITHIN
    for process in left:
        process.wait_a_little(deadline)


def _forked() -> None:
    # An open end of the lifeline in a copy of this process would keep the cluster alive after this process.
    for process in list(_processes):
        process.forget()


os.register_at_fork(after_in_child=_forked)
