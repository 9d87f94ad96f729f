"""What the operations of a cluster wait for.

An operation is written once, as a generator that gives steps and gets their outcomes; a blocking or an asynchronous
driver carries the steps out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """Ask the cluster at this control socket (see `ipython1.daemon.control`); the outcome is its answer."""

    path: Path
    verb: str
    args: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 30.0


@dataclass(frozen=True)
class Readable:
    """Wait until there is something to be read from `descriptor`, or its other end is closed; whether that was within
    `timeout` seconds."""

    descriptor: int
    timeout: float


@dataclass(frozen=True)
class Pause:
    """Let so many seconds go by."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Call a function that takes a while; the outcome is what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Prepare:
    """Make ready for `Connect`, as there is time for that now."""


@dataclass(frozen=True)
class Connect:
    """A new client of this role, which is connected by the FURL in `file`."""

    role: str
    file: Path


@dataclass(frozen=True)
class Dismiss:
    """Disconnect a client for good; `reason` is what its calls say from now on."""

    client: Any
    reason: str


Step = Ask | Readable | Pause | Work | Prepare | Connect | Dismiss
Steps = Generator[Step, Any, T]


def operation(function: Callable[..., Steps[Any]]) -> Callable[..., Any]:
    """A method of the faces, from the generator of its steps, which is its attribute `steps`."""

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._carry_out(function(self, *args, **kwargs))

    # What it returns depends on the face.
    signature = inspect.signature(function)
    method.__signature__ = signature.replace(return_annotation=signature.empty)  # type: ignore[attr-defined]
    method.steps = function  # type: ignore[attr-defined]
    return method
