"""What a command of an interpreter comes to: the parts of its reply, values that lie in memory, what is left of one lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ipython1.kernel.engine.history import Record
from ipython1.kernel.engine.memories import Left, Memories
from ipython1.kernel.engine.queue import Command
from ipython1.kernel.error import ConnectionError, EngineLost, ProtocolError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message, pack
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.shared_memory.reference import Reference
from ipython1.kernel.shared_memory.system import Unavailable
from ipython1.kernel.verbs import VERBS

_PASSED_ON = ("number", "values", "result", "took")


def prints(verb: str) -> bool:
    """Whether what is written while a command of that verb runs is part of its outcome."""
    return verb in VERBS and VERBS[verb].prints


def clears(command: Command, ok: bool) -> bool:
    """Whether the command clears the namespace: a task may do so before or after, however it ends."""
    asked = command.args.get("clear_before") or command.args.get("clear_after")
    return (command.verb == "reset" and ok) or bool(asked)


def is_answer(reply: Message, command: Command) -> bool:
    """Whether the reply is one to the command, with all the bodies that it must have."""
    documents = _documents(command.verb, reply.fields["ok"])
    return reply.fields["id"] == list(command.id) and documents in (0, len(reply.bodies))


def _documents(verb: str, ok: bool) -> int:
    """How many bodies a reply of the interpreter must have; 0 if that depends on the values."""
    if verb == "execute":
        return 1 if ok else 3
    return 0 if ok else 2


def passed_on(reply: Message) -> dict[str, Any]:
    """Those of the reply's fields that are part of the answer."""
    fields = {"ok": reply.fields["ok"]}
    fields.update((name, reply.fields[name]) for name in _PASSED_ON if name in reply.fields)
    return fields


def unseen(command: Command, engine: str, why: str) -> Message | None:
    """What to do with a command that its interpreter has not begun, for it does not see memory in which bodies lie.

    None if they were taken in, so that it can be fed again; else the reply that stands for it.
    """
    try:
        command.take_in()
    except Unavailable:
        error = ConnectionError(f"{engine} did not get all of {command.label}: {why}")
        return Message("reply", {"id": list(command.id), "ok": False}, list(failure_bodies(error)))
    return None


def opened(said: Any, taken: Callable[[bytes], None]) -> Left | str:
    """The memory in which the values of a reply lie, as that has `said`, or why they cannot be had.

    `taken` is called with its nonce when the interpreter need not keep it any more.
    """
    try:
        reference = Reference.of(said)
    except ProtocolError as problem:
        return str(problem)
    try:
        memory = Memory.open(reference)
    except Unavailable as problem:
        taken(reference.nonce)
        return str(problem)
    left = Left(memory, partial(taken, reference.nonce))
    if reference.sealed:
        left.opened()
    return left


def left_in(
    memory: Left | str,
    command: Command,
    engine: str,
    memories: Memories,
    fields: dict[str, Any],
    bodies: list[Bytes],
) -> tuple[dict[str, Any], list[Bytes]]:
    """The answer with values that the interpreter of the `engine` has left in memory."""
    try:
        if isinstance(memory, str):
            raise Unavailable(memory)
        if command.answer_in is None:  # whoever asked for it is not asked to take them there any more
            return fields, memories.lend(memory, bodies)
    except Unavailable as problem:
        error = EngineLost(f"the values of {command.label} could not be taken from the interpreter of {engine}: {problem}")
        return {"ok": False}, list(failure_bodies(error))
    return {**fields, "memory": memories.leave(memory)}, bodies


def lost(
    command: Command, number: int, started: float, completed: float, error: str, printed: Sequence[bytes]
) -> Record:
    """What is kept of an execute during which the interpreter ended: it has a result too, what it had printed."""
    with contextlib.suppress(Unavailable):  # then nothing is known of it
        command.take_in()
    source = decoded(bytes(command.bodies[0]))
    document = {
        "input": {"translated": source, "raw": source},
        "number": number,
        "started": started,
        "completed": completed,
        "traceback": error,
    }
    return Record(number, pack(document), *printed)


def decoded(written: bytes) -> str:
    """What was written, as text, whatever it is."""
    return written.decode("utf-8", "replace")
