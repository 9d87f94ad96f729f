"""The Task interface: the engines as a pool of workers, among which tasks are spread by load."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from ipython1.kernel.controller.arrivals import Arrivals
from ipython1.kernel.controller.audit import Audit
from ipython1.kernel.controller.calls import Call, ToClient
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.explain import why
from ipython1.kernel.controller.resubmit import Content, content_of
from ipython1.kernel.controller.scheduler import FIFOScheduler, Scheduler
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.controller.submissions import Refused, Submissions
from ipython1.kernel.controller.task_course import TaskCourse
from ipython1.kernel.controller.task_journal import TaskJournal, task_result
from ipython1.kernel.controller.task_live import Accepted, LiveTask
from ipython1.kernel.controller.task_restore import Restore
from ipython1.kernel.controller.task_spec import shared_function
from ipython1.kernel.controller.task_store import TaskResult, TaskStore
from ipython1.kernel.controller.task_values import Outcome, Send, State
from ipython1.kernel.error import KernelError, ProtocolError
from ipython1.kernel.framing import Message
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.store.values import Snapshot
from ipython1.kernel.together import came, done_messages
from ipython1.kernel.verbs import verbs_of

MAX_LEASE = 100_000
"""So many ids are given out at once."""
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
        self.submissions = Submissions(self.course)
        self._arrivals: dict[ClientSession, Arrivals] = {}
        self._clock = engines.clock
        # What is to be told to clients at the end of this turn.
        self._done: dict[ClientSession, list[TaskResult]] = {}

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
        self.submissions.next_id = snapshot.next_id
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
        if call.verb not in _IN_ORDER and any(task in self.submissions.storing for task in named):
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
        again = bool(message.fields.get("again"))
        if call.verb == "submit":
            return self._named_by_submitted(call, message, again)
        named = [*(call.args.get("tasks") or ())]
        if "task" in call.args and (call.verb != "resubmit" or again):
            named.append(call.args["task"])
        return [task for task in dict.fromkeys(named) if type(task) is int]

    def _named_by_submitted(self, call: Call, message: Message, again: bool) -> list[int]:
        """What tasks that are submitted come after; and they themselves, if they may have been submitted before."""
        named: dict[int, None] = {}
        # What is wrong with them will be said to who sent them.
        with contextlib.suppress(ProtocolError):
            for each in came(call.args, message.bodies):
                if again:
                    named[each.task] = None
                with contextlib.suppress(ProtocolError):
                    named.update(dict.fromkeys(self.submissions.forms.get(each.form).dependencies))
        return list(named)

    def _is_forgotten(self, task: int) -> bool:
        """Whether a task has ended, and only the store knows what it came to."""
        if not 0 <= task < self.submissions.next_id or task in self.course.live or task in self.submissions.storing:
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
        first = self.submissions.next_id
        self.submissions.next_id += count
        self.journal.leased(self.submissions.next_id).addCallback(lambda _: call.whole([first, count]))

    def _submit(self, call: Call, message: Message) -> None:
        tasks = came(call.args, message.bodies)
        if any(each.task in self.submissions.storing for each in tasks):
            self.journal.settled().addCallback(lambda _: self._perform(call, message))
            return
        functions = self.course.functions.of(call.client)
        accepted: list[Accepted] = []
        refused: Refused = {}
        for task, form, headers, bodies in tasks:
            try:
                if not self._came_before(call.client, task):
                    content = Content(form, headers, bodies, functions)
                    accepted.append(self.submissions.accept(call.client, task, content))
            except (KernelError, LookupError) as problem:
                refused[task] = problem
        self.submissions.keep(call, accepted, refused)

    def _came_before(self, client: ClientSession, task: int) -> bool:
        """Whether this task was submitted before; then its confirmation was lost, and perhaps what it came to."""
        if not 0 <= task < self.submissions.next_id:
            raise IndexError(f"{task} is not an id that was leased for a task")
        if task in self.scheduler.tasks:
            self._tell_done(client, task)
            return True
        return task in self.submissions.storing

    def _resubmit(self, call: Call, message: Message) -> None:
        self._audit.check_keeps()
        task = call.args["task"]
        if task in self.submissions.storing:
            self.journal.settled().addCallback(lambda _: self._perform(call, message))
        elif self._came_before(call.client, task):
            call.whole()
        else:
            accepted = Deferred.fromCoroutine(self._accept_again(call, task))
            accepted.addErrback(self._audit.failed, call)

    async def _accept_again(self, call: Call, task: int) -> None:
        content = await content_of(self.journal, call.args["of"])
        if content is None:
            raise self.submissions.unknown(call.args["of"], "so it cannot be submitted again")
        for other in self.submissions.forms.get(content.form).dependencies:
            if self._is_forgotten(other):
                outcome = await self.journal.result(other)
                if outcome is not None:
                    self.course.remember(other, task_result(outcome), Outcome(outcome.outcome))
        self.submissions.keep(call, [self.submissions.accept(call.client, task, content)], {})

    def _history(self, call: Call, message: Message) -> None:
        self._audit.tasks(call)

    def _keep_function(self, call: Call, message: Message) -> None:
        bodies: list[Any] = message.bodies
        function = shared_function(call.args["digest"], message.fields["values"], bodies)
        if not call.client.lost:
            self.course.functions.keep(call.client, function, call.args["drop"])
        call.whole()

    def _task_result(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        self.submissions.check_known(task)
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
            call.whole_failed(self.submissions.unknown(task))
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
        """Tell a client that a task has ended, if it has, and what it came to; with the others of this turn."""
        result = self.results.get(task)
        if result is not None:
            if not self._done:
                self._clock.callLater(0, self._tell_all_done)
            self._done.setdefault(client, []).append(result)

    def _tell_all_done(self) -> None:
        done, self._done = self._done, {}
        # What was told once must not be otherwise after a restart.
        self.journal.settled().addCallback(self._send_done, done)

    def _send_done(self, _: None, done: Mapping[ClientSession, Sequence[TaskResult]]) -> None:
        for client, results in done.items():
            for message in done_messages([result.told for result in results]):
                client.send(message)

    def _abort(self, call: Call, message: Message) -> None:
        task = call.args["task"]
        self.submissions.check_known(task)
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
            counts["scheduled"] += len(self.submissions.storing)
            call.whole(counts)
            return
        listed: dict[str, list[int]] = {name: [] for name in self.scheduler.status()}
        for number, task in self.scheduler.tasks.items():
            ended = "succeeded" if task.outcome is Outcome.SUCCEEDED else "failed"
            listed[_STATES.get(task.state, ended)].append(number)
        listed["scheduled"] += self.submissions.storing
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
        self.submissions.check_known(task)
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
