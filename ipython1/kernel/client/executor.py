"""`concurrent.futures.Executor` for tasks: what other libraries know how to use."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ipython1.core.functions import map_part
from ipython1.kernel.client.patient import settled
from ipython1.kernel.client.pending import PendingResult
from ipython1.kernel.client.weakly import Weakly
from ipython1.kernel.columns import Endless
from ipython1.kernel.taskclient import abandon_waiting


class TaskExecutor(concurrent.futures.Executor):
    """Runs functions as tasks of `client`, which stays usable when the executor is shut down."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._over = False
        self._submitted: Weakly[PendingResult] = Weakly()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> PendingResult:
        """Have ``fn(*args, **kwargs)`` called on some engine; RuntimeError after `shutdown`."""
        with self._lock:
            if self._over:
                raise RuntimeError("the executor was shut down")
            pending: PendingResult = self.client.submit(fn, *args, **kwargs)
            self._submitted[pending.result_id] = pending
        return pending

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """An iterator of results, like ``map(fn, *iterables)``; `chunksize` items make a task.

        `buffersize` is how many tasks are submitted ahead of the iteration; without it, all are at once.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize is 1 or more, not {chunksize}")
        if buffersize is not None:
            return self.client.imap(  # type: ignore[no-any-return]
                fn, *iterables, max_outstanding=buffersize, chunksize=chunksize
            )
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        items = Endless(iterables)
        chunks = iter(lambda: items.take(chunksize), ())
        parts = super().map(functools.partial(map_part, fn), chunks, timeout=timeout)
        return itertools.chain.from_iterable(parts)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more functions, and `wait` for those that were submitted.

        With `cancel_futures` those that have not begun are aborted: they end with `TaskAborted`.
        """
        with self._lock:
            self._over = True
        left = [pending for pending in self._submitted.all() if not pending.done()]
        if cancel_futures and left:
            numbers = [pending.taskid for pending in left if pending.taskid is not None]
            self.client._perform(abandon_waiting(numbers), "shutdown")
        if wait:
            settled(left)
