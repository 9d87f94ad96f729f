"""Submitting a task of earlier anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipython1.kernel.controller.task_journal import TaskJournal, task_function
from ipython1.kernel.controller.task_spec import Function
from ipython1.kernel.error import StoreError
from ipython1.kernel.framing import Bytes


@dataclass(frozen=True)
class Content:
    """What is in a task: its form, its own values and how these are described, and the functions that it names."""

    form: bytes
    headers: list[Any]
    bodies: Sequence[Bytes]
    functions: Mapping[str, Function]


async def content_of(journal: TaskJournal, task: int) -> Content | None:
    """The content of a task that was submitted before; None if it is not stored.

    StoreError if it cannot be read.
    """
    stored = await journal.task(task)
    if stored is None:
        return None
    functions = {}
    for digest in stored.functions:
        function = await journal.function(digest)
        if function is None:
            raise StoreError(f"the function of task {task} is not stored any more")
        functions[digest] = task_function(function)
    form, *bodies = stored.bodies
    return Content(bytes(form), stored.document["values"], bodies, functions)
