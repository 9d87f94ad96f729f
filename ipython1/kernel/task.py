"""Tasks: what is to be done somewhere, on whichever engine is free and fit for it.

A task is a value: it says what to run, what to send along and what to bring back, and what to do when it fails.
All that is given to the constructor can also be set as an attribute, and is checked either way.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ipython1.kernel.error import RecoveryLoop

Depend = Callable[[Mapping[str, Any]], Any]

OPTIONS = ("after", "after_any", "follow", "targets", "resources", "priority")
"""What the constructor of a task takes beside what is checked here; the controller checks it."""
MAX_STEPS = 100
"""A task and its recovery tasks are so many at the most."""


class BaseTask:
    """What all tasks have.

    `clear_before`, `clear_after`
        reset the engine's namespace before the task runs, or after it has run, also when it failed.
    `retries`
        how often the task is tried again after it failed: 0 or more.
    `recovery_task`
        a task to be run in place of this one when it has failed for good.  It may have a recovery task, too; no task
        may be its own, however far down (RecoveryLoop, a kind of ValueError).
    `depend`
        a function of an engine's properties (a dictionary): the engine is fit for the task if it returns something
        true.  One that raises says no.
    `timeout`
        seconds that it may run; then it is interrupted, and failed with TaskTimeout.
    `after`, `after_any`, `follow`, `targets`, `resources`, `priority`
        what else the controller is to know when it chooses where and when to run the task; None by default, and not
        looked at in a recovery task: the ids of tasks that must have succeeded before (or with `after_any` just
        ended), those of tasks on whose engine it is to run, those of the engines that it may run on, how much of
        which property of the engine it takes (a dictionary), a number, of which larger ones go first.
    `taskid`
        set when the task is submitted; None before.
    """

    def __init__(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        unknown = options.keys() - OPTIONS
        if unknown:
            raise TypeError(
                f"a task has no option {sorted(unknown)[0]!r}; the options are {', '.join(OPTIONS)}"
            )
        self.taskid: int | None = None
        self.clear_before = bool(clear_before)
        self.clear_after = bool(clear_after)
        self.retries = retries
        self.recovery_task = recovery_task
        self.depend = depend
        self.timeout = timeout
        for name in OPTIONS:
            setattr(self, name, options.get(name))

    @property
    def timeout(self) -> float | None:
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        if seconds is not None and (not isinstance(seconds, int | float) or isinstance(seconds, bool)):
            raise TypeError(f"timeout is a number of seconds, not {seconds!r}")
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ValueError(f"timeout is a number of seconds above 0, not {seconds}")
        self._timeout = seconds

    @property
    def retries(self) -> int:
        return self._retries

    @retries.setter
    def retries(self, count: int) -> None:
        if not isinstance(count, int) or isinstance(count, bool):
            raise TypeError(f"retries is a number of attempts, not {count!r}")
        if count < 0:
            raise ValueError(f"retries is 0 or more, not {count}")
        self._retries = count

    @property
    def recovery_task(self) -> BaseTask | None:
        return self._recovery_task

    @recovery_task.setter
    def recovery_task(self, task: BaseTask | None) -> None:
        if task is not None and not isinstance(task, BaseTask):
            raise TypeError(f"recovery_task is a task, not {task!r}")
        link = task
        while link is not None:
            if link is self:
                raise RecoveryLoop("a task cannot be its own recovery task, nor that of its recovery task")
            link = link.recovery_task
        self._recovery_task = task

    @property
    def depend(self) -> Depend | None:
        return self._depend

    @depend.setter
    def depend(self, function: Depend | None) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"depend is a function of an engine's properties, not {function!r}")
        self._depend = function


class StringTask(BaseTask):
    """Source text to be run, with values that are pushed before and pulled afterwards.

    `expression`
        the source text.
    `pull`
        the names whose values are the task's results: a str, or a sequence of str; kept as a tuple.
    `push`
        values by name, put into the engine's namespace before.
    """

    def __init__(
        self,
        expression: str,
        pull: str | Sequence[str] | None = None,
        push: Mapping[str, Any] | None = None,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(clear_before, clear_after, retries, recovery_task, depend, timeout, **options)
        self.expression = expression
        self.pull = pull  # type: ignore[assignment] # what may be set is more than what is kept
        self.push = push

    @property
    def expression(self) -> str:
        return self._expression

    @expression.setter
    def expression(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"the expression of a task is source text, not {text!r}")
        self._expression = text

    @property
    def pull(self) -> tuple[str, ...]:
        return self._pull

    @pull.setter
    def pull(self, names: str | Sequence[str] | None) -> None:
        listed = (names,) if isinstance(names, str) else () if names is None else names
        if not isinstance(listed, Sequence) or not all(isinstance(name, str) for name in listed):
            raise TypeError(f"pull is a name or a sequence of names, not {names!r}")
        self._pull = tuple(listed)

    @property
    def push(self) -> dict[str, Any]:
        return self._push

    @push.setter
    def push(self, values: Mapping[str, Any] | None) -> None:
        if values is not None and not isinstance(values, Mapping):
            raise TypeError(f"push is a dictionary of values by name, not {values!r}")
        self._push = dict(values or {})

    def __repr__(self) -> str:
        return f"StringTask({self.expression!r})"


class MapTask(BaseTask):
    """A function to be called; the task's result is what it returns.

    `function`
        a Python function; `args` a list or tuple, `kwargs` a dictionary: what it is called with.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(clear_before, clear_after, retries, recovery_task, depend, timeout, **options)
        self.function = function
        self.args = args  # type: ignore[assignment] # what may be set is more than what is kept
        self.kwargs = kwargs

    @property
    def function(self) -> Callable[..., Any]:
        return self._function

    @function.setter
    def function(self, function: Callable[..., Any]) -> None:
        if not isinstance(function, types.FunctionType):
            raise TypeError(f"the function of a task is a Python function, not {function!r}")
        self._function = function

    @property
    def args(self) -> tuple[Any, ...]:
        return self._args

    @args.setter
    def args(self, args: Sequence[Any] | None) -> None:
        if args is not None and not isinstance(args, list | tuple):
            raise TypeError(f"args is a list or tuple, not {args!r}")
        self._args = tuple(args or ())

    @property
    def kwargs(self) -> dict[str, Any]:
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: Mapping[str, Any] | None) -> None:
        if kwargs is not None and not isinstance(kwargs, dict):
            raise TypeError(f"kwargs is a dictionary, not {kwargs!r}")
        self._kwargs = dict(kwargs or {})

    def __repr__(self) -> str:
        return f"MapTask({self.function.__qualname__})"


Task = StringTask
"""The name that the text of 2008 has for it."""
