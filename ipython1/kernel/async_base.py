"""What the asynchronous clients have in common: carrying out verbs, and the connection."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred

from ipython1.config.setting import Configuration
from ipython1.kernel.client_session import Connection, Dial
from ipython1.kernel.config import config_manager
from ipython1.kernel.derive import VerbCall
from ipython1.kernel.furl import chosen_furl
from ipython1.kernel.hello import check_name
from ipython1.kernel.places import find_places
from ipython1.kernel.request import Answer, Finished, Request, Steps, advance

C = TypeVar("C", bound="AsyncClient")


class AsyncClient:
    """Carries out the verbs that a subclass has from `derive`; their methods return Deferreds."""

    timeout: float | None = None
    """Seconds that a call may take (CallTimeout) where it does not say; None is for ever."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    if TYPE_CHECKING:  # the verbs come from `derive`, which checkers of types do not follow

        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'' if self._connection.peer else 'not '}connected>"

    def _bare(self) -> bool:
        return False

    def _begin(self, begin: Any) -> Deferred[Any]:
        """What is wrong with the arguments comes through the Deferred, like every other error."""

        async def carry_out() -> Any:
            return await self._carry_out(begin())

        return Deferred.fromCoroutine(carry_out())

    async def _finish(self, steps: Steps[Any], answers: list[Answer] | None) -> Any:
        """Carry out a verb to its end, from the answers on."""
        sent: list[Answer] | BaseException | None = answers
        try:
            while True:
                sent = await self._answers(advance(steps, sent))
        except Finished as end:
            return end.value

    async def _answers(self, requests: list[Request], hold: str | None = None) -> list[Answer] | Exception:
        for request in requests:
            request.own_memory()
        try:
            return await self._connection.perform(requests, hold)
        except Exception as problem:  # whatever it is, the verb may have something to say to it
            return problem

    async def _carry_out(self, call: VerbCall) -> Any:
        return await self._finish(self._connection.ways.carried(call.steps), None)

    def disconnect(self) -> None:
        """Leave the controller; the next call connects again.  Calls that wait fail with `ConnectionError`."""
        self._connection.disconnect("the client was disconnected")

    def leave_for_good(self, reason: str) -> None:
        """Leave the controller, at once; from now on every call fails with `ConnectionError`, which says `reason`."""
        self._connection.end(reason)


async def connected(
    face: type[C],
    new_connection: Callable[[str | os.PathLike[str], Any, Dial, Configuration, str], Connection],
    role: str,
    furl_or_file: str | os.PathLike[str],
    profile: str | None,
    cluster_id: str | None,
    name: str | None = None,
) -> C:
    """A client of class `face` that is connected."""
    if name is not None:
        check_name(name)
    furl_or_file = chosen_furl(furl_or_file, role, profile, cluster_id)
    settings = config_manager.configuration(find_places(None, profile).ipython_dir)
    from twisted.internet import reactor  # the running one; importing this module installs none

    from ipython1.kernel.dial import dial

    connection = new_connection(furl_or_file, reactor, dial, settings, name or "")
    await connection.connect()
    return face(connection)
