"""The Tubs with which this process dials: one for each controller, whose connection ends when nothing needs it any more.

Sessions with the same controller are opened over the same connection.  While each has a line (`ipython1.kernel.line`) it
would cost both ends, and serve nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from foolscap.api import Tub
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ipython1.kernel.tub import new_tub

UNUSED = 1.0
"""Seconds for which a connection stays that nothing needs."""


class SharedTub:
    """It dials, and never listens."""

    def __init__(self, controller: str, reactor: IReactorTime) -> None:
        self.tub: Tub = new_tub()
        self.tub.startService()
        self._controller = controller
        self._reactor = reactor
        self._uses = 0
        self._stopped = False
        self._hanging_up: IDelayedCall | None = None

    def use(self) -> Callable[[], None]:
        """Somebody needs the connection; until he calls what this returns, which has an effect once."""
        self._uses += 1
        self._cancel()
        held = [self]

        def release() -> None:
            if held:
                held.pop()._released()

        return release

    def _released(self) -> None:
        self._uses -= 1
        if not self._uses and not self._stopped:
            self._cancel()
            self._hanging_up = self._reactor.callLater(UNUSED, self._hang_up)

    def _hang_up(self) -> None:
        self._hanging_up = None
        for broker in list(self.tub.brokers.values()):
            broker.shutdown(Failure(ConnectionDone()))

    def _cancel(self) -> None:
        if self._hanging_up is not None:
            if self._hanging_up.active():
                self._hanging_up.cancel()
            self._hanging_up = None

    def retire(self) -> None:
        """Let go of a Tub over which nothing was answered: the next attempt must not wait for the same connection."""
        if self._stopped:
            return
        for broker in list(self.tub.brokers.values()):
            broker.cut_off()
        stopping = self.stop()
        _stopping.add(stopping)
        stopping.addBoth(lambda _: _stopping.discard(stopping))

    def stop(self) -> Deferred[Any]:
        """End the connection; the next one is another Tub's."""
        self._stopped = True
        self._cancel()
        key = (os.getpid(), self._controller)
        if _tubs.get(key) is self:
            del _tubs[key]
        stopping: Deferred[Any] = self.tub.stopService()
        return stopping


_tubs: dict[tuple[int, str], SharedTub] = {}
_stopping: set[Deferred[Any]] = set()


def shared_tub(controller: str, reactor: IReactorTime) -> SharedTub:
    """The one for a controller.  A forked child gets one of its own."""
    key = (os.getpid(), controller)
    if key not in _tubs:
        _tubs[key] = SharedTub(controller, reactor)
    return _tubs[key]


async def stop_all() -> None:
    """End all connections; later ones are of new Tubs."""
    for shared in [shared for (pid, _), shared in _tubs.items() if pid == os.getpid()]:
        await shared.stop()
    await DeferredList(list(_stopping))
