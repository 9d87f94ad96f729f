"""How long the two ends of a session wait for each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """What a controller decides for itself and for all that connect to it, in seconds.

    `grace` is how long a peer whose connection is lost is awaited.  A connection over which nothing comes for
    `agents`, or for `clients`, is taken for lost: nothing but a dead host or network keeps an agent silent, but the
    reactor of a client shares its process with user code, which may hold the GIL for long.
    """

    grace: float = 60.0
    agents: float = 10.0
    clients: float = 60.0

    def silence(self, role: str) -> float:
        """After how long a silence the connection of a peer in that role is taken for lost."""
        return self.agents if role == "engine" else self.clients
