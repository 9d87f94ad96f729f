"""What an engine has answered, until its controller is known to have stored it.

A controller that is killed and started again may not have stored the last replies that came: it is sent them again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ipython1.kernel.engine.queue import Command
from ipython1.kernel.framing import Message


@dataclass
class Answered:
    """A reply, the command that it is for, and whether that had begun.

    `number` is what the link has given it; None if there was none.
    """

    command: Command
    message: Message
    began: bool
    number: int | None


class Outbox:
    """The replies of one engine, in their order."""

    def __init__(self) -> None:
        self._kept: deque[Answered] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, answered: Answered) -> None:
        """A reply was sent, or is to be."""
        self._kept.append(answered)

    def forget(self, acknowledged: Callable[[int], bool]) -> None:
        """Forget those that the controller has acknowledged."""
        while self._kept and (number := self._kept[0].number) is not None and acknowledged(number):
            self._kept.popleft()

    def all(self) -> list[Answered]:
        """Those that are kept."""
        return list(self._kept)

    def clear(self) -> None:
        """Nobody is to hear of them any more."""
        self._kept.clear()
