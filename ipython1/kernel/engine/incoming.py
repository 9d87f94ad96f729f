"""Large values that come in streams, put together where the interpreters see them: each maps them from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipython1.kernel.config.settings import SHARED_MEMORY_FROM
from ipython1.kernel.framing import Bytes
from ipython1.kernel.keeping import Joined, Keeping
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.shared_memory.reference import ALIGNMENT
from ipython1.kernel.shared_memory.system import Unavailable

LEAST: int = SHARED_MEMORY_FROM.default
"""What is smaller (bytes) is with its interpreter sooner through the socket."""


def keeping(size: int) -> Keeping:
    """Where a stream of that size is put together: in memory for interpreters if it is large, and there is some."""
    if size >= LEAST:
        try:
            return InMemory(size)
        except Unavailable:
            pass
    return Joined(size)


class InMemory:
    """A stream that becomes a sealed `Memory`, or bytes if there is no more memory to share."""

    def __init__(self, size: int) -> None:
        self._memory = Memory.new(ALIGNMENT + size)
        self._memory.begin([(0, ALIGNMENT, size)])
        self._has = 0
        self._joined: Joined | None = None

    def add(self, data: Bytes) -> None:
        """See `Keeping`."""
        if self._joined is None:
            try:
                self._memory.write(memoryview(data).cast("B"), ALIGNMENT + self._has)
                self._has += len(data)
                return
            except Unavailable:
                self._joined = self._taken_back()
        self._joined.add(data)

    def _taken_back(self) -> Joined:
        """What has come, without the memory."""
        joined = Joined(self._has)
        try:
            (body,) = self._memory.bodies([b""])
        except Unavailable as problem:
            raise MemoryError(str(problem)) from None
        joined.add(body[: self._has])
        self._memory.close()
        return joined

    def whole(self) -> Memory | bytes:
        """See `Keeping`."""
        if self._joined is None:
            try:
                self._memory.seal()
                return self._memory
            except Unavailable:
                self._joined = self._taken_back()
        return self._joined.whole()


def divided(bodies: Sequence[Any]) -> tuple[list[Bytes], list[Memory]]:
    """The bodies of a message: what is sent to its interpreter, and the memory in which the others lie, empty there."""
    memories = [body.placed(index) for index, body in enumerate(bodies) if isinstance(body, Memory)]
    return [b"" if isinstance(body, Memory) else body for body in bodies], memories
