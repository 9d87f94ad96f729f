"""A controller in this process, from its start to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

import ipython1
from ipython1.kernel.controller.config import ControllerConfig
from ipython1.kernel.controller.lock import ControllerLock
from ipython1.kernel.controller.remote import ControllerTub
from ipython1.kernel.controller.service import ControllerService, interfaces
from ipython1.kernel.furl import FURL_FILES, find_ipython_dir, prepare_security_dir
from ipython1.kernel.scripts.children import Child

READY = "ipcontroller: ready"
"""The line that says that engines and clients can connect."""


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
        self._agent: Child | None = None

    async def run(self) -> int:
        """Until the end; the exit status.

        Raises ControllerCreationError or SecurityError where it cannot be started.
        """
        lock = ControllerLock(prepare_security_dir(self._config.ipython_dir))
        lock.acquire()
        try:
            await self._control()
        finally:
            lock.release()
        return 0

    async def _control(self) -> None:
        factories = interfaces(self._config.scheduler, self._config.interface_classes)
        service = ControllerService(self._reactor, self.stop, factories)
        tub = ControllerTub(self._config, service.doors, self._reactor)
        await tub.start()
        try:
            self._announce(tub)
            if self._engines:
                self._agent = self._start_agent()
            await self._over
            self._say("ipcontroller: stopping")
            self.log.info("stopping")
            if self._agent is not None:
                await self._agent.stop()
        finally:
            await tub.stop(clean=True)

    def stop(self) -> None:
        """Make `run` return: in order the first time; the second time the host agent is ended at once."""
        if not self._over.called:
            self._over.callback(None)
        elif self._agent is not None:
            self._agent.kill()

    def _announce(self, tub: ControllerTub) -> None:
        where = f"port {tub.port} of {self._config.interface or 'all addresses of this host'}"
        lines = [
            f"ipcontroller {ipython1.__version__} listens on {where}",
            f"  it is to be found at {tub.location}",
            f"  FURL file for engines: {tub.file('engine')}",
            f"  FURL file for clients: {tub.file('multiengine')}",
            f"  FURL file for tasks:   {tub.file('task')}",
            *(f"  FURL file for {role}: {tub.file(role)}" for role in tub.furls if role not in FURL_FILES),
            f"  to start engines:      {self._engines_command()}",
            "  to connect a client:   from ipython1.kernel import client",
            f"                         mec = client.MultiEngineClient({self._client_argument(tub)})",
            READY,
        ]
        for line in lines:
            self._say(line)
        self.log.info("ipython1 {version} listens on {where}", version=ipython1.__version__, where=where)
        self.log.info("it is to be found at {location}", location=tub.location)

    def _in_default_dir(self) -> bool:
        return self._config.ipython_dir == find_ipython_dir()

    def _engines_command(self) -> str:
        place = "" if self._in_default_dir() else f" --ipython-dir {self._config.ipython_dir}"
        return f"ipengine -n 4{place}"

    def _client_argument(self, tub: ControllerTub) -> str:
        return "" if self._in_default_dir() else repr(str(tub.file("multiengine")))

    def _start_agent(self) -> Child:
        folder = str(self._config.ipython_dir)
        child = Child(
            self._reactor, ["ipengine", "-n", str(self._engines), "--ipython-dir", folder], self._say
        )
        child.when_ended().addCallback(lambda _: self._agent_ended(child))
        return child

    def _agent_ended(self, child: Child) -> None:
        if not self._over.called:
            self._say(f"ipcontroller: its engines are gone (ipengine {child.ended})")
        self.log.info("the host agent beside the controller {how}", how=child.ended)
