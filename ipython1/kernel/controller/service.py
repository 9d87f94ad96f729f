"""The controller: engines, and the interfaces through which clients use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from ipython1.kernel.controller.agents import Agents
from ipython1.kernel.controller.config import ControllerConfig
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.held import HeldResults
from ipython1.kernel.controller.multiengine import MultiEngine
from ipython1.kernel.controller.named import USUAL, named_scheduler
from ipython1.kernel.controller.pending import PendingTable
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.task_store import TaskStore
from ipython1.kernel.controller.tasks import TaskController
from ipython1.kernel.peer import Link, Receiver


class Interface(Protocol):
    """One way for clients to use the engines, reached by the FURL of its `role`.

    It is made from `Engines` (the queues, to which it submits entries that it owns; the registry; the observers of
    engines that come and go) and `Shutdown`.
    """

    @property
    def role(self) -> str: ...

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A client that said `hello` opened a session; returns what takes its messages."""


InterfaceFactory = Callable[[Engines, Shutdown], Interface]

INTERFACES: Iterable[InterfaceFactory] = (MultiEngine, TaskController)
"""Those that a controller has unless it is told otherwise."""


def interfaces(config: ControllerConfig) -> list[InterfaceFactory]:
    """`INTERFACES`, as the configuration wants them.

    Raises what `named_scheduler` does.
    """
    held = HeldResults(PendingTable(config.kept_results, config.kept_results_size))
    store = TaskStore(config.kept_task_results, config.kept_task_results_size)
    scheduler = named_scheduler(config.scheduler or USUAL)
    return [partial(MultiEngine, results=held), partial(TaskController, scheduler=scheduler, results=store)]


class ControllerService:
    """A controller, apart from the network; `stop` is called when a client has asked for its end."""

    def __init__(
        self,
        reactor: IReactorTime,
        stop: Callable[[], None],
        interfaces: Iterable[InterfaceFactory] = INTERFACES,
    ) -> None:
        self.engines = Engines(reactor)
        self.agents = Agents(self.engines)
        shutdown = Shutdown(self.engines, self.agents, reactor, stop)
        made = [factory(self.engines, shutdown) for factory in interfaces]
        self.interfaces: dict[str, Interface] = {interface.role: interface for interface in made}

    @property
    def doors(self) -> dict[str, Any]:
        """What is to be published under each role: the interfaces of clients, and the door for agents."""
        return {"engine": self.agents, **self.interfaces}
