"""Results of tasks that stand in values of other tasks: what is written for them, and what is found in their place.

Where a task's arguments are serialized, each result that is meant writes down the id of its task; where they are
loaded, on an engine, the result itself is put there.  In between nobody has to open either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ipython1.kernel.error import SerializationError

# Context variables, since several threads of a client serialize, and values are loaded inside one another.
_naming: ContextVar[dict[int, Any] | None] = ContextVar("results that are named", default=None)
_present: ContextVar[Mapping[int, Any] | None] = ContextVar("results that are there", default=None)


@contextmanager
def naming() -> Iterator[dict[int, Any]]:
    """Inside it, results of tasks may be serialized; gives the ids of these tasks, each with whose it is (or None)."""
    named: dict[int, Any] = {}
    token = _naming.set(named)
    try:
        yield named
    finally:
        _naming.reset(token)


def reduce_result(task: int, owner: Any = None) -> tuple[Any, ...]:
    """How a pickler writes the result of a task; TypeError where there is nobody who would wait for it."""
    named = _naming.get()
    if named is None:
        raise TypeError(
            f"the result of task {task} stands for its value only among the arguments of a task, or in what it pushes"
        )
    named.setdefault(task, owner)
    return result_of, (task,)


@contextmanager
def present(results: Mapping[int, Any]) -> Iterator[None]:
    """Inside it, values that name the results of these tasks can be loaded."""
    token = _present.set(results)
    try:
        yield
    finally:
        _present.reset(token)


def result_of(task: int) -> Any:
    """The result of that task; SerializationError if it did not come along."""
    results = _present.get()
    if results is None or task not in results:
        raise SerializationError(f"the result of task {task} is not here")
    return results[task]
