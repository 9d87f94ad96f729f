"""Something that is wrong with a history."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("lost", "duplicated", "wrong", "out of order", "hung")


@dataclass(frozen=True)
class Problem:
    """What is wrong, with which operations."""

    kind: str
    keys: tuple[str, ...]
    text: str
