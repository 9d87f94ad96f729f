"""Clusters for programs that run the reactor themselves."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.cluster.operations import Operations
from ipython1.kernel.cluster.steps import Ask, Connect, Dismiss, Pause, Prepare, Readable, Step, Steps, Work


class AsyncCluster(Operations):
    """A controller and engines, which are started by this program and end with it.

    The same as `ipython1.kernel.client.Cluster`, whose arguments it takes, but for programs that run the reactor:
    the methods that wait there return Deferreds here, the clients are asynchronous ones, and the block is ::

        async with asyncclient.AsyncCluster(n=4) as cluster:
            mec = await cluster.multiengine()
            ...

    To be used in the reactor's thread.
    """

    def _carry_out(self, steps: Steps[Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(_drive(steps))

    async def __aenter__(self) -> Self:
        if not self._started:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._carry_out(self._leave())


async def _drive(steps: Steps[Any]) -> Any:
    try:
        step = next(steps)
        while True:
            try:
                outcome = await _do(step)
            except Exception as problem:  # also when it is cancelled: the operation may have to put things in order
                step = steps.throw(problem)
            else:
                step = steps.send(outcome)
    except StopIteration as end:
        return end.value


async def _do(step: Step) -> Any:
    from twisted.internet import reactor  # the running one; importing this module installs none

    if isinstance(step, Ask):
        from ipython1.daemon.control import ask_async

        return await ask_async(reactor, step.path, step.verb, step.args, step.timeout)
    if isinstance(step, Readable):
        return await _Watch(reactor, step.descriptor, step.timeout).fired
    if isinstance(step, Pause):
        return await deferLater(reactor, step.seconds)  # type: ignore[arg-type]
    if isinstance(step, Work):
        return await deferToThread(step.function)
    if isinstance(step, Prepare):
        return None  # the reactor, which runs, has brought it
    if isinstance(step, Connect):
        return await _connect(step)
    assert isinstance(step, Dismiss)
    return step.client.leave_for_good(step.reason)


async def _connect(step: Connect) -> Any:
    from ipython1.kernel.asyncclient import get_multiengine_client, get_task_client

    if step.role == "task":
        return await get_task_client(step.file)
    return await get_multiengine_client(step.file)


@implementer(IReadDescriptor)
class _Watch:
    """Fires with true when `descriptor` is readable or closed, with false after `timeout` seconds."""

    def __init__(self, reactor: Any, descriptor: int, timeout: float) -> None:
        self.fired: Deferred[bool] = Deferred(lambda _: self._end())
        self._reactor = reactor
        self._descriptor = descriptor
        self._late = reactor.callLater(timeout, self._fire, False)
        reactor.addReader(self)

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return self._descriptor

    def doRead(self) -> None:
        """See `IReadDescriptor`."""
        self._fire(True)

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: also that is something to be read, the end."""
        self._fire(True)

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "cluster"

    def _end(self) -> None:
        self._reactor.removeReader(self)
        if self._late.active():
            self._late.cancel()

    def _fire(self, readable: bool) -> None:
        if not self.fired.called:
            self._end()
            self.fired.callback(readable)


AsyncCluster.__module__ = "ipython1.kernel.asyncclient"
