"""Memory that is used again: its pages are there already, which is most of what new memory costs.

It is for values that one engine alone gets, and copies into memory of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ipython1.kernel.framing import Bytes
from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.shared_memory.reference import lay_out

MAX_KEPT = 256 << 20
"""So many bytes are kept for the next value at most; larger ones are not taken from here."""
IDLE = 10.0
"""Seconds after which what was not used is given back to the system."""
_ROUNDED = 4 << 20
_PIECE = 1 << 20


class Lent(Memory):
    """Memory of a pool, which gets it back when it is closed."""

    pool: Pool
    _mapped: memoryview | None = None
    _was_filled = False

    def write(self, data: memoryview, offset: int) -> None:
        """See `Memory.write`.  What is there already is quicker to reach as a mapping, and what is not, without one."""
        if self._was_filled and self._mapped is None:
            self._mapped = system.shared_view(self._descriptor.number, self.reference.size)
        if self._mapped is None:
            super().write(data, offset)
            return
        for start in range(0, data.nbytes, _PIECE):
            # One by one: in between other threads can run.
            part = data[start : start + _PIECE]
            self._mapped[offset + start : offset + start + part.nbytes] = part

    def close(self) -> None:
        """See `Memory.close`."""
        self.is_closed = True
        self.pool._given_back(self)

    def let_go(self) -> None:
        """Give it back to the system."""
        self._mapped = None
        super().close()


class Pool:
    """The memory of one process; may be used from several threads.

    `later` calls a function after so many seconds; without it, `trim` is called by somebody else.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], Any] | None = None) -> None:
        self._later = later
        self._lock = threading.Lock()
        self._idle: list[Lent] = []
        self._uses = 0
        self._watched = False

    def with_bodies(self, bodies: Sequence[Bytes]) -> Memory:
        """Memory with those of the bodies that are not small; Unavailable if there is none to be had."""
        places, end = lay_out([memoryview(body).nbytes for body in bodies])
        if end > MAX_KEPT:
            return Memory.of_bodies(bodies)
        memory = self._taken(end)
        try:
            memory.fill(places, bodies)
        except BaseException:  # an interrupt, too
            memory.let_go()
            raise
        return memory

    def _taken(self, size: int) -> Lent:
        with self._lock:
            self._uses += 1
            fitting = [memory for memory in self._idle if memory.reference.size >= size]
            if fitting:
                memory = min(fitting, key=lambda memory: memory.reference.size)
                self._idle.remove(memory)
                memory.is_closed = False
                return memory
        new = Lent.new(-(-size // _ROUNDED) * _ROUNDED)
        new.pool = self
        return new

    def _given_back(self, memory: Lent) -> None:
        """In the reactor's thread, where there is one."""
        with self._lock:
            if memory in self._idle:
                return
            memory._was_filled = True
            self._idle.append(memory)
            while sum(each.reference.size for each in self._idle) > MAX_KEPT:
                self._idle.pop(0).let_go()
            watch, self._watched = not self._watched, True
            uses = self._uses
        if watch and self._later is not None:
            self._later(IDLE, lambda: self._look(uses))

    def trim(self) -> None:
        """Give what is not in use back to the system."""
        with self._lock:
            idle, self._idle = self._idle, []
        for memory in idle:
            memory.let_go()

    def _look(self, uses: int) -> None:
        """Do so if nobody has used any of it meanwhile."""
        if self._uses == uses:
            self.trim()
        with self._lock:
            self._watched = again = bool(self._idle)
            uses = self._uses
        if again and self._later is not None:
            self._later(IDLE, lambda: self._look(uses))
