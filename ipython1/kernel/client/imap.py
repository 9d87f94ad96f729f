"""Maps over iterables that may have no end, with a bounded number of tasks on the way."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from ipython1.kernel.client.patient import taken
from ipython1.kernel.client.pending import PendingResult
from ipython1.kernel.columns import Endless
from ipython1.kernel.task import BaseTask
from ipython1.kernel.task_submission import Submit
from ipython1.kernel.taskclient import BATCH, abandon, check_map, chunk_requests, chunk_size, forget


def imap(
    client: Any,
    func: Callable[..., Any],
    iterables: Sequence[Iterable[Any]],
    ordered: bool,
    max_outstanding: int,
    chunksize: int,
) -> Iterator[Any]:
    """See `ipython1.kernel.client.TaskClient.imap`."""
    choices = BaseTask()
    size = chunk_size(choices, chunksize) or 1
    if max_outstanding < 1:
        raise ValueError(f"max_outstanding is 1 or more, not {max_outstanding}")
    requests = chunk_requests(func, Endless(check_map(func, iterables)), size, choices)
    return _results(client, requests, (_Ordered if ordered else _Unordered)(), max_outstanding, size > 1)


def _results(
    client: Any, requests: Iterator[Submit], waiting: Any, max_outstanding: int, chunked: bool
) -> Iterator[Any]:
    fetched: list[int] = []
    try:
        more = True
        while True:
            while more and len(waiting) < max_outstanding:
                request = next(requests, None)
                if request is None:
                    more = False
                else:
                    waiting.add(client._later(request))
            if not waiting:
                return
            pending = waiting.take()
            # The controller keeps outcomes for those who ask later; for these nobody will.
            fetched.append(pending.taskid)
            if len(fetched) >= BATCH:
                client._perform(forget(fetched), "imap")
                fetched = []
            value = pending.result()
            if chunked:
                yield from value
            else:
                yield value
    finally:
        left = list(waiting.left())
        running = [pending.taskid for pending in left if not pending.done()]
        if running:
            client._perform(abandon(running), "imap")
        # Some of them may have ended meanwhile.
        fetched += [pending.taskid for pending in left]
        if fetched:
            client._perform(forget(fetched), "imap")


class _Ordered:
    """Results are taken in the order of submission."""

    def __init__(self) -> None:
        self._pending: deque[PendingResult] = deque()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, pending: PendingResult) -> None:
        self._pending.append(pending)

    def take(self) -> PendingResult:
        return self._pending.popleft()

    def left(self) -> Iterable[PendingResult]:
        return self._pending


class _Unordered:
    """Results are taken as they come."""

    def __init__(self) -> None:
        self._pending: set[Future[Any]] = set()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, pending: PendingResult) -> None:
        self._pending.add(pending)
        # Not by way of the callbacks' thread, where functions of users may take their time.
        Future.add_done_callback(pending, self._done.put)

    def take(self) -> PendingResult:
        pending: PendingResult = taken(self._done)
        self._pending.discard(pending)
        return pending

    def left(self) -> Iterable[Any]:
        return self._pending
