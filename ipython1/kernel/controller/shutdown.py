"""The end of the controller at a client's wish: first the engines, then the answer, then the controller."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ipython1.kernel.controller.agents import Agents
from ipython1.kernel.controller.calls import Call
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.error import IPythonError
from ipython1.kernel.framing import Message
from ipython1.kernel.peer import Link

ENGINES_END = 10.0
"""Seconds after which engines that have not ended are left to their agents, which see the connection go."""
ANSWERS_ARRIVE = 2.0
"""Seconds after which a client that has not acknowledged its answer has had its chance."""
_LOOK = 0.05  # seconds between two looks at whether it has


class Shutdown:
    """Kills all engines, tells who asked for it, and calls `stop` when they are known to have heard."""

    log = Logger()

    def __init__(
        self, engines: Engines, agents: Agents, reactor: IReactorTime, stop: Callable[[], None]
    ) -> None:
        self._engines = engines
        self._agents = agents
        self._reactor = reactor
        self._stop = stop
        self._calls: list[Call] = []
        self._alive: set[int] = set()
        self._deadline: IDelayedCall | None = None
        self._answered = False

    def begin(self, call: Call) -> None:
        """`call` asks for the end; it is answered when all engines are gone."""
        self._calls.append(call)
        if self._answered:
            call.whole()
        elif len(self._calls) == 1:
            self._kill_engines(call)

    def _kill_engines(self, call: Call) -> None:
        self.log.info("a client asked for the end of all engines and of the controller")
        self._agents.refusal = "the controller is stopping"
        ids = self._engines.registry.ids()
        self._alive = set(ids)
        self._deadline = self._reactor.callLater(ENGINES_END, self._answer)
        for engine in ids:
            entry = Entry(call.id, call.id[0], "kill", {}, "kill()", owner=self)
            self._engines.kill(engine, entry, "all engines were killed")
        if not ids:
            self._answer()

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`."""
        self._gone(engine)

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`.  An engine that was lost otherwise is gone, too."""
        self._gone(engine)

    def _gone(self, engine: int) -> None:
        self._alive.discard(engine)
        if not self._alive and not self._answered:
            self._answer()

    def _answer(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._answered = True
        if self._alive:
            self.log.warn("these engines did not end in time: {ids}", ids=sorted(self._alive))
        for call in self._calls:
            call.whole()
        self._stop_when_heard(self._reactor.seconds() + ANSWERS_ARRIVE)

    def _stop_when_heard(self, latest: float) -> None:
        if self._reactor.seconds() >= latest or all(call.client.heard_all for call in self._calls):
            self._stop()
        else:
            self._reactor.callLater(_LOOK, self._stop_when_heard, latest)
