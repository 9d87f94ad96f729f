"""A Task interface whose one worker is a dict, for tests of clients: it answers their messages as a real one would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipython1.core.references import present
from ipython1.core.remote_error import describe
from ipython1.core.serialize import Serialized, join, serialize, split
from ipython1.kernel import messages
from ipython1.kernel.error import TaskAborted
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Message, unpack
from ipython1.kernel.tests.fake_cluster import FakeCluster, FakeLink
from ipython1.kernel.together import Came, came, done_messages, outcomes_in
from ipython1.kernel.verbs import verbs_of


class FakeTasks(FakeCluster):
    """Tasks end as they come, or, while `held_back`, in `go_on`; they are not confirmed while `silent`."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, engines=1)
        self.silent = False
        self.engines = 1
        self.refuse: Exception | None = None
        self.refused_tasks: set[int] = set()
        self.first = 0
        self.namespace: dict[str, Any] = {}
        self.outcomes: dict[int, Message] = {}
        self.waiting: list[tuple[FakeLink, int, dict[str, Any], list[Serialized]]] = []
        self.aborted: list[int] = []
        # What is said of how tasks stand, next, in place of how they do.
        self.statuses: list[dict[str, Any]] = []
        self.functions: dict[str, Serialized] = {}
        self.named: set[str] = set()
        # The tasks that came, in order; those that came again, too.
        self.submitted: list[int] = []
        self._asked: list[tuple[FakeLink, Message]] = []
        self._unconfirmed: list[tuple[FakeLink, Message]] = []
        self._verbs: dict[str, Callable[..., Any]] = {
            "task_status": self._status,
            "count_engines": lambda: self.engines,
            "spin": lambda: False,
            "clear_tasks": self._clear,
            "why": lambda task: f"task {task} waits",
            "abort_task": self._abort,
        }

    def restart(self) -> None:
        """Be killed and started again on the same store: submissions that were not confirmed are lost."""
        super().restart()
        self._unconfirmed.clear()
        self._asked.clear()
        self.named.clear()

    @property
    def unconfirmed(self) -> int:
        """How many submissions were not answered."""
        return len(self._unconfirmed)

    def take(self, link: FakeLink, message: Message) -> None:
        problem = messages.check(message.kind, message.fields, messages.FROM_CLIENT)
        problem = problem or messages.check_command(message.fields, len(message.bodies), verbs_of("task"))
        if problem:
            raise AssertionError(problem)
        self.received.append(message)
        verb, args = message.fields["verb"], message.fields["args"]
        if verb == "lease_tasks":
            self.first += args["count"]
            self._reply(link, message, [self.first - args["count"], args["count"]])
        elif verb == "submit":
            self._unconfirmed.append((link, message))
            if not self.silent:
                self.confirm()
        elif verb == "keep_function":
            (function,) = split(message.fields["values"], message.bodies)
            self.functions[args["digest"]] = function
            self.named.add(args["digest"])
            if not self.silent:
                self._reply(link, message, None)
        elif verb == "watch_tasks":
            for number in args["tasks"]:
                if number in self.outcomes:
                    link.receiver.message_received(self.outcomes[number])
            known = {*self.outcomes, *(number for _, number, *_ in self.waiting)}
            self._reply(link, message, [number for number in args["tasks"] if number not in known])
        elif verb in ("task_result", "wait_tasks"):
            self._asked.append((link, message))
            self._answer()
        else:
            try:
                self._reply(link, message, self._verbs[verb](**args))
            except (IndexError, KeyError) as problem:
                self._fail(link, message, problem)

    def confirm(self) -> None:
        """Answer the submissions that came."""
        unconfirmed, self._unconfirmed = self._unconfirmed, []
        for link, message in unconfirmed:
            refused: dict[int, Exception] = {}
            for each in came(message.fields["args"], message.bodies):
                if self.refuse is not None:
                    refused[each.task] = self.refuse
                elif each.task in self.refused_tasks:
                    refused[each.task] = ValueError(f"task {each.task} was refused")
                else:
                    self._take(link, each)
            bodies = [body for problem in refused.values() for body in failure_bodies(problem)]
            link.reply(message, {"ok": True, "index": None, "of": 0, "result": list(refused)}, bodies)
        if not self.held_back:
            self.go_on()

    def _take(self, link: FakeLink, task: Came) -> None:
        form = unpack(task.form)
        if not {step["function"] for step in form["steps"]} - {None} <= self.named:
            raise AssertionError("a task came before its function")
        self.submitted.append(task.task)
        if task.task in self.outcomes:
            link.receiver.message_received(self.outcomes[task.task])
        elif not any(task.task == waiting for _, waiting, *_ in self.waiting):
            own = iter(split(task.headers, task.bodies))
            values = [next(own) if value is None else Serialized(value[2], *value[:2]) for value in form["values"]]
            self.waiting.append((link, task.task, form, values))

    def go_on(self) -> None:
        """Run what waits, the latest first."""
        self.held_back = False
        while self.waiting:
            link, number, args, values = self.waiting.pop()
            self.end(link, number, args["steps"][0], values)

    def end(self, link: FakeLink, number: int, step: dict[str, Any], values: list[Serialized]) -> None:
        """Run a task, and tell its client."""
        try:
            results = {task: self._result(self.outcomes[task]) for task in step["results"]}
            with present(results):
                own = values[step["depend"] : step["values"]]
                if step["function"] is not None:
                    own.insert(0, self.functions[step["function"]])
                loaded = [value.load(self.namespace) for value in own]
            headers, bodies = join(self._run(step, loaded))
            self._ended(link, number, step, {"ok": True, "values": headers}, bodies)
        except BaseException as problem:  # as an interpreter: described
            bodies = list(describe(problem, None, "the traceback"))
            self._ended(link, number, step, {"ok": False}, bodies)

    def _result(self, done: Message) -> Any:
        ((fields, bodies),) = outcomes_in(done)
        values = [value.load(self.namespace) for value in split(fields["values"], bodies)]
        record = fields["record"]
        return values[0] if record["kind"] == "map" else dict(zip(record["pull"], values))

    def _run(self, step: dict[str, Any], values: list[Any]) -> list[Serialized]:
        if step["kind"] == "map":
            function, (args, kwargs) = values
            return [serialize(function(*args, **kwargs))]
        source, *pushed = values
        self.namespace.update(zip(step["push"], pushed))
        exec(source, self.namespace)
        return [serialize(self.namespace[name]) for name in step["pull"]]

    def _ended(
        self, link: FakeLink, number: int, step: dict[str, Any], fields: dict[str, Any], bodies: list[Any]
    ) -> None:
        record = {
            "task": number,
            "engine": 0,
            "submitted": 1000.0,
            "started": 1001.0,
            "completed": 1003.5,
            "attempts": 1,
            "kind": step["kind"],
            "pull": step["pull"],
        }
        (done,) = done_messages([({"task": number, "record": record, **fields}, bodies)])
        problem = messages.check(done.kind, done.fields, messages.TO_CLIENT)
        if problem:
            raise AssertionError(problem)
        self.outcomes[number] = done
        link = self.links[-1] if link.closed else link
        if not link.closed:
            link.receiver.message_received(done)
        self._answer()

    def _answer(self) -> None:
        asked, self._asked = self._asked, []
        for link, message in asked:
            args = message.fields["args"]
            wanted = args["tasks"] if message.fields["verb"] == "wait_tasks" else [args["task"]]
            known = [number for _, number, *_ in self.waiting]
            if any(number in known for number in wanted) and args.get("block", True):
                self._asked.append((link, message))
            elif message.fields["verb"] == "wait_tasks" or wanted[0] in known:
                self._reply(link, message, None)
            elif wanted[0] in self.outcomes:
                ((said, bodies),) = outcomes_in(self.outcomes[wanted[0]])
                fields = {"ok": said["ok"], "index": None, "of": 0, "result": said["record"]}
                link.reply(message, {**fields, "values": said.get("values")}, bodies)
            else:
                self._fail(link, message, IndexError(f"there is no task {wanted[0]}"))

    def _status(self, verbose: bool) -> dict[str, Any]:
        if self.statuses:
            return self.statuses.pop()
        ended = {True: [], False: []}
        for number, done in self.outcomes.items():
            ended[done.fields["tasks"][0]["ok"]].append(number)
        waiting = [number for _, number, *_ in self.waiting]
        found = {"scheduled": waiting, "pending": [], "succeeded": ended[True], "failed": ended[False]}
        return found if verbose else {state: len(tasks) for state, tasks in found.items()}

    def _clear(self, tasks: list[int] | None) -> int:
        chosen = list(self.outcomes) if tasks is None else tasks
        unknown = [number for number in chosen if self.outcomes.pop(number, None) is None]
        if unknown:
            raise KeyError(unknown[0])
        return len(chosen)

    def _abort(self, task: int) -> None:
        for entry in self.waiting:
            link, number, args, _ = entry
            if number == task:
                self.waiting.remove(entry)
                self.aborted.append(task)
                bodies = failure_bodies(TaskAborted(f"task {task} was aborted"))
                self._ended(link, task, args["steps"][0], {"ok": False}, bodies)
                return
        raise IndexError(f"task {task} has ended")

    def _reply(self, link: FakeLink, message: Message, result: Any) -> None:  # type: ignore[override]
        link.reply(message, {"ok": True, "index": None, "of": 0, "result": result}, [])

    def _fail(self, link: FakeLink, message: Message, problem: Exception) -> None:
        link.reply(message, {"ok": False, "index": None, "of": 0}, failure_bodies(problem))
