"""A controller that takes up what an earlier one has left in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ipython1.kernel.alive import Process
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.registry import EngineRecord
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.values import StoredEngine


class EngineJournal:
    """Writes into the store which engines there are, and awaits those of an earlier controller.

    An engine whose agent has not come `grace` seconds after the start is given up.
    """

    log = Logger()

    def __init__(self, store: Store, engines: Engines, reactor: IReactorTime, grace: float) -> None:
        self._store = store
        self._engines = engines
        self._reactor = reactor
        self._grace = grace

    def start(self, stored: list[StoredEngine]) -> None:
        """Await those that were stored, and store those that come and go from now on."""
        for engine in stored:
            self._engines.expect(_record(engine))
        self._engines.observers.on_register_engine_do(self._registered, True)
        self._engines.observers.on_unregister_engine_do(self._gone, True)

    def await_agents(self) -> None:
        """From now on agents can come: give up those that do not."""
        if self._engines.awaited:
            self._reactor.callLater(self._grace, self._give_up)

    def _give_up(self) -> None:
        reason = f"its agent did not come back within {self._grace:g} s after the controller was started again"
        for engine in sorted(self._engines.awaited):
            self.log.info("engine {id} is given up: {reason}", id=engine, reason=reason)
            self._engines.remove(engine, reason)

    def _registered(self, engine: int) -> None:
        record = self._engines.registry[engine]
        self._store.engine_registered(
            StoredEngine(
                engine,
                str(record.agent),
                record.place,
                {
                    "host": record.host,
                    "pid": record.pid,
                    "process": None if record.process is None else asdict(record.process),
                },
            )
        )

    def _gone(self, engine: int) -> None:
        self._store.engine_gone(engine)


def _record(stored: StoredEngine) -> EngineRecord:
    said: Mapping[str, Any] = stored.document
    # The agent will say which interpreter it is by then, and what its properties are.
    record = EngineRecord(stored.id, stored.agent, stored.place, 0, said.get("pid", 0), said.get("host", ""))
    if said.get("process") is not None:
        record.process = Process.of(said["process"])
    return record
