"""Classes by name: how the schedulers and interfaces that users write come into the controller."""

from __future__ import annotations

import importlib
from typing import Any

from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.interface import Interface
from ipython1.kernel.controller.scheduler import FIFOScheduler, Scheduler
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.error import ControllerCreationError

USUAL = f"{FIFOScheduler.__module__}.{FIFOScheduler.__name__}"
"""The scheduler of a controller that is not told otherwise."""


def named_scheduler(name: str) -> type[Scheduler]:
    """The class of that dotted name; ControllerCreationError if there is none, or it is no scheduler."""
    found = _named(name, "scheduler", USUAL)
    if not (isinstance(found, type) and issubclass(found, Scheduler)):
        raise ControllerCreationError(
            f"{name} is no scheduler: it must be a subclass of {Scheduler.__module__}.Scheduler"
        )
    return found


class NamedInterface:
    """Makes the interface of that dotted name; ControllerCreationError if there is none, or it is no interface."""

    def __init__(self, name: str) -> None:
        found = _named(name, "interface", "my_module.MyInterface")
        # MultiEngine and Task are not made of the class that users have for it.
        if not (isinstance(found, type) and hasattr(found, "role") and hasattr(found, "open_session")):
            raise ControllerCreationError(
                f"{name} is no interface: it must be a subclass of {Interface.__module__}.Interface"
            )
        self._name = name
        self._class: type[Any] = found

    def __call__(self, engines: Engines, shutdown: Shutdown) -> Any:
        """The interface; ControllerCreationError if it cannot be made."""
        try:
            return self._class(engines, shutdown)
        except ControllerCreationError:
            raise
        except Exception as problem:  # the user's own code
            raise ControllerCreationError(
                f"the interface {self._name} cannot be started ({type(problem).__name__}: {problem})"
            ) from problem


def _named(name: str, what: str, example: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as problem:  # importing runs the user's own code
        raise ControllerCreationError(
            f"there is no {what} {name!r} ({type(problem).__name__}: {problem}): give the dotted name of a class,"
            f" such as {example}, whose module Python can import"
        ) from None
