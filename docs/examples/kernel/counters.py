#!/usr/bin/env python
"""Counters that all clients share: an interface of one's own, and a program that uses it.

Start a cluster whose controller publishes it, in the folder where this file is
(``ipcluster -n 4 --interface-class counters.Counters``), then run ``python counters.py``.
"""

from twisted.internet.defer import Deferred

from ipython1.kernel import client
from ipython1.kernel.controller.interface import Interface, verb


class Counters(Interface):
    """Runs in the controller; the clients of the interface have its verbs as methods."""

    role = "counters"

    def start(self) -> None:
        self._counts: dict[str, int] = {}
        self._waiting: list[tuple[str, int, Deferred]] = []

    @verb
    def add(self, name: str, amount: int = 1) -> int:
        """Add to a counter, and give what it is then."""
        count = self._counts[name] = self._counts.get(name, 0) + amount
        for awaited, enough, reached in list(self._waiting):
            if awaited == name and enough <= count:
                reached.callback(None)
        return count

    @verb
    def counts(self) -> dict:
        """All counters."""
        return self._counts

    @verb
    async def reach(self, name: str, count: int) -> int:
        """Wait until a counter is so much or more; what it is then."""
        if self._counts.get(name, 0) < count:
            self._waiting.append(waiter := (name, count, Deferred()))
            try:
                await waiter[2]
            finally:  # also when the client that waits goes
                self._waiting.remove(waiter)
        return self._counts[name]

    @verb
    async def add_up(self, name: str, expression: str) -> int:
        """Add to a counter what the expression is on each engine."""
        results = await self.engines.execute(f"int({expression})")
        return self.add(name, sum(int(result["display"]["repr"]) for result in results))

    def engine_joined(self, engine: int) -> None:
        self.add("engines that came")

    def engine_left(self, engine: int) -> None:
        self.add("engines that went")


class CountersClient(client.InterfaceClient):
    """Its verbs come from the interface; this is for what else clients want."""

    role = "counters"

    def double(self, name: str) -> int:
        """Double a counter; what it is then."""
        return self.add(name, self.counts()[name])


if __name__ == "__main__":
    counters = CountersClient()
    print("engines:", counters.reach("engines that came", 1))
    print("added:", counters.add("visits"), counters.add("visits", amount=4))
    print("doubled:", counters.double("visits"))
    client.MultiEngineClient().execute("work = [id] * 3")
    print("on all engines:", counters.add_up("work", "len(work)"))
