"""What tasks write, for clients who listen: asked of the engine where the task runs, when it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from ipython1.kernel.controller.calls import Call
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.controller.task_entries import attempt_id
from ipython1.kernel.error import IPythonError
from ipython1.kernel.framing import Message
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link

PATIENCE = 10.0
"""Seconds after which who listens to a task that has not begun is told that there is nothing."""

Running = Callable[[int], tuple[int, int] | None]
"""The engine where a task runs, and the number of the attempt; None if it does not."""


class TaskOutput:
    """Those who listen to tasks.  `running` says where a task runs, `origin` is the first part of attempts' ids."""

    def __init__(self, engines: Engines, running: Running, origin: Callable[[], str]) -> None:
        self._engines = engines
        self._running = running
        self._origin = origin
        self._asked = 0
        self._waiting: dict[int, list[tuple[Call, IDelayedCall]]] = {}

    def listen(self, call: Call) -> None:
        """The verb ``task_output``, about a task that has not ended."""
        task = call.args["task"]
        place = self._running(task)
        if place is None:
            deadline = self._engines.clock.callLater(PATIENCE, self._nothing, task, call)
            self._waiting.setdefault(task, []).append((call, deadline))
        else:
            self._ask(call, task, *place)

    def began(self, task: int) -> None:
        """An engine has begun with a task."""
        self._go_on(task, self.listen)

    def ended(self, task: int) -> None:
        """A task has ended."""
        self._go_on(task, lambda call: call.whole())

    def _go_on(self, task: int, take: Callable[[Call], None]) -> None:
        for call, deadline in self._waiting.pop(task, ()):
            deadline.cancel()
            take(call)

    def _nothing(self, task: int, call: Call) -> None:
        left = [entry for entry in self._waiting.pop(task) if entry[0] is not call]
        if left:
            self._waiting[task] = left
        answer(call, None, call.args["attempt"], {name: call.args[name] for name in ("stdout", "stderr")}, [b"", b""])

    def _ask(self, call: Call, task: int, engine: int, attempt: int) -> None:
        same = attempt == call.args["attempt"]
        offsets = {name: call.args[name] if same else 0 for name in ("stdout", "stderr")}
        only: CommandId = attempt_id(self._origin(), task, attempt)
        self._asked += 1
        args = {"only": list(only), **offsets}
        command = (f"{only[0]}:output", self._asked)
        label = f"output of task {task}"
        self._engines.ask(engine, Entry(command, command[0], "output", args, label, _Asker(call, attempt)))


class _Asker:
    """The owner of what an engine was asked, for a client's call."""

    def __init__(self, call: Call, attempt: int) -> None:
        self._call = call
        self._attempt = attempt

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`."""
        sizes, bodies = reply.fields.get("result"), reply.bodies
        if not reply.fields["ok"] or not isinstance(sizes, dict) or reply.streams():
            # The attempt is over, and perhaps there is another one: who still wants to know asks again.
            sizes, bodies = {name: entry.args[name] for name in ("stdout", "stderr")}, [b"", b""]
        answer(self._call, engine, self._attempt, sizes, bodies)  # type: ignore[arg-type] # no streams

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`."""
        self._call.whole_failed(error)


def answer(call: Call, engine: int | None, attempt: int, sizes: dict[str, Any], bodies: Sequence[bytes]) -> None:
    """Tell a client what an attempt has written."""
    result = {"attempt": attempt, **sizes}
    call.repeat({"index": None, "of": 0, "ok": True, "engine": engine, "result": result}, bodies)
