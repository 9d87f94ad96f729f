"""A model of two ends of a session and the connections between them, for an exhaustive search.

The ends are the real core (`ipython1.kernel.session.Session`).  Around it is what the protocol adds: hello and welcome, a
dialing end and one that answers, and all that connections do: they lose what is under way, at both ends or first at
one, deliver late, and deliver twice; and an end is killed.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ipython1.kernel.error import ProtocolError
from ipython1.kernel.session import Batch, Session


class Violation(Exception):
    """The protocol does not keep its promise."""


@dataclass
class Limits:
    """How far the search goes."""

    messages: tuple[int, int] = (2, 1)
    connections: int = 3
    duplicates: int = 1
    crashes: int = 1


@dataclass
class Connection:
    """A connection: what is under way to the dialing end (0) and to the other (1), and each end's number for it.

    An end that has noticed that it is lost, or has another one, reads no more.
    """

    under_way: tuple[deque[Any], deque[Any]] = field(default_factory=lambda: (deque(), deque()))
    numbers: list[int] = field(default_factory=lambda: [0, 0])
    reads: list[bool] = field(default_factory=lambda: [True, True])

    def copied(self) -> Connection:
        return Connection(tuple(map(deque, self.under_way)), list(self.numbers), list(self.reads))

    def state(self) -> Any:
        ways = tuple(tuple(_frozen(each) for each in way) for way in self.under_way)
        return ways, tuple(self.numbers), tuple(self.reads)


def _frozen(said: Any) -> Any:
    return (said.first, said.ack, tuple(said.messages)) if isinstance(said, Batch) else said


class World:
    """Everything, at one moment.  End 0 dials, end 1 is the controller."""

    def __init__(self, make: Callable[[], Session[int]], limits: Limits) -> None:
        self.make = make
        self.limits = limits
        self.ends = [make(), make()]
        self.taken: list[list[int]] = [[], []]
        self.connections: list[Connection] = []
        self.duplicates = self.crashes = 0
        self.opened = False
        self.knows = True
        self.over = False
        self.newest = -1

    def copied(self) -> World:
        other = copy.copy(self)
        other.ends = []
        for end in self.ends:
            twin = copy.copy(end)
            twin._left, twin._waiting = deque(end._left), deque(end._waiting)
            other.ends.append(twin)
        other.taken = [list(taken) for taken in self.taken]
        other.connections = [connection.copied() for connection in self.connections]
        return other

    def state(self) -> Any:
        """What tells this moment from others."""
        ends = tuple(
            (end.sent, end.acknowledged, end.received, end.connection, end._reported, len(end._waiting))
            for end in self.ends
        )
        connections = tuple(connection.state() for connection in self.connections)
        taken = tuple(map(tuple, self.taken))
        return ends, connections, taken, self.duplicates, self.crashes, self.opened, self.knows, self.over, self.newest

    # -- what may happen -----------------------------------------------------------------------------

    def events(self) -> Iterator[tuple[str, Any]]:
        """What may happen now: a name, and of what."""
        if self.over:
            return
        yield from self._events_of_connections()
        for side, end in enumerate(self.ends):
            if end.sent < self.limits.messages[side]:
                yield "send", side
            if end.connection and end.waits:
                yield "leave", side
            elif end.connection and end.owes:
                yield "acknowledge", side
        if self.may_dial() and len(self.connections) < self.limits.connections:
            yield "dial", None
        if self.crashes < self.limits.crashes and self.opened and self.knows:
            yield "crash", None

    def _events_of_connections(self) -> Iterator[tuple[str, Any]]:
        for index, connection in enumerate(self.connections):
            for side in (0, 1):
                if connection.reads[side]:
                    yield "lose", (index, side)
                    if connection.under_way[side]:
                        yield "deliver", (index, side)
                        if self.duplicates < self.limits.duplicates:
                            yield "duplicate", (index, side)

    def may_dial(self) -> bool:
        """Whether the dialing end has no connection and waits for none."""
        return not any(connection.reads[0] for connection in self.connections)

    def happen(self, name: str, what: Any) -> None:
        """One thing happens.  Violation if what follows from it must not be."""
        try:
            getattr(self, f"_{name}")(what)
        except (ProtocolError, IndexError) as problem:
            raise Violation(f"{type(problem).__name__}: {problem}") from problem
        self._check()

    def _check(self) -> None:
        for side, end in enumerate(self.ends):
            taken = self.taken[1 - side]
            if self.knows and taken != list(range(1, len(taken) + 1)):
                raise Violation(f"end {1 - side} took {taken}")
            if self.knows and not end.acknowledged <= len(taken) <= end.sent:
                raise Violation(f"of {end.sent} messages {end.acknowledged} are acknowledged, {taken} taken")

    def _send(self, side: int) -> None:
        end = self.ends[side]
        end.send(end.sent + 1, 1)

    def _leave(self, side: int) -> None:
        batch = self.ends[side].next_batch()
        assert batch is not None
        self._put(side, batch)

    def _acknowledge(self, side: int) -> None:
        self._put(side, self.ends[side].bare_batch())

    def _put(self, side: int, said: Any) -> None:
        for connection in self.connections:
            if connection.numbers[side] == self.ends[side].connection:
                connection.under_way[1 - side].append(said)

    def _dial(self, _: Any) -> None:
        connection = Connection()
        connection.under_way[1].append(("hello", self.ends[0].received, self.opened))
        self.connections.append(connection)

    def _lose(self, what: tuple[int, int]) -> None:
        index, side = what
        connection = self.connections[index]
        connection.reads[side] = False
        connection.under_way[side].clear()
        self.ends[side].disconnected(connection.numbers[side])

    def _duplicate(self, what: tuple[int, int]) -> None:
        self.duplicates += 1
        index, side = what
        said = self.connections[index].under_way[side][0]
        self._deliver(what)
        if isinstance(said, Batch):  # the dialing itself is answered by the carrier, once
            self.connections[index].under_way[side].appendleft(said)

    def _deliver(self, what: tuple[int, int]) -> None:
        index, side = what
        connection = self.connections[index]
        said = connection.under_way[side].popleft()
        if isinstance(said, Batch):
            self.taken[side] += self.ends[side].arrived(connection.numbers[side], said, 1)
        elif said[0] == "hello":
            self._hello(index, said)
        elif said[0] == "welcome":
            self.opened = True
            connection.numbers[0] = self.ends[0].connected(said[1])
        elif said[0] == "unknown":
            self.over = True
        else:
            connection.reads[0] = False

    def _hello(self, index: int, said: tuple[str, int, bool]) -> None:
        _, has, resumes = said
        connection = self.connections[index]
        if resumes and not self.knows:
            connection.under_way[0].append(("unknown",))
            return
        if self.is_late(index):
            connection.under_way[0].append(("late",))
            return
        self.newest = index
        if not resumes:
            # An earlier session of that end, whose welcome never arrived, gives way.
            self.ends[1] = self.make()
            self.taken[1] = []
        for other in self.connections:
            if other is not connection and other.numbers[1]:
                other.reads[1] = False
                other.under_way[1].clear()
        connection.numbers[1] = self.ends[1].connected(has)
        connection.under_way[0].append(("welcome", self.ends[1].received))

    def is_late(self, index: int) -> bool:
        """Whether the hello is of an earlier attempt than one that came: the peer has given it up."""
        return index < self.newest

    def _crash(self, _: Any) -> None:
        self.crashes += 1
        self.knows = False
        self.newest = -1
        self.ends[1] = self.make()
        for connection in self.connections:
            if connection.numbers[1]:
                connection.reads[1] = False
                connection.numbers[1] = 0

    # -- in the end ----------------------------------------------------------------------------------

    def lose_all(self) -> None:
        """All connections are lost."""
        for index, connection in enumerate(self.connections):
            for side in (0, 1):
                if connection.reads[side]:
                    self.happen("lose", (index, side))

    def settle(self) -> None:
        """There is no connection: from now on there is one, and it lasts.  Violation if not everything arrives."""
        self.limits = Limits(connections=len(self.connections) + 1, messages=(0, 0), duplicates=0, crashes=0)
        while (event := self._next()) is not None:
            self.happen(*event)
        if self.over:
            if self.knows:
                raise Violation("the session is over, and nobody was killed")
            return
        for side, end in enumerate(self.ends):
            if self.taken[1 - side] != list(range(1, end.sent + 1)):
                raise Violation(f"of {end.sent} messages {self.taken[1 - side]} have arrived")
            if end.kept or end.waits or end.bytes_kept:
                raise Violation(f"end {side} keeps {end.kept} messages that have arrived")

    def _next(self) -> tuple[str, Any] | None:
        return next((event for event in self.events() if event[0] not in ("lose", "crash")), None)


def search(make: Callable[[], Session[int]], limits: Limits) -> int:
    """Go through all that can happen; how many moments there are.  Violation, with how it came to it, if one is wrong."""
    start = World(make, limits)
    known = {start.state()}
    settled: set[Any] = set()
    frontier: deque[tuple[World, Any]] = deque([(start, ())])
    while frontier:
        world, history = frontier.popleft()
        _check_end(world.copied(), history, settled)
        for name, what in world.events():
            after = world.copied()
            path = (history, (name, what))
            try:
                after.happen(name, what)
            except Violation as problem:
                raise Violation(f"{problem}, after {_told(path)}") from problem
            state = after.state()
            if state not in known:
                known.add(state)
                frontier.append((after, path))
    return len(known)


def _check_end(world: World, history: Any, settled: set[Any]) -> None:
    try:
        world.lose_all()
        state = world.state()
        if state not in settled:
            settled.add(state)
            world.settle()
    except Violation as problem:
        raise Violation(f"{problem}, in the end, after {_told(history)}") from problem


def _told(history: Any) -> str:
    events: list[str] = []
    while history:
        history, (name, what) = history
        events.append(f"{name} {'' if what is None else what}".strip())
    return ", ".join(reversed(events)) or "nothing"
