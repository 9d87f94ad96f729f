"""A session with the Task interface that says what the wire says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from ipython1.core.remote_error import rebuild
from ipython1.core.serialize import Serialized, serialize, split
from ipython1.kernel.dial import dial
from ipython1.kernel.framing import Message
from ipython1.kernel.furl import read_furl
from ipython1.kernel.hello import new_id
from ipython1.kernel.places import FURL_FILES
from ipython1.kernel.together import Together, outcomes_in, pack_form


def string_step(
    source: str, push: Mapping[str, Any] | None = None, pull: Sequence[str] = (), **more: Any
) -> Any:
    """The step of a task that is source text, and its values."""
    push = push or {}
    return step("string", [source, *push.values()], push=list(push), pull=list(pull), **more)


def map_step(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """The step of a task that is a call, and its values."""
    return step("map", [function, (args, {})], **more)


def step(kind: str, values: Sequence[Any], depend: Callable[..., Any] | None = None, **more: Any) -> Any:
    """A step and its values."""
    if depend is not None:
        values = [depend, *values]
    fields = {
        "retries": 0,
        "clear_before": False,
        "clear_after": False,
        "timeout": None,
        "push": [],
        "pull": [],
        "results": [],
        "function": None,
    }
    fields |= {"kind": kind, "depend": depend is not None, "values": len(values), **more}
    return fields, [serialize(value, carry_code=True) for value in values]


class RawTaskSession:
    """One session.  `done` has what came of tasks, as messages of one each."""

    def __init__(self) -> None:
        self.id = new_id()
        self.number = 0
        self.next_task = 0
        self.done: dict[int, Message] = {}
        self.refused: list[str] = []
        self._replies: dict[int, Deferred[Message]] = {}
        self._until_done: list[tuple[set[int], Deferred[None]]] = []

    async def open(self, ipython_dir: Path) -> None:
        """Dial, and lease ids."""
        furl = read_furl(ipython_dir / "security" / FURL_FILES["task"], "task")
        self.link = await dial(furl, "task", self, reactor=reactor, timeout=20, session=self.id)
        self.next_task, _ = await self.ask("lease_tasks", count=100_000)

    def call(
        self, verb: str, args: Mapping[str, Any], bodies: Sequence[Any] = (), values: Any = None
    ) -> Deferred[Message]:
        """Send a command; fires with the reply."""
        self.number += 1
        fields = {"id": [self.id, self.number], "verb": verb, "args": dict(args), "label": verb}
        if values is not None:
            fields["values"] = values
        self.link.send(Message("command", fields, list(bodies)))
        reply = self._replies[self.number] = Deferred()
        return reply

    async def ask(self, verb: str, **args: Any) -> Any:
        """The plain result of a verb; raises its error."""
        reply = await self.call(verb, args)
        if not reply.fields["ok"] and reply.fields.get("result") is None:
            raise error_of(reply)
        return reply.fields.get("result")

    def submit(self, *steps: Any, **options: Any) -> int:
        """Submit a task; its id."""
        task = self.next_task
        self.next_task += 1
        common: list[Serialized | None] = []
        own = []
        for fields, values in steps:
            depend, others = values[: fields["depend"]], values[fields["depend"] :]
            common += [*depend, *[None] * len(others)]
            own += others
        together = Together()
        together.add(task, pack_form([fields for fields, _ in steps], options, common), own)
        self.call("submit", together.args, together.bodies).addBoth(lambda reply: None)
        return task

    async def wait(self, *tasks: int) -> None:
        """Return when these tasks have ended."""
        missing = set(tasks) - set(self.done)
        if missing:
            waiter: Deferred[None] = Deferred()
            self._until_done.append((missing, waiter))
            await waiter

    async def outcome(self, task: int) -> Any:
        """The values that a task came to, or the exception."""
        await self.wait(task)
        message = self.done[task]
        if not message.fields["ok"]:
            return error_of(message)
        return [value.load() for value in split(message.fields["values"], message.bodies)]

    def record(self, task: int) -> dict[str, Any]:
        """What is said of a task that has ended."""
        return self.done[task].fields["record"]

    def message_received(self, message: Message) -> None:
        """See `ipython1.kernel.peer.Receiver`."""
        if message.kind == "refused":
            self.refused.append(message.fields["error"])
        else:
            self.link.collect(message).addCallback(self._collected)

    def _collected(self, message: Message) -> None:
        if message.kind == "reply":
            self._replies.pop(message.fields["id"][1]).callback(message)
            return
        for fields, bodies in outcomes_in(message):
            assert fields["task"] not in self.done, f"task {fields['task']} ended twice"
            self.done[fields["task"]] = Message("done", fields, bodies)
            self._ended(fields["task"])

    def _ended(self, task: int) -> None:
        for entry in list(self._until_done):
            entry[0].discard(task)
            if not entry[0]:
                self._until_done.remove(entry)
                entry[1].callback(None)

    def link_lost(self, reason: str) -> None:
        """See `ipython1.kernel.peer.Receiver`."""


def error_of(message: Message) -> BaseException:
    """The exception that a failed outcome says."""
    document, pickled = message.bodies[:2]
    return rebuild(document, pickled, None, "task", [])
