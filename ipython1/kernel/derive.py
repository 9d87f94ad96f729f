"""Clients derived from the verbs: the same methods, with the same signatures and docstrings.

The verbs of an interface are methods of a class without state, each a generator (see `ipython1.kernel.request`) that is
marked with `verb`.
"""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ipython1.kernel.request import Finished, Steps, advance
from ipython1.kernel.targets import check_block
from ipython1.kernel.terminal import shown_briefly

CLEARED_UP_WITHIN = 5.0
"""Seconds that a verb has for its last requests when its time is over."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class VerbInfo:
    """What a face must know of a verb.

    `per_engine`: it returns a list with one entry per target, of which a view of one engine gives the entry.
    `iterates`: it returns a list of what comes of its requests, one after the other.
    """

    per_engine: bool
    iterates: bool


def verb(per_engine: bool = True, iterates: bool | None = None) -> Callable[[F], F]:
    """Mark a generator method as a verb that the faces have."""

    def mark(function: F) -> F:
        function.verb_info = VerbInfo(per_engine, per_engine if iterates is None else iterates)  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class VerbCall:
    """A call of a verb that was begun: its `steps`, whether to wait for the outcome, and what to call it."""

    steps: Steps[Any]
    block: bool
    name: str
    iterates: bool = False
    """Whether its value is a list of what comes of its last requests, in their order."""


class Face(Protocol):
    """What a derived client has."""

    def _defaults(self) -> tuple[Any, bool]:
        """`targets` and `block` where a call does not say."""

    timeout: float | None
    """Seconds that a call may take where it does not say; None is for ever."""

    def _bare(self) -> bool:
        """Whether a list of one value per engine is to be given as the value itself."""

    def _begin(self, begin: Callable[[], VerbCall]) -> Any:
        """Begin a call, which raises what is wrong with its arguments, and carry it out."""


def derive(verbs: type[Any]) -> Callable[[type[Any]], type[Any]]:
    """Class decorator: give a client class all the verbs of the class `verbs`, with signatures and docstrings."""
    interface = verbs()

    def decorate(face: type[Any]) -> type[Any]:
        for name, function in vars(verbs).items():
            info = getattr(function, "verb_info", None)
            if info is not None and name not in vars(face):
                setattr(face, name, _derived(interface, function, info, face.__qualname__))
        return face

    return decorate


def _derived(
    interface: Any, function: Callable[..., Steps[Any]], info: VerbInfo, owner: str
) -> Callable[..., Any]:
    signature = inspect.signature(function)
    takes_targets = "targets" in signature.parameters
    shown, takes_timeout = _with_timeout(signature)

    def begin(self: Face, args: tuple[Any, ...], kwargs: dict[str, Any]) -> VerbCall:
        timeout = kwargs.pop("timeout", None) if takes_timeout else None
        try:
            bound = signature.bind(interface, *args, **kwargs)
        except TypeError as problem:
            raise TypeError(f"{function.__name__.strip('_')}(): {problem}") from None
        bare, block = False, True
        if takes_targets:
            targets, block = self._defaults()
            bare = info.per_engine and self._bare() and bound.arguments.get("targets") is None
            if bound.arguments.get("targets") is None:
                bound.arguments["targets"] = targets
            if bound.arguments.get("block") is not None:
                block = check_block(bound.arguments["block"])
        steps = function(*bound.args, **bound.kwargs)
        if timeout is None and bound.arguments.get("timeout") is None:
            timeout = self.timeout
        limit = check_timeout(timeout)
        if limit is not None:
            steps = limited(steps, limit)
        return VerbCall(_entry(steps) if bare else steps, block, function.__name__.strip("_"), info.iterates and not bare)

    @shown_briefly
    @functools.wraps(function)
    def method(self: Face, *args: Any, **kwargs: Any) -> Any:
        return self._begin(lambda: begin(self, args, kwargs))

    # The hints of the generator are not those of the method: what it returns depends on `block`.
    method.__signature__ = shown.replace(return_annotation=inspect.Signature.empty)  # type: ignore[attr-defined]
    method.__qualname__ = f"{owner}.{function.__name__}"
    method.__annotations__ = {key: hint for key, hint in function.__annotations__.items() if key != "return"}
    return method


def _with_timeout(signature: inspect.Signature) -> tuple[inspect.Signature, bool]:
    """The signature with the argument `timeout` that every call has, unless its own is there or any may be."""
    parameters = list(signature.parameters.values())
    own = any(each.name == "timeout" or each.kind is each.VAR_KEYWORD for each in parameters)
    if own:
        return signature, False
    parameters.append(inspect.Parameter("timeout", inspect.Parameter.KEYWORD_ONLY, default=None))
    return signature.replace(parameters=parameters), True


def check_timeout(timeout: Any) -> float | None:
    """`timeout` as seconds, None if it is infinite or none; ValueError for what is no time."""
    if timeout is None or timeout == math.inf:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout is {timeout!r:.80}; it must be a number of seconds above 0, or None")
    return float(timeout)


def limited(steps: Steps[Any], timeout: float) -> Steps[Any]:
    """A verb all of whose requests together have `timeout` seconds from now: CallTimeout then."""
    until = time.monotonic() + timeout
    left = timeout
    answers: Any = None
    try:
        while True:
            requests = advance(steps, answers)
            for request in requests:
                request.timeout = left if request.timeout is None else min(left, request.timeout)
            try:
                answers = yield requests
            except BaseException as problem:  # whatever it is, the verb may have something to say to it
                answers = problem
            left = round(until - time.monotonic(), 2)
            # It may have to clear up: a map whose time is over aborts its tasks.
            left = left if left > 0 else CLEARED_UP_WITHIN
    except Finished as end:
        return end.value


def _entry(steps: Steps[Any]) -> Steps[Any]:
    values = yield from steps
    return values[0] if isinstance(values, list) else values
