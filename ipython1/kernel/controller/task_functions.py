"""The functions that tasks have in common: which clients have sent them, and which interpreters have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.task_spec import Function
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.shared import MAX_FUNCTIONS, Recent


class TaskFunctions:
    """What a client has sent is kept as long as it wants, what an engine has is only believed.

    An interpreter that lacks a function says so, and is sent it with the task.
    """

    def __init__(self) -> None:
        self._kept: dict[ClientSession, dict[str, Function]] = {}
        self._had: dict[int, Recent[bool]] = {}

    def of(self, client: ClientSession) -> Mapping[str, Function]:
        """Those that a client has sent, by their digests."""
        return self._kept.get(client, {})

    def keep(self, client: ClientSession, function: Function, drop: Sequence[str]) -> None:
        """A client sent one, and will not name those to `drop` any more; ProtocolError if it has too many."""
        kept = self._kept.setdefault(client, {})
        for digest in drop:
            kept.pop(digest, None)
        if len(kept) >= MAX_FUNCTIONS:
            raise ProtocolError(f"the controller keeps at most {MAX_FUNCTIONS} functions for a client's tasks")
        kept[function.digest] = function

    def client_left(self, client: ClientSession) -> None:
        """A client is gone; its tasks have their functions."""
        self._kept.pop(client, None)

    def has(self, engine: int, function: Function) -> bool:
        """Whether the interpreter of an engine is believed to have a function, which is going to be used there."""
        had = self._had.get(engine)
        return had is not None and had.get(function.digest) is not None

    def arrived(self, engine: int, function: Function) -> None:
        """An interpreter has a function: a task that has it has begun.

        Not when it is sent: of what is sent later, some may begin before.
        """
        self._had.setdefault(engine, Recent()).add(function.digest, True, function.size)

    def missed(self, engine: int, function: Function) -> None:
        """An interpreter did not have a function."""
        if engine in self._had:
            self._had[engine].discard(function.digest)

    def interpreter_ended(self, engine: int) -> None:
        """An engine has lost its interpreter, or is gone."""
        self._had.pop(engine, None)
