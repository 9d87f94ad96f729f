"""The MultiEngine interface: each command goes to all of its targets at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ipython1.kernel.controller.again import Again
from ipython1.kernel.controller.audit import Audit
from ipython1.kernel.controller.calls import Call, Claim, Sink, ToClient
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.command_journal import NOTHING, CommandJournal, Known
from ipython1.kernel.controller.debugged import Debugged
from ipython1.kernel.controller.engines import Engines, Held
from ipython1.kernel.controller.held import HeldResults
from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.streams import Passage, announce_memory
from ipython1.kernel.error import EngineLost, KernelError, ProtocolError, QueueCleared
from ipython1.kernel.framing import Message
from ipython1.kernel.messages import CommandId, is_command_id
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.runs import to_runs
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.store.values import StoredOutcome
from ipython1.kernel.verbs import VERBS, Route, verbs_of

RESULT_ID = 40
"""Characters of a result id."""
MAX_LISTED = 1_000
"""queue_status names so many of the commands that wait, and counts the others."""


class MultiEngine:
    """Carries out the commands of MultiEngine clients."""

    role = "multiengine"
    verbs = verbs_of(role)

    def __init__(
        self,
        engines: Engines,
        shutdown: Shutdown,
        results: HeldResults | None = None,
        store: Store | None = None,
    ) -> None:
        self._engines = engines
        store = MemoryStore() if store is None else store
        self._journal = CommandJournal(store)
        self._audit = Audit(store, self.role)
        self._again = Again(engines, self._journal, self._perform)
        engines.adopters.append(self._adopt)
        engines.observers.on_register_engine_do(self._hosts_changed, False)
        engines.observers.on_unregister_engine_do(self._hosts_changed, False)
        # The clients that know where the engines are.
        self._told: set[ClientSession] = set()
        self._shutdown = shutdown
        self.results = HeldResults() if results is None else results
        self.clients: dict[str, ClientSession] = {}
        self._debugged = Debugged()
        # The engines on which something failed that a client has sent again: what it had sent after that is dropped.
        self._failed: dict[ClientSession, dict[int, str]] = {}

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A client connected."""
        old = self.clients.get(hello["session"])
        if old is not None:
            old.link.close("the client has connected again")
        client = self.clients[hello["session"]] = ClientSession(self, hello, link)
        self._audit.seen(hello)
        return client

    def client_left(self, client: ClientSession) -> None:
        """See `clients.Commands`."""
        if self.clients.get(client.key) is client:
            del self.clients[client.key]
            self.results.client_left(client.key)
            self._engines.client_left(client.key)
            self._debugged.client_left(client.key)
        self._audit.seen(client.hello)
        self._again.client_left(client)
        self._told.discard(client)
        self._failed.pop(client, None)

    def _hosts_changed(self) -> None:
        told, self._told = self._told, set()
        for client in told:
            client.send(Message("hosts_changed"))

    def command(self, client: ClientSession, message: Message) -> None:
        """See `clients.Commands`."""
        route = VERBS[message.fields["verb"]].route
        hold = message.fields.get("hold")
        problem = None if hold is None else _hold_problem(hold, route)
        if problem is not None:
            client.send(Message("refused", {"id": message.fields["id"], "error": problem}))
            return
        call = self._call(client, message, hold)
        if call is None or (route in (Route.QUEUE, Route.AGENT) and self._again.takes(call, message)):
            return
        self._perform(call, message, NOTHING)

    def _perform(self, call: Call, message: Message, known: Known) -> None:
        """Carry out a sound command, of which that is known if it was sent again."""
        route = VERBS[call.verb].route
        try:
            if route is not Route.CONTROLLER:
                asked = message.fields.get("targets")
                before = known.targets(asked)
                call.targets = self._engines.registry.resolve(asked) if before is None else before
                if not call.targets:
                    call.whole()
                    return
                call.among = None if isinstance(asked, list) else to_runs(call.targets)
            if message.fields.get("again") and route is Route.QUEUE:
                self._queue_again(call, message, known)
            else:
                self._ROUTES[route](self, call, message)
        except KernelError as error:
            call.whole_failed(error)

    def _call(self, client: ClientSession, message: Message, hold: str | None) -> Call | None:
        """The call that the message makes; None if its outcome cannot be held, of which the client is told."""
        session, number = message.fields["id"]
        command: CommandId = (session, number)
        sink: Sink = ToClient(client, command)
        if hold is not None:
            to_client = Call(message, client, sink)
            try:
                sink = self.results.hold(hold, session)
            except KernelError as error:
                to_client.whole_failed(error)
                return None
            to_client.whole()
        if VERBS[message.fields["verb"]].route is Route.QUEUE:
            sink = self._journal.recorded(command, sink)
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
            self._submit(engine, entry)
        passage.watch(entries)

        if call.verb == "debug":
            for engine in call.targets:
                generation = self._engines.registry[engine].generation
                self._debugged.asked(engine, generation, call.client.key, call.client.who, call.args)

    def _submit(self, engine: int, entry: Entry) -> None:
        self._journal.submitted(engine, entry)
        self._engines.submit(engine, entry)

    def _queue_again(self, call: Call, message: Message, known: Known) -> None:
        """The call came to an earlier controller: what it came to is told, and what is missing is done."""
        failed = self._failed.setdefault(call.client, {})
        bodies: list[Any] = message.bodies
        for index, engine in enumerate(call.targets):
            outcome = known.outcomes.get(engine)
            entry = call.entry(index, bodies)
            orphan = self._again.orphan(call.id, engine)
            if outcome is not None and not outcome.ok:
                failed.setdefault(engine, call.label)
            if orphan is not None:
                orphan.claim(Claim(call, entry))
            elif outcome is not None:
                self._tell(call, entry, engine, outcome)
            elif engine not in self._engines.registry:
                text = f"engine {engine} was lost, and {call.label} with it: it has not come back to the controller"
                call.failed(entry, engine, EngineLost(text))
            elif engine in failed:
                text = f"{call.label} was dropped from the queue of engine {engine}: {failed[engine]} failed"
                call.failed(entry, engine, QueueCleared(text))
            else:
                announce_memory(self._engines[engine].agent.link, entry.memory, 1)
                self._submit(engine, entry)

    def _tell(self, call: Call, entry: Entry, engine: int, outcome: StoredOutcome) -> None:
        said = dict(outcome.fields)
        if said.pop("large"):
            text = f"{call.label} was carried out on engine {engine}, but its large outcome was lost with the engine"
            call.failed(entry, engine, EngineLost(text))
        else:
            call.told(entry.index, said, outcome.bodies)

    def _adopt(self, engine: int, held: Held) -> Entry | None:
        """An engine has a command of an earlier controller."""
        return self._again.adopt(held, engine) if held.verb in self.verbs else None

    def _ask_agents(self, call: Call, message: Message) -> None:
        only = call.args.get("only") if call.verb == "interrupt" else None
        if only is not None and not is_command_id(only):
            raise ProtocolError(f"{only!r:.80} is no command id")
        for index, engine in enumerate(call.targets):
            if only is not None:
                # First of all, and on the same way: what has not begun when this comes to the agent does not begin.
                self._engines.withdraw_command(engine, (only[0], only[1]), "its client does not wait for it any more")
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
        debugger = self._debugged.who(engine, self._engines.registry[engine].generation)
        if debugger is not None:
            status["debugger"] = f"{debugger} is in the debugger"
        away = self._engines.registry[engine].away
        if away is not None:
            reason, since = away
            status["away"] = f"for {self._engines.clock.seconds() - since:.0f} s: {reason}"
        return [engine, status]

    def _control(self, call: Call, message: Message) -> None:
        if call.verb == "get_ids":
            call.whole(self._engines.registry.ids())
        elif call.verb == "engine_hosts":
            self._told.add(call.client)
            call.whole(self._engines.hosts())
        elif call.verb == "get_pending":
            self.results.get_pending(call)
        elif call.verb == "command_history":
            self._audit.commands(call)
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
