"""How user code on an engine reaches that engine, by the name of IPython 0.10.2."""

from __future__ import annotations

from typing import Protocol

from ipython1.core.properties import Properties
from ipython1.kernel.error import InvalidEngineID


class Engine(Protocol):
    """An engine, as its own user code sees it."""

    @property
    def id(self) -> int | None:
        """The engine's id; None before it is registered."""

    @property
    def properties(self) -> Properties:
        """What the controller may read: a dict of plain values, which copies them in and out."""


_engines: list[Engine] = []


def register(engine: Engine) -> None:
    """Make `engine` the one that this process serves."""
    _engines[:] = [engine]


def get_engine(id: int) -> Engine:
    """The engine with that id, which must be the one that this code runs on (InvalidEngineID)."""
    for engine in _engines:
        if engine.id == id:
            return engine
    raise InvalidEngineID(f"this code does not run on an engine with id {id!r}")
