"""Clients to which no faults happen: one that looks whether the controller answers, and one that asks at last."""

from __future__ import annotations

import time
from typing import Any

from ipython1.kernel import client
from ipython1.kernel.tests.chaos.journal import Journal, read
from ipython1.kernel.tests.chaos.load import connected, failure
from ipython1.kernel.tests.chaos.load_tasks import outcome
from ipython1.kernel.tests.chaos.plan import CLIENTS, LAST, WATCH, Plan

PAUSE = 0.1
"""Seconds between two questions to the controller."""


def watch(plan: Plan, name: str, furl_file: str) -> None:
    """Ask the controller something, again and again, and write down how long its answers take."""
    journal = Journal(plan.path(WATCH))
    tc = connected(plan, lambda: client.TaskClient(furl_file))
    while not plan.is_over:
        asked = time.monotonic()
        problem: dict[str, Any] = {"ok": True}
        try:
            tc.spin()
        except Exception as raised:  # whatever it is, the checker judges it
            problem = failure(raised)
        journal.write("answered", seconds=round(time.monotonic() - asked, 4), **problem)
        time.sleep(PAUSE)


def ask_at_last(plan: Plan, name: str, furl_file: str) -> None:
    """Ask for the outcomes of all tasks that were confirmed to anybody."""
    journal = Journal(plan.path(LAST))
    tc = connected(plan, lambda: client.TaskClient(furl_file))
    tasks = confirmed_tasks(plan)
    try:
        tc.barrier(list(tasks.values()), timeout=plan.deadline)
    except client.CallTimeout as problem:
        journal.write("waited", **failure(problem))
    for key, taskid in tasks.items():
        journal.write("last", key=key, task=taskid, **_last(tc, taskid))
    journal.write("asked", tasks=len(tasks))


def _last(tc: client.TaskClient, taskid: int) -> dict[str, Any]:
    try:
        result = tc.get_task_result(taskid, block=False)
    except Exception as problem:  # whatever it is, the checker judges it
        return failure(problem)
    if result is None:
        return {"ok": None, "text": tc.why(taskid)}
    return outcome(result)


def confirmed_tasks(plan: Plan) -> dict[str, int]:
    """The ids of the tasks that were confirmed, by their keys."""
    found: dict[str, int] = {}
    for log in sorted(plan.path("").glob(CLIENTS)):
        sent: dict[str, int] = {}
        for event in read(log):
            if event["event"] == "sent":
                sent[event["key"]] = event["task"]
            elif event["event"] == "confirmed":
                found.update({key: sent[key] for key in event["keys"] if key in sent})
    return found
