"""Parallel map with its choices kept, and functions that are one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ipython1.core.functions import standing_for
from ipython1.kernel.targets import check_block
from ipython1.kernel.task import BaseTask


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


class TaskMapper:
    """Applies functions to sequences as tasks of `task_controller`, which all have these choices (see `BaseTask`).

    With ``block=False``, `map` gives the ids of the tasks: one for each item, or for each chunk if `chunksize` is
    given, whose results are lists then.
    """

    def __init__(
        self,
        task_controller: Any,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Any = None,
        block: bool = True,
        chunksize: int | None = None,
        **options: Any,
    ) -> None:
        self.task_controller = task_controller
        self.choices = BaseTask(clear_before, clear_after, retries, recovery_task, depend, **options)
        self.block = check_block(block)
        self.chunksize = chunksize

    def map(self, func: Callable[..., Any] | str, *sequences: Iterable[Any]) -> Any:
        """Like ``list(map(func, *sequences))``; see `TaskClient.map`.  TypeError if `func` is text."""
        submit = self.task_controller._mapped if self.block else self.task_controller._spread
        return submit(func, sequences, self.choices, self.chunksize)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: block={self.block!r}, chunksize={self.chunksize!r}>"


class ParallelFunction:
    """A decorator: makes of a function of items one that takes sequences and maps in parallel."""

    def __init__(self, mapper: MultiEngineMapper | TaskMapper) -> None:
        self.mapper = mapper

    def __call__(self, func: Callable[..., Any] | str) -> Callable[..., Any]:
        """`func` may also be text that names or defines a callable on the engines."""

        def call_function(*sequences: Iterable[Any]) -> Any:
            return self.mapper.map(func, *sequences)

        if isinstance(func, str):
            call_function.__doc__ = f"Applies {func} on the engines to the items of sequences."
            return call_function
        return standing_for(call_function, func)
