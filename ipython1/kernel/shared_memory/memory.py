"""Memory with bodies of messages in it: written by one process, opened by others."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from ipython1.kernel.framing import Bytes
from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.reference import NONCE, Place, Reference, lay_out
from ipython1.kernel.shared_memory.system import Unavailable


class Descriptor:
    """An open descriptor, closed when it is told so, when nobody has it any more, and in children that are forked."""

    def __init__(self, number: int) -> None:
        self.number = number
        _open.add(self)

    def close(self) -> None:
        """Let go of it."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    __del__ = close


_open: weakref.WeakSet[Descriptor] = weakref.WeakSet()


def _close_all() -> None:
    for descriptor in list(_open):
        descriptor.close()


if hasattr(os, "register_at_fork"):
    # What a child of user code does not know of must not keep the memory.
    os.register_at_fork(after_in_child=_close_all)


class Memory:
    """Memory that this process has: made by it, or opened.

    `reference` is how it tells others of it; they must open it before it is closed.
    """

    def __init__(self, descriptor: Descriptor, reference: Reference) -> None:
        self._descriptor = descriptor
        self.reference = reference
        self.is_closed = False

    @property
    def lifetime(self) -> object:
        """What is there as long as it is open here, also as what `placed` has given."""
        return self._descriptor

    @classmethod
    def of_bodies(cls, bodies: Sequence[Bytes]) -> Memory:
        """New, sealed memory with those of the bodies that are not small; Unavailable if there is none to be had."""
        places, end = lay_out([memoryview(body).nbytes for body in bodies])
        memory = cls.new(end)
        memory.fill(places, bodies)
        memory.seal()
        return memory

    @classmethod
    def new(cls, size: int) -> Self:
        """New memory, not sealed, with nothing in it."""
        descriptor = Descriptor(system.create(size))
        return cls(descriptor, Reference(os.getpid(), descriptor.number, bytes(NONCE), size, False))

    def fill(self, places: Sequence[Place], bodies: Sequence[Bytes]) -> None:
        """Put bodies into their places; who still has a reference to what was there before will notice."""
        self.begin(places)
        for index, beginning, _ in places:
            self.write(memoryview(bodies[index]).cast("B"), beginning)

    def begin(self, places: Sequence[Place]) -> None:
        """Something else is going to lie there, in these places; see `fill`."""
        nonce = secrets.token_bytes(NONCE)
        self.write(memoryview(nonce), 0)
        self.reference = replace(self.reference, nonce=nonce, places=tuple(places))

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of `data` there; Unavailable if there is no room for it."""
        system.write(self._descriptor.number, data, offset)

    def seal(self) -> None:
        """Have the system see to it that it does not change any more; Unavailable if it does not."""
        system.seal(self._descriptor.number)
        self.reference = replace(self.reference, sealed=True)

    def placed(self, index: int) -> Memory:
        """The same memory for a message of which the only body there is this one; it is open as long as one of them is."""
        ((_, beginning, length),) = self.reference.places
        return Memory(self._descriptor, replace(self.reference, places=((index, beginning, length),)))

    @classmethod
    def open(cls, reference: Reference) -> Memory:
        """The memory of another process; Unavailable if it is not there, or is not what the reference says."""
        number = system.open_of(reference.pid, reference.fd, reference.size, reference.sealed)
        memory = cls(Descriptor(number), replace(reference, pid=os.getpid(), fd=number))
        memory._check_nonce()
        return memory

    def _check_nonce(self) -> None:
        nonce = memoryview(bytearray(NONCE))
        system.read(self._descriptor.number, nonce, 0)
        if nonce != self.reference.nonce:
            raise Unavailable("the memory is not the one that was meant")

    def bodies(self, rest: Sequence[Any]) -> list[Any]:
        """The bodies of the message, of which `rest` has those that are not here.  They are this process's own.

        Sealed memory is mapped and not copied until it is written to; else what is there is copied out of it.
        """
        self._check_fits(rest)
        descriptor = self._descriptor.number
        if self.reference.sealed:
            return self._bodies_in(system.private_view(descriptor, self.reference.size), rest)
        bodies = list(rest)
        for index, beginning, length in self.reference.places:
            bodies[index] = system.own_memory(length)
            system.read(descriptor, bodies[index], beginning)
        # If it was used again meanwhile, this has changed before anything else.
        self._check_nonce()
        return bodies

    def _check_fits(self, rest: Sequence[Any]) -> None:
        if any(index >= len(rest) for index in self.reference.indices()):
            raise Unavailable("the message has fewer bodies than lie in its memory")

    def _bodies_in(self, view: memoryview, rest: Sequence[Any]) -> list[Any]:
        bodies = list(rest)
        for index, beginning, length in self.reference.places:
            bodies[index] = view[beginning : beginning + length]
        return bodies

    def lent_bodies(self, rest: Sequence[Any], on_returned: Callable[[], None]) -> list[Any]:
        """Like `bodies`, but mapped in any case: what is there must not change before `on_returned` is called.

        That is when nothing refers to these bodies any more, in whatever thread that is.
        """
        self._check_fits(rest)
        view = system.private_view(self._descriptor.number, self.reference.size)
        weakref.finalize(view.obj, on_returned).atexit = False
        return self._bodies_in(view, rest)

    def close(self) -> None:
        """Let go of the memory; bodies that were taken from it stay."""
        self.is_closed = True
        self._descriptor.close()


def without(bodies: Sequence[Any], reference: Reference) -> list[Any]:
    """The bodies of a message without those that lie in memory."""
    rest = list(bodies)
    for index in reference.indices():
        rest[index] = b""
    return rest


def open_bodies(said: Any, rest: Sequence[Any]) -> list[Any]:
    """The bodies of a message whose field ``memory`` says where they lie; Unavailable, ProtocolError."""
    memory = Memory.open(Reference.of(said))
    try:
        return memory.bodies(rest)
    finally:
        memory.close()
