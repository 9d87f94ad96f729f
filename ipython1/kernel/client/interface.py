"""The blocking client of interfaces that users wrote."""

from __future__ import annotations

import os
from typing import Any

from ipython1.kernel.client.connected import ConnectedClient
from ipython1.kernel.client_session import Connection, Dial, role_connection
from ipython1.kernel.interface_verbs import InterfaceVerbs, describe


class InterfaceClient(ConnectedClient):
    """A client of the interface `role` of a controller (``ipcontroller --interface-class``).

    Its methods are the verbs of the interface, with the signatures and docstrings that these have in the controller:
    ``client.InterfaceClient('counters').add('a', 3)``.  A subclass may set `role`, and have methods that use them.

    `furl_or_file` is a FURL or the path of a file that holds one; by default the file that the controller wrote.
    `profile` and `cluster_id` name a cluster whose files lie elsewhere: ConfigError if they are no good names.
    The connection is made at once: FURLError (a ValueError) if the file is missing or no good, `ConnectionError` if
    there is no controller.

    A call fails with CallTimeout if it takes longer than `timeout` seconds; None, as it is at first, is for ever.
    """

    role = ""
    timeout: float | None = None
    _verbs: InterfaceVerbs | None = None

    def __init__(
        self,
        role: str = "",
        furl_or_file: str | os.PathLike[str] = "",
        *,
        profile: str | None = None,
        cluster_id: str | None = None,
    ) -> None:
        self.role = role or self.role
        self._connect(furl_or_file, self.role, profile, cluster_id)
        self._verbs = self._calls.run(describe(self.role))

    def _connection(self, furl_or_file: str | os.PathLike[str], reactor: Any, dial: Dial) -> Connection:
        return role_connection(self.role, furl_or_file, reactor, dial, self._settings)

    def call(self, verb: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the verb of that name, also where a method of the client has the same one."""
        assert self._verbs is not None
        return self._calls.run(self._verbs.call(verb, args, kwargs, self.timeout))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._verbs is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return self._verbs.method(name, self._call)

    def _call(self, verb: str, args: Any, kwargs: Any) -> Any:
        return self.call(verb, *args, **kwargs)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(self._verbs.names() if self._verbs is not None else ())]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.role!r}: {self._where()}>"


InterfaceClient.__module__ = "ipython1.kernel.client"
