"""`TaskResult`: what came of a task, and when and where."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from twisted.python.failure import Failure

from ipython1.kernel.results import Result

TIME_FORMAT = "%Y/%m/%d %H:%M:%S"


class ResultNS:
    """The results of a task as attributes: ``tr.ns.a``.  It cannot be changed."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_results", dict(results))

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_results")[name]
        except KeyError:
            raise AttributeError(f"the task has no result {name!r}") from None

    def __getitem__(self, name: str) -> Any:
        results: dict[str, Any] = object.__getattribute__(self, "_results")
        return results[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("the results of a task cannot be changed")

    def __dir__(self) -> list[str]:
        return sorted(object.__getattribute__(self, "_results"))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (object.__getattribute__(self, "_results"),)

    def __repr__(self) -> str:
        return f"NS{object.__getattribute__(self, '_results')!r}"


class TaskResult:
    """What came of a task, also of one that failed.

    `value`
        what it came to: for a StringTask its `results`, for a MapTask what the function returned.  Raises what the
        task raised if it failed.
    `label`
        what it is called in lists.
    `results`
        the values that the task was to bring back, by name; `keys` is a list of these names.  Empty if it failed.
        ``tr['a']`` and ``tr.ns.a`` are the value of one name; they raise what the task raised if it failed.
    `failure`
        None, or a `twisted.python.failure.Failure`, whose `value` is the exception.
    `taskid`, `engineid`
        the ids of the task, and of the engine where it ended (None if it never came to one).
    `submitted`, `started`, `completed`
        when, in local time, as text such as ``'2008/03/08 03:41:42'`` (`started`: None if it never did).
    `duration`
        the seconds from its (last) start to its end.
    `stdout`, `stderr`
        what it printed.
    `mime`
        what it displayed: ``{'data': {mimetype: content}, 'metadata': {}}`` each, in order.
    """

    def __init__(
        self,
        record: Mapping[str, Any],
        results: Mapping[str, Any],
        error: BaseException | None = None,
        value: Any = None,
    ) -> None:
        self._value = value
        self._is_map = record.get("kind") == "map"
        self.label: str = record.get("label", "")
        self.taskid: int = record["task"]
        self.engineid: int | None = record["engine"]
        self.submitted = _local_time(record["submitted"])
        self.started = _local_time(record["started"])
        self.completed = _local_time(record["completed"])
        started = record["started"]
        self.duration: float = 0.0 if started is None else record["completed"] - started
        self.stdout = self.stderr = ""
        self.mime: list[dict[str, Any]] = []
        self.results = dict(results)
        self.keys = list(self.results)
        self._error = error

    @property
    def failure(self) -> Failure | None:
        """Why the task failed, or None."""
        return None if self._error is None else Failure(self._error)

    @property
    def value(self) -> Any:
        """What the task came to; raises what it raised."""
        self.raise_exception()
        return self._value if self._is_map else self.results

    @property
    def ns(self) -> ResultNS:
        """The results as attributes; raises what the task raised."""
        self.raise_exception()
        return ResultNS(self.results)

    def display_outputs(self) -> None:
        """Show what it printed and displayed, labelled by engine."""
        Result({"mime": self.mime}, self.engineid, self.stdout, self.stderr).display_outputs()

    def __getitem__(self, name: str) -> Any:
        self.raise_exception()
        return self.results[name]

    # With __getitem__ alone, Python would try 0, 1, 2, ... for it.
    __iter__ = None

    def raise_exception(self) -> None:
        """Raise what the task raised, if it failed."""
        if self._error is not None:
            raise self._error.with_traceback(None)

    def __repr__(self) -> str:
        shown = self.failure if self._error is not None else self._value if self._is_map else self.results
        return f"TaskResult[ID:{self.taskid}]:{shown!r}"


def _local_time(seconds: float | None) -> Any:
    return None if seconds is None else time.strftime(TIME_FORMAT, time.localtime(seconds))


TaskResult.__module__ = "ipython1.kernel.client"
