"""The state of a cluster on disk: what is recorded of it, whether that still holds, and who may change it.

The folder of a cluster has the files ``state.json``, ``lock`` and ``control``, a socket.  Whether the cluster runs is
said by the lock alone, which the system releases however its holder ends; process ids in the file may belong to others
by now, so each stands beside the time when its process began, and the boot of the machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ipython1.kernel.alive import boot_id
from ipython1.kernel.error import ClusterError
from ipython1.kernel.furl import remove, write_private

STATE_FILE = "state.json"
LOCK_FILE = "lock"
CONTROL_SOCKET = "control"
SCHEMA = 1
"""The version of the documented schema of the state."""
FAILED = "failed"
"""The state of a cluster that has ended by itself after it was ready."""
ATTEMPTS = 5
_PROBED = 0.02  # seconds in which somebody who only looks whether there is a lock has let go of it
_SAME = 2.0  # seconds by which two readings of the time when a process began may differ


class UnreadableState(ClusterError):
    """There is a record, but it makes no sense; `host` is where it was written, as far as that can be told."""

    def __init__(self, text: str, host: str | None) -> None:
        super().__init__(text)
        self.host = host


def _boot() -> str:
    """What tells this boot of the host from others."""
    # To the minute: the clock is adjusted now and then.
    return boot_id() or str(round(psutil.boot_time() / 60))


@dataclass(frozen=True)
class ProcessId:
    """A process of one host, recognisable after its id was given to another one."""

    host: str
    pid: int
    created: float | None
    boot: str

    @classmethod
    def own(cls) -> ProcessId:
        """This process."""
        return cls.at("", os.getpid(), psutil.Process().create_time())

    @classmethod
    def at(cls, host: str, pid: int, created: float | None) -> ProcessId:
        """A process of `host`; '' is this one."""
        return cls(host, pid, created, "") if host else cls(socket.gethostname(), pid, created, _boot())

    @property
    def is_here(self) -> bool:
        """Whether it is of this host, and of its present boot."""
        return self.host == socket.gethostname() and self.boot == _boot()

    def find(self) -> psutil.Process | None:
        """The process; None if it has ended, or cannot be told from another one by what is known."""
        if not self.is_here or self.created is None:
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


@dataclass(frozen=True)
class PartRecord:
    """What is recorded of the controller or of a host agent."""

    label: str
    state: str
    host: str
    process: ProcessId | None = None
    engines: tuple[int, ...] = ()
    wanted: int = 0
    restarts: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class ClusterState:
    """What is recorded of a cluster."""

    name: str
    state: str
    supervisor: ProcessId
    started: float
    control: str
    keeps_furls: bool = False
    daemon: bool = False
    parts: tuple[PartRecord, ...] = ()
    problems: tuple[str, ...] = ()
    reason: str | None = None
    schema: int = field(default=SCHEMA)

    def to_json(self) -> str:
        """As the content of the file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ClusterState:
        """From the content of the file; ValueError if that is none."""
        try:
            return cls._from_plain(json.loads(text))
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"no state of a cluster: {problem!r}") from None

    @classmethod
    def _from_plain(cls, plain: Mapping[str, Any]) -> ClusterState:
        if plain["schema"] != SCHEMA:
            raise ValueError(f"written by another version of ipython1 (schema {plain['schema']!r})")
        parts = tuple(
            PartRecord(
                **{
                    **part,
                    "process": part["process"] and ProcessId(**part["process"]),
                    "engines": tuple(part["engines"]),
                }
            )
            for part in plain["parts"]
        )
        return cls(
            **{
                **plain,
                "supervisor": ProcessId(**plain["supervisor"]),
                "parts": parts,
                "problems": tuple(plain["problems"]),
            }
        )

    def processes(self) -> list[tuple[str, ProcessId]]:
        """The processes of the parts, with their labels, in the order in which they are to be ended."""
        found = [(part.label, part.process) for part in self.parts if part.process is not None]
        return list(reversed(found))


def _host(content: bytes) -> str | None:
    """Where a record was written that another version may have written."""
    try:
        return str(json.loads(content)["supervisor"]["host"])
    except (ValueError, LookupError, TypeError):
        return None


class StateFolder:
    """The folder of one cluster."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._lock: int | None = None

    def read(self) -> ClusterState | None:
        """What is recorded; None if nothing is.

        ClusterError if it cannot be read, UnreadableState if what is there is no record.
        """
        path = self.path / STATE_FILE
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            raise ClusterError(f"cannot read {path}: {problem.strerror}") from None
        try:
            return ClusterState.from_json(content.decode("utf-8"))
        except ValueError as problem:
            raise UnreadableState(f"cannot read {path}: {problem}", _host(content)) from None

    def write(self, state: ClusterState) -> None:
        """Record the state; SecurityError if that cannot be done."""
        write_private(self.path / STATE_FILE, state.to_json())

    def is_locked(self) -> bool:
        """Whether a supervisor is there."""
        try:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _lock(descriptor)
        finally:
            os.close(descriptor)

    def acquire(self) -> bool:
        """Take the lock, and make the folder if need be; false if a supervisor is there.

        Raises ClusterError if it cannot be made.
        """
        try:
            while True:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                except FileNotFoundError:
                    # The one who had it has just removed the folder, as below.
                    continue
                if not _lock(descriptor, ATTEMPTS):
                    os.close(descriptor)
                    return False
                if self._is_the_file(descriptor):
                    self._lock = descriptor
                    return True
                # It was removed by the one who had it, between the opening and the locking.
                os.close(descriptor)
        except OSError as problem:
            raise ClusterError(
                f"cannot use the folder {self.path}: {problem.strerror}; give another one with --ipython-dir"
            ) from problem

    def _is_the_file(self, descriptor: int) -> bool:
        ours = os.fstat(descriptor)
        try:
            now = os.stat(self.path / LOCK_FILE)
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (now.st_dev, now.st_ino)

    def release(self, keep_state: bool = False) -> None:
        """Give the lock back, and remove what is in the folder; `keep_state` leaves what is recorded."""
        if self._lock is None:
            return
        names = [CONTROL_SOCKET, *([] if keep_state else [STATE_FILE]), LOCK_FILE]
        for name in names:
            remove(self.path / name)
        with contextlib.suppress(OSError):  # something is left in it: so be it
            if not keep_state:
                self.path.rmdir()
        os.close(self._lock)
        self._lock = None


def _lock(descriptor: int, attempts: int = 1) -> bool:
    """Lock the file; false if another process has it locked."""
    for attempt in range(attempts):
        if attempt:
            time.sleep(_PROBED)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as problem:
            if problem.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
    return False
