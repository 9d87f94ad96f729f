"""What is right for a task: one outcome, a right one, and no more executions than it may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ipython1.kernel.tests.chaos.history import Operation, told
from ipython1.kernel.tests.chaos.journal import Event
from ipython1.kernel.tests.chaos.kills import Kills
from ipython1.kernel.tests.chaos.problem import Problem

FAILS_ALWAYS = ("fails", "crash")
"""Kinds of tasks that cannot succeed."""
UNKNOWN = "IndexError"
"""What the controller says of a task that it does not know."""


def check(task: Operation, others: Mapping[str, Operation], kills: Kills) -> list[Problem]:
    """What is wrong with a task; `others` are all operations, by their keys."""
    found = [Problem(kind, (task.key,), text) for kind, text in _executions(task, kills)]
    for outcome in (task.outcome, task.last):
        if outcome is not None and outcome["ok"] is not None and not _is_unknown(outcome):
            found += [Problem("wrong", (task.key,), text) for text in _outcome(task, outcome, others, kills)]
    if task.confirmed:
        found += [Problem(kind, (task.key,), text) for kind, text in _owed(task)]
    return found


def _is_unknown(outcome: Event) -> bool:
    return outcome["event"] == "last" and outcome.get("error") == UNKNOWN


def _executions(task: Operation, kills: Kills) -> Iterator[tuple[str, str]]:
    """It ran no more often than it may, and again only after a failure."""
    runs = task.executions
    count, allowed = len(runs), task.fields["retries"] + 1
    if allowed > 1 and runs:
        allowed += kills.forgotten(runs[0]["at"], runs[-1]["at"])
    if count > allowed:
        yield "duplicated", f"it ran {count} times, and {allowed} are allowed"
    elif count > 1 and task.fields["kind"] != "fails":
        lost = kills.between(runs[0]["at"], runs[-1]["at"])
        if lost < count - 1:
            yield "duplicated", f"it ran {count} times, while {lost} interpreters ended"


def _owed(task: Operation) -> Iterator[tuple[str, str]]:
    """Who confirmed it knows its outcome, which is the one that its client was told."""
    last = task.last
    if last is None:
        yield "lost", "it was confirmed, and nobody could ask for it at last"
    elif _is_unknown(last):
        yield "lost", f"it was confirmed, and is not known: {last['text']}"
    elif last["ok"] is None:
        yield "lost", f"it was confirmed, and has not ended: {last['text']}"
    elif task.outcome is not None and told(task.outcome) != told(last):
        yield "wrong", f"its client was told {_shown(task.outcome)}, and who asked at last {_shown(last)}"


def _shown(outcome: Event) -> str:
    return str(outcome["value"] if outcome["ok"] else outcome["error"])


def _outcome(task: Operation, outcome: Event, others: Mapping[str, Operation], kills: Kills) -> Iterator[str]:
    if outcome["ok"]:
        yield from _success(task, outcome)
    elif not _is_excused(task, outcome, others, kills):
        yield f"it failed, and should not have: {outcome['error']}: {outcome['text']}"


def _success(task: Operation, outcome: Event) -> Iterator[str]:
    fields = task.fields
    if fields["kind"] in FAILS_ALWAYS:
        yield "it succeeded, and cannot have"
        return
    if (outcome["of"], outcome["value"]) != (task.key, fields["value"]):
        yield f"it gave {outcome['value']} of {outcome['of']}, and not {fields['value']}"
    if outcome["size"] != fields["size"]:
        yield f"its result is not the {fields['size']} bytes that it should be"
    if outcome["run"] not in [run["run"] for run in task.executions]:
        yield "it succeeded, and did not run"


def _is_excused(task: Operation, outcome: Event, others: Mapping[str, Operation], kills: Kills) -> bool:
    error = outcome["error"]
    if error == "Expected":
        return task.fields["kind"] == "fails" and outcome["text"] == task.key
    if error == "TaskAborted":
        return task.aborted
    if error == "EngineLost":
        # The last attempt was lost. The ones before were, too; but for those in which it failed as it should.
        failed = len(task.executions) - 1 if task.fields["kind"] == "fails" else 0
        return kills.before(task.called, outcome["at"]) > max(task.fields["retries"] - failed, 0)
    if error == "TaskDependencyError":
        return others[task.fields["after"]].failed if task.fields["after"] in others else False
    return False
