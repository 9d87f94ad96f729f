"""The MultiEngine interface: each command goes to all of its targets at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ipython1.kernel.controller.calls import Call, ToClient
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.held import HeldResults
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.streams import Passage
from ipython1.kernel.error import KernelError
from ipython1.kernel.framing import Message
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.verbs import VERBS, Route, verbs_of

RESULT_ID = 40
"""Characters of a result id."""
MAX_LISTED = 1_000
"""queue_status names so many of the commands that wait, and counts the others."""


class MultiEngine:
    """Carries out the commands of MultiEngine clients."""

    role = "multiengine"
    verbs = verbs_of(role)

    def __init__(self, engines: Engines, shutdown: Shutdown, results: HeldResults | None = None) -> None:
        self._engines = engines
        self._shutdown = shutdown
        self.results = HeldResults() if results is None else results
        self.clients: dict[str, ClientSession] = {}

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A client connected."""
        old = self.clients.get(hello["session"])
        if old is not None:
            old.link.close("the client has connected again")
        client = self.clients[hello["session"]] = ClientSession(self, hello, link)
        return client

    def client_left(self, client: ClientSession) -> None:
        """See `clients.Commands`."""
        if self.clients.get(client.key) is client:
            del self.clients[client.key]
            self.results.client_left(client.key)
            self._engines.client_left(client.key)

    def command(self, client: ClientSession, message: Message) -> None:
        """See `clients.Commands`."""
        route = VERBS[message.fields["verb"]].route
        hold = message.fields.get("hold")
        problem = None if hold is None else _hold_problem(hold, route)
        if problem is not None:
            client.send(Message("refused", {"id": message.fields["id"], "error": problem}))
            return
        call = self._call(client, message, hold)
        if call is None:
            return
        try:
            if route is not Route.CONTROLLER:
                call.targets = self._engines.registry.resolve(message.fields.get("targets"))
                if not call.targets:
                    call.whole()
                    return
            self._ROUTES[route](self, call, message)
        except KernelError as error:
            call.whole_failed(error)

    def _call(self, client: ClientSession, message: Message, hold: str | None) -> Call | None:
        """The call that the message makes; None if its outcome cannot be held, of which the client is told."""
        session, number = message.fields["id"]
        command: CommandId = (session, number)
        to_client = Call(message, client, ToClient(client, command))
        if hold is None:
            return to_client
        try:
            sink = self.results.hold(hold, session)
        except KernelError as error:
            to_client.whole_failed(error)
            return None
        to_client.whole()
        return Call(message, client, sink)

    # The routes.

    def _queue(self, call: Call, message: Message) -> None:
        if call.verb == "reset":
            # As in IPython 0.10.2: what waits was meant for the namespace that is about to go.
            self._clear(call)
        passage = Passage(self._engines, call.client.link, message, call.targets)
        entries = [
            (engine, call.entry(index, passage.bodies(self._engines[engine].agent), passage.streams))
            for index, engine in enumerate(call.targets)
        ]
        for engine, entry in entries:
            self._engines.submit(engine, entry)
        passage.watch(entries)

    def _ask_agents(self, call: Call, message: Message) -> None:
        for index, engine in enumerate(call.targets):
            if call.verb == "kill":
                self._engines.kill(engine, call.entry(index), "the engine was killed")
            else:
                self._engines.ask(engine, call.entry(index))

    def _at_queues(self, call: Call, message: Message) -> None:
        if call.verb == "clear_queue":
            self._clear(call)
        for index, engine in enumerate(call.targets):
            call.done(index, self._status(engine) if call.verb == "queue_status" else None)

    def _clear(self, call: Call) -> None:
        for engine in dict.fromkeys(call.targets):
            self._engines.clear(engine, f"{call.verb}() was called")

    def _status(self, engine: int) -> list[Any]:
        queued, running = self._engines[engine].queue.status()
        if len(queued) > MAX_LISTED:
            queued[MAX_LISTED:] = [f"... and {len(queued) - MAX_LISTED} more"]
        status: dict[str, Any] = {"queue": queued, "pending": running or "None"}
        away = self._engines.registry[engine].away
        if away is not None:
            reason, since = away
            status["away"] = f"for {self._engines.clock.seconds() - since:.0f} s: {reason}"
        return [engine, status]

    def _control(self, call: Call, message: Message) -> None:
        if call.verb == "get_ids":
            call.whole(self._engines.registry.ids())
        elif call.verb == "get_pending":
            self.results.get_pending(call)
        elif call.verb == "clear_pending":
            self.results.clear_pending(call)
        else:
            self._shutdown.begin(call)

    _ROUTES: Mapping[Route, Callable[[MultiEngine, Call, Message], None]] = {
        Route.QUEUE: _queue,
        Route.AGENT: _ask_agents,
        Route.WAITING: _at_queues,
        Route.CONTROLLER: _control,
    }


def _hold_problem(hold: str, route: Route) -> str | None:
    if route is Route.CONTROLLER:
        return "the outcome of a verb of the controller cannot be held"
    return None if len(hold) == RESULT_ID else f"a result id has {RESULT_ID} characters, not {len(hold)}"
