"""Tasks as they are written: their steps, and the values that these need, serialized where the user calls."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from ipython1.core.functions import makeup
from ipython1.core.references import naming
from ipython1.core.serialize import Serialized, serialize, serialize_plain
from ipython1.kernel.label import label
from ipython1.kernel.task import MAX_STEPS, OPTIONS, BaseTask, MapTask, StringTask
from ipython1.kernel.task_submission import LISTS, SharedFunction, Submit, name_of, options_of, shared
from ipython1.kernel.together import pack_form

MAX_CHOICES = 100
"""Of so many different choices the calls of a function are remembered."""


def submission(task: Any, watch: bool = False) -> Submit:
    """The command that submits `task`; AssertionError if it is no task, else what serializing its values raises."""
    if isinstance(task, MapTask):
        call = calls_of(task.function, task)
        return call.submission(task.args, task.kwargs, watch)
    if not isinstance(task, StringTask):
        raise AssertionError(f"a task is needed (StringTask or MapTask), not {task!r:.80}")
    steps = Steps()
    steps.add_task(task)
    steps.add_recovery(task)
    return steps.submission(task, label("run", task.expression), watch)


class AlikeCalls:
    """Calls of one function by tasks with the same choices: what these have in common is written once.

    The choices must not change.  `name` is what the tasks are called, `given` what errors call the arguments.
    """

    def __init__(
        self, function: Serialized | SharedFunction, choices: BaseTask, name: str, given: str = "the arguments"
    ) -> None:
        self._function = function
        self._choices = choices
        self._name = name
        self._given = given
        # One of them, in which no results of other tasks stand, as in most; without its arguments.
        self._usual: Submit | None = None

    def submission(self, args: tuple[Any, ...], kwargs: dict[str, Any], watch: bool = True) -> Submit:
        """The command that submits a call."""
        arguments, results = _arguments(args, kwargs, self._given)
        usual = self._usual
        if results or usual is None:
            written = self._written(arguments, results, watch)
            if not results:
                self._usual = replace(written, values=list(written.values or ())[1:])
            return written
        return Submit(
            "submit",
            _NO_ARGS,
            values=[arguments, *(usual.values or ())],
            label=usual.label,
            method="run",
            quick=True,
            form=usual.form,
            depends_on=usual.depends_on,
            watch=watch,
            owners=usual.owners,
            functions=usual.functions,
        )

    def _written(self, arguments: Serialized, results: Mapping[int, Any], watch: bool) -> Submit:
        steps = Steps()
        steps.add(self._choices, "map", self._function, [arguments], results)
        steps.add_recovery(self._choices)
        return steps.submission(self._choices, self._name, watch)


@dataclass
class _Sent:
    """What is sent for a function while it is made of that, and the calls of it, by their choices."""

    made_of: Any
    value: Serialized | SharedFunction
    calls: dict[Any, AlikeCalls] = field(default_factory=dict)


_sent: WeakKeyDictionary[Any, _Sent] = WeakKeyDictionary()
_USUAL = BaseTask()


def serialized_function(function: Callable[..., Any]) -> Serialized | SharedFunction:
    """A function as tasks have it.  One that is called by many tasks, and cannot change unseen, is serialized once."""
    sent = _known(function)
    return _serialized(function) if sent is None else sent.value


def _serialized(function: Callable[..., Any]) -> Serialized | SharedFunction:
    return shared(serialize(function, name_of(function), carry_code=True))


def _known(function: Callable[..., Any]) -> _Sent | None:
    """What is sent for a function; None if that may be something else each time."""
    made_of = makeup(function)
    if made_of is None:
        return None
    sent = _sent.get(function)
    if sent is None or sent.made_of != made_of:
        value = _serialized(function)
        if isinstance(value, Serialized):
            value.own_memory()
        sent = _sent[function] = _Sent(made_of, value)
    return sent


def calls_of(function: Callable[..., Any], choices: BaseTask = _USUAL) -> AlikeCalls:
    """The calls of a function by tasks with these choices, which may change later."""
    name = name_of(function)
    sent = _known(function)
    if sent is None:
        return _new_calls(_serialized(function), choices, name)
    key = _key(choices)
    if key is None:
        return _new_calls(sent.value, choices, name)
    calls = sent.calls.get(key)
    if calls is None:
        if len(sent.calls) >= MAX_CHOICES:
            sent.calls.clear()
        calls = sent.calls[key] = _new_calls(sent.value, _copy(choices), name)
    return calls


def _new_calls(function: Serialized | SharedFunction, choices: BaseTask, name: str) -> AlikeCalls:
    return AlikeCalls(function, choices, f"run({name})", f"the arguments of {name}")


_PLAIN = (type(None), bool, int, float)
_CHOICES = ("clear_before", "clear_after", "retries", "timeout", *OPTIONS)
_choices = operator.attrgetter(*_CHOICES)


def _key(choices: BaseTask) -> Any:
    """What tells choices apart; None for some that may change unseen."""
    if choices is _USUAL:
        return ()
    values = _choices(choices)
    # With their types, since 1 equals True.
    types = tuple(map(type, values))
    if choices.depend is not None or choices.recovery_task is not None or not set(types).issubset(_PLAIN):
        return None
    return values, types


def _copy(choices: BaseTask) -> BaseTask:
    return BaseTask(**dict(zip(_CHOICES, _choices(choices), strict=True)))


class Steps:
    """A task and its recovery tasks, being written one after the other.

    `values` has None in the place of those that are the task's `own`.
    """

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.values: list[Serialized | None] = []
        self.own: list[Serialized] = []
        self.owners: list[Any] = []
        self.functions: list[SharedFunction] = []

    def add(
        self,
        task: BaseTask,
        kind: str,
        function: Serialized | SharedFunction | None,
        own: Sequence[Serialized],
        results: Mapping[int, Any],
    ) -> None:
        """Add a step of that kind, with the choices of `task`: a function, if it calls one, and the task's own values.

        `results` are the tasks whose results stand in it, each with the client whose pending result it was.
        """
        if len(self.steps) == MAX_STEPS:
            raise ValueError(f"a task has at most {MAX_STEPS - 1} recovery tasks, one after the other")
        common = [] if task.depend is None else [serialize(task.depend, "depend", carry_code=True)]
        if isinstance(function, Serialized):
            common.append(function)
        elif function is not None:
            self.functions.append(function)
        self.steps.append(
            {
                "kind": kind,
                "retries": task.retries,
                "clear_before": bool(task.clear_before),
                "clear_after": bool(task.clear_after),
                "timeout": None if task.timeout is None else float(task.timeout),
                "depend": task.depend is not None,
                "push": list(task.push) if isinstance(task, StringTask) else [],
                "pull": list(task.pull) if isinstance(task, StringTask) else [],
                "results": list(results),
                "function": function.digest if isinstance(function, SharedFunction) else None,
                "values": len(common) + len(own),
            }
        )
        self.values.extend(common)
        self.values.extend([None] * len(own))
        self.own.extend(own)
        self.owners.extend(owner for owner in results.values() if owner is not None)

    def add_recovery(self, task: BaseTask) -> None:
        """Add the steps of the recovery tasks of `task`; ValueError if there is a loop."""
        seen = [task]
        while (recovery := seen[-1].recovery_task) is not None:
            if recovery in seen:
                raise ValueError("the recovery tasks of a task form a loop")
            seen.append(recovery)
            self.add_task(recovery)

    def add_task(self, task: Any) -> None:
        """Add the step of a task, with what it says itself."""
        if isinstance(task, MapTask):
            given = f"the arguments of {name_of(task.function)}"
            arguments, results = _arguments(task.args, task.kwargs, given)
            self.add(task, "map", serialized_function(task.function), [arguments], results)
        elif isinstance(task, StringTask):
            with naming() as results:
                pushed = [serialize(value, name) for name, value in task.push.items()]
            self.add(task, "string", None, [serialize(task.expression), *pushed], results)
        else:
            raise AssertionError(f"a recovery task is a StringTask or a MapTask, not {task!r:.80}")

    def submission(self, task: BaseTask, name: str, watch: bool) -> Submit:
        """The command that submits all of it, with the options of the first."""
        options = options_of(task, name)
        named = [number for each in LISTS for number in options.get(each, ())]
        return Submit(
            "submit",
            values=self.own,
            label=name,
            method="run",
            quick=True,
            form=pack_form(self.steps, options, self.values),
            depends_on=named + [number for step in self.steps for number in step["results"]],
            watch=watch,
            owners=self.owners,
            functions=self.functions,
        )


_NO_ARGS: dict[str, Any] = {}


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> tuple[Serialized, Mapping[int, Any]]:
    """What a function is to be called with, and the tasks whose results stand in that."""
    given = (args, kwargs)
    plain = serialize_plain(given)
    if plain is not None:
        return plain, {}
    with naming() as results:
        return serialize(given, name, carry_code=True), results
