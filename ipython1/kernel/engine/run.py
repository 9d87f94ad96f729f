"""The course of an agent: find the controller, serve it, find it again when it is lost, end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError

from ipython1.kernel.config.settings import RECONNECT_TIMEOUT
from ipython1.kernel.engine.service import Agent
from ipython1.kernel.error import ConnectionError, KernelError
from ipython1.kernel.peer import Ending, Link

Reach = Callable[[float, bool], Awaitable[Link]]


class Course:
    """Runs `agent`.

    `reach` makes a link within so many seconds, for the first time or again; see `ipython1.kernel.engine.connect`.
    Interpreters live on for `grace` seconds without a controller.  With `early` they are started before there is one,
    which is on its way.
    """

    def __init__(
        self,
        agent: Agent,
        reach: Reach,
        say: Callable[[str], None],
        grace: float = RECONNECT_TIMEOUT.default,
        early: bool = False,
    ) -> None:
        self._agent = agent
        self._reach = reach
        self._say = say
        self._grace = grace
        self._early = early
        self._connecting: Deferred[Any] | None = None
        self._stopped = False

    async def run(self, timeout: float) -> int:
        """Until the end; the exit status.  Raises KernelError if the controller is not reached in `timeout` s."""
        link = await (self._connect_early(timeout) if self._early else self._connect(timeout, again=False))
        if link is None:
            return self._status()
        if not self._early:
            self._agent.start()
        while True:
            lost = self._agent.attached(link)
            reason = await _first(lost, self._agent.when_over())
            if not self._agent.engines:
                link.close("the agent has ended: it has no engines any more")
                return self._status()
            if link.ending in (Ending.GOODBYE, Ending.STAYED_AWAY):
                await self._end()
                if link.ending is Ending.GOODBYE:
                    self._say(f"{reason}, and the engines with it")
                    return self._status()
                raise ConnectionError(f"{reason}; the interpreters were ended")
            self._say(f"{reason}; the interpreters live on, the controller is awaited for {self._grace:.0f} s")
            try:
                link = await self._connect(self._grace, again=True)
            except KernelError as problem:
                await self._end()
                raise type(problem)(f"{problem}; the interpreters were ended") from None
            if link is None:
                await self._end()
                return self._status()

    def stop(self) -> None:
        """End it soon: `run` returns when the interpreters have ended."""
        self._stopped = True
        if self._connecting is not None:
            self._connecting.cancel()
        else:
            self._agent.stop()

    async def _connect_early(self, timeout: float) -> Link | None:
        self._agent.start()
        try:
            link = await self._connect(timeout, again=False)
        except KernelError:
            await self._end()
            raise
        if link is None:
            await self._end()
        return link

    async def _connect(self, timeout: float, again: bool) -> Link | None:
        """A link; None if the agent was stopped, or has no engines any more, meanwhile."""
        if self._stopped:
            return None
        self._connecting = Deferred.fromCoroutine(self._reach(timeout, again))  # type: ignore[arg-type]
        over: Deferred[Any] = self._agent.when_over() if again or self._early else Deferred()
        try:
            link: Link | None = await _first(self._connecting, over)
        except CancelledError:
            if not self._stopped:
                raise
            return None
        finally:
            self._connecting = None
        return link

    async def _end(self) -> None:
        self._agent.stop()
        await self._agent.when_over()

    def _status(self) -> int:
        return 1 if self._agent.failures else 0


async def _first(*contestants: Deferred[Any]) -> Any:
    """The outcome of the one that fires first; the others are cancelled."""
    race = DeferredList(contestants, fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True)
    try:
        value, _ = await race
    except FirstError as first:
        first.subFailure.raiseException()
    finally:
        for contestant in contestants:
            contestant.cancel()
    return value
