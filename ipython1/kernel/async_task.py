"""The asynchronous client of the Task interface."""

from __future__ import annotations

from typing import Any

from ipython1.kernel.async_base import AsyncClient
from ipython1.kernel.derive import derive
from ipython1.kernel.mapper import ParallelFunction, TaskMapper
from ipython1.kernel.task import BaseTask
from ipython1.kernel.taskclient import Tasks


@derive(Tasks)
class AsyncTaskClient(AsyncClient):
    """The verbs of the Task interface, returning Deferreds.

    Values are pickled and unpickled in the reactor's thread.
    """

    def mapper(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Any = None,
        block: bool = True,
        **options: Any,
    ) -> TaskMapper:
        """See `ipython1.kernel.client.TaskClient.mapper`."""
        return TaskMapper(self, clear_before, clear_after, retries, recovery_task, depend, block, **options)

    def parallel(self, *args: Any, **kwargs: Any) -> ParallelFunction:
        """See `ipython1.kernel.client.TaskClient.parallel`."""
        return ParallelFunction(self.mapper(*args, **kwargs))
