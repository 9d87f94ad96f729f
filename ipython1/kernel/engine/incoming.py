"""Large values that come in streams, put together where the interpreters see them, and take them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from ipython1.kernel.config.settings import SHARED_MEMORY_FROM
from ipython1.kernel.framing import Bytes
from ipython1.kernel.keeping import Joined, Keeping
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.shared_memory.reference import ALIGNMENT
from ipython1.kernel.shared_memory.system import Unavailable

LEAST: int = SHARED_MEMORY_FROM.default
"""What is smaller (bytes) is with its interpreter sooner through the socket."""
MOST = 64
"""So many lie in memory at a time: each takes a descriptor."""


class Incoming:
    """Where the streams that come to one agent are put together."""

    def __init__(self) -> None:
        self._open: WeakSet[Any] = WeakSet()

    def keeping(self, size: int, uses: int) -> Keeping:
        """Where a stream of that size is put together, which so many commands are going to use.

        In memory for interpreters if it is large, and there is some.
        """
        if size >= LEAST and len(self._open) < MOST:
            with contextlib.suppress(Unavailable):
                kept = InMemory(size, uses > 1)
                self._open.add(kept.lifetime)
                return kept
        return Joined(size)


class InMemory:
    """A stream that becomes `Memory`, or bytes if there is no more memory to share.

    What is for `several` is sealed, and mapped by each.  Of what is for one alone that one takes a copy: as a mapping it would
    have the value twice when the value is changed.
    """

    def __init__(self, size: int, several: bool) -> None:
        self._memory = Memory.new(ALIGNMENT + size)
        self._several = several
        self._memory.begin([(0, ALIGNMENT, size)])
        self._has = 0
        self._joined: Joined | None = None

    @property
    def lifetime(self) -> object:
        """See `Memory.lifetime`."""
        return self._memory.lifetime

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
                if self._several:
                    self._memory.seal()
                return self._memory
            except Unavailable:
                self._joined = self._taken_back()
        return self._joined.whole()


def divided(bodies: Sequence[Any]) -> tuple[list[Bytes], list[Memory]]:
    """The bodies of a message: what is sent to its interpreter, and the memory in which the others lie, empty there."""
    memories = [body.placed(index) for index, body in enumerate(bodies) if isinstance(body, Memory)]
    return [b"" if isinstance(body, Memory) else body for body in bodies], memories
