"""Engines that an earlier controller had, until their agents are here again."""

from __future__ import annotations

from typing import Any, Protocol

from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.controller.registry import EngineRecord
from ipython1.kernel.error import EngineLost
from ipython1.kernel.framing import Message
from ipython1.kernel.peer import Link


class Agent(Protocol):
    """The session of an agent that is here."""

    @property
    def link(self) -> Link: ...

    def ask(self, entry: Entry, record: EngineRecord) -> None:
        """Have the agent carry out a verb at once, beside the queue."""


class Absent:
    """Stands for the session of an agent, and for its link: keeps what is to be said until the agent is here."""

    lost = False

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._asked: list[tuple[Entry, EngineRecord]] = []

    @property
    def link(self) -> Any:
        """See `engines.AgentLink`; streams are not sent to an agent that is awaited (see `again.Line`)."""
        return self

    def send(self, message: Message) -> int:
        """See `Link.send`."""
        self._messages.append(message)
        return 0

    def ask(self, entry: Entry, record: EngineRecord) -> None:
        """See `engines.AgentLink`."""
        self._asked.append((entry, record))

    def is_here(self, agent: Agent) -> None:
        """The agent has come: it is told everything."""
        for message in self._messages:
            agent.link.send(message)
        for entry, record in self._asked:
            agent.ask(entry, record)

    def stays_away(self, reason: str) -> None:
        """The agent is not awaited any more."""
        for entry, record in self._asked:
            text = f"engine {record.id} was lost, and {entry.label} with it: {reason}"
            entry.owner.failed(entry, record.id, EngineLost(text))
