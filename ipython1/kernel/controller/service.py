"""The controller: engines, and the interfaces through which clients use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from ipython1.kernel.controller.agents import Agents
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.multiengine import MultiEngine
from ipython1.kernel.controller.named import USUAL, named_scheduler
from ipython1.kernel.controller.shutdown import Shutdown
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


def interfaces(scheduler: str) -> list[InterfaceFactory]:
    """`INTERFACES`, with the scheduler of that dotted name for tasks ('' for the usual one).

    Raises what `named_scheduler` does.
    """
    return [MultiEngine, partial(TaskController, scheduler=named_scheduler(scheduler or USUAL))]


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
