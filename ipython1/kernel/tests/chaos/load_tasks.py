"""The load of a task client: tasks of many kinds, which it submits, has confirmed, waits for, aborts and forgets."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from ipython1.kernel import client
from ipython1.kernel.tests.chaos import work
from ipython1.kernel.tests.chaos.journal import read
from ipython1.kernel.tests.chaos.load import BURST, LOOK, Operations, connected, failure
from ipython1.kernel.tests.chaos.plan import Plan

KINDS = {
    "plain": 70.0,
    "large": 3.0,
    "source": 8.0,
    "chain": 8.0,
    "fails": 3.0,
    "crash": 0.05,
    "crash-once": 0.15,
    "abort": 2.0,
}
"""The kinds of tasks, and how often each is submitted, compared with the others."""
SLOWEST = 0.08
"""Seconds that a task takes at most."""
ABORTED_WITHIN = 0.4
"""Seconds that one takes that is to be aborted meanwhile."""
LARGE = 300_000
"""Bytes."""
BALLAST = bytes(range(256)) * 40
"""Makes a function so large that it is sent apart from the tasks that call it."""


def burdened(log: str, key: str, number: int, seconds: float, size: int, ballast: bytes = BALLAST) -> Any:
    """`work.answer`, with something large beside it."""
    return work.answer(log, key, number, seconds, size, ballast)


def outcome(result: Any) -> dict[str, Any]:
    """What came of a task that did not raise an exception, in a log."""
    if isinstance(result, client.TaskResult):
        if result.failure is not None:
            return failure(result.failure.value)
        result = result["answer"]
    key, value, run, given, payload = result
    return {"ok": True, "of": key, "value": value, "run": run, "given": given, "size": len(payload)}


class TaskLoad:
    """What one task client does."""

    def __init__(self, plan: Plan, name: str, furl_file: str) -> None:
        self.ops = Operations(plan, name)
        self._plan = plan
        self._chance = self.ops.chance
        self._client = connected(plan, lambda: client.TaskClient(furl_file))
        # The key, value and pending result of a task that others may follow.
        self._earlier: tuple[str, int, Any] | None = None
        self._asked: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        clients = sum(number % 3 != 1 for number in range(plan.clients))
        self._share = -(-plan.tasks // clients) if plan.tasks else 0
        self._before = self._called_before(name.partition(".")[0]) if plan.tasks else 0
        threading.Thread(target=self._ask, daemon=True).start()

    def _called_before(self, slot: str) -> int:
        """How many tasks the clients have called whose place this one has taken."""
        logs = self._plan.path("").glob(f"client-{slot}.*.jsonl")
        return sum(event["event"] == "call" for log in logs for event in read(log))

    def burst(self) -> None:
        """Submit some tasks, and have them confirmed."""
        if not self._has_share():
            time.sleep(LOOK)
            return
        kinds = self._chance.choices(list(KINDS), list(KINDS.values()), k=self._chance.randrange(1, BURST))
        keys = [self._submit(kind) for kind in kinds]
        try:
            self._client.confirm(timeout=self._plan.deadline)
        except Exception as problem:  # whatever it is, the checker judges it
            self.ops.journal.write("unconfirmed", keys=keys, **failure(problem))
        else:
            self.ops.journal.write("confirmed", keys=keys)

    def _has_share(self) -> bool:
        """Whether this client is to submit more now: its share of the tasks is spread over the time."""
        if not self._share:
            return True
        if not self._plan.began:
            # Those that come first begin before the time does.
            self._plan = Plan.load(self._plan.folder)
            return False
        due = self._share * min(1.0, (time.monotonic() - self._plan.began) / self._plan.seconds)
        return self._before + self.ops.count < due

    def _submit(self, kind: str) -> str:
        number = self._chance.randrange(1_000_000)
        retries = self._chance.choice((0, 0, 3))
        value, after = work.value(number), None
        if kind == "crash-once":
            retries = max(retries, 1)
        elif kind == "chain" and self._earlier is not None:
            after = self._earlier[0]
            value += self._earlier[1]
        size = self._chance.randrange(1000, LARGE) if kind == "large" else 0
        key = self.ops.begin(
            "task", kind=kind, retries=retries, value=value, size=size, after=after, patience=retries + 1
        )
        try:
            self._send(key, kind, number, value, self._task(key, kind, number, retries, size))
        except Exception as problem:  # whatever it is, the checker judges it
            self.ops.raised(key, problem)
        return key

    def _send(
        self, key: str, kind: str, number: int, value: int, task: client.MapTask | client.StringTask
    ) -> None:
        if kind == "plain" and self._chance.random() < 0.3:
            taskid = self._client.run(task)
            self.ops.journal.write("sent", key=key, task=taskid)
            self._asked.put((key, taskid))
            return
        pending = self._client.submit(task)
        self.ops.journal.write("sent", key=key, task=pending.taskid)
        pending.add_done_callback(lambda done: self._ended(key, done, number))
        if kind == "plain":
            self._earlier = (key, value, pending)
        elif kind == "abort":
            wait = self._chance.uniform(0.0, ABORTED_WITHIN)
            threading.Timer(wait, self._abort, (key, pending.taskid)).start()

    def _task(
        self, key: str, kind: str, number: int, retries: int, size: int
    ) -> client.MapTask | client.StringTask:
        log = self.ops.log
        seconds = ABORTED_WITHIN if kind == "abort" else SLOWEST * self._chance.random() ** 3
        if kind == "chain" and self._earlier is not None:
            return client.MapTask(work.follow, (log, key, number, self._earlier[2]), retries=retries)
        if kind == "source":
            call = f"work.answer({log!r}, {key!r}, {number}, {seconds}, {size})"
            text = f"from ipython1.kernel.tests.chaos import work; answer = {call}"
            return client.StringTask(text, pull="answer", retries=retries)
        if kind == "fails":
            return client.MapTask(work.fail, (log, key), retries=retries)
        if kind in ("crash", "crash-once"):
            marker = str(self._plan.path(f"crashed-{key}")) if kind == "crash-once" else ""
            return client.MapTask(work.crash, (log, key, number, marker), retries=retries)
        function = burdened if kind == "large" else work.answer
        return client.MapTask(function, (log, key, number, seconds, size), retries=retries)

    def _abort(self, key: str, taskid: int) -> None:
        self.ops.journal.write("abort", key=key)
        try:
            self._client.abort(taskid)
        except Exception as problem:  # it is too late, as a rule; what comes of the task, the checker judges
            self.ops.journal.write("not aborted", key=key, **failure(problem))

    def _ask(self) -> None:
        """Fetch the outcomes of tasks that were not watched, one after the other."""
        while True:
            key, taskid = self._asked.get()
            try:
                self.ops.end(key, **outcome(self._client.get_task_result(taskid, block=True)))
            except Exception as problem:  # whatever it is, the checker judges it
                self.ops.raised(key, problem)

    def _ended(self, key: str, pending: Any, number: int) -> None:
        try:
            result = pending.result()
            found = outcome(result)
            if isinstance(result, tuple) and result[4] != work.pattern(number, found["size"]):
                found["size"] = -1
        except Exception as problem:  # whatever it is, the checker judges it
            self.ops.raised(key, problem)
            return
        self.ops.end(key, **found)


def work_tasks(plan: Plan, name: str, furl_file: str) -> None:
    """Be such a client."""
    load = TaskLoad(plan, name, furl_file)
    load.ops.run(load.burst)
