"""Tasks as they are sent: their steps, and the values that these need, serialized where the user calls."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ipython1.core.functions import makeup
from ipython1.core.references import naming, reduce_result
from ipython1.core.serialize import Serialized, serialize
from ipython1.kernel.label import label
from ipython1.kernel.request import Request
from ipython1.kernel.shared import SHARED_FROM, digest
from ipython1.kernel.task import MAX_STEPS, OPTIONS, BaseTask, MapTask, StringTask

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

    `watch` is whether this client wants the outcome as soon as it is there (else it asks for it when it wants it).
    `owners` are the clients whose pending results are among its arguments.  `functions` are those that the steps name
    only by their digests: the session sends each once.  `group` is told when a watched task, of so many `items`, has ended.
    With `confirm` it is answered only when the controller has the task.
    """

    watch: bool = False
    owners: Sequence[Any] = ()
    functions: Sequence[SharedFunction] = ()
    group: Group | None = None
    items: int = 1
    confirm: bool = False

    def depends_on(self) -> list[int]:
        """The ids of other tasks that it names."""
        if self.verb == "resubmit":
            return []
        options, steps = self.args["options"], self.args["steps"]
        named = [number for name in LISTS for number in options.get(name, ())]
        return named + [number for step in steps for number in step["results"]]


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

class Steps:
    """A task and its recovery tasks, being written one after the other."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.values: list[Serialized] = []
        self.owners: list[Any] = []
        self.functions: list[SharedFunction] = []

    def add(
        self,
        task: BaseTask,
        kind: str,
        content: Sequence[Serialized | SharedFunction],
        results: Mapping[int, Any],
    ) -> None:
        """Add a step that does what `content` says, with the choices of `task`.

        `results` are the tasks whose results stand in it, each with the client whose pending result it was.
        """
        if len(self.steps) == MAX_STEPS:
            raise ValueError(f"a task has at most {MAX_STEPS - 1} recovery tasks, one after the other")
        depend = [] if task.depend is None else [serialize(task.depend, "depend", carry_code=True)]
        functions = [value for value in content if isinstance(value, SharedFunction)]
        values = depend + [value for value in content if isinstance(value, Serialized)]
        self.steps.append(
            {
                "kind": kind,
                "retries": task.retries,
                "clear_before": bool(task.clear_before),
                "clear_after": bool(task.clear_after),
                "timeout": None if task.timeout is None else float(task.timeout),
                "depend": bool(depend),
                "push": list(task.push) if isinstance(task, StringTask) else [],
                "pull": list(task.pull) if isinstance(task, StringTask) else [],
                "results": list(results),
                "function": functions[0].digest if functions else None,
                "values": len(values),
            }
        )
        self.values.extend(values)
        self.functions.extend(functions)
        self.owners.extend(owner for owner in results.values() if owner is not None)

    def add_recovery(self, task: BaseTask) -> None:
        """Add the steps of the recovery tasks of `task`; ValueError if there is a loop."""
        seen = [task]
        while (recovery := seen[-1].recovery_task) is not None:
            if recovery in seen:
                raise ValueError("the recovery tasks of a task form a loop")
            seen.append(recovery)
            self.add(recovery, *_content(recovery))


def submission(task: Any, watch: bool = False) -> Submit:
    """The command that submits `task`; AssertionError if it is no task, else what serializing its values raises."""
    if not isinstance(task, StringTask | MapTask):
        raise AssertionError(f"a task is needed (StringTask or MapTask), not {task!r:.80}")
    steps = Steps()
    steps.add(task, *_content(task))
    steps.add_recovery(task)
    shown = label("run", task.expression) if isinstance(task, StringTask) else f"run({name_of(task.function)})"
    return _submit(task, steps, shown, watch)


def resubmission(task: int, watch: bool) -> Submit:
    """The command that submits a task of earlier anew; only the controller knows what is in it."""
    shown = label("resubmit", task)
    return Submit(
        "resubmit", {"of": task}, label=shown, method="resubmit", quick=True, watch=watch, confirm=True
    )


def call_submission(
    function: Serialized | SharedFunction, arguments: Sequence[Any], choices: BaseTask, name: str, watch: bool = True
) -> Submit:
    """The command that submits a call of `function`, which was serialized once for all calls of a map."""
    steps = Steps()
    with naming() as results:
        given = serialize((tuple(arguments), {}), "the arguments", carry_code=True)
    steps.add(choices, "map", [function, given], results)
    steps.add_recovery(choices)
    return _submit(choices, steps, name, watch)


def _content(task: BaseTask) -> tuple[str, list[Serialized | SharedFunction], dict[int, Any]]:
    """A task's kind, its values, and the tasks whose results stand in them."""
    if isinstance(task, StringTask):
        with naming() as results:
            pushed = [serialize(value, name) for name, value in task.push.items()]
        return "string", [serialize(task.expression), *pushed], results
    if isinstance(task, MapTask):
        return "map", *call_values(task.function, task.args, task.kwargs)
    raise AssertionError(f"a recovery task is a StringTask or a MapTask, not {task!r:.80}")


def call_values(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[list[Serialized | SharedFunction], dict[int, Any]]:
    """A function and what it is to be called with, and the tasks whose results stand in that."""
    with naming() as results:
        arguments = serialize(
            (tuple(args), dict(kwargs)), f"the arguments of {name_of(function)}", carry_code=True
        )
    return [serialized_function(function), arguments], results


# The functions that were sent, what they were made of, and what was sent for them.
_sent: WeakKeyDictionary[Any, tuple[Any, Serialized | SharedFunction]] = WeakKeyDictionary()


def serialized_function(function: Callable[..., Any]) -> Serialized | SharedFunction:
    """A function as tasks have it.  One that is called by many tasks, and cannot change unseen, is serialized once."""
    made_of = makeup(function)
    if made_of is None:
        return shared(serialize(function, name_of(function), carry_code=True))
    sent = _sent.get(function)
    if sent is None or sent[0] != made_of:
        value = shared(serialize(function, name_of(function), carry_code=True))
        if isinstance(value, Serialized):
            value.own_memory()
        sent = _sent[function] = made_of, value
    return sent[1]


def name_of(function: Any) -> str:
    """What errors and labels call a function."""
    return getattr(function, "__qualname__", None) or type(function).__name__


def _submit(task: BaseTask, steps: Steps, name: str, watch: bool) -> Submit:
    options = {option: getattr(task, option) for option in OPTIONS if getattr(task, option) is not None}
    for option in LISTS:
        if option in options:
            options[option] = task_ids(options[option])
    _check_options(options)
    options["label"] = name
    args = {"steps": steps.steps, "options": options}
    return Submit(
        "submit",
        args,
        values=steps.values,
        label=name,
        method="run",
        quick=True,
        watch=watch,
        owners=steps.owners,
        functions=steps.functions,
    )


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
