"""Whole numbers, written as runs: `[first, how many, first, how many, ...]`, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MAX_NUMBERS = 100_000
"""So many numbers are read from runs; more than a controller has engines."""


def to_runs(numbers: Iterable[int]) -> list[int]:
    """The numbers as runs: short where most follow one another."""
    runs: list[int] = []
    for number in numbers:
        if runs and number == runs[-2] + runs[-1]:
            runs[-1] += 1
        else:
            runs += [number, 1]
    return runs


def is_runs(value: Any) -> bool:
    """Whether `value`, which came from somebody else, is runs of numbers."""
    if not isinstance(value, list) or len(value) % 2 or any(type(one) is not int or one < 0 for one in value):
        return False
    return sum(value[1::2]) <= MAX_NUMBERS


def from_runs(runs: list[int]) -> list[int]:
    """The numbers that were written as `runs`."""
    return [
        number
        for first, count in zip(runs[::2], runs[1::2], strict=True)
        for number in range(first, first + count)
    ]
