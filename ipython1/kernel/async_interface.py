"""The asynchronous client of interfaces that users wrote."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.async_base import AsyncClient, connected
from ipython1.kernel.client_session import role_connection
from ipython1.kernel.interface_verbs import InterfaceVerbs, describe


class AsyncInterfaceClient(AsyncClient):
    """The verbs of an interface, returning Deferreds; otherwise as `ipython1.kernel.client.InterfaceClient`.

    Values are pickled and unpickled in the reactor's thread.
    """

    _verbs: InterfaceVerbs | None = None

    def call(self, verb: str, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Call the verb of that name, also where a method of the client has the same one."""
        verbs = self._verbs
        assert verbs is not None
        return self._begin(lambda: verbs.call(verb, args, kwargs, self.timeout))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._verbs is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return self._verbs.method(name, lambda verb, args, kwargs: self.call(verb, *args, **kwargs))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(self._verbs.names() if self._verbs is not None else ())]

    async def _describe(self, role: str) -> None:
        self._verbs = await self._begin(lambda: describe(role))


async def connected_interface(
    role: str, furl_or_file: str | os.PathLike[str], profile: str | None, cluster_id: str | None
) -> AsyncInterfaceClient:
    """A client of the interface `role` that is connected, and knows its verbs."""
    opening = partial(role_connection, role)
    client = await connected(AsyncInterfaceClient, opening, role, furl_or_file, profile, cluster_id)
    await client._describe(role)
    return client
