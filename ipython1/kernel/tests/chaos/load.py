"""A client of the cluster, as a program: it works, and writes down each operation as it calls it and as it ends.

Run as ``python -m ipython1.kernel.tests.chaos.load FOLDER ROLE NAME FURL-FILE``; the plan of the run lies in the folder.  It
ends when its standard input does: with the harness, however that ends.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ipython1.kernel.error import ConnectionError
from ipython1.kernel.tests.chaos.journal import Journal
from ipython1.kernel.tests.chaos.plan import EXECUTIONS, Plan

AT_ONCE = 30
"""So many operations of a client are not done at a time."""
BURST = 8
"""So many are begun together at most."""
LOOK = 0.05
"""Seconds after which it is looked again whether there is room."""


class Operations:
    """The operations of one client: their names, their log, and those that have not ended."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.name = name
        self.log = str(plan.path(EXECUTIONS))
        self.journal = Journal(plan.path(f"client-{name}.jsonl"))
        self.chance = random.Random(f"{plan.seed} {name}")
        self.count = 0
        # The group of each, and when nobody waits for it any more.
        self._open: dict[str, tuple[Any, float]] = {}
        self._lock = threading.Lock()

    def begin(self, verb: str, group: Any = None, patience: float = 1.0, **fields: Any) -> str:
        """An operation is to be called; its key.  It may take `patience` times as long as others."""
        self.count += 1
        key = f"{self.name}-{self.count}"
        deadline = patience * self.plan.deadline
        with self._lock:
            self._open[key] = group, time.monotonic() + deadline
        self.journal.write("call", key=key, verb=verb, deadline=deadline, **fields)
        return key

    def end(self, key: str, **outcome: Any) -> None:
        """It has ended like that."""
        self.journal.write("outcome", key=key, **outcome)
        with self._lock:
            self._open.pop(key, None)

    def raised(self, key: str, problem: BaseException) -> None:
        """It has ended with an exception."""
        self.end(key, **failure(problem))

    def open(self, group: Any = None) -> int:
        """How many operations (of that group) have not ended."""
        with self._lock:
            return sum(group in (None, each) for each, _ in self._open.values())

    def wait(self, most: int) -> None:
        """Return when no more than so many have not ended, or nobody waits for them any more."""
        while self.open() > most and time.monotonic() < self._longest():
            time.sleep(LOOK)

    def _longest(self) -> float:
        """When the last of those that are open hangs."""
        with self._lock:
            return max((deadline for _, deadline in self._open.values()), default=0.0)

    def run(self, burst: Callable[[], None]) -> None:
        """Begin operations again and again, until it is over; then wait for all."""
        self.journal.write("started", pid=os.getpid())
        while not self.plan.is_over:
            self.wait(AT_ONCE)
            burst()
        self.wait(0)
        self.journal.write("ended", left=self.open())


def failure(problem: BaseException) -> dict[str, Any]:
    """An exception, in a log."""
    errors = getattr(problem, "elist", None)
    if errors:
        problem = errors[0][1]
    return {"ok": False, "error": type(problem).__name__, "text": str(problem)[:300]}


def connected(plan: Plan, new_client: Callable[[], Any]) -> Any:
    """A client; where there is no session yet, nobody promises to dial again, so that is done here."""
    deadline = time.monotonic() + plan.deadline
    while True:
        try:
            return new_client()
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK)


def _die_with_parent() -> None:
    while os.read(0, 1):
        continue
    os._exit(1)


def main() -> None:
    """Be such a client."""
    folder, role, name, furl_file = sys.argv[1:]
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # Which of them, is known only now; each brings a client of its own.
    from ipython1.kernel.tests.chaos import load_commands, load_tasks, questions

    roles = {
        "tasks": load_tasks.work_tasks,
        "commands": load_commands.work_commands,
        "watch": questions.watch,
        "last": questions.ask_at_last,
    }
    roles[role](Plan.load(folder), name, furl_file)


if __name__ == "__main__":
    main()
