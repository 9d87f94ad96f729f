"""One controller for each security folder: the lock that sees to it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from ipython1.kernel.error import ControllerCreationError, SecurityError

LOCK_FILE = "ipcontroller.lock"


class ControllerLock:
    """Held from `acquire` to `release`, or to the end of the process, however that comes.

    The file stays: were it removed, two controllers could hold locks on two files of that name.
    """

    def __init__(self, security_dir: Path) -> None:
        self._path = security_dir / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock: ControllerCreationError if another controller has it, SecurityError if it cannot be made."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise SecurityError(f"cannot write {self._path}: {problem.strerror}") from problem
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if problem.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise SecurityError(f"cannot lock {self._path}: {problem.strerror}") from problem
            raise ControllerCreationError(
                f"another controller (pid {holder or 'unknown'}) is running with {self._path.parent}: use that one,"
                " stop it, or start this one with another --cluster-id"
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError as problem:
            os.close(descriptor)
            raise SecurityError(f"cannot write {self._path}: {problem.strerror}") from problem
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
