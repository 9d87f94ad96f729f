"""Schedulers by name: how those that users write come into the controller."""

from __future__ import annotations

import importlib

from ipython1.kernel.controller.scheduler import FIFOScheduler, Scheduler
from ipython1.kernel.error import ControllerCreationError

USUAL = f"{FIFOScheduler.__module__}.{FIFOScheduler.__name__}"
"""The scheduler of a controller that is not told otherwise."""


def named_scheduler(name: str) -> type[Scheduler]:
    """The class of that dotted name; ControllerCreationError if there is none, or it is no scheduler."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as problem:  # importing runs the user's own code
        raise ControllerCreationError(
            f"there is no scheduler {name!r} ({type(problem).__name__}: {problem}): give the dotted name of a class,"
            f" such as {USUAL}, whose module Python can import"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Scheduler)):
        raise ControllerCreationError(
            f"{name} is no scheduler: it must be a subclass of {Scheduler.__module__}.Scheduler"
        )
    return found
