"""The asynchronous client, for programs that run the reactor themselves: its methods return Deferreds."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.async_base import AsyncClient, connected
from ipython1.kernel.async_interface import AsyncInterfaceClient, connected_interface
from ipython1.kernel.async_task import AsyncTaskClient
from ipython1.kernel.client_session import Connection, multiengine_connection
from ipython1.kernel.cluster.asynchronous import AsyncCluster
from ipython1.kernel.derive import VerbCall, derive
from ipython1.kernel.error import CompositeError, ResultNotCompleted
from ipython1.kernel.mapper import MultiEngineMapper, ParallelFunction
from ipython1.kernel.multiengine import MultiEngine
from ipython1.kernel.request import (
    Finished,
    Request,
    Steps,
    advance,
    ask_controller,
    pending_request,
    pending_value,
    whole_result,
)
from ipython1.kernel.result_id import new_result_id
from ipython1.kernel.targets import check_block
from ipython1.kernel.task import MapTask, StringTask, Task
from ipython1.kernel.task_session import task_connection
from ipython1.kernel.ways import Transfer

__all__ = [
    "AsyncCluster",
    "AsyncInterfaceClient",
    "AsyncMultiEngineClient",
    "AsyncTaskClient",
    "CompositeError",
    "MapTask",
    "StringTask",
    "Task",
    "get_interface_client",
    "get_multiengine_client",
    "get_result",
    "get_task_client",
]


@derive(MultiEngine)
class AsyncMultiEngineClient(AsyncClient):
    """The verbs of the MultiEngine interface, returning Deferreds; all on all engines unless `targets` says.

    With ``block=False`` the Deferred fires with a result id of 40 characters when the call is submitted; it is
    redeemed, once, with `get_pending_deferred`.  Values are pickled and unpickled in the reactor's thread.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        # Verbs whose one command the controller holds, by result id: they go on when its outcome is asked for.
        self._held: dict[str, Steps[Any]] = {}
        # Outcomes of the others, which take several commands.
        self._local: dict[str, Deferred[Any]] = {}

    def _defaults(self) -> tuple[Any, bool]:
        return "all", True

    async def _carry_out(self, call: VerbCall) -> Any:
        return await (super()._carry_out(call) if call.block else self._submit(call))

    async def _submit(self, call: VerbCall) -> str:
        """Submit a call, whose outcome is to wait until it is asked for."""
        result_id = new_result_id()
        requests = advance(call.steps, None)
        if len(requests) == 1 and requests[0].holdable:
            accepted = await self._answers(requests, result_id)
            if isinstance(accepted, Exception):
                raise accepted
            whole_result(requests[0], accepted[0])
            self._held[result_id] = call.steps
        else:
            self._local[result_id] = Deferred.fromCoroutine(self._finish_from(call.steps, requests))
        return result_id

    async def _finish_from(self, steps: Steps[Any], requests: list[Request]) -> Any:
        answers = await self._answers(requests)
        try:
            requests = advance(steps, answers)
        except Finished as end:
            return end.value
        return await self._finish_from(steps, requests)

    def get_pending_deferred(self, result_id: str, block: bool = True) -> Deferred[Any]:
        """Fires with the outcome of the call that was given that id; it can be fetched once.

        Fails with ResultNotCompleted if it is not there and `block` is false, with InvalidDeferredID if there is none.
        """
        return Deferred.fromCoroutine(self._redeem(result_id, block))

    async def _redeem(self, result_id: str, block: bool) -> Any:
        block = check_block(block)
        if result_id in self._local:
            if not block and not self._local[result_id].called:
                raise ResultNotCompleted(f"the call {result_id} is not done")
            return await self._local.pop(result_id)
        steps = self._held.pop(result_id, None)
        if steps is None:
            return await self._finish(pending_value(result_id, block), None)
        request = pending_request(result_id, block)
        try:
            (answer,) = await self._connection.perform([request])
            if answer.whole is not None:
                whole_result(request, answer)
        except ResultNotCompleted:
            self._held[result_id] = steps
            raise
        return await self._finish(steps, [answer])

    def clear_pending_deferreds(self) -> Deferred[None]:
        """Forget the outcomes that were not fetched; fetching one of them fails with InvalidDeferredID then."""
        self._held.clear()
        local, self._local = self._local, {}
        for outcome in local.values():
            outcome.addErrback(lambda failure: None)
        return Deferred.fromCoroutine(self._finish(ask_controller(Request("clear_pending")), None))

    flush = clear_pending_deferreds

    def apply(self, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Deferred[list[Any]]:
        """See `ipython1.kernel.client.MultiEngineClient.apply`; on all engines."""
        applied: Deferred[list[Any]] = self._apply(func, args, kwargs)
        return applied

    def transfers(self) -> list[Transfer]:
        """How the latest large values went, as `ipython1.kernel.client.MultiEngineClient.transfers` says it."""
        return self._connection.ways.transfers()

    def mapper(self, dist: str = "b", targets: Any = "all", block: bool = True) -> MultiEngineMapper:
        """An object with a method ``map(func, *sequences)`` that keeps these choices."""
        return MultiEngineMapper(self, dist, targets, block)

    def parallel(self, dist: str = "b", targets: Any = "all", block: bool = True) -> ParallelFunction:
        """A decorator: the decorated function takes sequences, and is applied to their items on the engines."""
        return ParallelFunction(self.mapper(dist, targets, check_block(block)))


def get_multiengine_client(
    furl_or_file: str | os.PathLike[str] = "",
    *,
    profile: str | None = None,
    cluster_id: str | None = None,
    name: str | None = None,
) -> Deferred[AsyncMultiEngineClient]:
    """Fires with a client that is connected; the arguments are those of `ipython1.kernel.client.MultiEngineClient`."""
    opening = connected(
        AsyncMultiEngineClient, multiengine_connection, "multiengine", furl_or_file, profile, cluster_id, name
    )
    return Deferred.fromCoroutine(opening)


def get_task_client(
    furl_or_file: str | os.PathLike[str] = "",
    *,
    profile: str | None = None,
    cluster_id: str | None = None,
    name: str | None = None,
) -> Deferred[AsyncTaskClient]:
    """Fires with a client that is connected; the arguments are those of `ipython1.kernel.client.TaskClient`."""
    opening = connected(AsyncTaskClient, task_connection, "task", furl_or_file, profile, cluster_id, name)
    return Deferred.fromCoroutine(opening)


def get_result(
    taskid: int,
    furl_or_file: str | os.PathLike[str] = "",
    *,
    block: bool = False,
    profile: str | None = None,
    cluster_id: str | None = None,
) -> Deferred[Any]:
    """Fires with the outcome of a task, as `ipython1.kernel.client.get_result` gives it."""

    async def get() -> Any:
        client = await get_task_client(furl_or_file, profile=profile, cluster_id=cluster_id)
        try:
            return await client.get_task_result(taskid, block=block)
        finally:
            client.disconnect()

    return Deferred.fromCoroutine(get())


def get_interface_client(
    role: str,
    furl_or_file: str | os.PathLike[str] = "",
    *,
    profile: str | None = None,
    cluster_id: str | None = None,
) -> Deferred[AsyncInterfaceClient]:
    """Fires with a client that is connected; the arguments are as for `ipython1.kernel.client.InterfaceClient`."""
    return Deferred.fromCoroutine(connected_interface(role, furl_or_file, profile, cluster_id))
