"""Processes, so that others of their hosts can tell whether they live."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SAME = 0.05  # seconds by which two readings of the time at which a process was created may differ


@functools.cache
def boot_id() -> str:
    """What tells this boot of this host from any other; empty where the system has no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@functools.cache
def namespace() -> str:
    """What tells process ids of this container, or host, from those of others; empty where there are no such things."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@dataclass(frozen=True)
class Process:
    """A process: where it is, its id, and when it was created, as ids are used again."""

    host: str
    boot_id: str
    namespace: str
    pid: int
    created: float

    @classmethod
    def this(cls) -> Process:
        """This process."""
        import psutil

        return cls(socket.gethostname(), boot_id(), namespace(), os.getpid(), psutil.Process().create_time())

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Process:
        """The process that said this of itself (see `ipython1.kernel.hello`), or of which it was stored."""
        host, boot, space = (str(said.get(name, "")) for name in ("host", "boot_id", "namespace"))
        return cls(host, boot, space, int(said.get("pid", 0)), float(said.get("created", 0.0)))

    @property
    def place(self) -> tuple[str, str, str]:
        """Processes of the same place see each other."""
        return self.host, self.boot_id, self.namespace

    @property
    def is_here(self) -> bool:
        """Whether it can be seen from this process."""
        here = socket.gethostname(), boot_id(), namespace()
        return all(here) and self.created > 0 and self.place == here

    @property
    def has_ended(self) -> bool:
        """Whether it is here, and certainly not alive."""
        return self.is_here and ended(self.pid, self.created)


def ended(pid: int, created: float) -> bool:
    """Whether the process of that id, which was created here then, is not here any more."""
    import psutil

    try:
        found = psutil.Process(pid)
        return abs(found.create_time() - created) > _SAME or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
