"""The tasks that wait for an engine: one queue for each place, all in one order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ipython1.kernel.controller.task_values import Place


@dataclass(order=True, slots=True)
class Ticket:
    """A task's turn: that with the least `key` comes first, and of equal ones that which came first."""

    key: Any
    number: int
    task: int = field(compare=False)
    place: Place = field(compare=False)
    valid: bool = field(default=True, compare=False)


class Waiting:
    """Tickets, by place.  One that was given up stays in its heap until its turn comes."""

    def __init__(self) -> None:
        self._queues: dict[Place, list[Ticket]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for queue in self._queues.values() for ticket in queue if ticket.valid)

    def add(self, key: Any, number: int, task: int, place: Place) -> Ticket:
        """Let a task wait."""
        ticket = Ticket(key, number, task, place)
        heapq.heappush(self._queues.setdefault(place, []), ticket)
        self._count += 1
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """The task waits no more."""
        ticket.valid = False
        self._count -= 1

    def is_head(self, ticket: Ticket | None) -> bool:
        """Whether it may be the first of its place: if not, others certainly come before it."""
        if ticket is None:
            return False
        first = self._queues[ticket.place][0]
        return first is ticket or not first.valid

    def heads(self) -> list[Ticket]:
        """The first of each place, the first of all first."""
        for place in list(self._queues):
            queue = self._queues[place]
            while queue and not queue[0].valid:
                heapq.heappop(queue)
            if not queue:
                del self._queues[place]
        return sorted(queue[0] for queue in self._queues.values())

    def places(self) -> list[Place]:
        """The places for which tasks wait."""
        return [head.place for head in self.heads()]

    def at(self, place: Place) -> list[Ticket]:
        """Those that wait for that place, in order."""
        return sorted(ticket for ticket in self._queues.get(place, ()) if ticket.valid)

    def before(self, ticket: Ticket, counts: Callable[[Place], bool]) -> int:
        """How many come before that one, of those whose place `counts`."""
        queues = [queue for place, queue in self._queues.items() if counts(place)]
        return sum(other.valid and other < ticket for queue in queues for other in queue)
