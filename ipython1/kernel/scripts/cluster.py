"""A controller and a host agent as children of this process, in the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.controller.config import READY
from ipython1.kernel.engine.service import is_registered_text
from ipython1.kernel.error import ControllerCreationError, EngineCreationError
from ipython1.kernel.places import FURL_FILES, Places
from ipython1.kernel.scripts.children import Child
from ipython1.kernel.scripts.running import complain


@dataclass(frozen=True)
class Settings:
    """What a local cluster consists of; `controller` are the options that ipcontroller gets."""

    num: int
    places: Places
    controller: Sequence[str]


class Cluster:
    """Starts a controller and then an agent with `num` engines; ends both when either ends, or on demand."""

    def __init__(self, reactor: Any, settings: Settings, say: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._settings = settings
        self._say = say
        self._children: list[Child] = []
        self._stopping = False
        self._ready = self._registered = False
        self._held_back: list[str] = []
        self._event: Deferred[None] | None = None

    async def run(self) -> int:
        """Until the end; the exit status."""
        engines = "1 engine" if self._settings.num == 1 else f"{self._settings.num} engines"
        self._say(f"Starting a controller and {engines} ...")
        try:
            controller = await self._start_controller()
            agent = self._start_agent()
            await self._until(lambda: self._registered or self._ended(agent, controller))
            self._check(controller, ControllerCreationError)
            self._check(agent, EngineCreationError)
            if not self._stopping:
                self._say(connect_text(self._settings))
                await self._until(lambda: self._ended(agent, controller))
            if agent.succeeded and controller.ended is None and not self._stopping:
                # A client has killed them; it may be about to end the controller as well, or to start others.
                self._say(
                    "ipcluster: all of its engines were killed; the controller goes on. Ctrl-C stops it."
                )
                await self._until(lambda: self._ended(controller))
            return self._verdict(controller, agent)
        finally:
            await self._end()

    def stop(self) -> None:
        """End the cluster: in order the first time, at once the second time."""
        if self._stopping:
            for child in self._children:
                child.kill()
            return
        self._stopping = True
        self._say("ipcluster: stopping")
        self._woken()

    async def _start_controller(self) -> Child:
        # An old FURL file may lead to another controller: the agent is started when the new one is there.
        controller = self._start("ipcontroller", *self._settings.controller)
        await self._until(lambda: self._ready or self._ended(controller))
        if not self._ready:
            for line in self._held_back:
                self._say(line)
        self._check(controller, ControllerCreationError)
        return controller

    def _start_agent(self) -> Child:
        return self._start("ipengine", "-n", str(self._settings.num))

    def _start(self, *arguments: str) -> Child:
        command = [*arguments, *self._settings.places.options()]
        child = Child(self._reactor, command, self._show)
        child.when_ended().addCallback(lambda _: self._woken())
        self._children.append(child)
        return child

    def _show(self, line: str) -> None:
        if self._ready:
            self._say(line)
        else:
            # What a controller says when it starts is for those who start the rest by hand.
            self._held_back.append(line)
        self._ready = self._ready or line == READY
        self._registered = self._registered or is_registered_text(line)
        self._woken()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds, or the cluster is to be stopped."""
        while not condition() and not self._stopping:
            self._event = Deferred()
            await self._event

    def _woken(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.callback(None)

    def _ended(self, *children: Child) -> bool:
        return any(child.ended is not None for child in children)

    def _check(self, child: Child, kind: type[Exception]) -> None:
        if child.ended is not None and not self._stopping:
            raise kind(f"{child.name} did not come up ({child.ended}): see above what it says")

    def _verdict(self, controller: Child, agent: Child) -> int:
        if self._stopping:
            return 0
        if controller.succeeded and (agent.ended is None or agent.succeeded):
            self._say("ipcluster: the controller was stopped, and so is the cluster")
            return 0
        for child in (controller, agent):
            if child.ended is not None and not child.succeeded:
                complain("ipcluster", f"{child.name} has ended ({child.ended}), and so does the cluster")
        return 1

    async def _end(self) -> None:
        self._stopping = True
        # The agent first: its engines leave the controller in an orderly way.
        for child in reversed(self._children):
            await child.stop()


def connect_text(settings: Settings) -> str:
    """How to connect to a cluster that is ready."""
    file = settings.places.security_dir / FURL_FILES["multiengine"]
    arguments = settings.places.client_arguments("multiengine")
    engines = "1 engine" if settings.num == 1 else f"{settings.num} engines"
    return (
        f"\nThe cluster is ready, with {engines}. To use it, in IPython or Python on this host:\n\n"
        "    from ipython1.kernel import client\n"
        f"    mec = client.MultiEngineClient({arguments})\n\n"
        f"On other hosts, with a copy of {file}.\n"
        "Ctrl-C stops the cluster.\n"
    )
