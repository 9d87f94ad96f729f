"""The large bodies of a command, on their way from its client to the agents of its targets, in streams or in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ipython1.kernel.controller.engines import AgentLink, Engines
from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.framing import Bytes, Message, StreamRef
from ipython1.kernel.peer import Link, Relayed


class Passage:
    """Relays the streams of `message`, once to each agent, however many of the `targets` it has.

    The engines' entries are made with `bodies` and the number of `streams`, and submitted; then `watch` tells their
    queues how far the streams have come.
    """

    def __init__(self, engines: Engines, source: Link, message: Message, targets: Sequence[int]) -> None:
        self._engines = engines
        self._message = message
        uses = Counter(engines[target].agent for target in targets)
        self._agents = {agent: place for place, agent in enumerate(uses)}
        self._relays: dict[int, Relayed] = {}
        if uses:
            to = [(agent.link, count) for agent, count in uses.items()]
            for ref in message.streams():
                if ref.number not in self._relays:
                    self._relays[ref.number] = source.relay(ref, to)
            for agent, count in uses.items():
                announce_memory(agent.link, message.fields.get("memory"), count)

    @property
    def streams(self) -> int:
        """How many there are."""
        return len(self._relays)

    def bodies(self, agent: AgentLink) -> list[Bytes | StreamRef]:
        """The message's bodies, as the agent knows them."""
        place = self._agents[agent]
        return [
            self._relays[body.number].refs[place] if isinstance(body, StreamRef) else body
            for body in self._message.bodies
        ]

    def watch(self, entries: Sequence[tuple[int, Entry]]) -> None:
        """Tell the queue of each entry's engine when a stream is complete at its agent, or broke off."""

        def done(broken: str | None) -> None:
            for engine, entry in entries:
                if broken is None:
                    self._engines.stream_arrived(engine, entry)
                else:
                    self._engines.stream_broken(engine, entry, broken)

        for relay in self._relays.values():
            relay.when_done(done)


def announce_memory(link: Link, memory: dict[str, Any] | None, uses: int) -> None:
    """Have an agent open the memory of so many commands that will come, before their client may have ended."""
    if memory is not None:
        link.send(Message("memory", {"memory": memory, "uses": uses}))
