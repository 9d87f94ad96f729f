"""The course of a run: a cluster, load, faults, peace, last questions, the end; what is left of it are its logs."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ipython1.kernel.tests.chaos.cluster import Cluster, NotStarted, within
from ipython1.kernel.tests.chaos.faults import Injector
from ipython1.kernel.tests.chaos.journal import Journal
from ipython1.kernel.tests.chaos.plan import FAULTS, Plan
from ipython1.kernel.tests.chaos.questions import confirmed_tasks
from ipython1.kernel.tests.chaos.schedule import schedule

RETENTION = """[controller]
kept_task_results = 10000000
kept_task_results_size = 4G
[store]
tasks_count = 10000000
tasks_size = 100G
commands_count = 10000000
commands_size = 100G
"""
"""Each confirmed task is asked for at last."""


@dataclass
class Course:
    """How a run went, beside its logs: `left` are processes that had to be killed at the end."""

    plan: Plan
    start_time: float
    seconds: float
    left: dict[str, int]


LAST_ANSWER = 0.05
"""Seconds that each answer to the last questions may take."""


async def run(plan: Plan) -> Course:
    """Run it; raises NotStarted if the cluster does not start.  All processes are ended, whatever happens."""
    Path(plan.folder, "ipython1.kernel.ini").write_text(RETENTION)
    journal = Journal(plan.path(FAULTS))
    cluster = Cluster(plan, journal.write)
    injector = Injector(cluster, journal)
    left: dict[str, int] = {}
    before = time.monotonic()
    try:
        plan.save()
        await cluster.start()
        await cluster.start_clients()
        plan = replace(plan, began=time.monotonic())
        plan.save()
        print(
            f"load begins, for {plan.seconds:g} s; the logs are in {plan.folder}", file=sys.stderr, flush=True
        )
        injector.begin(schedule(plan.seed, plan.seconds, plan.shape, plan.kinds, plan.gap, plan.longest))
        await _pause(plan.seconds)
        injector.end()
        journal.write("peace")
        plan.end()
        await _last_questions(plan, cluster, journal)
    finally:
        injector.end()
        left.update(await cluster.end())
        journal.write("end", left=left)
    return Course(plan, cluster.start_time, time.monotonic() - before, left)


async def _last_questions(plan: Plan, cluster: Cluster, journal: Journal) -> None:
    """Wait for all clients, then have one ask that was not there before."""
    # A task may be tried so many times, each of which may have to wait until an engine is given up.
    most = 5 * plan.deadline
    if not await within(most, lambda: not any(client.runs for client in cluster.clients.values())):
        for number, process in cluster.clients.items():
            if process.runs:
                journal.write("unfinished", name=process.name, client=number)
    most = 2 * plan.deadline + LAST_ANSWER * len(confirmed_tasks(plan))
    last = cluster.ask("last")
    over: Deferred[Any] = last.over()
    over.addTimeout(most, reactor, lambda *_: journal.write("unfinished", name="last"))
    await over


async def _pause(seconds: float) -> None:
    clock: Any = reactor
    await deferLater(clock, seconds, lambda: None)


__all__ = ["Course", "NotStarted", "run"]
