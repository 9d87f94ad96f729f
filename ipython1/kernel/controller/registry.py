"""Which engines there are, under which ids, and which of them the `targets` of a call mean."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ipython1.kernel.alive import Process
from ipython1.kernel.controller.observers import Observers
from ipython1.kernel.error import EngineCreationError, InvalidEngineID, NoEnginesRegistered

MAX_ENGINES = 10_000
"""As many ids there are, from 0 on.  IPython 0.10.2 had 512; with more than that, see ``sh scripts/simulate``."""

_MAX_NAMED = 32


class EngineState(Enum):
    """Whether an engine has an interpreter to run its commands."""

    READY = "ready"
    STARTING = "starting"  # its interpreter ended, and the successor is not there yet
    LEAVING = "leaving"  # it was killed, and its agent has not yet said that it is gone


@dataclass
class EngineRecord:
    """What is known of one engine.

    `agent` is the key of the session that it came by, `place` which of that agent's interpreters it is, and
    `generation` counts its interpreters.  `away` is why and since when its agent cannot be reached; None if it can.
    `process` is the agent's own.
    """

    id: int
    agent: Hashable
    place: int
    generation: int
    pid: int
    host: str
    properties: dict[str, Any] = field(default_factory=dict)
    state: EngineState = EngineState.READY
    away: tuple[str, float] | None = None
    process: Process | None = None

    @property
    def takes_work(self) -> bool:
        """Whether what is sent to it now begins soon."""
        return self.state is EngineState.READY and self.away is None


class Registry:
    """The engines, by id.  An id is the one wanted if that is free, else the lowest free one."""

    def __init__(self, observers: Observers, limit: int = MAX_ENGINES) -> None:
        self.observers = observers
        self._limit = limit
        self._records: dict[int, EngineRecord] = {}
        # All ids below it are taken.
        self._lowest = 0

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, engine: int) -> bool:
        return engine in self._records

    def __getitem__(self, engine: int) -> EngineRecord:
        return self._records[engine]

    def ids(self) -> list[int]:
        """The ids of the registered engines, ascending."""
        return sorted(self._records)

    def register(
        self,
        agent: Hashable,
        place: int,
        *,
        wanted: int | None,
        generation: int,
        pid: int,
        host: str,
        properties: dict[str, Any],
    ) -> EngineRecord:
        """Enter an engine; its observers hear of it when `announce` is called.

        Raises EngineCreationError when all ids are taken.
        """
        if len(self._records) >= self._limit:
            raise EngineCreationError(
                f"this controller has {self._limit} engines already, as many as it takes: kill some, or start"
                " another controller with an --ipython-dir of its own"
            )
        record = EngineRecord(self._free_id(wanted), agent, place, generation, pid, host, properties)
        self._records[record.id] = record
        return record

    def restore(self, record: EngineRecord) -> None:
        """Enter an engine that an earlier controller had, under the id that it had."""
        self._records[record.id] = record

    def announce(self, engine: int) -> None:
        """Tell the observers of a registered engine: apart from `register`, as it must be usable by then."""
        self.observers.registered(engine, len(self._records))

    def unregister(self, engine: int) -> EngineRecord:
        """Forget an engine, free its id, and tell the observers; KeyError if there is none."""
        record = self._records.pop(engine)
        self._lowest = min(self._lowest, engine)
        self.observers.unregistered(engine, len(self._records))
        return record

    def resolve(self, targets: Any) -> list[int]:
        """The engine ids that `targets` means, in its order.

        ``"all"`` are all, ascending; a list is taken as it is, repeats included; ``{"slice": [start, stop, step]}``
        is that slice of all.  Raises InvalidEngineID, or NoEnginesRegistered if all or a slice of none are meant.
        """
        if targets == "all" or isinstance(targets, dict):
            if not self._records:
                raise NoEnginesRegistered()
            return self.ids() if targets == "all" else self._slice(targets)
        if not isinstance(targets, list):
            raise InvalidEngineID(
                f"targets must be 'all', an engine id, a list of ids or a slice, not {targets!r:.50}"
            )
        for target in targets:
            self._check_target(target)
        return list(targets)

    def _slice(self, targets: dict[Any, Any]) -> list[int]:
        bounds = targets.get("slice")
        if not (len(targets) == 1 and isinstance(bounds, list) and len(bounds) == 3):
            raise InvalidEngineID(f"targets is no slice of the engines: {targets!r:.50}")
        if not all(bound is None or type(bound) is int for bound in bounds) or bounds[2] == 0:
            raise InvalidEngineID(f"targets is a slice with impossible bounds: {bounds!r:.50}")
        return self.ids()[slice(*bounds)]

    def _check_target(self, target: Any) -> None:
        if type(target) is not int:  # a bool is an int to isinstance, and True no name for engine 1
            raise InvalidEngineID(
                f"an engine id is a number, not {target!r:.50}; registered: {self._named()}"
            )
        if target not in self._records:
            raise InvalidEngineID(f"Engine with id {target} is not registered; registered: {self._named()}")

    def _named(self) -> str:
        ids = self.ids()
        if not ids:
            return "none"
        if len(ids) <= _MAX_NAMED:
            return str(ids)
        return f"{len(ids)} engines from {ids[0]} to {ids[-1]}"

    def _free_id(self, wanted: int | None) -> int:
        if wanted is not None and 0 <= wanted < self._limit and wanted not in self._records:
            return wanted
        while self._lowest in self._records:
            self._lowest += 1
        return self._lowest
