"""Several tasks in one message, and several outcomes.

A task is its *form*, which others may have, too, its id, and the values that are its own.  The form is a document: steps,
options, and of each value of the steps either the value itself, as that of a function that many tasks call, or None,
where each task has its own.  A message that submits tasks has each form once, as its first bodies; then come the
tasks' own values, one task after the other.

What is there at the same time goes together, and nothing waits for more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ipython1.core.serialize import Serialized, join
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Bytes, Message, StreamRef, pack
from ipython1.kernel.stream import THRESHOLD

MAX_TASKS = 250
"""So many go in one message: its receiver deals with others before it takes the next one."""
MAX_BYTES = 256 << 10
"""... with so many bytes, or one task alone."""
_HEADER = 400
"""Bytes in a message's header that describe a task or a value: roughly, and no fewer."""


def pack_form(
    steps: Sequence[Mapping[str, Any]], options: Mapping[str, Any], values: Iterable[Serialized | None]
) -> bytes:
    """The form of a task; ProtocolError if there is something in it that cannot be sent."""
    common = [None if value is None else [value.descriptor, value.metadata, value.segments] for value in values]
    try:
        return pack({"steps": steps, "options": options, "values": common})
    except (TypeError, ValueError, OverflowError) as problem:
        raise ProtocolError(f"{options.get('label')} cannot be sent: {problem}") from None


class Together:
    """The tasks that are to be submitted by one message."""

    def __init__(self) -> None:
        self.tasks: list[int] = []
        self._entries: list[Any] = []
        self._forms: dict[bytes, int] = {}
        self._bodies: list[Any] = []
        self._size = 0

    def takes(self, form: bytes, values: Sequence[Serialized]) -> bool:
        """Whether there is room for one more."""
        if not self.tasks:
            return True
        return len(self.tasks) < MAX_TASKS and self._size + self._size_of(form, values) <= MAX_BYTES

    def _size_of(self, form: bytes, values: Sequence[Serialized]) -> int:
        size = 0 if form in self._forms else len(form)
        for value in values:
            size += value.size + _HEADER
        return size

    def add(self, task: int, form: bytes, values: Sequence[Serialized]) -> None:
        """Add the task of that id."""
        self._size += self._size_of(form, values)
        headers, bodies = join(values)
        self._bodies += bodies
        self.tasks.append(task)
        self._entries.append([task, self._forms.setdefault(form, len(self._forms)), headers])

    @property
    def args(self) -> dict[str, Any]:
        """The arguments of ``submit``."""
        return {"tasks": self._entries, "forms": len(self._forms)}

    @property
    def bodies(self) -> list[Any]:
        """What goes with them."""
        return [*self._forms, *self._bodies]


class Came(NamedTuple):
    """A task of a message: its own values, and how these are described."""

    task: int
    form: bytes
    headers: list[Any]
    bodies: list[Bytes]


def came(args: Mapping[str, Any], bodies: Sequence[Any]) -> list[Came]:
    """The tasks that ``submit`` came with; ProtocolError if these arguments and bodies do not fit together."""
    tasks = []
    place = args["forms"]
    if not 0 <= place <= len(bodies):
        raise ProtocolError(f"tasks came with {len(bodies)} bodies, and {place} forms are said to be among them")
    forms = [bytes(body) for body in bodies[:place]]
    for entry in args["tasks"]:
        if type(entry) is not list or list(map(type, entry)) != [int, int, list]:
            raise ProtocolError("a task is not described by its id, its form, and its values")
        task, form, headers = entry
        if not 0 <= form < len(forms):
            raise ProtocolError(f"task {task} is of a form that did not come")
        start = place
        for header in headers:
            place += _segments(header)
        tasks.append(Came(task, forms[form], headers, list(bodies[start:place])))
    if place != len(bodies):
        raise ProtocolError(f"the values of tasks have {place} segments, {len(bodies)} came")
    return tasks


def _segments(header: Any) -> int:
    """How many bodies a value has; ProtocolError if that is not how a value is described."""
    if type(header) is not list or list(map(type, header)) != [int, str, dict] or header[0] < 1:
        raise ProtocolError("a serialized value is not described by count, type and metadata")
    return header[0]  # type: ignore[no-any-return]


def done_messages(outcomes: Iterable[tuple[Mapping[str, Any], Sequence[Bytes]]]) -> Iterator[Message]:
    """The messages that tell the outcomes of tasks, each of which is its fields and its bodies.

    One with large bodies has a message of its own: who does not wait for it need not take it.
    """
    tasks: list[Any] = []
    bodies: list[Any] = []
    size = 0
    for fields, own in outcomes:
        more = (1 + len(own)) * _HEADER + sum(map(len, own)) + sum(map(len, fields["record"]["pull"]))
        alone = more > THRESHOLD
        if tasks and (alone or len(tasks) == MAX_TASKS or size + more > MAX_BYTES):
            yield Message("tasks_done", {"tasks": tasks}, bodies)
            tasks, bodies, size = [], [], 0
        tasks.append({**fields, "bodies": len(own)})
        bodies += own
        # After one that is to be alone, there is no room.
        size += MAX_BYTES if alone else more
    if tasks:
        yield Message("tasks_done", {"tasks": tasks}, bodies)


def outcomes_in(message: Message) -> Iterator[tuple[dict[str, Any], list[Bytes | StreamRef]]]:
    """The outcomes that a message tells: of each its fields and its bodies."""
    place = 0
    for fields in message.fields["tasks"]:
        start, place = place, place + fields["bodies"]
        yield fields, message.bodies[start:place]
