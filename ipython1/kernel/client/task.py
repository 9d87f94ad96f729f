"""The blocking client of the Task interface."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ipython1.core.functions import standing_for
from ipython1.kernel.client.calls import Calls
from ipython1.kernel.client.connected import ConnectedClient
from ipython1.kernel.client.executor import TaskExecutor
from ipython1.kernel.client.imap import imap
from ipython1.kernel.client.interrupted import all_stopped
from ipython1.kernel.client.leaving import confirm_at_exit
from ipython1.kernel.client.live import is_wanted
from ipython1.kernel.client.pending import PendingResult, wait_for_all
from ipython1.kernel.client.progress import bar_after
from ipython1.kernel.client.reactor import ReactorThread
from ipython1.kernel.client.task_calls import TaskCalls
from ipython1.kernel.client_session import Connection, Dial
from ipython1.kernel.config.settings import CONFIRM_TIMEOUT
from ipython1.kernel.derive import VerbCall, derive
from ipython1.kernel.error import CallTimeout
from ipython1.kernel.label import label
from ipython1.kernel.mapper import ParallelFunction, TaskMapper
from ipython1.kernel.request import Request, Steps, ask_controller
from ipython1.kernel.task import BaseTask, Depend, MapTask
from ipython1.kernel.task_session import task_connection
from ipython1.kernel.task_submission import Submit, task_id, task_ids
from ipython1.kernel.taskclient import Tasks, call_submission
from ipython1.kernel.terminal import shown_briefly

LISTENED = 1000
"""To so many tasks, of those that a barrier is given by their ids, it is listened."""


@derive(Tasks)
class TaskClient(ConnectedClient):
    """The engines of a cluster as workers: tasks are submitted, and run on whichever engine is free and fit.

    `furl_or_file` is a FURL or the path of a file that holds one; by default the file that the controller wrote
    (`ipython1.kernel.client.default_task_address`).
    `profile` and `cluster_id` name a cluster whose files lie elsewhere: ConfigError if they are no good names.
    `name` is what its sessions are called: what is submitted under a name can be asked for under it (see `results`).
    The connection is made at once: FURLError (a ValueError) if the file is missing or no good, `ConnectionError` if there
    is no controller.

    A client may be used by several threads.  At the end of the interpreter it waits a little until the controller has
    confirmed all that was submitted.
    """

    block = True
    timeout: float | None = None
    """Seconds that a call may take (CallTimeout) where it does not say; None is for ever."""

    def __init__(
        self,
        furl_or_file: str | os.PathLike[str] = "",
        *,
        profile: str | None = None,
        cluster_id: str | None = None,
        name: str | None = None,
    ) -> None:
        self._connect(furl_or_file, "task", profile, cluster_id, name)

    if TYPE_CHECKING:  # the verbs come from `derive`, which checkers of types do not follow

        def __getattr__(self, name: str) -> Any: ...

    def _connection(self, furl_or_file: str | os.PathLike[str], reactor: Any, dial: Dial) -> Connection:
        confirm_at_exit(self._settings[CONFIRM_TIMEOUT])
        return task_connection(furl_or_file, reactor, dial, self._settings, self._name)

    def _new_calls(self, thread: ReactorThread, connection: Connection) -> Calls:
        return TaskCalls(thread, connection)

    @property
    def name(self) -> str:
        """What its sessions are called; '' if they have no name."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._where()}>"

    def _bare(self) -> bool:
        return False

    def _begin(self, begin: Callable[[], VerbCall]) -> Any:
        return self._calls.run(begin())

    def _fetched(self, pending: Any) -> None:
        self._calls.fetched(pending)

    # -- results that come later -------------------------------------------------------------------------

    @shown_briefly
    def submit(self, func: Callable[..., Any] | BaseTask, /, *args: Any, **kwargs: Any) -> PendingResult:
        """Have ``func(*args, **kwargs)`` called on some engine, or run a task; does not wait.

        Gives a `PendingResult`, which is a `concurrent.futures.Future`; its `taskid` is the task's.
        """
        pending = self._later(call_submission(func, args, kwargs))
        if isinstance(func, BaseTask):
            func.taskid = pending.taskid
        return pending

    def _later(self, request: Submit) -> PendingResult:
        """Submit a task whose outcome comes later."""
        assert isinstance(self._calls, TaskCalls)
        return self._calls.submit_task(request, self)

    def _perform(self, steps: Steps[Any], name: str) -> Any:
        return self._calls.run(VerbCall(steps, True, name))

    @shown_briefly
    def barrier(self, taskids: Any, timeout: float | None = None) -> None:
        """Wait until these tasks (ids, or what `submit` gave) have ended, however; at most `timeout` seconds.

        CallTimeout if they have not.  Ids that the controller does not know are not waited for.  What the tasks print is
        shown meanwhile, and how many have ended.  Ctrl-C aborts those that have not.
        """
        members = [taskids] if isinstance(taskids, int | PendingResult) else list(taskids)
        timeout = self.timeout if timeout is None else timeout
        until = None if timeout is None else time.monotonic() + timeout
        pending = [member for member in members if isinstance(member, PendingResult)]
        others = task_ids([member for member in members if not isinstance(member, PendingResult)])
        listened: list[PendingResult] = []
        if is_wanted(self._calls.live) or bar_after(self._calls.progress) is not None:
            listened = [self._printed(task) for task in others[:LISTENED]]
            others = others[LISTENED:]
        try:
            done = wait_for_all([*pending, *listened], "barrier", self._calls.progress, timeout)
        except KeyboardInterrupt:
            all_stopped([*pending, *listened], "barrier", {self._calls: others})
        if not done:
            waits_for = self._calls.connection.waits_for
            raise CallTimeout(f"barrier was not done within {timeout:g} s{waits_for}")
        for member in listened:
            member.result(0)  # it raises what kept us from being told, as that there is no connection
        left = None if until is None else max(0.0, until - time.monotonic())
        if others:
            self._perform(Tasks().barrier(others, left), "barrier")

    def _printed(self, task: int) -> PendingResult:
        """Is done when a task has ended, and knows what that has printed."""
        request = Request("task_printed", {"task": task}, label=label("barrier", task))
        pending: PendingResult = self._calls.submit(VerbCall(ask_controller(request), False, "barrier"), self)
        pending.taskid = task
        return pending

    def as_completed(self, tasks: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
        """Gives each of `tasks` (ids, or what `submit` gave) when it has ended, the first to end first.

        CallTimeout if some have not within `timeout` seconds.
        """
        members = {self._future(task): task for task in tasks}
        return self._as_completed(members, timeout)

    def _as_completed(self, members: dict[Any, Any], timeout: float | None) -> Iterator[Any]:
        try:
            for future in concurrent.futures.as_completed(members, timeout):
                yield members.pop(future)
        except KeyboardInterrupt:
            all_stopped([future for future in members if isinstance(future, PendingResult)], "as_completed")
        except concurrent.futures.TimeoutError as problem:
            raise CallTimeout(f"not all tasks ended within {timeout:g} s: {problem}") from None

    def _future(self, task: Any) -> concurrent.futures.Future[Any]:
        if isinstance(task, concurrent.futures.Future):
            return task
        number = task_id(task)
        request = Request("wait_tasks", {"tasks": [number]}, label=label("as_completed", number))
        pending: PendingResult = self._calls.submit(VerbCall(ask_controller(request), False, "as_completed"), self)
        pending.taskid = number
        return pending

    def imap(
        self,
        func: Callable[..., Any],
        *iterables: Iterable[Any],
        ordered: bool = True,
        max_outstanding: int = 1000,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """Like ``map(func, *iterables)``: an iterator of results, for iterables that may have no end.

        At most `max_outstanding` tasks are submitted and not fetched, and no more items are taken than these need.
        With ``ordered=False`` results come as they are there.  The tasks that are left when an exception is raised, or
        when the iterator is closed, are aborted.
        """
        return imap(self, func, iterables, ordered, max_outstanding, chunksize)

    def executor(self) -> TaskExecutor:
        """A `concurrent.futures.Executor` whose functions run as tasks."""
        return TaskExecutor(self)

    def task(self, func: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """A decorator: to call the function is to submit a task of it (see `submit`), and gives a `PendingResult`.

        The options are those of `MapTask`: ``@tc.task(retries=2)``, or ``@tc.task`` without any.
        """
        if func is None:
            return functools.partial(self.task, **options)

        def submit_function(*args: Any, **kwargs: Any) -> PendingResult:
            return self.submit(MapTask(func, args, kwargs, **options))

        return standing_for(submit_function, func)

    # -- map ---------------------------------------------------------------------------------------------

    def mapper(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        block: bool = True,
        chunksize: int | None = None,
        **options: Any,
    ) -> TaskMapper:
        """An object with a method ``map(func, *sequences)`` whose tasks have these choices (see `MapTask`).

        With ``block=False``, `map` gives the ids of its tasks, one for each item.
        """
        return TaskMapper(
            self, clear_before, clear_after, retries, recovery_task, depend, block, chunksize, **options
        )

    def parallel(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        block: bool = True,
        chunksize: int | None = None,
        **options: Any,
    ) -> ParallelFunction:
        """A decorator: the decorated function takes sequences, and is applied to their items by tasks.

        The arguments are those of `mapper`.
        """
        return ParallelFunction(
            self.mapper(
                clear_before, clear_after, retries, recovery_task, depend, block, chunksize, **options
            )
        )


def get_task_client(
    furl_or_file: str | os.PathLike[str] = "",
    *,
    profile: str | None = None,
    cluster_id: str | None = None,
    name: str | None = None,
) -> TaskClient:
    """A new `TaskClient`."""
    return TaskClient(furl_or_file, profile=profile, cluster_id=cluster_id, name=name)


def get_result(
    taskid: int,
    furl_or_file: str | os.PathLike[str] = "",
    *,
    block: bool = False,
    profile: str | None = None,
    cluster_id: str | None = None,
) -> Any:
    """The outcome of a task, for somebody who has its id and the FURL, wherever it was submitted.

    It is what `TaskClient.get_task_result` gives, by a client that is made for it; the others are the arguments of
    `TaskClient`.
    """
    client = TaskClient(furl_or_file, profile=profile, cluster_id=cluster_id)
    try:
        return client.get_task_result(taskid, block=block)
    finally:
        client.disconnect()


get_result.__module__ = "ipython1.kernel.client"


TaskClient.__module__ = "ipython1.kernel.client"
