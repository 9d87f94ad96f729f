"""The Task interface: the engines as a pool of workers, among which tasks are spread by load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.arrivals import Arrivals
from ipython1.kernel.controller.audit import Audit
from ipython1.kernel.controller.calls import Call, ToClient
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.explain import why
from ipython1.kernel.controller.resubmit import Content, content_of
from ipython1.kernel.controller.scheduler import FIFOScheduler, Scheduler
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.task_course import TaskCourse
from ipython1.kernel.controller.task_journal import TaskJournal, task_result
from ipython1.kernel.controller.task_live import LiveTask
from ipython1.kernel.controller.task_restore import Restore
from ipython1.kernel.controller.task_spec import dependencies, shared_function, submission
from ipython1.kernel.controller.task_store import TaskStore
from ipython1.kernel.controller.task_values import (
    Outcome,
    Send,
    State,
    TaskSpec,
)
from ipython1.kernel.error import KernelError, ProtocolError, TaskQueueFull
from ipython1.kernel.framing import Message
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.store.values import Snapshot
from ipython1.kernel.verbs import verbs_of

MAX_LEASE = 100_000
"""So many ids are given out at once."""
MAX_TASKS = 1_000_000
"""So many tasks that have not ended are taken."""
MAX_BYTES = 4 << 30
"""What they are to be run with has so many bytes together."""
MAX_BACKLOG = 256 << 20
"""While so many bytes wait to be stored, no more tasks are taken."""

_IN_ORDER = ("keep_function", "submit", "resubmit")
_UNCONCERNED = (
    "lease_tasks",
    "keep_function",
    "task_history",
    "task_output",
    "task_printed",
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
    """Carries out the commands of task clients; `course` has the tasks that were taken."""

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
        results = TaskStore() if results is None else results
        self.course = TaskCourse(engines, scheduler(), results, self.journal, self._ended)
        self.clients: dict[str, ClientSession] = {}
        self._arrivals: dict[ClientSession, Arrivals] = {}
        self._next_id = 0
        # Those that came, and are not stored yet.
        self._storing: dict[int, LiveTask] = {}
        self._bytes = 0  # of these
        self.max_tasks = MAX_TASKS
        self.max_bytes = MAX_BYTES

    @property
    def scheduler(self) -> Scheduler:
        """What decides on the order of tasks."""
        return self.course.scheduler

    @property
    def results(self) -> TaskStore:
        """What tasks came to, as far as that is in memory."""
        return self.course.results

    async def take_up(self, snapshot: Snapshot) -> None:
        """Go on from what an earlier controller has stored."""
        self._next_id = snapshot.next_id
        await Restore(self.course, snapshot).run()

    # Clients.

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A client connected."""
        old = self.clients.get(hello["session"])
        if old is not None:
            old.link.close("the client has connected again")
        client = self.clients[hello["session"]] = ClientSession(self, hello, link)
        self._audit.seen(hello)
        self._arrivals[client] = Arrivals(self._perform, "the task")
        return client

    def client_left(self, client: ClientSession) -> None:
        """See `clients.Commands`.  Its tasks go on."""
        if self.clients.get(client.key) is client:
            del self.clients[client.key]
        self._audit.seen(client.hello)
        self._arrivals.pop(client, None)
        self.course.functions.client_left(client)

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
        named = [] if recalled else self._named(call, message)
        if call.verb not in _IN_ORDER and any(task in self._storing for task in named):
            # Another client may ask for what was submitted just now.
            return self.journal.settled().addCallback(lambda _: self._perform(call, message))
        forgotten = [task for task in named if self._is_forgotten(task)]
        if forgotten:
            recalling = DeferredList([self.journal.result(task) for task in forgotten], consumeErrors=True)
            return recalling.addCallback(self._recalled, forgotten, call, message)
        try:
            self._VERBS[call.verb](self, call, message)
        except (KernelError, LookupError) as error:
            call.whole_failed(error)
        return None

    def _named(self, call: Call, message: Message) -> list[int]:
        """The tasks that a command is about, as far as it matters what the store knows of them."""
        if not self.journal.keeps or call.verb in _UNCONCERNED:
            return []
        named = [*(call.args.get("tasks") or ())] if call.verb != "submit" else dependencies(call.args)
        if "task" in call.args and (call.verb not in ("submit", "resubmit") or message.fields.get("again")):
            named.append(call.args["task"])
        return [task for task in dict.fromkeys(named) if type(task) is int]

    def _is_forgotten(self, task: int) -> bool:
        """Whether a task has ended, and only the store knows what it came to."""
        if not 0 <= task < self._next_id or task in self.course.live or task in self._storing:
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
                self.course.remember(task, task_result(outcome), Outcome(outcome.outcome))
        self._perform(call, message, recalled=True)

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
            functions = self.course.functions.of(call.client)
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
                    self.course.remember(other, task_result(outcome), Outcome(outcome.outcome))
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
        self._bytes -= live.size
        try:
            # One that was being stored, too, may have been refused.
            self._check_dependencies(spec)
        except LookupError as problem:
            self.journal.cleared([task])
            call.whole_failed(problem)
            return
        call.whole()
        self.course.take(spec, live)

    def _not_stored(self, failure: Failure, call: Call, task: int, live: LiveTask) -> None:
        del self._storing[task]
        self._bytes -= live.size
        problem = failure.value
        if not isinstance(problem, KernelError):
            self.log.failure("while storing a task", failure)
            problem = KernelError(f"task {task} was not taken: it could not be stored")
        call.whole_failed(problem)

    def _check_dependencies(self, spec: TaskSpec) -> None:
        for other in spec.dependencies:
            if other not in self._storing:
                does = "take its result" if other in spec.needs else "come after it"
                self._check_known(other, f"task {spec.id} cannot {does}")

    def _check_room(self, task: int, live: LiveTask) -> None:
        count = len(self.course.live) + len(self._storing)
        if self.journal.backlog > MAX_BACKLOG:
            raise TaskQueueFull(
                f"task {task} ({live.label}) was not taken: {self.journal.backlog >> 20} MB wait to be stored, as the"
                " disk of the controller is slow; wait for some tasks, or submit them by imap"
            )
        size = self.course.bytes + self._bytes
        if count < self.max_tasks and (not count or size + live.size <= self.max_bytes):
            return
        raise TaskQueueFull(
            f"task {task} ({live.label}) was not taken: {count} tasks with {size >> 20} MB have not"
            f" ended, and no more than {self.max_tasks} with {self.max_bytes >> 20} MB may be there; wait for some"
            " of them, or submit them by imap"
        )

    def _keep_function(self, call: Call, message: Message) -> None:
        bodies: list[Any] = message.bodies
        function = shared_function(call.args["digest"], message.fields["values"], bodies)
        if not call.client.lost:
            self.course.functions.keep(call.client, function, call.args["drop"])
        call.whole()

    def _task_result(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        self._check_known(task)
        if self.scheduler.tasks[task].outcome is not None:
            self._tell(call, task)
        elif call.args["block"]:
            self.course.when_ended(task, lambda: self._tell(call, task))
        else:
            call.whole()

    def _task_output(self, call: Call, message: Message) -> None:
        if call.args["task"] in self.course.live:
            self.course.output.listen(call)
        else:
            call.whole()

    def _task_printed(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        if task in self.course.live:
            self.course.when_ended(task, lambda: self._tell_printed(call, task))
        else:
            self._tell_printed(call, task)

    def _tell_printed(self, call: Call, task: int) -> None:
        result = self.results.get(task)
        if result is None:
            call.whole()
            return
        told = result.fields.get("output") or 0
        fields = {"index": None, "of": 0, "ok": True, "result": result.record, "output": told}
        call.repeat(fields, result.bodies[len(result.bodies) - told :])

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
        missing = {task for task in call.args["tasks"] if type(task) is int and task in self.course.live}
        if not missing:
            call.whole()

        def ended(task: int) -> None:
            missing.discard(task)
            if not missing:
                call.whole()

        for task in list(missing):
            self.course.when_ended(task, partial(ended, task))

    def _watch(self, call: Call, message: Message) -> None:
        asked = dict.fromkeys(task for task in call.args["tasks"] if type(task) is int)
        for task in asked:
            live = self.course.live.get(task)
            if live is None:
                self._tell_done(call.client, task)
            elif live.client != call.client.key:
                self.course.when_ended(task, partial(self._tell_done, call.client, task))
        call.whole([task for task in asked if task not in self.scheduler.tasks])

    def _ended(self, task: int, live: LiveTask) -> None:
        """A task has ended: who submitted it is told, if it is there."""
        client = self.clients.get(live.client)
        if client is not None:
            self._tell_done(client, task)

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
        self.course.do(self.scheduler.aborted(task, self.course.now()))

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
        instructions = self.course.tick()
        call.whole(any(isinstance(instruction, Send) for instruction in instructions))

    def _clear(self, call: Call, message: Message) -> None:
        given = call.args.get("tasks")
        asked = self.results.ids() if given is None else list(dict.fromkeys(given))
        known = [task for task in asked if type(task) is int and task in self.results]
        self.course.forget(known)
        self.journal.cleared(known)
        unknown = [task for task in asked if task not in known] if len(known) < len(asked) else []
        # What is asked again may have been cleared by the first asking.
        if unknown and not message.fields.get("again"):
            raise KeyError(f"no task of that id has ended: {', '.join(map(repr, unknown[:20]))}")
        call.whole(len(known))

    def _why(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        self._check_known(task)
        call.whole(why(self.scheduler, self.scheduler.tasks[task], self.course.now()))

    _VERBS: Mapping[str, Callable[[TaskController, Call, Message], None]] = {
        "lease_tasks": _lease,
        "keep_function": _keep_function,
        "submit": _submit,
        "task_result": _task_result,
        "task_output": _task_output,
        "task_printed": _task_printed,
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
