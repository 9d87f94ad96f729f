"""Values to bytes and back, as they lie in the database.

A body above a limit is not packed, but put into a file of its own; the packed value has the file's name and size in its
place, as a list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ipython1.kernel.framing import Bytes, pack, unpack
from ipython1.kernel.store.values import StoredFunction, StoredOutcome, StoredResult, StoredTask

FILE_LIMIT = 256 << 10
"""Bodies above this size go to files."""


class NewFile(NamedTuple):
    """A body that is to be written to a file; `owner` is what refers to it."""

    name: str
    owner: str
    body: Bytes


Fetch = Callable[[str, int], bytes]
"""Gets a body by its file's name and its size."""


def task_owner(task: int) -> str:
    """What files of a task are registered under."""
    return f"task {task}"


def result_owner(task: int) -> str:
    """What files of a task's result are registered under."""
    return f"result {task}"


TASK_OWNERS = (task_owner, result_owner)


def function_owner(digest: str) -> str:
    """What files of a shared function are registered under."""
    return f"function {digest}"


def command_owner(session: str, number: int, engine: int) -> str:
    """What files of a command's outcome are registered under."""
    return f"command {session} {number} {engine}"


def clean(text: str) -> str:
    """Text that every database takes: without the zero character, and without halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class Packer:
    """Packs values; `limit` is the size above which bodies go to files (None: all are packed)."""

    def __init__(self, limit: int | None = FILE_LIMIT) -> None:
        self._limit = limit

    def pack(self, owner: str, bodies: Sequence[Bytes], *parts: Any) -> tuple[bytes, list[NewFile], int]:
        """The packed value of some parts and bodies, the files beside it, and the bytes of all together."""
        files: list[NewFile] = []
        packed = pack([*parts, [self._body(owner, body, files) for body in bodies]])
        return packed, files, len(packed) + sum(_size(file.body) for file in files)

    def _body(self, owner: str, body: Bytes, files: list[NewFile]) -> Any:
        if self._limit is None or _size(body) <= self._limit:
            return body
        file = NewFile(os.urandom(16).hex(), owner, body)
        files.append(file)
        return [file.name, _size(body)]


def _size(body: Bytes) -> int:
    return body.nbytes if isinstance(body, memoryview) else len(body)


def _fetched(bodies: list[Any], fetch: Fetch) -> list[Bytes]:
    return [fetch(*body) if isinstance(body, list) else body for body in bodies]


def task_of(row: Sequence[Any], packed: bytes, fetch: Fetch) -> StoredTask:
    """A task, from the columns `id`, `session`, `name`, `label`, `submitted`."""
    document, functions, bodies = unpack(packed)
    number, session, name, label, submitted = row
    return StoredTask(number, session, name, label, submitted, document, _fetched(bodies, fetch), functions)


def result_of(task: int, outcome: str, packed: bytes, fetch: Fetch) -> StoredResult:
    """A task's result."""
    record, fields, bodies = unpack(packed)
    return StoredResult(task, outcome, record, fields, _fetched(bodies, fetch))


def function_of(digest: str, packed: bytes, fetch: Fetch) -> StoredFunction:
    """A shared function."""
    document, bodies = unpack(packed)
    return StoredFunction(digest, document, _fetched(bodies, fetch))


def outcome_of(row: Sequence[Any], packed: bytes, fetch: Fetch) -> StoredOutcome:
    """A command's outcome, from the columns `ok`, `started`, `completed`."""
    fields, bodies = unpack(packed)
    ok, started, completed = row
    return StoredOutcome(bool(ok), started, completed, fields, _fetched(bodies, fetch))
