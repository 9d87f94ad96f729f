"""A client's call on its way: from its targets come outcomes, which go to the client or are held for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.error import IPythonError, ProtocolError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message, StreamRef
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link
from ipython1.kernel.shared_memory.reference import Reference

if TYPE_CHECKING:
    from ipython1.kernel.controller.clients import ClientSession

# What an agent's reply says that goes on to the client.
_PASSED_ON = ("number", "values", "result", "output", "took", "memory")


class Sink(Protocol):
    """Where the outcomes of a call go."""

    def put(self, fields: dict[str, Any], bodies: Sequence[Bytes]) -> None:
        """Take an outcome of ours."""

    def pass_on(self, fields: dict[str, Any], reply: Message, link: Link) -> None:
        """Take an outcome whose bodies are those of `reply`, which came by `link`."""


class ToClient:
    """Sends the outcomes to the client as they come, as long as it is there."""

    def __init__(self, client: ClientSession, command: CommandId) -> None:
        self._client = client
        self._id = list(command)
        self._number = command[1]

    def put(self, fields: dict[str, Any], bodies: Sequence[Bytes]) -> None:
        """See `Sink`."""
        self._client.send(Message("reply", {"id": self._id, **fields}, list(bodies)))

    def pass_on(self, fields: dict[str, Any], reply: Message, link: Link) -> None:
        """See `Sink`.  The streams are relayed, and the client need not wait for them to hear of the outcome."""
        if self._client.lost:
            return
        refs = {ref: link.relay(ref, [(self._client.link, 1)]).refs[0] for ref in set(reply.streams())}
        bodies = [refs[body] if isinstance(body, StreamRef) else body for body in reply.bodies]
        if fields.get("memory") is not None:
            nonce = Reference.of(fields["memory"]).nonce
            self._client.leave_in_memory((self._number, fields["index"]), nonce, link)
        self._client.send(Message("reply", {"id": self._id, **fields}, bodies))


class Call:
    """The owner of the queue entries of one command, one for each target."""

    def __init__(self, message: Message, client: ClientSession, sink: Sink) -> None:
        session, number = message.fields["id"]
        self.id: CommandId = (session, number)
        self.verb: str = message.fields["verb"]
        self.args: dict[str, Any] = message.fields["args"]
        self.client = client
        self.targets: list[int] = []
        self.among: list[int] | None = None
        """The targets as runs, if the client did not name them."""
        self.label: str = message.fields["label"]
        self._values: list[Any] | None = message.fields.get("values")
        self._memory: dict[str, Any] | None = message.fields.get("memory")
        self._answer_in: list[Any] | None = message.fields.get("answer_in")
        self._sink = sink

    def entry(self, index: int, bodies: Sequence[Bytes | StreamRef] = (), missing: int = 0) -> Entry:
        """The entry for the target of that index."""
        return Entry(
            id=self.id,
            client=self.id[0],
            verb=self.verb,
            args=self.args,
            label=self.label,
            owner=self,
            index=index,
            among=self.among,
            values=self._values,
            bodies=list(bodies),
            missing=missing,
            memory=self._memory,
            answer_in=self._answer_in,
        )

    # One target's outcome.

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`."""
        said = {name: reply.fields[name] for name in _PASSED_ON if reply.fields.get(name) is not None}
        try:
            self._sink.pass_on({**self._place(entry.index), "ok": reply.fields["ok"], **said}, reply, link)
        except ProtocolError as problem:
            # An agent of ours leaves room for what is added to its header; others may not.
            self.failed(entry, engine, problem)

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`."""
        self._sink.put({**self._place(entry.index), "ok": False}, failure_bodies(error))

    def told(self, index: int, said: Mapping[str, Any], bodies: Sequence[Bytes]) -> None:
        """What came of the command at one target is known from earlier."""
        self._sink.put({**self._place(index), **said}, bodies)

    def done(self, index: int, result: Any = None) -> None:
        """The controller itself has carried out the command for one target."""
        self._sink.put({**self._place(index), "ok": True, "result": result}, [])

    def _place(self, index: int) -> Mapping[str, Any]:
        return {"engine": self.targets[index], "index": index, "of": len(self.targets)}

    # The outcome of the call as a whole.

    def whole(self, result: Any = None) -> None:
        """The call has succeeded as a whole."""
        self._sink.put({"index": None, "of": 0, "ok": True, "result": result}, [])

    def whole_failed(self, error: Exception) -> None:
        """The call has failed as a whole."""
        self._sink.put({"index": None, "of": 0, "ok": False}, failure_bodies(error))

    def repeat(self, fields: dict[str, Any], bodies: Sequence[Bytes]) -> None:
        """The call's outcome is what an earlier call came to."""
        self._sink.put(fields, bodies)


class Claim:
    """The owner of an entry that stands for another one, which is of the call."""

    def __init__(self, call: Call, entry: Entry) -> None:
        self._call = call
        self._entry = entry

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`."""
        self._call.answered(self._entry, engine, reply, link)

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`."""
        self._call.failed(self._entry, engine, error)
