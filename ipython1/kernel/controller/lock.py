"""One controller for each security folder: the lock that sees to it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from ipython1.kernel.error import ControllerCreationError, SecurityError

LOCK_FILE = "ipcontroller.lock"


class ControllerLock:
    """Held from `acquire` to `release`, or to the end of the process, however that comes.

    The one who has it removes the file in the end.  So that two controllers do not hold locks on two files of that
    name, a lock counts only if its file is still the one that is there.
    """

    def __init__(self, security_dir: Path) -> None:
        self._path = security_dir / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock: ControllerCreationError if another controller has it, SecurityError if it cannot be made."""
        descriptor = self._open_and_lock()
        while not self._is_the_file(descriptor):
            # Its last holder has removed it, between the opening and the locking.
            os.close(descriptor)
            descriptor = self._open_and_lock()
        self._descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError as problem:
            self.release()
            raise SecurityError(f"cannot write {self._path}: {problem.strerror}") from problem

    def _open_and_lock(self) -> int:
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
        return descriptor

    def _is_the_file(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # the folder may not be changed any more
                if self._is_the_file(self._descriptor):
                    self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None
