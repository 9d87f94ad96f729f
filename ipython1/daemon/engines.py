"""What a cluster does with single engines, and asks about them: as a client of its own controller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

from ipython1.kernel.error import ClusterError, NoEnginesRegistered
from ipython1.kernel.places import Places

WITHIN = 15.0
"""Seconds in which the controller and the engines have to answer."""


class Engines:
    """The engines of the cluster at `places`.  Connects for each request: requests are few."""

    def __init__(self, reactor: Any, places: Places) -> None:
        self._reactor = reactor
        self._file = places.furl_file("multiengine")

    async def restart(self, ids: list[int]) -> None:
        """End the interpreters of these engines and start new ones, under the same ids."""
        await self._with_client(lambda client: client.restart(targets=ids))

    async def kill(self, ids: list[int]) -> None:
        """End these engines for good."""
        await self._with_client(lambda client: client.kill(targets=ids))

    async def signal(self, ids: list[int], number: int) -> None:
        """Send a signal to the interpreters of these engines."""
        await self._with_client(lambda client: client.signal(number, targets=ids))

    async def queues(self, within: float) -> dict[int, dict[str, Any]]:
        """What runs and what waits on all engines, by id."""
        return dict(await self._with_client(_queues, within))

    async def _with_client(self, use: Callable[[Any], Awaitable[Any]], within: float = WITHIN) -> Any:
        # Not before it is needed: a cluster comes up faster without.
        from ipython1.kernel.asyncclient import get_multiengine_client

        async def asked() -> Any:
            client = await get_multiengine_client(str(self._file))
            try:
                return await use(client)
            finally:
                client.disconnect()

        asking = Deferred.fromCoroutine(asked())
        try:
            return await asking.addTimeout(within, self._reactor)
        except DeferredTimeout:
            raise ClusterError(f"the controller or the engines have not answered within {within:g} s") from None


async def _queues(client: Any) -> list[tuple[int, dict[str, Any]]]:
    try:
        queues: list[tuple[int, dict[str, Any]]] = await client.queue_status()
    except NoEnginesRegistered:
        return []
    return queues
