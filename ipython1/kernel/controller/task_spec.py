"""Tasks as they are submitted, checked, and taken apart: what the scheduler is told, and what engines are sent."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipython1.kernel.controller.task_values import Step, TaskSpec
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Bytes, unpack
from ipython1.kernel.label import cut
from ipython1.kernel.shared import digest
from ipython1.kernel.task import MAX_STEPS

MAX_NEEDS = 10_000
"""A task takes the results of so many others at the most."""
MAX_FORMS = 1000
"""So many forms are remembered."""
MAX_FORM = 64 << 10
"""... of so many bytes each at the most."""

_FORM = ("steps", "options", "values")

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
class _Part:
    """A step of a form: what the scheduler and engines are told of it, and how a task's values are found.

    `slots` has None for each value that is the task's own.  `function` is the digest of one that is not among them.
    """

    step: Step
    args: dict[str, Any]
    depend: Values | None
    slots: list[tuple[Any, list[Bytes]] | None]
    needs: tuple[int, ...]
    function: str | None


class Form:
    """What tasks have in common, found sound: all but their ids and their own values.

    `dependencies` are the tasks that they come after, `own` is how many values each has.
    """

    def __init__(self, packed: bytes) -> None:
        """ProtocolError if it makes no sense."""
        said = unpack(packed)
        if not isinstance(said, dict) or list(map(type, map(said.get, _FORM))) != [list, dict, list]:
            raise ProtocolError("the form of a task is no steps, options and values")
        steps, options = said["steps"], said["options"]
        if not 0 < len(steps) <= MAX_STEPS:
            raise ProtocolError(f"a task and its recovery tasks are 1 to {MAX_STEPS}, not {len(steps)}")
        _check(options, _OPTIONS, "option", optional=True)
        values = _Slots([_common(value) for value in said["values"]])
        self.packed = packed
        self._parts = [_part(step, values) for step in steps]
        if values.left:
            raise ProtocolError(f"a task came with {values.left} values more than it says")
        self._spec = _spec(options, self._parts)
        self.own = sum(slot is None for part in self._parts for slot in part.slots)
        self.functions = tuple(dict.fromkeys(part.function for part in self._parts if part.function is not None))
        """The digests of the functions that they name."""

    @property
    def dependencies(self) -> tuple[int, ...]:
        """The tasks that these depend on."""
        return self._spec.dependencies

    def spec(self, task: int) -> TaskSpec:
        """What the scheduler is told of a task."""
        spec = self._spec
        return TaskSpec(
            task,
            spec.steps,
            spec.label,
            spec.after,
            spec.after_any,
            spec.follow,
            spec.needs,
            spec.targets,
            spec.resources,
            spec.priority,
        )

    def check(self, headers: Sequence[Any], functions: Container[str]) -> None:
        """ProtocolError unless a task may have these values of its own, where there are these functions."""
        if len(headers) != self.own:
            raise ProtocolError(f"a task came with {len(headers)} values of its own, not {self.own}")
        for name in self.functions:
            if name not in functions:
                raise ProtocolError("a task names a function that was not sent")

    def work(self, headers: Sequence[Any], bodies: Sequence[Bytes], functions: Mapping[str, Function]) -> list[Work]:
        """What engines are sent for each step of a task that has these values of its own."""
        work = []
        place = value = 0
        for part in self._parts:
            filled = Values([], [])
            for slot in part.slots:
                if slot is None:
                    header = headers[value]
                    value += 1
                    place, start = place + header[0], place
                    segments = bodies[start:place]
                else:
                    header, segments = slot
                filled.headers.append(header)
                filled.bodies.extend(segments)
            function = None if part.function is None else functions[part.function]
            work.append(Work(part.args, filled, part.depend, part.needs, function))
        return work


class Forms:
    """The forms that came last: most tasks have one that others had before."""

    def __init__(self) -> None:
        self._recent: OrderedDict[bytes, Form] = OrderedDict()

    def get(self, packed: bytes) -> Form:
        """What a form says; ProtocolError if it makes no sense."""
        form = self._recent.get(packed)
        if form is None:
            form = Form(packed)
            if len(packed) <= MAX_FORM:
                self._recent[packed] = form
                if len(self._recent) > MAX_FORMS:
                    self._recent.popitem(last=False)
        return form


def _spec(options: Mapping[str, Any], parts: Sequence[_Part]) -> TaskSpec:
    """The specification of a task whose id is not known."""
    return TaskSpec(
        id=-1,
        steps=tuple(part.step for part in parts),
        label=cut(options.get("label") or "a task"),
        after=_ids(options.get("after", [])),
        after_any=options.get("after_any", False),
        follow=_ids(options.get("follow", [])),
        needs=tuple(dict.fromkeys(task for part in parts for task in part.needs)),
        targets=_targets(options.get("targets")),
        resources=_resources(options.get("resources", {})),
        priority=options.get("priority", 0),
    )


def shared_function(name: str, headers: Sequence[Any], bodies: Sequence[Bytes]) -> Function:
    """A function as it came, whose digest is said to be `name`; ProtocolError if that is not so."""
    if len(headers) != 1 or digest(bodies) != name:
        raise ProtocolError("a function of tasks is one value, named by its digest")
    return Function(name, Values(list(headers), list(bodies)))


def _common(value: Any) -> tuple[Any, list[Bytes]] | None:
    """A value of a form, with how it is described; None for one that each task has itself."""
    if value is None:
        return None
    if not isinstance(value, list) or list(map(type, value)) != [str, dict, list] or not value[2]:
        raise ProtocolError("a value that tasks have in common is not described by type, metadata and segments")
    descriptor, metadata, segments = value
    if not all(type(segment) is bytes for segment in segments):
        raise ProtocolError("a value that tasks have in common is not bytes")
    return [len(segments), descriptor, metadata], segments


class _Slots:
    """Gives the values of a form one after the other."""

    def __init__(self, slots: Sequence[tuple[Any, list[Bytes]] | None]) -> None:
        self._slots = slots
        self._given = 0

    @property
    def left(self) -> int:
        return len(self._slots) - self._given

    def take(self, count: int) -> list[tuple[Any, list[Bytes]] | None]:
        if count > self.left:
            raise ProtocolError("a task came with fewer values than it says")
        self._given += count
        return list(self._slots[self._given - count : self._given])


def _part(step: Any, values: _Slots) -> _Part:
    if not isinstance(step, dict):
        raise ProtocolError("a step of a task is no dictionary")
    _check(step, _STEP, "field")
    if not all(isinstance(name, str) for name in (*step["push"], *step["pull"])):
        raise ProtocolError("the names of a task are not str")
    own = {"string": 1 + len(step["push"]), "map": 2}.get(step["kind"])
    if own is None:
        raise ProtocolError(f"a task is a string or a map, not {step['kind']!r:.50}")
    if step["function"] is not None:
        if step["kind"] != "map":
            raise ProtocolError("a task that calls no function names one")
        own = 1
    if step["values"] != own + step["depend"]:
        raise ProtocolError(f"a {step['kind']} task has {own + step['depend']} values, not {step['values']}")
    depend = _depend(values.take(1)[0]) if step["depend"] else None
    args = {name: step[name] for name in ("kind", "push", "pull", "clear_before", "clear_after")}
    needs = _ids(step["results"])
    if len(needs) > MAX_NEEDS:
        raise ProtocolError(f"a task takes the results of {MAX_NEEDS} others at most, not {len(needs)}")
    return _Part(_step(step, depend), args, depend, values.take(own), needs, step["function"])


def _depend(slot: tuple[Any, list[Bytes]] | None) -> Values:
    if slot is None:
        raise ProtocolError("the depend function of a task is not in its form")
    return Values([slot[0]], slot[1])


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
