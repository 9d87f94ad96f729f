"""A controller in this process, from its start to its end."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

import ipython1
from ipython1.kernel.controller.config import READY, ControllerConfig
from ipython1.kernel.controller.lock import ControllerLock
from ipython1.kernel.controller.remote import ControllerTub
from ipython1.kernel.controller.service import ControllerService, interfaces
from ipython1.kernel.furl import prepare_security_dir
from ipython1.kernel.launch.launcher import ILaunchObserver
from ipython1.kernel.launch.local import LocalLauncher
from ipython1.kernel.launch.values import Launch, LaunchState
from ipython1.kernel.places import FURL_FILES
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.opening import open_store
from ipython1.kernel.store.values import Snapshot

GRACE = 10.0
"""Seconds that the host agent has for ending when it is asked to."""
_AGENT = "ipengine"


@implementer(ILaunchObserver)
class Controlling:
    """Runs a controller, and beside it a host agent if `engines` is not 0, until it is to stop.

    `say` gets the lines for the person who started it.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, config: ControllerConfig, engines: int, say: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._engines = engines
        self._say = say
        self._over: Deferred[None] = Deferred()
        self._agent: LocalLauncher | None = None

    async def run(self) -> int:
        """Until the end; the exit status.

        Raises ControllerCreationError, SecurityError or StoreError where it cannot be started.
        """
        lock = ControllerLock(prepare_security_dir(self._config.places))
        lock.acquire()
        try:
            await self._control()
        finally:
            lock.release()
        return 0

    async def _control(self) -> None:
        store = open_store(self._config.store, self._config.places, self._reactor)
        snapshot = await store.open(self._config.kept_task_results)
        try:
            await self._serve(store, snapshot)
        finally:
            await store.close()

    async def _serve(self, store: Store, snapshot: Snapshot) -> None:
        patience = self._config.patience
        offered = interfaces(self._config, store)
        service = ControllerService(self._reactor, self.stop, offered, store, patience.grace)
        await service.take_up(snapshot)
        tub = ControllerTub(self._config, service.doors, self._reactor, patience, store)
        await tub.start()
        service.opened()
        try:
            self._say_what_was_left(snapshot)
            self._announce(tub)
            if self._engines:
                await self._start_agent()
            await self._over
            self._say("ipcontroller: stopping")
            self.log.info("stopping")
            if self._agent is not None:
                await self._agent.stop(GRACE)
        finally:
            await tub.stop(clean=True)

    def stop(self) -> None:
        """Make `run` return: in order the first time; the second time the host agent is ended at once."""
        if not self._over.called:
            self._over.callback(None)
        elif self._agent is not None:
            self._agent.stop(0)

    def _say_what_was_left(self, snapshot: Snapshot) -> None:
        live, ended = len(snapshot.live), len(snapshot.ended)
        if live or ended:
            text = f"taken up from the last time: {live} tasks that have not ended, {ended} that have"
            self._say(f"ipcontroller: {text}")
            self.log.info("{text}", text=text)

    def _announce(self, tub: ControllerTub) -> None:
        where = f"port {tub.port} of {self._config.interface or 'all addresses of this host'}"
        lines = [
            f"ipcontroller {ipython1.__version__} listens on {where}",
            f"  it is to be found at {tub.location}",
            f"  FURL file for engines: {tub.file('engine')}",
            f"  FURL file for clients: {tub.file('multiengine')}",
            f"  FURL file for tasks:   {tub.file('task')}",
            *(f"  FURL file for {role}: {tub.file(role)}" for role in tub.furls if role not in FURL_FILES),
            f"  to start engines:      {shlex.join(['ipengine', '-n', '4', *self._config.places.typed_options()])}",
            "  to connect a client:   from ipython1.kernel import client",
            f"                         mec = client.MultiEngineClient({self._config.places.client_arguments('multiengine')})",
            READY,
        ]
        for line in lines:
            self._say(line)
        self.log.info("ipython1 {version} listens on {where}", version=ipython1.__version__, where=where)
        self.log.info("it is to be found at {location}", location=tub.location)

    async def _start_agent(self) -> None:
        command = (_AGENT, "-n", str(self._engines), *self._config.places.options())
        self._agent = LocalLauncher(self._reactor, Launch(command))
        self._agent.observe(self)
        await self._agent.start()

    def output(self, line: str) -> None:
        """See `ILaunchObserver`: the host agent has written this."""
        self._say(line if line.startswith(f"{_AGENT}:") else f"{_AGENT}: {line}")

    def changed(self, state: LaunchState) -> None:
        """See `ILaunchObserver`."""
        if state.state != "ended":
            return
        if not self._over.called:
            self._say(f"ipcontroller: its engines are gone ({_AGENT} {state.reason})")
        self.log.info("the host agent beside the controller {how}", how=state.reason)
