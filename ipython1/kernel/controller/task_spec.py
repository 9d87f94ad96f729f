"""Tasks as they are submitted, checked, and taken apart: what the scheduler is told, and what engines are sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipython1.kernel.controller.task_values import Step, TaskSpec
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Bytes
from ipython1.kernel.shared import digest
from ipython1.kernel.task import MAX_STEPS

MAX_NEEDS = 10_000
"""A task takes the results of so many others at the most."""

_NUMBER = (int, float)
_STEP: Mapping[str, tuple[type, ...]] = {
    "kind": (str,),
    "retries": (int,),
    "clear_before": (bool,),
    "clear_after": (bool,),
    "timeout": (int, float, type(None)),
    "depend": (bool,),
    "push": (list,),
    "pull": (list,),
    "results": (list,),
    "function": (str, type(None)),
    "values": (int,),
}
_OPTIONS: Mapping[str, tuple[type, ...]] = {
    "after": (list,),
    "after_any": (bool,),
    "follow": (list,),
    "targets": (int, list),
    "resources": (dict,),
    "priority": _NUMBER,
    "label": (str,),
}


@dataclass
class Values:
    """Serialized values: how they are described, and their bytes."""

    headers: list[Any]
    bodies: list[Bytes]


@dataclass
class Function:
    """A function that many tasks have in common, and its digest."""

    digest: str
    values: Values

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(map(len, self.values.bodies))


@dataclass
class Work:
    """What engines are sent for one step: the arguments of ``task``, its values, and the depend function.

    `needs` are the tasks whose results it takes.  `function`, if it is not among the values, is what comes before them.
    """

    args: dict[str, Any]
    values: Values
    depend: Values | None
    needs: tuple[int, ...]
    function: Function | None


@dataclass
class Submission:
    """A task as it was submitted."""

    spec: TaskSpec
    work: list[Work]


def submission(
    args: Mapping[str, Any],
    headers: Sequence[Any],
    bodies: Sequence[Bytes],
    label: str,
    functions: Mapping[str, Function],
) -> Submission:
    """What the arguments and values of ``submit`` mean; ProtocolError if they make no sense.

    `functions` are those that the client has sent before.
    """
    steps = args["steps"]
    if not 0 < len(steps) <= MAX_STEPS:
        raise ProtocolError(f"a task and its recovery tasks are 1 to {MAX_STEPS}, not {len(steps)}")
    _check(args.get("options") or {}, _OPTIONS, "option", optional=True)
    values = _Taker(headers, bodies)
    work = [_work(step, values, functions) for step in steps]
    if values.left:
        raise ProtocolError(f"a task came with {values.left} values more than it says")
    spec = _spec(args, label, [_step(step, one.depend) for step, one in zip(steps, work, strict=True)])
    return Submission(spec, work)


def _spec(args: Mapping[str, Any], label: str, steps: Sequence[Step]) -> TaskSpec:
    needs = tuple(dict.fromkeys(task for step in args["steps"] for task in step["results"]))
    options = args.get("options")
    if not options:
        return TaskSpec(args["task"], tuple(steps), label, needs=needs)
    return TaskSpec(
        id=args["task"],
        steps=tuple(steps),
        label=options.get("label") or label,
        after=_ids(options.get("after", [])),
        after_any=options.get("after_any", False),
        follow=_ids(options.get("follow", [])),
        needs=needs,
        targets=_targets(options.get("targets")),
        resources=_resources(options.get("resources", {})),
        priority=options.get("priority", 0),
    )


def taken_before(
    args: Mapping[str, Any],
    headers: Sequence[Any],
    bodies: Sequence[Bytes],
    label: str,
    functions: Mapping[str, Function],
) -> TaskSpec:
    """The specification of a task that was submitted and found sound before; quickly, as there may be very many."""
    if any(step["depend"] for step in args["steps"]):
        return submission(args, headers, bodies, label, functions).spec
    return _spec(args, label, [Step(step["kind"], step["retries"], step["timeout"]) for step in args["steps"]])


def dependencies(args: Mapping[str, Any]) -> list[Any]:
    """What the arguments of ``submit`` name as the tasks that it depends on, if they make sense (see `submission`)."""
    options = args.get("options") or {}
    listed = [options.get("after"), options.get("follow")] if isinstance(options, dict) else []
    listed += [step.get("results") for step in args["steps"] if isinstance(step, dict)]
    return [task for one in listed if isinstance(one, list) for task in one]


def shared_function(name: str, headers: Sequence[Any], bodies: Sequence[Bytes]) -> Function:
    """A function as it came, whose digest is said to be `name`; ProtocolError if that is not so."""
    if len(headers) != 1 or digest(bodies) != name:
        raise ProtocolError("a function of tasks is one value, named by its digest")
    return Function(name, Values(list(headers), list(bodies)))


class _Taker:
    """Takes values one after the other."""

    def __init__(self, headers: Sequence[Any], bodies: Sequence[Bytes]) -> None:
        self._headers = list(headers)
        self._bodies = list(bodies)
        self._value = self._body = 0

    @property
    def left(self) -> int:
        return len(self._headers) - self._value

    def take(self, count: int) -> Values:
        if count > self.left:
            raise ProtocolError("a task came with fewer values than it says")
        headers = self._headers[self._value : self._value + count]
        self._value += count
        start = self._body
        self._body += sum(header[0] for header in headers)
        return Values(headers, self._bodies[start : self._body])


def _work(step: Any, values: _Taker, functions: Mapping[str, Function]) -> Work:
    if not isinstance(step, dict):
        raise ProtocolError("a step of a task is no dictionary")
    _check(step, _STEP, "field")
    if not all(isinstance(name, str) for name in (*step["push"], *step["pull"])):
        raise ProtocolError("the names of a task are not str")
    own = {"string": 1 + len(step["push"]), "map": 2}.get(step["kind"])
    if own is None:
        raise ProtocolError(f"a task is a string or a map, not {step['kind']!r:.50}")
    function = None
    if step["function"] is not None:
        function = functions.get(step["function"])
        if function is None or step["kind"] != "map":
            raise ProtocolError("a task names a function that was not sent")
        own = 1
    if step["values"] != own + step["depend"]:
        raise ProtocolError(f"a {step['kind']} task has {own + step['depend']} values, not {step['values']}")
    depend = values.take(1) if step["depend"] else None
    args = {name: step[name] for name in ("kind", "push", "pull", "clear_before", "clear_after")}
    needs = _ids(step["results"])
    if len(needs) > MAX_NEEDS:
        raise ProtocolError(f"a task takes the results of {MAX_NEEDS} others at most, not {len(needs)}")
    return Work(args, values.take(own), depend, needs, function)


def _step(step: Mapping[str, Any], depend: Values | None) -> Step:
    timeout = step["timeout"]
    if step["retries"] < 0 or (timeout is not None and not 0 < timeout < math.inf):
        raise ProtocolError("retries are 0 or more, and a time-out is a time")
    return Step(step["kind"], step["retries"], timeout, None if depend is None else digest(depend.bodies))


def _check(
    given: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], what: str, optional: bool = False
) -> None:
    for name in given:
        if name not in known:
            raise ProtocolError(f"a task has no {what} {name!r:.50}")
    for name, types in known.items():
        if name not in given and optional:
            continue
        # What comes is of these very types, and not of subclasses; so a bool is no number.
        if type(given.get(name)) not in types:
            raise ProtocolError(f"{what} {name} of a task is {type(given.get(name)).__name__}")


def _ids(listed: list[Any]) -> tuple[int, ...]:
    if not all(type(number) is int for number in listed):
        raise ProtocolError("the ids of tasks are numbers")
    return tuple(dict.fromkeys(listed))


def _targets(given: int | list[Any] | None) -> frozenset[int] | None:
    return None if given is None else frozenset(_ids([given] if isinstance(given, int) else given))


def _resources(given: Mapping[Any, Any]) -> tuple[tuple[str, float], ...]:
    for name, amount in given.items():
        if not isinstance(name, str) or not isinstance(amount, _NUMBER):
            raise ProtocolError(f"resources are numbers by name, not {name!r:.50}: {amount!r:.50}")
    return tuple(sorted(given.items()))
