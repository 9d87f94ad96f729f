"""What tasks came to, kept until it is cleared, or until there is too much of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ipython1.kernel.config.settings import KEPT_TASK_RESULTS, KEPT_TASK_RESULTS_SIZE
from ipython1.kernel.framing import Bytes

_OVERHEAD = 2_000  # bytes that a result takes beside its bodies, roughly


@dataclass(frozen=True)
class TaskResult:
    """A task's outcome: `fields` are those of the message that tells it, `record` says where and when."""

    record: dict[str, Any]
    fields: dict[str, Any]
    bodies: Sequence[Bytes]

    @property
    def label(self) -> str:
        """What people call the task."""
        label: str = self.record.get("label", "")
        return label

    @property
    def told(self) -> tuple[dict[str, Any], Sequence[Bytes]]:
        """What a message says of it to who waits for it: fields and bodies."""
        return {"task": self.record["task"], "record": self.record, **self.fields}, self.bodies

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return _OVERHEAD + sum(map(len, self.bodies))


class TaskStore:
    """Results by task; the oldest go first."""

    def __init__(
        self,
        max_results: int = KEPT_TASK_RESULTS.default,
        max_bytes: int = KEPT_TASK_RESULTS_SIZE.default,
    ) -> None:
        self._max_results = max_results
        self._max_bytes = max_bytes
        # Ordered: what is first in a plain dict is looked for behind all that was first before.
        self._results: OrderedDict[int, TaskResult | None] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._results)

    def __contains__(self, task: int) -> bool:
        return task in self._results

    def ids(self) -> list[int]:
        """The tasks that have one, the oldest first."""
        return list(self._results)

    def get(self, task: int) -> TaskResult | None:
        """The result of a task; None if there is none (any more)."""
        return self._results.get(task)

    def add(self, task: int, result: TaskResult | None) -> list[int]:
        """Keep a result; the tasks whose results had to go for it.

        With None, it is kept elsewhere, and only that the task has one is known here.
        """
        self.remove(task)
        self._results[task] = result
        self.bytes += _size(result)
        gone = []
        # The latest stays, however large: somebody may be about to ask for it.
        while len(self._results) > 1 and (
            len(self._results) > self._max_results or self.bytes > self._max_bytes
        ):
            oldest = next(iter(self._results))
            self.remove(oldest)
            gone.append(oldest)
        return gone

    def remove(self, task: int) -> None:
        """Forget the result of a task, if there is one."""
        if task in self._results:
            self.bytes -= _size(self._results.pop(task))


def _size(result: TaskResult | None) -> int:
    return _OVERHEAD if result is None else result.size
