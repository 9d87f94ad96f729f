"""What is right for the commands of MultiEngine clients: done once, in order, each on what the ones before have left."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator

from ipython1.kernel.tests.chaos.history import Operation, by_engine
from ipython1.kernel.tests.chaos.kills import Kills
from ipython1.kernel.tests.chaos.problem import Problem

EXCUSED = ("EngineLost", "QueueCleared", "InvalidEngineID", "NameError")
"""Errors of commands that are right if an interpreter has ended."""


def check_outcome(command: Operation, kills: Kills) -> list[Problem]:
    """What is wrong with one command, for itself."""
    return [Problem(kind, (command.key,), text) for kind, text in _outcome(command, kills)]


def _outcome(command: Operation, kills: Kills) -> Iterator[tuple[str, str]]:
    runs, outcome = command.executions, command.outcome
    if len(runs) > 1:
        yield "duplicated", f"it ran {len(runs)} times"
    if outcome is None:
        return
    if not outcome["ok"]:
        if outcome["error"] not in EXCUSED or not kills.before(command.called, outcome["at"]):
            yield "wrong", f"it failed, and should not have: {outcome['error']}: {outcome['text']}"
    elif command.fields["verb"] == "step":
        if not runs:
            yield "lost", "it succeeded, and did not run"
            return
        said = json.loads(outcome["said"] or "{}")
        expected = {"key": command.key, "count": runs[0]["count"], "run": runs[0]["run"]}
        if said != expected:
            yield "wrong", f"it printed {said}, and should have printed {expected}"


def check_order(operations: Iterable[Operation]) -> list[Problem]:
    """Whether each engine carried out each client's commands in order, and none of them was left out."""
    found: list[Problem] = []
    for commands in by_engine(operations).values():
        found += _check_executions(commands)
        found += _check_pulls(commands)
    return found


def _check_executions(commands: list[Operation]) -> Iterator[Problem]:
    order = {command.key: place for place, command in enumerate(commands)}
    runs = sorted((run for command in commands for run in command.executions), key=lambda run: run["at"])
    last, counts = -1, defaultdict(int)
    for run in runs:
        if order[run["key"]] < last:
            yield Problem("out of order", (run["key"], commands[last].key), "they ran in the other order")
        last = order[run["key"]]
        # Each interpreter has a namespace of its own, in which the count begins anew.
        counts[run["pid"]] += 1
        if run["count"] != counts[run["pid"]]:
            text = f"it counted {run['count']} where {counts[run['pid']]} commands of its client had run"
            yield Problem("out of order", (run["key"],), text)
            counts[run["pid"]] = run["count"]


def _check_pulls(commands: list[Operation]) -> Iterator[Problem]:
    pushed: Operation | None = None
    for command in commands:
        if command.fields["verb"] == "push":
            pushed = command
        elif command.fields["verb"] == "pull" and command.outcome is not None and command.outcome["ok"]:
            found = command.outcome["value"]
            if pushed is None or found != pushed.key:
                expected = "nothing" if pushed is None else pushed.key
                yield Problem(
                    "out of order", (command.key, found), f"it found {found}, and {expected} was pushed last"
                )
