"""Objects that are known as long as somebody else has them."""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

T = TypeVar("T")

FEW = 64
"""So many references to what is gone do not matter."""


class Weakly(Generic[T]):
    """Objects by their names; may be used from several threads.

    Nothing is called when one of them goes, as with a WeakValueDictionary: a KeyboardInterrupt that is raised in there is lost.
    """

    def __init__(self) -> None:
        self._found: dict[str, weakref.ref[T]] = {}
        self._most = FEW

    def __setitem__(self, name: str, found: T) -> None:
        self._found[name] = weakref.ref(found)
        if len(self._found) > self._most:
            for known, reference in list(self._found.items()):
                if reference() is None:
                    self._found.pop(known, None)
            self._most = FEW + 2 * len(self._found)

    def get(self, name: str) -> T | None:
        """The object of that name, if it is still there."""
        reference = self._found.get(name)
        return None if reference is None else reference()

    def forget(self, name: str) -> None:
        """It need not be known any more."""
        self._found.pop(name, None)

    def all(self) -> list[T]:
        """All that are there."""
        found = [reference() for reference in list(self._found.values())]
        return [each for each in found if each is not None]

    def clear(self) -> None:
        """None of them need be known any more."""
        self._found.clear()
