"""Decides whether a history is right: whether each confirmed operation ended once, with a right result, in time and in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ipython1.kernel.tests.chaos import commands, tasks
from ipython1.kernel.tests.chaos.history import History, Operation
from ipython1.kernel.tests.chaos.kills import Kills
from ipython1.kernel.tests.chaos.problem import KINDS, Problem


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a history; nothing, if it is right."""

    problems: Sequence[Problem]

    def count(self) -> dict[str, int]:
        """How many problems there are of each kind."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in KINDS}


def check(history: History, slack: float) -> Verdict:
    """Judge a history.  A failure that only the end of an interpreter excuses may come so many seconds after that."""
    operations = history.operations()
    kills = Kills(history.kills(), slack, history.moments("kill-agent"), history.moments("kill-controller"))
    problems = [*_ends(history, operations), *_last_answers(history)]
    for operation in operations.values():
        if operation.fields["verb"] == "task":
            problems += tasks.check(operation, operations, kills)
        else:
            problems += commands.check_outcome(operation, kills)
    problems += commands.check_order(operations.values())
    return Verdict(problems)


def _ends(history: History, operations: dict[str, Operation]) -> list[Problem]:
    """Operations that did not end, or too late, or twice; submissions that were not confirmed."""
    found = []
    killed = history.killed_clients()
    for operation in operations.values():
        key, deadline = operation.key, operation.fields["deadline"]
        if operation.outcome is None:
            if operation.client not in killed:
                found.append(Problem("hung", (key,), "it did not end"))
        elif (took := operation.outcome["at"] - operation.called) > deadline:
            found.append(Problem("hung", (key,), f"it took {took:.1f} s, and {deadline:g} are allowed"))
        if len(operation.outcomes) > 1:
            found.append(
                Problem("duplicated", (key,), f"its client was told {len(operation.outcomes)} outcomes")
            )
    for events in history.clients.values():
        for event in events:
            if event["event"] == "unconfirmed":
                found.append(
                    Problem("lost", tuple(event["keys"]), f"not confirmed: {event['error']}: {event['text']}")
                )
    return found


def _last_answers(history: History) -> list[Problem]:
    """Processes that ended as they should not, and last questions that nobody answered."""
    killed = {event.get("pid") for event in history.faults if str(event.get("kind")).startswith("kill-")}
    found = [
        Problem("wrong", (), f"{event['name']} ended with status {event['status']}, and nobody had killed it")
        for event in history.faults
        if event["event"] == "ended" and event["status"] != 0 and event["pid"] not in killed
    ]
    if not any(event["event"] == "asked" for event in history.last):
        found.append(Problem("hung", (), "the client that asked for all outcomes at last did not get them"))
    return found
