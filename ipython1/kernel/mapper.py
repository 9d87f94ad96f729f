"""Parallel map with its choices kept, and functions that are one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any


class MultiEngineMapper:
    """Applies functions to sequences on the engines of `multiengine`, with fixed `dist`, `targets` and `block`."""

    def __init__(
        self, multiengine: Any, dist: str = "b", targets: Any = None, block: bool | None = None
    ) -> None:
        self.multiengine = multiengine
        self.dist = dist
        self.targets = targets
        self.block = block

    def map(self, func: Callable[..., Any] | str, *sequences: Iterable[Any]) -> Any:
        """Like ``list(map(func, *sequences))``; see `MultiEngineClient.map`."""
        return self.multiengine.raw_map(func, sequences, self.dist, targets=self.targets, block=self.block)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: dist={self.dist!r}, targets={self.targets!r}, block={self.block!r}>"


class ParallelFunction:
    """A decorator: makes of a function of items one that takes sequences and maps in parallel."""

    def __init__(self, mapper: MultiEngineMapper) -> None:
        self.mapper = mapper

    def __call__(self, func: Callable[..., Any] | str) -> Callable[..., Any]:
        """`func` may also be text that names or defines a callable on the engines."""

        def call_function(*sequences: Iterable[Any]) -> Any:
            return self.mapper.map(func, *sequences)

        if isinstance(func, str):
            call_function.__doc__ = f"Applies {func} on the engines to the items of sequences."
            return call_function
        return functools.wraps(func)(call_function)
