"""The verbs of the Task interface, each written once, as those of `ipython1.kernel.multiengine` are."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NoReturn

from ipython1.core.functions import map_part
from ipython1.core.serialize import Serialized, serialize
from ipython1.kernel.columns import Columns, Items
from ipython1.kernel.derive import verb
from ipython1.kernel.error import CallInterrupted, ConnectionError, StillRunning
from ipython1.kernel.framing import Message
from ipython1.kernel.hello import check_name
from ipython1.kernel.history import History, past
from ipython1.kernel.label import label
from ipython1.kernel.label import label as call_label
from ipython1.kernel.replies import displayed, printed
from ipython1.kernel.request import (
    Answer,
    Request,
    Steps,
    ask_controller,
    plain_value,
    reply_error,
    whole_result,
)
from ipython1.kernel.task import BaseTask
from ipython1.kernel.task_result import TaskResult
from ipython1.kernel.task_session import Confirm, Forget, Pace
from ipython1.kernel.task_steps import AlikeCalls, calls_of, submission
from ipython1.kernel.task_submission import (
    Group,
    Submit,
    name_of,
    resubmission,
    shared,
    task_id,
    task_ids,
)

BATCH = 200
"""So many chunks of a map are sent, or asked for, at a time."""
MAX_LEFT = 5000
"""So many chunks of a map are on the way at most.  It is more than all the engines of a controller are sent ahead."""
CHUNKS = 64
"""Into so many chunks for each engine the items of a map are divided at most, where it is not said how."""
WAITED = 50_000
"""So many tasks are waited for at a time."""
STATES = ("waiting", "assigned", "succeeded", "failed", "aborted")
"""What a task may be in a history."""
FEW_CHUNKS = 8
"""And into no fewer, however little time they take."""
CHUNK_TIME = 0.1
"""Seconds that a chunk is to take, if there are enough items: beside that, what it costs is nothing."""
SOME_ENGINES = 4
"""So many engines are expected where there are none yet."""


class Tasks:
    """The verbs."""

    # -- submitting --------------------------------------------------------------------------------------

    @verb()
    def run(self, task: BaseTask, block: bool = False) -> Steps[Any]:
        """Submit a task, and give its id; with `block`, wait for the outcome and give that (see `get_task_result`).

        It does not wait for the controller to confirm that it has the task (see `confirm`), unless the task depends
        on one of which only the controller can know.  AssertionError if `task` is no task.
        """
        request = submission(task, watch=bool(block))
        task.taskid = yield from _submit(request)
        if not block:
            return task.taskid
        return (yield from _outcome(task.taskid, request.method))

    @verb()
    def submit(self, func: Callable[..., Any] | BaseTask, *args: Any, **kwargs: Any) -> Steps[Any]:
        """Have ``func(*args, **kwargs)`` called on some engine, or run a task; gives what it returned.

        The blocking client does not wait: it gives a `PendingResult`, a `concurrent.futures.Future`, whose `taskid`
        is the task's.
        """
        request = call_submission(func, args, kwargs)
        return (yield from watched(request, func if isinstance(func, BaseTask) else None))

    @verb()
    def confirm(self, timeout: float | None = None) -> Steps[None]:
        """Wait until the controller has confirmed all tasks that this client submitted, at most `timeout` seconds.

        Raises what it said to the first one that it refused, if it refused any since the last time.
        """
        request = Confirm("spin", label="confirm()", timeout=timeout)
        refused = yield from ask_controller(request)
        if refused:
            yield from _outcome(refused[0], "run")

    # -- outcomes ----------------------------------------------------------------------------------------

    @verb()
    def get_task_result(self, taskid: int, block: bool = False) -> Steps[Any]:
        """The outcome of a task: a `TaskResult` for a StringTask, also for one that failed.

        For a MapTask what the function returned, or what it raised is raised here.  None if the task has not ended,
        unless `block`: then it waits.  IndexError if there is no such task (any more: see `clear`).
        """
        return (yield from _outcome(task_id(taskid), "get_task_result", bool(block)))

    @verb()
    def barrier(self, taskids: int | Iterable[int], timeout: float | None = None) -> Steps[None]:
        """Wait until these tasks (ids, or what `submit` gave) have ended, however; at most `timeout` seconds.

        CallTimeout if they have not.  Ids that the controller does not know are not waited for.
        """
        numbers = task_ids(taskids)
        request = Request("wait_tasks", {"tasks": numbers}, method="barrier", timeout=timeout)
        request.label = label("barrier", taskids if isinstance(taskids, int | list | tuple) else "...")
        try:
            yield from ask_controller(request)
        except CallInterrupted:
            yield from interrupted("barrier", numbers)

    # -- coming back -------------------------------------------------------------------------------------

    @verb()
    def results(
        self,
        name: str | None = None,
        block: bool = False,
        timeout: float | None = None,
        *,
        label: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
    ) -> Steps[list[TaskResult]]:
        """What came of all tasks that were submitted under a name, by any client: `TaskResult` objects.

        They are in the order of submission.  `name` is the client's own if it is not given.  Those that have not ended
        are left out, or, with `block`, waited for, at most `timeout` seconds (CallTimeout).  `label`, `since` and `until`
        are those of `history`.
        """
        if name is not None:
            check_name(name)
        asked = {"name": name, "label": label, "since": since, "until": until}
        rows = yield from past("task_history", None, STATES, own=name is None, **asked)
        rows.reverse()
        if block:
            left = [row["id"] for row in rows if row["completed"] is None]
            for first in range(0, len(left), WAITED):
                request = Request("wait_tasks", {"tasks": left[first : first + WAITED]}, method="results")
                request.label, request.timeout = call_label("results", name), timeout
                yield from ask_controller(request)
        else:
            rows = [row for row in rows if row["completed"] is not None]
        found: list[TaskResult] = []
        for first in range(0, len(rows), BATCH):
            numbers = [row["id"] for row in rows[first : first + BATCH]]
            requests = [outcome_request(number, "results", False) for number in numbers]
            answers = yield requests
            for request, answer in zip(requests, answers, strict=True):
                found += _any_result(request, answer)
        return found

    @verb()
    def history(
        self,
        name: str | None = None,
        *,
        session: str | None = None,
        engine: int | None = None,
        state: str | None = None,
        label: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        limit: int | None = 100,
    ) -> Steps[History]:
        """The newest `limit` tasks of all clients (None: all), the newest first: who had what run, where, when.

        It prints as a table; its rows are dictionaries.  The others narrow it: `name` and `session` of who submitted a
        task, `engine` where it ended, `state` (``'waiting'``, ``'assigned'``, ``'succeeded'``, ``'failed'``,
        ``'aborted'``), `label` (a part of it), `since` and `until` (when it was submitted: a datetime, or seconds since
        1970).
        """
        narrow: dict[str, Any] = {"session": session, "engine": engine, "state": state, "label": label}
        return History(
            (yield from past("task_history", limit, STATES, name=name, since=since, until=until, **narrow))
        )

    @verb()
    def resubmit(self, taskid: int, block: bool = False) -> Steps[Any]:
        """Submit anew what a task of earlier was submitted with, whoever did that; the id of the new task.

        With `block`, wait for the outcome and give that, as `run` does.  IndexError if there is no such task (any more).
        """
        request = resubmission(task_id(taskid), bool(block))
        number = yield from _submit(request)
        return (yield from _outcome(number, request.method)) if block else number

    # -- the controller's list of tasks ------------------------------------------------------------------

    @verb()
    def queue_status(self, verbose: bool = False) -> Steps[dict[str, Any]]:
        """How many tasks are ``'scheduled'``, ``'pending'`` (they run), ``'succeeded'`` and ``'failed'``.

        With `verbose`, the lists of their ids.  The tasks of all clients count, those that were cleared do not.
        """
        request = Request("task_status", {"verbose": bool(verbose)}, method="queue_status")
        return (yield from ask_controller(request))

    @verb()
    def abort(self, taskid: int) -> Steps[None]:
        """Abort a task that waits or runs: it ends with `TaskAborted`.  Does not wait for that.

        IndexError if the task has ended, or there is none.
        """
        number = task_id(taskid)
        request = Request("abort_task", {"task": number}, label=label("abort", number), method="abort")
        return (yield from ask_controller(request))

    @verb()
    def spin(self) -> Steps[bool]:
        """Have the controller look whether it can start a task; it does so by itself.  Tells whether it could."""
        return (yield from ask_controller(Request("spin")))

    @verb()
    def clear(self, taskids: int | Iterable[int] | None = None) -> Steps[int]:
        """Have the controller forget tasks that have ended: all of them (for all clients), or these; their number.

        KeyError, when the others are cleared, if there is no such task that has ended.
        """
        numbers = None if taskids is None else task_ids(taskids)
        request = Request("clear_tasks", {"tasks": numbers}, label=label("clear", numbers), method="clear")
        return (yield from ask_controller(request))

    @verb()
    def why(self, taskid: int) -> Steps[str]:
        """Why a task does not run, or what became of it, in one sentence."""
        number = task_id(taskid)
        return (yield from ask_controller(Request("why", {"task": number}, label=label("why", number))))

    # -- map ---------------------------------------------------------------------------------------------

    @verb()
    def map(
        self, func: Callable[..., Any], *sequences: Iterable[Any], chunksize: int | None = None
    ) -> Steps[list[Any]]:
        """Apply `func` to the items of the sequences, balanced by load: like ``list(map(func, *sequences))``.

        `chunksize` items make a task; if it is not said, as many as give 64 tasks for each engine that there is, or
        more, down to 8 tasks for each, where the first ones took very little time.  The sequences are iterables of equal length (else ValueError).  The first exception, in the order of the items, is raised, and
        the tasks that are left are aborted then.
        """
        return (yield from self._mapped(func, sequences, BaseTask(), chunksize))

    @verb()
    def _mapped(
        self, func: Any, sequences: Sequence[Iterable[Any]], choices: BaseTask, chunksize: int | None
    ) -> Steps[list[Any]]:
        """A map whose tasks have the retries etc. of the task `choices`."""
        items = Columns(check_map(func, sequences))
        size: int | _Sizes | None = chunk_size(choices, chunksize)
        if size is None:
            size = 1
            if len(items) > CHUNKS:
                engines = yield from ask_controller(Request("count_engines"))
                size = _Sizes(len(items), engines or SOME_ENGINES)
        chunks = chunk_requests(func, items, size, choices)
        return (yield from _paced(chunks, size != 1, Group(len(items)), size if isinstance(size, _Sizes) else None))

    @verb()
    def _spread(
        self, func: Any, sequences: Sequence[Iterable[Any]], choices: BaseTask, chunksize: int | None
    ) -> Steps[list[int]]:
        """A map that does not wait: the ids of its tasks, one for each item (or chunk, if `chunksize` is given)."""
        items = Columns(check_map(func, sequences))
        size = chunk_size(choices, chunksize) or 1
        numbers = []
        for request in chunk_requests(func, items, size, choices):
            request.watch = False
            numbers.append((yield from _submit(request)))
        return numbers


def call_submission(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Submit:
    """The command that submits what `submit` is given: a task, or the call of any callable."""
    if isinstance(func, BaseTask):
        if args or kwargs:
            raise TypeError("a task takes no arguments")
        return submission(func, watch=True)
    if not callable(func):
        raise TypeError(f"{func!r:.80} is neither callable nor a task")
    return calls_of(func).submission(args, kwargs)


def check_map(func: Any, sequences: Sequence[Iterable[Any]]) -> Sequence[Iterable[Any]]:
    """The sequences of a map; TypeError if it cannot be."""
    if not callable(func):
        raise TypeError(f"map takes a function, not {func!r:.80}")
    if not sequences:
        raise TypeError("map needs a function and at least one sequence")
    return sequences


def chunk_size(choices: BaseTask, chunksize: int | None) -> int | None:
    """How many items make a task; where it is not said, one if the tasks are to be something special, else None."""
    if chunksize is not None:
        if chunksize < 1:
            raise ValueError(f"chunksize is 1 or more, not {chunksize}")
        if chunksize > 1 and choices.recovery_task is not None:
            raise ValueError("a recovery task stands for a single item: chunksize must be 1")
        return chunksize
    special = choices.clear_before or choices.clear_after or choices.timeout or choices.recovery_task
    return 1 if special else None


def chunk_requests(
    func: Callable[..., Any], items: Items, size: int | _Sizes, choices: BaseTask
) -> Iterator[Submit]:
    """The submissions of a map's chunks, as `items` come; the function is serialized once for all of them."""
    called = func if size == 1 else functools.partial(map_part, func)
    function = shared(serialize(called, name_of(func), carry_code=True))
    calls = AlikeCalls(function, choices, label("map", func))
    while part := items.take(size.now if isinstance(size, _Sizes) else size):
        request = calls.submission(tuple(column[0] for column in part) if size == 1 else (part,), {})
        request.items = len(part[0])
        yield request


class _Sizes:
    """The sizes of a map's chunks, where they are not said: larger ones, where the first have taken next to no time."""

    def __init__(self, items: int, engines: int) -> None:
        self.probes = engines
        """So many chunks are sent first; when one of them has ended, that is `measured`."""
        self.now = -(-items // (CHUNKS * engines))
        """How many items the next chunk has."""
        self._most = -(-(items - self.now * engines) // (FEW_CHUNKS * engines))

    def measured(self, seconds: float) -> None:
        """That long it took until the first chunk had ended."""
        self.now = max(self.now, min(self._most, int(self.now * CHUNK_TIME / max(seconds, 1e-3))))


def watched(request: Submit, task: BaseTask | None = None) -> Steps[Any]:
    """Submit a task and wait for its outcome."""
    number = yield from _submit(request)
    if task is not None:
        task.taskid = number
    return (yield from _outcome(number, "submit"))


def abandon(numbers: Sequence[int]) -> Steps[int]:
    """Abort those of these tasks that have not ended; how many there were."""
    answers = yield [Request("abort_task", {"task": number}) for number in numbers]
    return sum(answer.whole is not None and answer.whole.fields["ok"] for answer in answers)


def interrupted(what: str, numbers: Sequence[int]) -> Steps[NoReturn]:
    """Ctrl-C was pressed in a call that waits for these tasks: abort those that have not ended, and raise what came of it."""
    try:
        count = yield from abandon(numbers)
    except KeyboardInterrupt:
        raise not_aborted(what) from None
    raise CallInterrupted(aborted(what, count), []) from None


def aborted(what: str, count: int) -> str:
    """What is said when so many tasks were aborted, as Ctrl-C was pressed."""
    if not count:
        return f"{what} came to its end before it was interrupted"
    return f"{what} was interrupted: {'its task was' if count == 1 else f'{count} tasks were'} aborted"


def not_aborted(what: str) -> StillRunning:
    """What is raised when Ctrl-C was pressed again, before tasks were aborted."""
    return StillRunning(f"{what} is not waited for any more, and its tasks may go on")


def abandon_waiting(numbers: Sequence[int]) -> Steps[None]:
    """Abort those of these tasks that have not begun."""
    status = yield from ask_controller(Request("task_status", {"verbose": True}))
    waiting = set(status["scheduled"]).intersection(numbers)
    if waiting:
        yield from abandon(sorted(waiting))


def forget(numbers: Sequence[int]) -> Steps[None]:
    """Have the controller forget these tasks, of which nobody else knows, unless it has forgotten them already."""
    yield [Forget("clear_tasks", {"tasks": list(numbers)})]


def _submit(request: Submit) -> Steps[int]:
    (answer,) = yield [request]
    number: int = whole_result(request, answer)
    return number


def _outcome(number: int, method: str, block: bool = True) -> Steps[Any]:
    request = outcome_request(number, method, block)
    try:
        (answer,) = yield [request]
    except CallInterrupted:
        yield from interrupted(request.name, [number])
    return outcome(request, answer)


def outcome_request(number: int, method: str, block: bool = True) -> Request:
    """Asks for the outcome of a task."""
    return Request(
        "task_result", {"task": number, "block": block}, label=f"{method}({number})", method=method
    )


def _paced(
    chunks: Iterator[Submit], chunked: bool, group: Group, sizes: _Sizes | None = None
) -> Steps[list[Any]]:
    """The results of a map's tasks; when one failed, the others are aborted and its error is raised.

    No more than some are on the way, and what has come is taken meanwhile: so it makes no difference, to the
    controller's memory and to what submitting costs the engines, how many there are in all.
    """
    results: list[Any] = []
    left: deque[list[int]] = deque()
    try:
        if sizes is not None:
            left.append([])
            began = time.monotonic()
            yield from _send(list(itertools.islice(chunks, sizes.probes)), group, left[0])
            # All engines have something to do meanwhile.
            yield from ask_controller(Pace("spin", group=group, limit=len(left[0]) - 1, first=left[0]))
            sizes.measured(time.monotonic() - began)
        while batch := list(itertools.islice(chunks, BATCH)):
            if sizes is None:
                left.append([])
            sizes = None  # what was measured is fetched with the others
            yield from _send(batch, group, left[-1])
            while left and (yield from ask_controller(Pace("spin", group=group, limit=MAX_LEFT, first=left[0]))):
                results += yield from _gather(left, chunked, group)
        while left:
            results += yield from _gather(left, chunked, group)
    except (GeneratorExit, ConnectionError):  # nobody is asked any more
        raise
    except CallInterrupted:
        yield from interrupted("map", [number for numbers in left for number in numbers])
    except BaseException:  # what the user's function raised, whatever it is; or an item that cannot be serialized
        if any(left):
            yield from abandon([number for numbers in left for number in numbers])
        raise
    finally:
        group.close()
    return results


def _send(batch: list[Submit], group: Group, numbers: list[int]) -> Steps[None]:
    """Submit the tasks of `batch`, and put their ids to `numbers`."""
    for request in batch:
        request.group = group
    try:
        answers = yield list(batch)
    except CallInterrupted:
        # They are to be aborted with the others, as far as they have been sent.
        numbers += [request.task for request in batch if request.task is not None]
        raise
    for request, answer in zip(batch, answers, strict=True):
        numbers.append(whole_result(request, answer))


def _gather(left: deque[list[int]], chunked: bool, group: Group) -> Steps[list[Any]]:
    """The results of the first batch that is left, which they leave with that."""
    requests = [outcome_request(number, "map") for number in left[0]]
    for request in requests:
        request.group = group
    answers = yield requests
    found = [outcome(request, answer) for request, answer in zip(requests, answers, strict=True)]
    yield from forget(left.popleft())
    return [item for chunk in found for item in chunk] if chunked else found


def outcome(request: Request, answer: Answer) -> Any:
    """What came of a task, if the controller knows it: a value, or raises; None if it has not ended."""
    whole = answer.whole
    record = None if whole is None else whole.fields.get("result")
    if record is None:
        return whole_result(request, answer)
    assert whole is not None
    whole.fields["engine"] = record["engine"]
    if record["kind"] == "string":
        return _string_outcome(request, whole, record)
    if not whole.fields["ok"]:
        raise reply_error(request, whole)
    (value,) = _values(whole)
    return value


def _any_result(request: Request, answer: Answer) -> list[TaskResult]:
    """What came of a task, as a `TaskResult` for every kind; none if it has not ended, or was cleared meanwhile."""
    whole = answer.whole
    record = None if whole is None else whole.fields.get("result")
    if record is None:
        with contextlib.suppress(IndexError):
            whole_result(request, answer)
        return []
    assert whole is not None
    whole.fields["engine"] = record["engine"]
    if record["kind"] == "string":
        return [_string_outcome(request, whole, record)]
    if not whole.fields["ok"]:
        return [_printing(whole, TaskResult(record, {}, reply_error(request, whole)))]
    try:
        (value,) = _values(whole)
    except Exception as problem:  # unpickling runs code of users
        return [_printing(whole, TaskResult(record, {}, problem))]
    return [_printing(whole, TaskResult(record, {}, value=value))]


def _string_outcome(request: Request, whole: Any, record: dict[str, Any]) -> TaskResult:
    if not whole.fields["ok"]:
        return _printing(whole, TaskResult(record, {}, reply_error(request, whole)))
    try:
        return _printing(whole, TaskResult(record, dict(zip(record["pull"], _values(whole), strict=True))))
    except Exception as problem:  # unpickling runs code of users
        return _printing(whole, TaskResult(record, {}, problem))


def _printing(whole: Message, result: TaskResult) -> TaskResult:
    """The result, with what the task printed and displayed."""
    result.mime = displayed(whole)
    result.stdout, result.stderr = (text.decode("utf-8", "replace") for text in printed(whole))
    return result


def _values(whole: Any) -> list[Any]:
    found: list[Serialized] = plain_value(whole) or []
    return [value.load() for value in found]
