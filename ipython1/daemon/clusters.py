"""Which clusters there are, how they stand, and putting right what one has left behind."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from ipython1.daemon.control import remove_socket
from ipython1.daemon.state import FAILED, ClusterState, ProcessId, StateFolder, UnreadableState
from ipython1.kernel.controller.config import CERTIFICATE_FILE
from ipython1.kernel.controller.lock import ControllerLock
from ipython1.kernel.error import (
    ClusterError,
    ClusterRunning,
    ControllerCreationError,
    NoSuchCluster,
    SecurityError,
)
from ipython1.kernel.furl import remove
from ipython1.kernel.places import ALL_FURL_FILES, Places

CLEAN_GRACE = 5.0
"""Seconds that what was left behind has for ending when it is asked to."""


class Standing(Enum):
    """How the record of a cluster and what there is belong together."""

    NONE = "none"  # there is no cluster, nor anything left of one
    RUNNING = "running"
    FAILED = "failed"  # it ended by itself, and has recorded why
    LOST = "lost"  # its supervisor ended without putting things in order: kill -9, or the machine went down
    UNREADABLE = "unreadable"  # something is left of it that cannot be read, and it does not run
    ELSEWHERE = "elsewhere"  # it was started on another host, which alone knows


@dataclass(frozen=True)
class Found:
    """A cluster that was looked for."""

    places: Places
    standing: Standing
    state: ClusterState | None = None
    problem: str = ""

    def orphans(self) -> list[tuple[str, ProcessId]]:
        """The recorded processes that run on this host though their supervisor is gone, with their labels."""
        if self.state is None or self.standing not in (Standing.LOST, Standing.FAILED):
            return []
        return [(label, process) for label, process in self.state.processes() if process.find() is not None]

    def control(self) -> Path:
        """The control socket; NoSuchCluster if the cluster does not run."""
        if self.standing is Standing.RUNNING and self.state is not None:
            return Path(self.state.control)
        raise NoSuchCluster(self.text())

    def text(self) -> str:
        """How it stands, in words."""
        name = self.places.cluster_id
        if self.standing is Standing.UNREADABLE:
            return f"{self.problem}; cluster {name!r} does not run; to remove that: {self.command('clean')}"
        if self.standing is Standing.NONE or self.state is None:
            return f"no cluster {name!r} runs in {self.places.ipython_dir}; start one with: {self.command('start')}"
        if self.standing is Standing.RUNNING:
            return f"cluster {name!r} runs (pid {self.state.supervisor.pid})"
        if self.standing is Standing.FAILED:
            return f"cluster {name!r} has ended: {self.state.reason}; to forget it: {self.command('clean')}"
        if self.standing is Standing.ELSEWHERE:
            return _elsewhere(self.state)
        why = "the machine was started again" if not self.state.supervisor.is_here else "it was killed"
        return (
            f"cluster {name!r} does not run any more: {why}, and its state was left behind; to put that right:"
            f" {self.command('clean')}"
        )

    def command(self, verb: str) -> str:
        """The command that does this with the cluster, as one would type it."""
        return shlex.join(["ipcluster", verb, *self.places.typed_options()])


def _elsewhere(state: ClusterState) -> str:
    return f"cluster {state.name!r} was started on {state.supervisor.host}: ask there"


def look(places: Places) -> Found:
    """How the cluster stands that `places` names."""
    folder = StateFolder(places.state_dir)
    # In this order: a supervisor that is about to end removes its record before it gives the lock back.
    locked = folder.is_locked()
    try:
        state = folder.read()
    except UnreadableState as problem:
        if locked or _is_of_others(problem):
            raise
        return Found(places, Standing.UNREADABLE, problem=str(problem))
    if state is None:
        return Found(places, Standing.NONE)
    if locked:
        return Found(places, Standing.RUNNING, state)
    if state.supervisor.host != ProcessId.own().host:
        return Found(places, Standing.ELSEWHERE, state)
    return Found(places, Standing.FAILED if state.state == FAILED else Standing.LOST, state)


def _is_of_others(problem: UnreadableState) -> bool:
    return problem.host not in (None, ProcessId.own().host)


def look_for_all(ipython_dir: Path) -> list[Found]:
    """The clusters of an ipython directory, by name: those that run, and those that have left something."""
    try:
        names = sorted(path.name for path in (ipython_dir / "clusters").iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise ClusterError(f"cannot read {ipython_dir / 'clusters'}: {problem.strerror}") from None
    found = [look(Places(ipython_dir, name)) for name in names]
    return [each for each in found if each.standing is not Standing.NONE]


def clean(places: Places) -> list[str]:
    """Remove what a cluster that does not run any more has left behind: says what, in words.

    Processes are ended only if they are those that are recorded: a process id may have been given to another one since.
    Raises ClusterRunning if it runs, ClusterError if it was started on another host.
    """
    folder = StateFolder(places.state_dir)
    if not places.state_dir.exists():
        return []
    if not folder.acquire():
        raise ClusterRunning(f"cluster {places.cluster_id!r} runs: stop it with: {look(places).command('stop')}")
    done: list[str] = []
    try:
        done += put_in_order(folder)
        done += _remove_record(places, folder)
    except ClusterError:
        folder.release(keep_state=True)
        raise
    folder.release()
    return done


def put_in_order(folder: StateFolder) -> list[str]:
    """End what an earlier cluster has left running: says what, in words.  The caller has the lock.

    A record of another host is an error, a ClusterError, and so is one that may not be read.
    """
    try:
        state = folder.read()
    except UnreadableState as problem:
        if _is_of_others(problem):
            raise
        # Nobody knows what ran. It ends by itself: its supervisor is gone, or it could not have been locked.
        return []
    if state is None:
        return []
    if state.supervisor.host != ProcessId.own().host:
        raise ClusterError(_elsewhere(state))
    done = _end_orphans(state)
    remove_socket(Path(state.control), folder.path)
    return done


def _end_orphans(state: ClusterState) -> list[str]:
    done, ended = [], []
    for label, recorded in state.processes():
        process = recorded.find()
        if process is None:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile, by itself
            process.terminate()
            ended.append(process)
            done.append(f"ended {label} (pid {recorded.pid})")
    _, alive = psutil.wait_procs(ended, timeout=CLEAN_GRACE)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=CLEAN_GRACE)
    return done


def _remove_record(places: Places, folder: StateFolder) -> list[str]:
    """The FURLs with it, unless they are to be kept; the record itself goes with the lock."""
    try:
        state = folder.read()
    except UnreadableState:
        return [f"removed the state of cluster {places.cluster_id!r}, which could not be read"]
    if state is None:
        return []
    # A controller that somebody has started by hand since then keeps its files, and a folder that is gone has none.
    with contextlib.suppress(ControllerCreationError, SecurityError):
        lock = ControllerLock(places.security_dir)
        lock.acquire()
        if not state.keeps_furls:
            for file in (*places.security_dir.glob(ALL_FURL_FILES), places.security_dir / CERTIFICATE_FILE):
                remove(file)
        lock.release()
    return [f"removed the state of cluster {places.cluster_id!r}, started on {state.supervisor.host}"]
