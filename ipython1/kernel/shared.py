"""Functions of tasks that many tasks have in common: how they are called, and how many are kept.

A function whose bytes are more than a few goes to the controller once for each client, and to an interpreter once.  In
between it is called by the digest of its bytes.  Client, controller and interpreter each keep the functions used last.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

SHARED_FROM = 4096
"""Functions of so many bytes or more are shared."""
MAX_FUNCTIONS = 32
"""So many are kept."""
MAX_BYTES = 64 << 20
"""They have so many bytes together; the latest is kept, however large it is."""

T = TypeVar("T")


def digest(segments: Iterable[bytes | bytearray | memoryview]) -> str:
    """What a serialized function is called."""
    total = hashlib.blake2b(digest_size=16)
    for segment in segments:
        total.update(memoryview(segment).nbytes.to_bytes(8, "big"))
        total.update(segment)
    return total.hexdigest()


class Recent(Generic[T]):
    """The values that were used last, up to a number and up to so many bytes."""

    def __init__(self, max_values: int = MAX_FUNCTIONS, max_bytes: int = MAX_BYTES) -> None:
        self._max_values = max_values
        self._max_bytes = max_bytes
        self._values: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> T | None:
        """The value of that name, which was used by this; None if it is not there."""
        found = self._values.get(name)
        if found is None:
            return None
        self._values.move_to_end(name)
        return found[0]

    def add(self, name: str, value: T, size: int) -> list[str]:
        """Keep a value of so many bytes; the names of those that had to go for it."""
        self.discard(name)
        self._values[name] = value, size
        self._bytes += size
        gone = []
        while len(self._values) > 1 and (len(self._values) > self._max_values or self._bytes > self._max_bytes):
            oldest = next(iter(self._values))
            self.discard(oldest)
            gone.append(oldest)
        return gone

    def discard(self, name: str) -> None:
        """Forget the value of that name, if there is one."""
        _, size = self._values.pop(name, (None, 0))
        self._bytes -= size
