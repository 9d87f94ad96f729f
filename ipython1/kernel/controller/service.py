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
from ipython1.kernel.controller.named import USUAL, NamedInterface, named_scheduler
from ipython1.kernel.controller.pending import PendingTable
from ipython1.kernel.controller.restart import EngineJournal
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.task_store import TaskStore
from ipython1.kernel.controller.tasks import TaskController
from ipython1.kernel.error import ControllerCreationError, FURLError
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.places import furl_name
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.store.values import Snapshot


class Interface(Protocol):
    """One way for clients to use the engines, reached by the FURL of its `role`.

    MultiEngine and Task are two; users write others (see `ipython1.kernel.controller.interface`).  It is made from `Engines` (the queues, to which it submits entries that it owns; the registry; the observers of
    engines that come and go) and `Shutdown`.
    """

    @property
    def role(self) -> str: ...

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A client that said `hello` opened a session; returns what takes its messages."""


InterfaceFactory = Callable[[Engines, Shutdown], Interface]

INTERFACES: Iterable[InterfaceFactory] = (MultiEngine, TaskController)
"""Those that a controller has unless it is told otherwise."""


def interfaces(config: ControllerConfig, store: Store | None = None) -> list[InterfaceFactory]:
    """`INTERFACES`, as the configuration wants them and with that store, and those that it names.

    Raises what `named_scheduler` and `NamedInterface` do.
    """
    held = HeldResults(PendingTable(config.kept_results, config.kept_results_size))
    ended = TaskStore(config.kept_task_results, config.kept_task_results_size)
    scheduler = named_scheduler(config.scheduler or USUAL)
    return [
        partial(MultiEngine, results=held, store=store),
        partial(TaskController, scheduler=scheduler, results=ended, store=store),
        *map(NamedInterface, config.interface_classes),
    ]


class ControllerService:
    """A controller, apart from the network; `stop` is called when a client has asked for its end.

    ControllerCreationError if the interfaces cannot be together.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        stop: Callable[[], None],
        interfaces: Iterable[InterfaceFactory] = INTERFACES,
        store: Store | None = None,
        grace: float = 60.0,
    ) -> None:
        self.engines = Engines(reactor)
        self._journal = EngineJournal(store or MemoryStore(), self.engines, reactor, grace)
        self.agents = Agents(self.engines)
        shutdown = Shutdown(self.engines, self.agents, reactor, stop)
        self.interfaces = _by_role(factory(self.engines, shutdown) for factory in interfaces)

    async def take_up(self, snapshot: Snapshot) -> None:
        """Go on from what an earlier controller has left; before anybody can come."""
        self._journal.start(list(snapshot.engines))
        for interface in self.interfaces.values():
            if isinstance(interface, TaskController):
                await interface.take_up(snapshot)

    def opened(self) -> None:
        """Agents and clients can come from now on."""
        self._journal.await_agents()
        self.agents.watch()

    @property
    def doors(self) -> dict[str, Any]:
        """What is to be published under each role: the interfaces of clients, and the door for agents."""
        return {"engine": self.agents, **self.interfaces}


def _by_role(interfaces: Iterable[Interface]) -> dict[str, Interface]:
    """The interfaces by their roles, each of which has a FURL file of its own."""
    roles = {furl_name("engine"): "engine"}
    found = {}
    for interface in interfaces:
        name = type(interface).__qualname__
        try:
            file = furl_name(interface.role)
        except (FURLError, TypeError) as problem:
            raise ControllerCreationError(f"the interface {name} has no role to be published under: {problem}") from None
        if file in roles:
            raise ControllerCreationError(
                f"the interface {name} has the role {interface.role!r}, whose FURL file {file} is that of the role"
                f" {roles[file]!r}: give it another one"
            )
        roles[file] = interface.role
        found[interface.role] = interface
    return found
