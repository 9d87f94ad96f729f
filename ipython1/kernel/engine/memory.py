"""The memory of interpreters: how much they use, how much they may, and which is ended when it is too much.

An interpreter's memory is its own and that of the processes that user code has started in it.  What is beyond
the limit is ended before the machine begins to swap, when nothing on it would answer any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

INTERVAL = 0.5
"""Seconds between two looks."""
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

_LIMIT = re.compile(r"(?P<size>\d{1,18}) ?(?P<unit>[KMGT]?)(?:i?B)?|(?P<percent>\d{1,3}) ?%", re.IGNORECASE)


@dataclass(frozen=True)
class MemoryLimit:
    """How much interpreters may use: `each` of them so many bytes, or all `together` such a share of the host's."""

    each: int | None = None
    together: float | None = None

    @classmethod
    def parse(cls, text: str) -> MemoryLimit:
        """``4G``, ``512M`` … for each interpreter, or ``80%`` of the host for all; ValueError for anything else."""
        match = _LIMIT.fullmatch(text.strip())
        if match and match["percent"] and 0 < int(match["percent"]) <= 100:
            return cls(together=int(match["percent"]) / 100)
        if match and match["size"] and int(match["size"]) > 0:
            return cls(each=int(match["size"]) * UNITS[match["unit"].upper()])
        raise ValueError(f"{text!r} is no limit of memory: 4G or 512M are for each engine, 80% is for all on the host")

    def exceeded(self, used: Mapping[int, int], host: int) -> tuple[int, str] | None:
        """Which interpreter is to be ended, and why; None if all is well.

        `used` has the bytes of each interpreter, `host` is what there is on the machine.
        """
        if not used:
            return None
        largest = max(used, key=lambda place: used[place])
        if self.each is not None and used[largest] > self.each:
            return largest, f"it used {in_words(used[largest])} of memory, {in_words(self.each)} are allowed"
        total = sum(used.values())
        if self.together is not None and total > self.together * host:
            return largest, (
                f"it used {in_words(used[largest])} of memory, and all engines of this host {in_words(total)};"
                f" {in_words(int(self.together * host))} are allowed"
            )
        return None


def in_words(size: int) -> str:
    """So many bytes, for people."""
    for unit in ("T", "G", "M"):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.1f} {unit}iB"
    return f"{size / UNITS['K']:.0f} KiB"


def host_memory() -> int:
    """The bytes of memory that the machine has."""
    return int(psutil.virtual_memory().total)


def used_memory(pids: Sequence[int]) -> dict[int, int]:
    """The bytes that each of these processes uses with all that have come from it; those that are gone are left out."""
    children = _children()
    found = {}
    for pid in pids:
        family = [pid]
        for member in family:
            family += children.get(member, [])
        sizes = [size for size in map(_resident, family) if size is not None]
        if sizes:
            found[pid] = sizes[0] if len(sizes) == 1 else _proportional(family)
    return found


def _children() -> dict[int, list[int]]:
    """The children of each process; one pass for all, since the system has no shorter way to one's grandchildren."""
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        children.setdefault(process.info["ppid"], []).append(process.pid)
    return children


def _resident(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def _proportional(family: Sequence[int]) -> int:
    """Their memory with what they share counted once, as after a fork; where the system tells that."""
    total = 0
    for pid in family:
        try:
            full = psutil.Process(pid).memory_full_info()
        except psutil.Error:
            continue
        total += getattr(full, "pss", None) or full.rss
    return total
