"""What has come for a request so far, for those who want to know before all has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ipython1.kernel.framing import Message, unpack
from ipython1.kernel.messages import output

Listener = Callable[[int, Message], None]


class Replies:
    """The replies to one request, by the place of their target; they come in the reactor's thread, and are read in all.

    `total` is how many there will be; None while that is not known.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self._messages: dict[int, Message] = {}
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def are_all(self) -> bool:
        """Whether all have come."""
        return self.total is not None and len(self) >= self.total

    def add(self, message: Message) -> None:
        """A reply came.  One for the call as a whole, as a task's or an error's, is the only one."""
        index = message.fields.get("index") or 0
        with self._lock:
            if message.fields.get("index") is None and self._messages:
                return
            self.total = message.fields.get("of") or 1
            self._messages[index] = message
            listeners = list(self._listeners)
        for listener in listeners:
            listener(index, message)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with what comes from now on, in the reactor's thread."""
        with self._lock:
            self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Call `listener` no more."""
        with self._lock:
            self._listeners.remove(listener)

    def get(self, index: int) -> Message | None:
        """The reply of that target; None if it has not come."""
        return self._messages.get(index)

    def numbered(self) -> list[tuple[int, Message]]:
        """Those that have come, each with the place of its target, in order."""
        with self._lock:
            return sorted(self._messages.items(), key=lambda entry: entry[0])

    def forget_values(self) -> None:
        """Keep of each reply only what was printed."""
        with self._lock:
            self._messages = {index: without_value(message) for index, message in self._messages.items()}


def without_value(message: Message) -> Message:
    """A reply that has only what was printed of that one."""
    kept = list(output(message.fields, message.bodies))
    if message.fields.get("output") == 3:
        kept.append(message.bodies[-1])
    return Message("reply", {**message.fields, "output": len(kept), "values": None}, kept)


def printed(message: Message) -> tuple[bytes, bytes]:
    """What a reply says that was written to stdout and stderr."""
    found: tuple[Any, Any] = output(message.fields, message.bodies)
    return bytes(found[0]), bytes(found[1])


def displayed(message: Message) -> list[dict[str, Any]]:
    """What a reply says that was displayed, if it is no result document."""
    bodies: list[Any] = message.bodies
    return list(unpack(bodies[-1])) if message.fields.get("output") == 3 else []
