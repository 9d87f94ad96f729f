"""What the Task interface writes to the store, and reads from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.controller.task_live import Accepted
from ipython1.kernel.controller.task_spec import Function, Values
from ipython1.kernel.controller.task_store import TaskResult
from ipython1.kernel.controller.task_values import Outcome, Progress, Send
from ipython1.kernel.hello import new_id
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.values import StoredFunction, StoredResult, StoredTask


class TaskJournal:
    """Tasks, as they are stored.

    `origin` begins the command ids of attempts, the same as long as the store is the same.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.keeps = store.house != ""
        """Whether what is written can be read again."""
        self.origin = (store.house or new_id())[:16]

    @property
    def backlog(self) -> int:
        """Bytes that wait to be stored."""
        return self._store.backlog

    def settled(self) -> Deferred[None]:
        """Fires when all that was written is stored."""
        return self._store.settled()

    def leased(self, next_id: int) -> Deferred[None]:
        """Ids below this one were given out; fires when that is stored."""
        self._store.leased(next_id)
        return self._store.settled()

    def submitted(self, tasks: Sequence[Accepted], name: str) -> Deferred[None]:
        """Tasks came from a session of that name; fires when they are stored, fails with StoreError if they cannot be."""
        if not self.keeps:
            return self._store.settled()
        functions = {digest: function for task in tasks for digest, function in task.functions.items()}
        for digest, function in functions.items():
            values = function.values
            self._store.function_kept(digest, {"headers": values.headers}, values.bodies)
        return self._store.tasks_submitted(
            [
                StoredTask(
                    task.spec.id,
                    task.live.client,
                    name,
                    task.live.label,
                    task.live.submitted,
                    {"values": task.headers},
                    [task.form.packed, *task.bodies],
                    list(task.functions),
                )
                for task in tasks
            ]
        )

    def assigned(self, send: Send) -> None:
        """An attempt is about to leave for an engine."""
        self._store.task_assigned(send.task, send.attempt, send.step, send.engine)

    def began(self, task: int, attempt: int, when: float) -> None:
        """An engine has begun with an attempt."""
        self._store.task_began(task, attempt, when)

    def waits(self, task: int, progress: Progress) -> None:
        """An attempt is over, and the task is not."""
        said = {"step": progress.step, "failures": progress.failures, "attempts": progress.attempts}
        self._store.task_waits(task, said)

    def ended(self, task: int, outcome: Outcome, result: TaskResult) -> None:
        """A task ended."""
        self._store.task_ended(
            task, StoredResult(task, outcome.value, result.record, result.fields, result.bodies)
        )

    def cleared(self, tasks: Sequence[int]) -> None:
        """These tasks are to be forgotten."""
        self._store.tasks_cleared(tasks)

    def task(self, task: int) -> Deferred[StoredTask | None]:
        """A task as it was submitted, if that is stored; StoreError if it cannot be read."""
        return self._store.task(task)

    def function(self, digest: str) -> Deferred[StoredFunction | None]:
        """A shared function, if it is stored; StoreError if it cannot be read."""
        return self._store.function(digest)

    def result(self, task: int) -> Deferred[StoredResult | None]:
        """What a task came to, if that is stored; StoreError if it cannot be read."""
        return self._store.result(task)


def task_result(stored: StoredResult) -> TaskResult:
    """A result, as it was before it was stored."""
    return TaskResult(dict(stored.record), dict(stored.fields), stored.bodies)


def task_function(stored: StoredFunction) -> Function:
    """A shared function, as it was before it was stored."""
    return Function(stored.digest, Values(list(stored.document["headers"]), list(stored.bodies)))


def progress(said: Mapping[str, Any], step: int, attempt: int) -> Progress:
    """How far a task had come that is stored with `said`, at that step and attempt."""
    return Progress(
        max(said.get("step", 0), step), said.get("failures", 0), max(said.get("attempts", 0), attempt)
    )
