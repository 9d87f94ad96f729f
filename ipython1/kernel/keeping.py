"""Where the pieces of a stream that is collected are put together, as they come."""

from __future__ import annotations

from typing import Any, Protocol

from ipython1.kernel.framing import Bytes
from ipython1.kernel.shared_memory.system import Unavailable, own_memory

LARGE = 512 << 10
"""From this size on (bytes) memory straight from the system costs less than any other."""


class Keeping(Protocol):
    """What will be one body of messages; MemoryError where there is no room for it."""

    def add(self, data: Bytes) -> None:
        """Put this piece behind those before."""

    def whole(self) -> Any:
        """What takes the stream's place in messages, when all of it has come; called once."""


class Joined:
    """Keeps the pieces as they came, and joins them: no more memory is taken than has come."""

    def __init__(self, size: int, uses: int = 1) -> None:
        self._pieces: list[Bytes] = []

    def add(self, data: Bytes) -> None:
        """See `Keeping`."""
        self._pieces.append(data)

    def whole(self) -> bytes:
        """See `Keeping`."""
        return b"".join(self._pieces)


class InPlace:
    """Puts each piece at its place in memory of the whole size, which may become that of an array.

    For streams of those who may make this process take as much memory as they like.
    """

    def __init__(self, size: int) -> None:
        self._memory = memoryview(bytearray(size)) if size < LARGE else own_memory(size)
        self._has = 0

    def add(self, data: Bytes) -> None:
        """See `Keeping`."""
        end = self._has + len(data)
        self._memory[self._has : end] = data
        self._has = end

    def whole(self) -> memoryview:
        """See `Keeping`."""
        return self._memory


def in_place(size: int, uses: int = 1) -> Keeping:
    """`InPlace`; joined, if there is no room for all of it now."""
    try:
        return InPlace(size)
    except Unavailable:
        return Joined(size)
