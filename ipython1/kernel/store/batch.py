"""What is to be written in one go: rows, by the statement that writes them.

Pure state, filled in the reactor's thread.  The statements run in the order of the fields below, each with all of its
rows at once.  So what happens to a task in one batch comes to one row for each statement at most: of several changes of
state, only the last is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.store.packing import NewFile, task_owner
from ipython1.kernel.store.values import ASSIGNED, WAITING

CHANGE_SIZE = 100
"""Bytes that a row without a value takes, about."""

Row = tuple[Any, ...]


@dataclass(slots=True)
class Change:
    """A change of a task's state; None stands for what stays."""

    state: str
    attempt: int | None = None
    step: int | None = None
    engine: int | None = None
    began: float | None = None
    progress: bytes | None = None


@dataclass(slots=True)
class Batch:
    """Rows in the order of the statements' parameters; `promises` are kept when all of it is stored."""

    files: list[NewFile] = field(default_factory=list)
    next_id: int | None = None
    sessions: dict[str, Row] = field(default_factory=dict)
    engines: dict[int, Row | None] = field(default_factory=dict)
    functions: list[Row] = field(default_factory=list)
    tasks: list[Row] = field(default_factory=list)
    payloads: list[Row] = field(default_factory=list)
    uses: list[Row] = field(default_factory=list)
    changes: dict[int, Change] = field(default_factory=dict)
    began: dict[int, dict[int, Row]] = field(default_factory=dict)
    results: dict[int, Row] = field(default_factory=dict)
    ended: dict[int, Row] = field(default_factory=dict)
    cleared: dict[int, None] = field(default_factory=dict)
    commands: list[Row] = field(default_factory=list)
    outcomes: dict[Row, Row] = field(default_factory=dict)
    # What is no row: the size of them all, of what may be refused, and who waits.
    size: int = 0
    refusable: int = 0
    submissions: list[Deferred[None]] = field(default_factory=list)
    promises: list[Deferred[None]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.size

    def assigned(self, task: int, attempt: int, step: int, engine: int) -> None:
        """The attempt was given to an engine."""
        self.began.pop(task, None)
        change = self._change(task, ASSIGNED)
        change.attempt, change.step, change.engine = attempt, step, engine

    def waits(self, task: int, progress: bytes) -> None:
        """It is no longer assigned."""
        self.began.pop(task, None)
        self._change(task, WAITING).progress = progress

    def task_began(self, task: int, attempt: int, when: float) -> None:
        """The engine has begun with the attempt."""
        self.size += CHANGE_SIZE
        change = self.changes.get(task)
        if change is None:
            # Which attempt is assigned, only the database knows.
            self.began.setdefault(task, {})[attempt] = (when, task, attempt)
        elif change.state == ASSIGNED and change.attempt == attempt:
            change.began = when

    def _change(self, task: int, state: str) -> Change:
        """The change of a task to that state: what was there and is not said again, goes on."""
        before = self.changes.get(task)
        if before is None:
            after = Change(state)
        else:
            after = Change(state, before.attempt, before.step, progress=before.progress)
        self.changes[task] = after
        self.size += CHANGE_SIZE
        return after

    def change_rows(self) -> list[Row]:
        """The changes as rows."""
        return [
            (change.state, change.attempt, change.step, change.engine, change.began, change.progress, task)
            for task, change in self.changes.items()
        ]

    def began_rows(self) -> list[Row]:
        """The attempts that have begun, as rows."""
        return [row for attempts in self.began.values() for row in attempts.values()]

    def task_ended(self, task: int, ended: Row, result: Row) -> bool:
        """What it came to; whether this is the first time."""
        if task in self.results:
            return False
        # What it was before does not matter any more.
        self.changes.pop(task, None)
        self.began.pop(task, None)
        self.ended[task], self.results[task] = ended, result
        return True

    def refuse(self) -> list[Deferred[None]]:
        """Drop what was submitted; who is to be told.

        What else became of it may stay: it changes nothing where there is no task or command.
        """
        owners = {task_owner(row[0]) for row in self.tasks}
        self.files = [file for file in self.files if file.owner not in owners]
        self.tasks, self.payloads, self.uses, self.commands = [], [], [], []
        self.size -= self.refusable
        self.refusable = 0
        refused, self.submissions = self.submissions, []
        return refused
