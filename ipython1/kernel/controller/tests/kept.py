"""A store that keeps all in memory, as long as a test: what a controller leaves in it, the next one finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from ipython1.kernel.error import StoreFull
from ipython1.kernel.framing import Bytes, pack, unpack
from ipython1.kernel.store.interface import Outcomes
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.store.values import (
    ASSIGNED,
    Document,
    LiveTask,
    Snapshot,
    StoredCommand,
    StoredEngine,
    StoredFunction,
    StoredOutcome,
    StoredResult,
    StoredTask,
)


class KeptStore(MemoryStore):
    """While it is `slow`, nothing is stored until `catch_up`; a `full` one takes no tasks."""

    house = "5" * 32

    def __init__(self) -> None:
        self.slow = self.full = False
        self.next_id = 0
        self.live: dict[int, LiveTask] = {}
        self.results: dict[int, StoredResult] = {}
        self.functions: dict[str, StoredFunction] = {}
        self.engines: dict[int, StoredEngine] = {}
        self.commands: dict[tuple[str, int], dict[int, tuple[Document, StoredOutcome | None]]] = {}
        self._waiting: list[Deferred[None]] = []

    def open(self, ended: int = 0) -> Deferred[Snapshot]:
        """See `Store`."""
        live = [self.live[task] for task in sorted(self.live)]
        past = [(task, result.outcome) for task, result in self.results.items()]
        return succeed(Snapshot(self.next_id, live, self.functions, [*self.engines.values()], past))

    def settled(self) -> Deferred[None]:
        """See `Store`."""
        if not self.slow:
            return succeed(None)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def catch_up(self) -> None:
        """Store what waits."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def leased(self, next_id: int) -> None:
        """See `Store`."""
        self.next_id = next_id

    def function_kept(self, digest: str, document: Mapping[str, Any], bodies: Sequence[Bytes]) -> None:
        """See `Store`."""
        self.functions[digest] = StoredFunction(digest, document, list(bodies))

    def tasks_submitted(self, tasks: Sequence[StoredTask]) -> Deferred[None]:
        """See `Store`."""
        if self.full:
            return fail(StoreFull("there is no room"))
        for task in tasks:
            plain = unpack(pack(dict(task.document)))  # as it will be read
            self.live.setdefault(task.id, LiveTask(replace(task, document=plain)))
        return self.settled()

    def task_assigned(self, task: int, attempt: int, step: int, engine: int) -> None:
        """See `Store`."""
        known = self.live[task]
        self.live[task] = replace(known, state=ASSIGNED, attempt=attempt, step=step, engine=engine, began=None)

    def task_began(self, task: int, attempt: int, when: float) -> None:
        """See `Store`."""
        if task in self.live:
            self.live[task] = replace(self.live[task], began=when)

    def task_waits(self, task: int, progress: Mapping[str, Any]) -> None:
        """See `Store`."""
        self.live[task] = replace(self.live[task], state="waiting", engine=None, began=None, progress=progress)

    def task_ended(self, task: int, result: StoredResult) -> None:
        """See `Store`."""
        self.live.pop(task, None)
        self.results.setdefault(task, result)

    def tasks_cleared(self, tasks: Sequence[int]) -> None:
        """See `Store`."""
        for task in tasks:
            self.live.pop(task, None)
            self.results.pop(task, None)

    def result(self, task: int) -> Deferred[StoredResult | None]:
        """See `Store`."""
        return succeed(self.results.get(task))

    def engine_registered(self, engine: StoredEngine) -> None:
        """See `Store`."""
        self.engines[engine.id] = engine

    def engine_gone(self, engine: int) -> None:
        """See `Store`."""
        self.engines.pop(engine, None)

    def command_submitted(self, command: StoredCommand) -> Deferred[None]:
        """See `Store`."""
        known = self.commands.setdefault((command.session, command.number), {})
        known.setdefault(command.engine, (command.document, None))
        return succeed(None)

    def command_ended(self, session: str, number: int, engine: int, outcome: StoredOutcome) -> None:
        """See `Store`."""
        known = self.commands.setdefault((session, number), {})
        document, before = known.get(engine, ({}, None))
        known[engine] = document, before or outcome

    def command_outcomes(self, session: str, numbers: Sequence[int]) -> Deferred[Outcomes]:
        """See `Store`."""
        found = {
            (number, engine): known
            for number in numbers
            for engine, known in self.commands.get((session, number), {}).items()
        }
        return succeed(found)
