"""The items of a map, on their way to engines: a column for each argument of the function, and parts of these.

A part of a list, a range or an array is quickly made, sent and gone through; a tuple for each item is not.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

Part = tuple[Any, ...]
"""Consecutive items, a sequence for each argument: what `ipython1.core.functions.map_part` takes."""


class Items(Protocol):
    """What a map is applied to."""

    def take(self, count: int) -> Part:
        """The next items, so many or those that are left; () if there are none."""


class Columns:
    """The items of sequences of equal length (else ValueError), as they are at this moment."""

    def __init__(self, sequences: Sequence[Iterable[Any]]) -> None:
        columns = [_copy(sequence) for sequence in sequences]
        if any(column is None for column in columns) or len(set(map(len, columns))) > 1:
            # One that has no end is no harm if another one has one.
            rows = list(zip(*sequences, strict=True))
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in sequences]
        self._columns = columns
        self._taken = 0

    def __len__(self) -> int:
        return len(self._columns[0])

    def take(self, count: int) -> Part:
        """See `Items`."""
        start, self._taken = self._taken, min(len(self), self._taken + count)
        return tuple(column[start : self._taken] for column in self._columns) if start < self._taken else ()

    def divided(self, count: int) -> list[Part]:
        """All items in `count` parts, the first ones with one item more if need be; () where there are too few."""
        size, longer = divmod(len(self), count)
        return [self.take(size + (place < longer)) for place in range(count)]


class Endless:
    """The items of iterables that may have no end: no more are taken than are asked for.  It ends with the shortest."""

    def __init__(self, iterables: Sequence[Iterable[Any]]) -> None:
        self._rows = zip(*iterables, strict=False)

    def take(self, count: int) -> Part:
        """See `Items`."""
        return tuple(map(list, zip(*itertools.islice(self._rows, count), strict=True)))


def _copy(sequence: Any) -> Any:
    """A sequence that others do not change, whose parts have the items that it gives; None if there is none so simple."""
    kind = type(sequence)
    if kind in (range, tuple, str, bytes):
        return sequence
    if kind is list:
        return list(sequence)
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ndarray and sequence.ndim:
        return sequence.copy()
    return None
