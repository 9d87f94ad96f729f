"""How a sequence is divided among engines, and joined again.

The one distribution is ``'b'``, for block: each engine has one consecutive part, and the first of them one item more
where the items cannot be divided evenly.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

DISTRIBUTIONS = ("b",)


class Scatter:
    """A sequence that is divided among the engines where it is pushed: ``mec['a'] = Scatter(range(10))``.

    With `flatten`, an engine whose part has exactly one item gets that item instead of a sequence of one.
    """

    def __init__(self, seq: Any, flatten: bool = False, dist: str = "b") -> None:
        check_distribution(dist)
        self.seq = seq
        self.flatten = flatten
        self.dist = dist

    def __repr__(self) -> str:
        return f"Scatter({self.seq!r}, flatten={self.flatten!r})"

    def parts(self, count: int) -> list[Any]:
        """The parts for `count` engines."""
        divided = partition(self.seq, count)
        if self.flatten:
            return [part[0] if len(part) == 1 else part for part in divided]
        return divided


def check_distribution(dist: str) -> None:
    """KeyError unless there is such a distribution."""
    if dist not in DISTRIBUTIONS:
        raise KeyError(f"there is no distribution {dist!r}; the one there is is 'b' (block)")


def partition(seq: Any, count: int) -> list[Any]:
    """`seq` in `count` consecutive parts of its own type; the first ones have one item more if need be.

    Some parts are empty if there are fewer items than parts.
    """
    # A range reads as the list of its items: what an engine prints of its part is then what it holds.
    if isinstance(seq, range | Iterator):
        seq = list(seq)
    if isinstance(seq, Mapping | Set) or not (hasattr(seq, "__len__") and hasattr(seq, "__getitem__")):
        raise TypeError(f"only sequences can be divided among engines, not {type(seq).__name__}")
    if not count:
        return []
    size, longer = divmod(len(seq), count)
    parts, start = [], 0
    for place in range(count):
        stop = start + size + (place < longer)
        parts.append(seq[start:stop])
        start = stop
    return parts


def join(parts: Sequence[Any]) -> Any:
    """The parts of a sequence as one; how is decided by the type of the first part.

    Arrays are concatenated, lists, tuples and ranges become one list; of anything else there is a list of the parts.
    Raises IndexError if there are no parts, TypeError if lists and single values are mixed.
    """
    if not parts:
        raise IndexError("there are no parts to join, as there are no engines among the targets")
    first = parts[0]
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(first, numpy.ndarray):
        return numpy.concatenate(list(parts))
    if not isinstance(first, list | tuple | range):
        return list(parts)
    joined: list[Any] = []
    for part in parts:
        if not isinstance(part, list | tuple | range):
            raise TypeError(f"cannot join a {type(first).__name__} and a {type(part).__name__}")
        joined.extend(part)
    return joined
