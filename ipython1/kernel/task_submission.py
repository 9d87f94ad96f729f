"""What a session is told to submit, the options of tasks, and what stands for their results."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ipython1.core.references import reduce_result
from ipython1.core.serialize import Serialized
from ipython1.kernel.label import label
from ipython1.kernel.request import Request
from ipython1.kernel.shared import SHARED_FROM, digest
from ipython1.kernel.task import OPTIONS, BaseTask

LISTS = ("after", "follow")
"""The options that are ids of tasks."""


class Group:
    """Tasks of which no more than so many are to be on the way: how many have not ended.

    They are made of `total` items, of which `done` are done.  `closing` is called when nobody waits for them any more.
    """

    def __init__(self, total: int) -> None:
        self.count = 0
        self.total = total
        self.done = 0
        self.closing: Callable[[], None] | None = None
        self.meter: Any = None
        self.listened: dict[int, Any] = {}
        """What was shown of those that somebody has listened to already, by their ids."""
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    def begun(self) -> None:
        """One of them was sent."""
        self.count += 1

    def close(self) -> None:
        """Nobody waits for them any more."""
        if self.closing is not None:
            self.closing()

    def ended(self, items: int) -> None:
        """One of them, of so many items, has ended."""
        self.count -= 1
        self.done += items
        due = [function for limit, function in self._waiting if self.count <= limit]
        self._waiting = [entry for entry in self._waiting if self.count > entry[0]]
        for function in due:
            function()

    def when(self, limit: int, function: Callable[[], None]) -> None:
        """Call `function` as soon as no more than `limit` are left: now, if there are no more."""
        if self.count <= limit:
            function()
        else:
            self._waiting.append((limit, function))


@dataclass
class SharedFunction:
    """A function that is large enough to be sent once for all tasks that have it."""

    digest: str
    value: Serialized


def shared(function: Serialized) -> Serialized | SharedFunction:
    """A serialized function as tasks have it: as it is if it is small."""
    if function.size < SHARED_FROM:
        return function
    function.own_memory()
    return SharedFunction(digest(function.segments), function)


@dataclass
class Submit(Request):
    """The command that submits a task; its id is given to it by the session, which answers with it.

    `form` is what other tasks may have, too (see `ipython1.kernel.together`), and `values` those that are its own; for the
    verb ``submit`` they go together with those of others.  `depends_on` are the ids of other tasks that it names.
    `watch` is whether this client wants the outcome as soon as it is there (else it asks for it when it wants it).
    `owners` are the clients whose pending results are among its arguments.  `functions` are those that the steps name
    only by their digests: the session sends each once.  `group` is told when a watched task, of so many `items`, has ended.
    With `confirm` it is answered only when the controller has the task.
    """

    task: int | None = None
    form: bytes = b""
    depends_on: Sequence[int] = ()
    watch: bool = False
    owners: Sequence[Any] = ()
    functions: Sequence[SharedFunction] = ()
    group: Group | None = None
    items: int = 1
    confirm: bool = False


class ResultOf:
    """Stands for the result of a task, by its id, among the arguments of other tasks or in what these push.

    A `PendingResult` of a task stands for it likewise.  The result of a StringTask is a dictionary of what it pulled.
    """

    def __init__(self, taskid: Any) -> None:
        self.taskid = task_id(taskid)

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_result(self.taskid)

    def __repr__(self) -> str:
        return f"ResultOf({self.taskid})"


ResultOf.__module__ = "ipython1.kernel.client"


def resubmission(task: int, watch: bool) -> Submit:
    """The command that submits a task of earlier anew; only the controller knows what is in it."""
    shown = label("resubmit", task)
    return Submit(
        "resubmit", {"of": task}, label=shown, method="resubmit", quick=True, watch=watch, confirm=True
    )


def name_of(function: Any) -> str:
    """What errors and labels call a function."""
    return getattr(function, "__qualname__", None) or type(function).__name__


def options_of(task: BaseTask, name: str) -> dict[str, Any]:
    """The options of a task, as they are sent."""
    options = {option: getattr(task, option) for option in OPTIONS if getattr(task, option) is not None}
    for option in LISTS:
        if option in options:
            options[option] = task_ids(options[option])
    _check_options(options)
    return {**options, "label": name}


def _check_options(options: dict[str, Any]) -> None:
    """Make of options what is sent; TypeError if one is of the wrong type."""
    targets = options.get("targets", 0)
    if not isinstance(targets, int):
        options["targets"] = targets = list(targets) if isinstance(targets, Iterable) else [targets]
        if not all(type(engine) is int for engine in targets):
            raise TypeError(f"targets of a task are the ids of engines, not {targets!r:.80}")
        if not targets:
            raise ValueError("targets of a task are at least one engine: with none it would never run")
    resources = options.get("resources", {})
    if not isinstance(resources, dict) or not all(map(_is_amount, resources.items())):
        raise TypeError(f"resources of a task are numbers by the names of properties, not {resources!r:.80}")
    priority = options.get("priority", 0)
    if not isinstance(priority, int | float) or priority != priority:
        raise TypeError(f"priority of a task is a number, not {priority!r:.80}")
    if "after_any" in options:
        options["after_any"] = bool(options["after_any"])


def _is_amount(item: tuple[Any, Any]) -> bool:
    name, amount = item
    return isinstance(name, str) and isinstance(amount, int | float) and not isinstance(amount, bool)


def task_ids(tasks: Any) -> list[int]:
    """The ids that `tasks` means: an id, a result or a task that has one, or an iterable of these; else TypeError."""
    if hasattr(tasks, "__index__") or hasattr(tasks, "taskid"):
        return [task_id(tasks)]
    return [task_id(task) for task in tasks]


def task_id(task: Any) -> int:
    """The id that `task` means: an id, or a result or a task that has one; else TypeError."""
    number = getattr(task, "taskid", task)
    try:
        return operator.index(number)
    except TypeError:
        raise TypeError(f"{task!r:.80} is not the id of a task") from None
