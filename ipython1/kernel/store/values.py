"""What is stored, as values: plain data (None, bool, numbers, text, bytes, lists, dicts) in dataclasses.

Documents, records, fields and progress are the controller's own, and nothing is read from them here but when a task
began and ended, and where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipython1.kernel.framing import Bytes

WAITING = "waiting"
ASSIGNED = "assigned"
LIVE_STATES = (WAITING, ASSIGNED)
OUTCOMES = ("succeeded", "failed", "aborted")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task as it was submitted, by the client of that session; `name` is that of a named session, or ''.

    `functions` are the digests of the shared functions that it names.
    """

    id: int
    session: str
    name: str
    label: str
    submitted: float
    document: Document
    bodies: Sequence[Bytes] = ()
    functions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LiveTask:
    """A task that has not ended, and how far it has come; `engine` and `began` are of the attempt that is assigned."""

    task: StoredTask
    state: str = WAITING
    attempt: int = 0
    step: int = 0
    engine: int | None = None
    began: float | None = None
    progress: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What a task came to.  The record's `engine`, `started` and `completed` are what can be asked for later."""

    task: int
    outcome: str
    record: Document
    fields: Document
    bodies: Sequence[Bytes] = ()


@dataclass(frozen=True, slots=True)
class StoredFunction:
    """A shared function, by the digest of its bytes."""

    digest: str
    document: Document
    bodies: Sequence[Bytes] = ()


@dataclass(frozen=True, slots=True)
class StoredSession:
    """Who it was: a session of that role, on that host; `user` and `name` are '' if they are not known."""

    key: str
    role: str
    name: str
    host: str
    pid: int
    user: str
    first_seen: float
    last_seen: float


@dataclass(frozen=True, slots=True)
class StoredEngine:
    """An engine: the place of that number in the agent of that session."""

    id: int
    agent: str
    place: int
    document: Document


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A command of MultiEngine, as one engine is to run it."""

    session: str
    number: int
    engine: int
    verb: str
    label: str
    submitted: float
    document: Document


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """What a command came to on an engine."""

    ok: bool
    started: float | None
    completed: float
    fields: Document
    bodies: Sequence[Bytes] = ()


@dataclass(frozen=True, slots=True)
class Damaged:
    """A task that has not ended, and of which something cannot be read any more; `reason` says what."""

    task: int
    session: str
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a controller that starts needs.

    `next_id` is what `leased` said last.  `live` are the tasks that have not ended, in order of their ids, `functions`
    those that stored tasks name, `ended` the newest tasks that have ended, with their outcomes, the oldest first,
    `commands` those without an outcome, in the order in which they came.
    """

    next_id: int = 0
    live: Sequence[LiveTask] = ()
    functions: Mapping[str, StoredFunction] = field(default_factory=dict)
    engines: Sequence[StoredEngine] = ()
    ended: Sequence[tuple[int, str]] = ()
    commands: Sequence[StoredCommand] = ()
    damaged: Sequence[Damaged] = ()
