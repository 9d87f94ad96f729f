"""Which engines somebody looks at with a debugger: what queue_status says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Debugger:
    session: Any
    client: str
    who: str
    generation: int


class Debugged:
    """Keeps who has a debugger on which engine, as far as the commands for it tell."""

    def __init__(self) -> None:
        self._debuggers: dict[int, _Debugger] = {}

    def asked(self, engine: int, generation: int, client: str, who: str, args: dict[str, Any]) -> None:
        """A client has a line for the debugger of an engine."""
        if args["action"] == "close":
            known = self._debuggers.get(engine)
            if known is not None and known.session == args["session"]:
                del self._debuggers[engine]
        else:
            self._debuggers[engine] = _Debugger(args["session"], client, who, generation)

    def client_left(self, client: str) -> None:
        """A client is gone, in the middle of it or not."""
        self._debuggers = {engine: one for engine, one in self._debuggers.items() if one.client != client}

    def who(self, engine: int, generation: int) -> str | None:
        """Who looks at that engine's interpreter; None if nobody does."""
        known = self._debuggers.get(engine)
        return known.who if known is not None and known.generation == generation else None
