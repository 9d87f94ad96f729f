"""The Task interface: the engines as a pool of workers, among which tasks are spread by load."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.arrivals import Arrivals
from ipython1.kernel.controller.audit import Audit
from ipython1.kernel.controller.calls import Call, ToClient
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.engines import Engines, Held
from ipython1.kernel.controller.explain import why
from ipython1.kernel.controller.queue import Entry, NoOwner
from ipython1.kernel.controller.registry import EngineState
from ipython1.kernel.controller.resubmit import Content, content_of
from ipython1.kernel.controller.scheduler import FIFOScheduler, Scheduler
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.task_entries import DependEntry, TaskEntry, attempt_id, attempt_of
from ipython1.kernel.controller.task_functions import TaskFunctions
from ipython1.kernel.controller.task_journal import TaskJournal, task_result
from ipython1.kernel.controller.task_live import LiveTask
from ipython1.kernel.controller.task_spec import dependencies, shared_function, submission
from ipython1.kernel.controller.task_store import TaskResult, TaskStore
from ipython1.kernel.controller.task_values import (
    NO_PROGRESS,
    AskDepend,
    Finish,
    Instruction,
    Measure,
    Outcome,
    Progress,
    Send,
    State,
    Stop,
    StopDepend,
    TakeBack,
    TaskSpec,
)
from ipython1.kernel.error import KernelError, ProtocolError, TaskQueueFull
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message
from ipython1.kernel.hello import new_id
from ipython1.kernel.messages import CommandId
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.verbs import verbs_of

MAX_LEASE = 100_000
"""So many ids are given out at once."""
MAX_TASKS = 1_000_000
"""So many tasks that have not ended are taken."""
MAX_BYTES = 4 << 30
"""What they are to be run with has so many bytes together."""
MAX_BACKLOG = 256 << 20
"""While so many bytes wait to be stored, no more tasks are taken."""

_SIGNALS = {Measure.TERMINATE: signal.SIGTERM, Measure.KILL: signal.SIGKILL}
_IN_ORDER = ("keep_function", "submit", "resubmit")
_UNCONCERNED = (
    "lease_tasks",
    "keep_function",
    "task_history",
    "wait_tasks",
    "task_status",
    "count_engines",
    "spin",
)
_STATES = {
    State.BLOCKED: "scheduled",
    State.WAITING: "scheduled",
    State.SENT: "scheduled",
    State.RUNNING: "pending",
}


class TaskController:
    """Carries out the commands of task clients, and the instructions of the scheduler."""

    role = "task"
    verbs = verbs_of(role)
    log = Logger()

    def __init__(
        self,
        engines: Engines,
        shutdown: Shutdown,
        scheduler: Callable[[], Scheduler] = FIFOScheduler,
        results: TaskStore | None = None,
        store: Store | None = None,
    ) -> None:
        store = MemoryStore() if store is None else store
        self.journal = TaskJournal(store)
        self._audit = Audit(store, self.role)
        self.scheduler = scheduler()
        self.results = TaskStore() if results is None else results
        self.clients: dict[str, ClientSession] = {}
        self._arrivals: dict[ClientSession, Arrivals] = {}
        self._functions = TaskFunctions()
        self._engines = engines
        self._clock = engines.clock
        self._incarnation = new_id()[:16]
        self._next_id = 0
        self._asked = 0
        # The commands by which engines are asked for depend functions.
        self._asks: dict[tuple[int, str], CommandId] = {}
        self._live: dict[int, LiveTask] = {}
        # Those that came, and are not stored yet.
        self._storing: dict[int, LiveTask] = {}
        # Attempts that do not leave before their assignment is stored.
        self._departing: set[tuple[int, int]] = set()
        self._bytes = 0
        self.max_tasks = MAX_TASKS
        self.max_bytes = MAX_BYTES
        self._entries: dict[tuple[int, int], Entry] = {}
        self._waiting: dict[int, list[Callable[[], None]]] = {}
        self._takers: dict[int, list[int]] = {}
        self._instructions: deque[tuple[Instruction, Message | None]] = deque()
        self._busy = False
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        engines.adopters.append(self._adopt)
        observers = engines.observers
        observers.on_register_engine_do(self._joined, True)
        observers.on_unregister_engine_do(self._left, True)
        observers.on_change_engine_do(self._changed, True)

    # Clients.

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A client connected."""
        old = self.clients.get(hello["session"])
        if old is not None:
            old.link.close("the client has connected again")
        client = self.clients[hello["session"]] = ClientSession(self, hello, link)
        self._audit.seen(hello)
        self._arrivals[client] = Arrivals(self._perform)
        return client

    def client_left(self, client: ClientSession) -> None:
        """See `clients.Commands`.  Its tasks go on."""
        if self.clients.get(client.key) is client:
            del self.clients[client.key]
        self._audit.seen(client.hello)
        self._arrivals.pop(client, None)
        self._functions.client_left(client)

    def command(self, client: ClientSession, message: Message) -> None:
        """See `clients.Commands`."""
        session, number = message.fields["id"]
        call = Call(message, client, ToClient(client, (session, number)))
        if call.verb in _IN_ORDER:
            self._arrivals[client].came(call, message)
        else:
            self._perform(call, message)

    def _perform(self, call: Call, message: Message, recalled: bool = False) -> Deferred[None] | None:
        """Carry out a command; fires when what came after it may be carried out, if that is not now."""
        forgotten = [] if recalled else self._forgotten(call, message)
        if forgotten:
            recalling = DeferredList([self.journal.result(task) for task in forgotten], consumeErrors=True)
            return recalling.addCallback(self._recalled, forgotten, call, message)
        try:
            self._VERBS[call.verb](self, call, message)
        except (KernelError, LookupError) as error:
            call.whole_failed(error)
        return None

    def _forgotten(self, call: Call, message: Message) -> list[int]:
        """The tasks that a command is about and that have ended, as far as only the store knows what they came to."""
        if not self.journal.keeps or call.verb in _UNCONCERNED:
            return []
        named = [*(call.args.get("tasks") or ())] if call.verb != "submit" else dependencies(call.args)
        if "task" in call.args and (call.verb not in ("submit", "resubmit") or message.fields.get("again")):
            named.append(call.args["task"])
        return [task for task in dict.fromkeys(named) if type(task) is int and self._is_forgotten(task)]

    def _is_forgotten(self, task: int) -> bool:
        if not 0 <= task < self._next_id or task in self._live or task in self._storing:
            return False
        return self.results.get(task) is None

    def _recalled(
        self, found: list[tuple[bool, Any]], tasks: Sequence[int], call: Call, message: Message
    ) -> None:
        for task, (succeeded, outcome) in zip(tasks, found, strict=True):
            if not succeeded:
                call.whole_failed(outcome.value)
                return
            if outcome is not None:
                self.remember(task, task_result(outcome), Outcome(outcome.outcome))
        self._perform(call, message, recalled=True)

    def remember(self, task: int, result: TaskResult, outcome: Outcome) -> None:
        """A task that has ended before came to that."""
        if task not in self.scheduler.tasks:
            self.scheduler.ended_before(task, result.label, outcome, result.record["engine"])
        self._forget(self.results.add(task, result))

    # Verbs.

    def _lease(self, call: Call, message: Message) -> None:
        count = call.args["count"]
        if not 0 < count <= MAX_LEASE:
            raise ProtocolError(f"ids are leased 1 to {MAX_LEASE} at a time, not {count}")
        first = self._next_id
        self._next_id += count
        self.journal.leased(self._next_id).addCallback(lambda _: call.whole([first, count]))

    def _submit(self, call: Call, message: Message) -> None:
        if not self._came_before(call, message):
            bodies: list[Any] = message.bodies
            headers, label = message.fields["values"], message.fields["label"]
            functions = self._functions.of(call.client)
            self._accept(call, Content(call.args, headers, bodies, label, functions))

    def _came_before(self, call: Call, message: Message) -> bool:
        """Whether this submission was answered before; then it is again."""
        task = call.args["task"]
        if not 0 <= task < self._next_id:
            raise IndexError(f"{task} is not an id that was leased for a task")
        if task in self._storing:
            self.journal.settled().addCallback(lambda _: self._perform(call, message))
        elif task in self.scheduler.tasks:
            # Its confirmation was lost.
            call.whole()
            self._tell_done(call.client, task)
        else:
            return False
        return True

    def _resubmit(self, call: Call, message: Message) -> None:
        self._audit.check_keeps()
        if not self._came_before(call, message):
            accepted = Deferred.fromCoroutine(self._accept_again(call))
            accepted.addErrback(self._audit.failed, call)

    async def _accept_again(self, call: Call) -> None:
        content = await content_of(self.journal, call.args["of"], call.args["task"])
        if content is None:
            raise self._unknown(call.args["of"], "so it cannot be submitted again")
        for other in dependencies(content.args):
            if self._is_forgotten(other):
                outcome = await self.journal.result(other)
                if outcome is not None:
                    self.remember(other, task_result(outcome), Outcome(outcome.outcome))
        self._accept(call, content)

    def _accept(self, call: Call, content: Content) -> None:
        """A task came: it is taken as soon as it is stored."""
        headers, bodies, label = content.headers, content.bodies, content.label
        submitted = submission(content.args, headers, bodies, label, content.functions)
        task = submitted.spec.id
        self._check_dependencies(submitted.spec)
        size = sum(map(len, bodies))
        live = LiveTask(call.client.key, submitted.spec.label, lambda: submitted.work, size, time.time())
        self._check_room(task, live)
        self._storing[task] = live
        self._bytes += live.size
        document = {"args": content.args, "values": headers, "label": label}
        stored = self.journal.submitted(task, live, call.client.name, document, bodies)
        stored.addCallbacks(
            self._stored,
            self._not_stored,
            callbackArgs=(call, submitted.spec, live),
            errbackArgs=(call, task, live),
        )

    def _history(self, call: Call, message: Message) -> None:
        self._audit.tasks(call)

    def _stored(self, _: None, call: Call, spec: TaskSpec, live: LiveTask) -> None:
        """A task that came is stored: it is taken."""
        task = spec.id
        del self._storing[task]
        try:
            # One that was being stored, too, may have been refused.
            self._check_dependencies(spec)
        except LookupError as problem:
            self._bytes -= live.size
            self.journal.cleared([task])
            call.whole_failed(problem)
            return
        call.whole()
        self._do(self.take(spec, live))

    def _not_stored(self, failure: Failure, call: Call, task: int, live: LiveTask) -> None:
        del self._storing[task]
        self._bytes -= live.size
        problem = failure.value
        if not isinstance(problem, KernelError):
            self.log.failure("while storing a task", failure)
            problem = KernelError(f"task {task} was not taken: it could not be stored")
        call.whole_failed(problem)

    def take(self, spec: TaskSpec, live: LiveTask, progress: Progress = NO_PROGRESS) -> list[Instruction]:
        """A task is here, for good; what the scheduler makes of it."""
        task = spec.id
        self._live[task] = live
        for other in spec.needs:
            result = self.results.get(other)
            if result is None:
                self._takers.setdefault(other, []).append(task)
            else:
                live.inputs[other] = result
        return self.scheduler.submitted(spec, self._now(), progress)

    def _check_dependencies(self, spec: TaskSpec) -> None:
        for other in spec.dependencies:
            if other not in self._storing:
                does = "take its result" if other in spec.needs else "come after it"
                self._check_known(other, f"task {spec.id} cannot {does}")

    def _check_room(self, task: int, live: LiveTask) -> None:
        count = len(self._live) + len(self._storing)
        if self.journal.backlog > MAX_BACKLOG:
            raise TaskQueueFull(
                f"task {task} ({live.label}) was not taken: {self.journal.backlog >> 20} MB wait to be stored, as the"
                " disk of the controller is slow; wait for some tasks, or submit them by imap"
            )
        if count < self.max_tasks and (not count or self._bytes + live.size <= self.max_bytes):
            return
        raise TaskQueueFull(
            f"task {task} ({live.label}) was not taken: {count} tasks with {self._bytes >> 20} MB have not"
            f" ended, and no more than {self.max_tasks} with {self.max_bytes >> 20} MB may be there; wait for some"
            " of them, or submit them by imap"
        )

    def _keep_function(self, call: Call, message: Message) -> None:
        bodies: list[Any] = message.bodies
        function = shared_function(call.args["digest"], message.fields["values"], bodies)
        if not call.client.lost:
            self._functions.keep(call.client, function, call.args["drop"])
        call.whole()

    def _task_result(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        self._check_known(task)
        if self.scheduler.tasks[task].outcome is not None:
            self._tell(call, task)
        elif call.args["block"]:
            self._when_ended(task, lambda: self._tell(call, task))
        else:
            call.whole()

    def _tell(self, call: Call, task: int) -> None:
        result = self.results.get(task)
        if result is None:
            call.whole_failed(self._unknown(task))
            return
        place = {"index": None, "of": 0, "result": result.record}

        def tell(_: None) -> None:
            call.repeat({**place, **result.fields}, result.bodies)

        # What was told once must not be otherwise after a restart.
        self.journal.settled().addCallback(tell)

    def _wait(self, call: Call, message: Message) -> None:
        missing = {task for task in call.args["tasks"] if type(task) is int and task in self._live}
        if not missing:
            call.whole()

        def ended(task: int) -> None:
            missing.discard(task)
            if not missing:
                call.whole()

        for task in list(missing):
            self._when_ended(task, partial(ended, task))

    def _when_ended(self, task: int, function: Callable[[], None]) -> None:
        self._waiting.setdefault(task, []).append(function)

    def _watch(self, call: Call, message: Message) -> None:
        asked = dict.fromkeys(task for task in call.args["tasks"] if type(task) is int)
        for task in asked:
            live = self._live.get(task)
            if live is None:
                self._tell_done(call.client, task)
            elif live.client != call.client.key:
                self._when_ended(task, partial(self._tell_done, call.client, task))
        call.whole([task for task in asked if task not in self.scheduler.tasks])

    def _tell_done(self, client: ClientSession, task: int) -> None:
        """Tell a client that a task has ended, if it has, and what it came to."""
        result = self.results.get(task)
        if result is None:
            return
        fields = {"task": task, "record": result.record, **result.fields}

        def tell(_: None) -> None:
            client.send(Message("task_done", fields, list(result.bodies)))

        # What was told once must not be otherwise after a restart.
        self.journal.settled().addCallback(tell)

    def _abort(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        self._check_known(task)
        outcome = self.scheduler.tasks[task].outcome
        if outcome is Outcome.ABORTED and message.fields.get("again"):
            call.whole()
            return
        if outcome is not None:
            aborted = outcome is Outcome.ABORTED
            raise IndexError(f"task {task} {'was aborted already' if aborted else 'has completed already'}")
        call.whole()
        self._do(self.scheduler.aborted(task, self._now()))

    def _status(self, call: Call, message: Message) -> None:
        if not call.args["verbose"]:
            counts = self.scheduler.status()
            counts["scheduled"] += len(self._storing)
            call.whole(counts)
            return
        listed: dict[str, list[int]] = {name: [] for name in self.scheduler.status()}
        for number, task in self.scheduler.tasks.items():
            ended = "succeeded" if task.outcome is Outcome.SUCCEEDED else "failed"
            listed[_STATES.get(task.state, ended)].append(number)
        listed["scheduled"] += self._storing
        call.whole(listed)

    def _count_engines(self, call: Call, message: Message) -> None:
        call.whole(len(self.scheduler.workers))

    def _spin(self, call: Call, message: Message) -> None:
        instructions = self.scheduler.tick(self._now(), self._occupied())
        self._do(instructions)
        call.whole(any(isinstance(instruction, Send) for instruction in instructions))

    def _clear(self, call: Call, message: Message) -> None:
        given = call.args.get("tasks")
        asked = self.results.ids() if given is None else list(dict.fromkeys(given))
        known = [task for task in asked if type(task) is int and task in self.results]
        self._forget(known)
        self.journal.cleared(known)
        unknown = [task for task in asked if task not in known] if len(known) < len(asked) else []
        # What is asked again may have been cleared by the first asking.
        if unknown and not message.fields.get("again"):
            raise KeyError(f"no task of that id has ended: {', '.join(map(repr, unknown[:20]))}")
        call.whole(len(known))

    def _why(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        self._check_known(task)
        call.whole(why(self.scheduler, self.scheduler.tasks[task], self._now()))

    _VERBS: Mapping[str, Callable[[TaskController, Call, Message], None]] = {
        "lease_tasks": _lease,
        "keep_function": _keep_function,
        "submit": _submit,
        "task_result": _task_result,
        "wait_tasks": _wait,
        "watch_tasks": _watch,
        "abort_task": _abort,
        "resubmit": _resubmit,
        "task_history": _history,
        "task_status": _status,
        "count_engines": _count_engines,
        "spin": _spin,
        "clear_tasks": _clear,
        "why": _why,
    }

    def _check_known(self, task: int, problem: str = "") -> None:
        if task not in self.scheduler.tasks:
            raise self._unknown(task, problem)

    def _unknown(self, task: int, problem: str = "") -> IndexError:
        why = (
            "its result was cleared, or it was not submitted"
            if 0 <= task < self._next_id
            else "no task has that id"
        )
        return IndexError(f"task {task} is unknown: {why}{'; ' if problem else ''}{problem}")

    def _forget(self, tasks: Sequence[int]) -> None:
        self.scheduler.cleared(tasks)
        for task in tasks:
            self.results.remove(task)

    # After a restart.

    def continue_from(self, next_id: int, ended: Iterable[tuple[int, str]]) -> None:
        """Ids below this one were given out, and these tasks have ended so."""
        self._next_id = next_id
        for task, outcome in ended:
            self.scheduler.ended_before(task, "a task of earlier", Outcome(outcome))
            self._forget(self.results.add(task, None))

    def take_again(self, spec: TaskSpec, live: LiveTask, progress: Progress) -> None:
        """A task that had not ended, and how far it had come."""
        self._bytes += live.size
        self._do(self.take(spec, live, progress))

    def sent_before(self, task: int, attempt: int, engine: int) -> None:
        """A task that waits was sent to an engine as that attempt; if the engine is not awaited, it was lost."""
        self.scheduler.sent_before(task, attempt, engine, self._now())
        if self._engines.is_awaited(engine):
            self._engines.sent_before(engine, self._task_entry(task, attempt, {}))
        else:
            reason = "it was gone when the controller was started again"
            self.attempt_ended(task, attempt, "lost", None, reason)

    def _adopt(self, engine: int, held: Held) -> Entry | None:
        """An engine has an attempt whose assignment was not stored: it counts, if the task is not elsewhere."""
        task, attempt = attempt_of(self.journal.origin, held.id)
        known = self.scheduler.tasks.get(task)
        if known is None or known.state is not State.WAITING or attempt != known.attempts + 1:
            return None
        live = self._live[task]
        live.step, live.attempts = known.step, attempt
        self.scheduler.sent_before(task, attempt, engine, self._now())
        self.journal.assigned(Send(task, known.step, attempt, engine))
        return self._task_entry(task, attempt, {})

    # Engines.

    def _joined(self, engine: int) -> None:
        properties = self._engines.registry[engine].properties
        self._do(self.scheduler.engine_joined(engine, properties, self._now()))

    def _left(self, engine: int) -> None:
        self._functions.interpreter_ended(engine)
        self._do(self.scheduler.engine_left(engine, self._now()))

    def _changed(self, engine: int) -> None:
        record = self._engines.registry[engine]
        if record.state is not EngineState.READY:
            self._functions.interpreter_ended(engine)
        if not record.takes_work:
            self._do(self.scheduler.engine_paused(engine, self._now()))
        elif not self.scheduler.workers[engine].ready:
            self._do(self.scheduler.engine_came_back(engine, self._now()))
        self._do(self.scheduler.properties_changed(engine, record.properties, self._now()))

    def attempt_began(self, task: int, attempt: int) -> None:
        """See `task_entries.Fate`."""
        live = self._live.get(task)
        if live is not None:
            live.started = time.time()
            function, engine = live.work[live.step].function, self.scheduler.tasks[task].engine
            if function is not None and engine is not None:
                self._functions.arrived(engine, function)
        self._do(self.scheduler.started(task, attempt, self._now()))

    def attempt_ended(self, task: int, attempt: int, how: str, reply: Message | None, reason: str) -> None:
        """See `task_entries.Fate`."""
        live = self._live.get(task)
        if how == "missed" and live is not None and reply is not None:
            function = live.work[live.step].function
            if function is not None:
                self._functions.missed(reply.fields["engine"], function)
        entry = self._entries.pop((task, attempt), None)
        if entry is not None and reply is not None and not reply.fields["ok"]:
            self._engines.forget(reply.fields["engine"], entry.client)
        if how == "lost":
            instructions = self.scheduler.lost(task, attempt, reason, self._now())
        else:
            event: Callable[[int, int, float], list[Instruction]] = getattr(self.scheduler, how)
            instructions = event(task, attempt, self._now())
        known = self.scheduler.tasks.get(task)
        if known is not None and known.outcome is None:
            # Before it is sent again, which may be among the instructions.
            self.journal.waits(task, self.scheduler.progress(task))
        self._do(instructions, reply)

    # Instructions.

    def _now(self) -> float:
        return self._clock.seconds()

    def _do(self, instructions: list[Instruction], reply: Message | None = None) -> None:
        """Carry out what the scheduler said; `reply` is what came to make it say so.

        What follows from one instruction is carried out after those that were said before.
        """
        self._instructions.extend((instruction, reply) for instruction in instructions)
        if self._busy:
            return
        self._busy = True
        try:
            while self._instructions:
                instruction, came = self._instructions.popleft()
                if isinstance(instruction, Finish):
                    self._finish(instruction, came)
                else:
                    self._instruct(instruction)
        finally:
            self._busy = False
        self._set_timer()

    def _instruct(self, instruction: Send | TakeBack | AskDepend | Stop | StopDepend) -> None:
        if isinstance(instruction, Send):
            self._send(instruction)
        elif isinstance(instruction, TakeBack):
            attempt = instruction.task, instruction.attempt
            entry = self._entries.get(attempt)
            if attempt in self._departing:
                # It is back when it would have left: who sends it again at once might go on doing so for ever.
                self._departing.remove(attempt)
            elif entry is not None:
                self._engines.withdraw(instruction.engine, entry, "it is to run elsewhere, or not at all")
        elif isinstance(instruction, AskDepend):
            self._ask(instruction)
        elif isinstance(instruction, Stop):
            command = attempt_id(self.journal.origin, instruction.task, instruction.attempt)
            self._stop(instruction.measure, instruction.engine, command, f"task {instruction.task}")
        else:
            asked = self._asks.get((instruction.engine, instruction.depend))
            if asked is not None:
                self._stop(instruction.measure, instruction.engine, asked, "a depend function")

    def _send(self, send: Send) -> None:
        live = self._live[send.task]
        live.step, live.attempts = send.step, send.attempt
        function = live.work[send.step].function
        with_function = function is not None and not self._functions.has(send.engine, function)
        args, headers, bodies = live.values(send.step, with_function)
        entry = self._task_entry(send.task, send.attempt, args, headers, bodies)
        self.journal.assigned(send)
        if self.scheduler.tasks[send.task].spec.steps[send.step].retries:
            self._leave(send, entry)
            return
        # It must not run again elsewhere, also not after a restart that does not know of this.
        self._departing.add((send.task, send.attempt))
        self.journal.settled().addCallback(lambda _: self._depart(send, entry))

    def _depart(self, send: Send, entry: Entry) -> None:
        if (send.task, send.attempt) in self._departing:
            self._departing.remove((send.task, send.attempt))
            self._leave(send, entry)
        else:
            self.attempt_ended(send.task, send.attempt, "returned", None, "")

    def _leave(self, send: Send, entry: Entry) -> None:
        if send.engine in self._engines.registry:
            self._engines.submit(send.engine, entry)
        else:
            self.attempt_ended(send.task, send.attempt, "returned", None, "")

    def _task_entry(
        self,
        task: int,
        attempt: int,
        args: dict[str, Any],
        headers: list[Any] | None = None,
        bodies: Sequence[Bytes] = (),
    ) -> Entry:
        """The queue entry of an attempt."""
        live = self._live[task]
        owner = TaskEntry(self, task, attempt)
        command = attempt_id(self.journal.origin, task, attempt)
        entry = self._entries[task, attempt] = Entry(
            command,
            command[0],
            "task",
            args,
            f"task {task}: {live.label}",
            owner,
            values=headers,
            bodies=list(bodies),
            began=owner.began,
        )
        return entry

    def _ask(self, ask: AskDepend) -> None:
        live = self._live.get(ask.task)
        self._asked += 1
        engine, depend = ask.engine, ask.depend

        def began() -> None:
            owner.began()
            self._do(self.scheduler.depend_began(engine, depend, self._now()))

        def answered(fit: bool, text: str, fatal: bool) -> None:
            self._asks.pop((engine, depend), None)
            self._engines.forget(engine, command[0])
            self._do(self.scheduler.depend_answered(engine, depend, fit, text, self._now(), fatal))

        def unanswered() -> None:
            self._asks.pop((engine, depend), None)
            self._do(self.scheduler.depend_unanswered(engine, depend, self._now()))

        command = (f"{self._incarnation}:depend:{self._asked}", 1)
        function = None if live is None else live.work[ask.step].depend
        if function is None or engine not in self._engines.registry:
            unanswered()
            return
        owner = DependEntry(answered, unanswered)
        self._asks[engine, depend] = command
        entry = Entry(
            command,
            command[0],
            "depend",
            {},
            f"depend of task {ask.task}",
            owner,
            values=function.headers,
            bodies=list(function.bodies),
            began=began,
        )
        self._engines.submit(engine, entry)

    def _stop(self, measure: Measure, engine: int, command: CommandId, what: str) -> None:
        if engine not in self._engines.registry:
            return
        args: dict[str, Any] = {"only": list(command)}
        verb = "interrupt"
        if measure is not Measure.INTERRUPT:
            verb = "signal"
            args["signal"] = int(_SIGNALS[measure])
        self.log.info("{verb} for {what}", verb=measure.value, what=what)
        self._asked += 1
        session = f"{self._incarnation}:stop:{self._asked}"
        entry = Entry((session, 1), session, verb, args, f"{verb} of {what}", NoOwner())
        self._engines.ask(engine, entry)

    def _finish(self, finish: Finish, reply: Message | None) -> None:
        live = self._live.pop(finish.task)
        self._bytes -= live.size
        args = live.work[live.step].args
        record = {
            "task": finish.task,
            "engine": finish.engine,
            "submitted": live.submitted,
            "started": live.started,
            "completed": time.time(),
            "attempts": live.attempts,
            "kind": args["kind"],
            "pull": args["pull"],
            "label": live.label,
        }
        fields: dict[str, Any] = {"ok": False}
        bodies: Sequence[Bytes] = []
        if finish.error is not None:
            bodies = failure_bodies(finish.error)
        else:
            assert reply is not None
            fields = {name: reply.fields[name] for name in ("ok", "values", "number") if name in reply.fields}
            bodies = reply.bodies  # type: ignore[assignment] # the streams have been collected
        result = TaskResult(record, fields, bodies)
        for taker in self._takers.pop(finish.task, ()):
            if taker in self._live:
                self._live[taker].inputs[finish.task] = result
        self.journal.ended(finish.task, finish.outcome, result)
        self._forget(self.results.add(finish.task, result))
        client = self.clients.get(live.client)
        if client is not None:
            self._tell_done(client, finish.task)
        for function in self._waiting.pop(finish.task, ()):
            function()

    # Time.

    def _set_timer(self) -> None:
        at = self.scheduler.next_tick
        running = self._timer is not None and self._timer.active()
        if at is None or (running and self._timer_at <= at):
            return
        if running and self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.callLater(max(0.0, at - self._now()), self._tick)

    def _tick(self) -> None:
        self._do(self.scheduler.tick(self._now(), self._occupied()))

    def _occupied(self) -> set[int]:
        """The engines that do something else, too."""
        return {engine for engine in self.scheduler.workers if self._engines[engine].queue.has_commands}
