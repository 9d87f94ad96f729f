"""What happened in a run, as its logs say: operations with all that is known of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipython1.kernel.tests.chaos.journal import Event, read
from ipython1.kernel.tests.chaos.plan import CLIENTS, EXECUTIONS, FAULTS, LAST, WATCH, Plan

KILLERS = ("kill-interpreter", "kill-agent")
"""The faults that end what engines run."""


@dataclass
class Operation:
    """One operation of a client: `order` is its place among those of this client."""

    key: str
    client: str
    order: int
    called: float
    fields: Event
    task: int | None = None
    confirmed: bool = False
    aborted: bool = False
    outcomes: list[Event] = field(default_factory=list)
    last: Event | None = None
    executions: list[Event] = field(default_factory=list)

    @property
    def outcome(self) -> Event | None:
        """What the client was told; None if nothing."""
        return self.outcomes[0] if self.outcomes else None

    @property
    def failed(self) -> bool:
        """Whether it is known to have failed."""
        return any(told is not None and told["ok"] is False for told in (self.outcome, self.last))


@dataclass
class History:
    """The logs of a run.  `executions` are in the order in which they began; `faults` is what the harness did."""

    clients: Mapping[str, Sequence[Event]]
    executions: Sequence[Event]
    faults: Sequence[Event]
    last: Sequence[Event]
    watched: Sequence[Event]

    @classmethod
    def of(cls, plan: Plan) -> History:
        """What was written in the folder of a run."""
        logs = {path.stem.removeprefix("client-"): read(path) for path in sorted(plan.path("").glob(CLIENTS))}
        names = (EXECUTIONS, FAULTS, LAST, WATCH)
        return cls(logs, *(read(plan.path(name)) for name in names))

    def operations(self) -> dict[str, Operation]:
        """All operations, by their keys, in the order in which each client called them."""
        found: dict[str, Operation] = {}
        for client, events in self.clients.items():
            for event in events:
                self._read(found, client, event)
        for execution in self.executions:
            if execution["key"] in found:
                found[execution["key"]].executions.append(execution)
        for event in self.last:
            if event["event"] == "last" and event["key"] in found:
                found[event["key"]].last = event
        return found

    @staticmethod
    def _read(found: dict[str, Operation], client: str, event: Event) -> None:
        kind = event["event"]
        if kind == "call":
            found[event["key"]] = Operation(event["key"], client, len(found), event["at"], event)
        elif kind == "sent":
            found[event["key"]].task = event["task"]
        elif kind == "confirmed":
            for key in event["keys"]:
                # What could not be sent at all has ended with an error, and was not confirmed.
                found[key].confirmed = found[key].task is not None
        elif kind == "abort":
            found[event["key"]].aborted = True
        elif kind == "outcome":
            found[event["key"]].outcomes.append(event)

    def killed_clients(self) -> set[str]:
        """The clients that were killed: of them nobody knows what they were told last."""
        killed = {event.get("pid") for event in self.faults if event.get("kind") == "kill-client"}
        return {
            name
            for name, events in self.clients.items()
            if not events or any(event["event"] == "started" and event["pid"] in killed for event in events)
        }

    def kills(self) -> list[float]:
        """When what engines run was ended: by a fault, or because a task ended the interpreter."""
        by_fault = [
            event["at"] for event in self.faults if event["event"] == "fault" and event["kind"] in KILLERS
        ]
        return sorted(by_fault + [event["at"] for event in self.executions if event.get("crashes")])

    def moments(self, kind: str) -> list[float]:
        """When there was a fault of that kind."""
        return [event["at"] for event in self.faults if event["event"] == "fault" and event["kind"] == kind]

    def mentions(self, keys: Iterable[str]) -> list[tuple[float, str, Event]]:
        """All events that name one of these operations, with the log where they stand, in the order of time."""
        wanted = set(keys)
        logs = {**{f"client {name}": events for name, events in self.clients.items()}}
        logs |= {"engines": self.executions, "at last": self.last}
        return sorted(
            (
                (event["at"], log, event)
                for log, events in logs.items()
                for event in events
                if event.get("key") in wanted or wanted.intersection(event.get("keys", ()))
            ),
            key=lambda entry: entry[0],
        )


def by_engine(operations: Iterable[Operation]) -> dict[tuple[str, int], list[Operation]]:
    """The commands of each client for each engine, in the order in which they were called."""
    found: dict[tuple[str, int], list[Operation]] = defaultdict(list)
    for operation in operations:
        if "engine" in operation.fields:
            found[operation.client, operation.fields["engine"]].append(operation)
    return found


def told(outcome: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an outcome says, so that two that were told of the same task can be compared."""
    return tuple(outcome.get(name) for name in ("ok", "of", "value", "run", "error"))
