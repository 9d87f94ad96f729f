"""A run in numbers, and the story of what went wrong."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ipython1.kernel.tests.chaos.checker import Verdict
from ipython1.kernel.tests.chaos.history import History
from ipython1.kernel.tests.chaos.run import Course

STORIES = 5
"""So many problems are told in full."""
NEAR = 5.0
"""What the harness did so many seconds before or after something that happened to an operation belongs to its story."""
_NOISE = "Traceback (most recent call last)"


def numbers(course: Course, history: History, verdict: Verdict) -> dict[str, Any]:
    """What can be counted."""
    operations = history.operations().values()
    tasks = [each for each in operations if each.fields["verb"] == "task"]
    faults = Counter(event["kind"] for event in history.faults if event["event"] == "fault")
    crashes = sum(bool(run.get("crashes")) for run in history.executions)
    answers = [event["seconds"] for event in history.watched]
    outcomes = Counter(
        "unknown" if each.outcome is None else "succeeded" if each.outcome["ok"] else each.outcome["error"]
        for each in operations
    )
    return {
        "seed": course.plan.seed,
        "seconds": round(course.seconds, 1),
        "operations": len(operations),
        "tasks": len(tasks),
        "confirmed": sum(task.confirmed for task in tasks),
        "executions": len(history.executions),
        "outcomes": dict(outcomes.most_common()),
        "faults": sum(faults.values()) + crashes + sum(task.aborted for task in tasks),
        "faults by kind": {
            **dict(sorted(faults.items())),
            "crash": crashes,
            "abort": sum(t.aborted for t in tasks),
        },
        **verdict.count(),
        "longest unavailability": max(answers, default=0.0),
        "usual answer": statistics.median(answers) if answers else 0.0,
        "slowest operation": round(
            max((each.outcome["at"] - each.called for each in operations if each.outcome), default=0), 1
        ),
        "tracebacks in logs": _tracebacks(Path(course.plan.folder)),
        "killed at the end": course.left,
    }


def _tracebacks(folder: Path) -> int:
    """How often the processes of the run have logged an exception that nobody had expected."""
    logs = [*folder.glob("*.out"), *folder.glob("log/*")]
    return sum(log.read_text(errors="replace").count(_NOISE) for log in logs)


def text(found: dict[str, Any]) -> str:
    """The numbers, for people."""
    faults = ", ".join(f"{count} {kind}" for kind, count in found["faults by kind"].items() if count)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in found["outcomes"].items())
    judged = ", ".join(
        f"{found[kind]} {kind}" for kind in ("lost", "duplicated", "wrong", "out of order", "hung")
    )
    return "\n".join(
        (
            f"seed {found['seed']}, {found['seconds']:g} s",
            f"operations      {found['operations']}, among them {found['tasks']} tasks, of which"
            f" {found['confirmed']} were confirmed",
            f"outcomes        {outcomes}",
            f"executions      {found['executions']}",
            f"faults          {found['faults']}: {faults}",
            f"controller      away for {found['longest unavailability']:.2f} s at most, as a client sees it;"
            f" its usual answer takes {1000 * found['usual answer']:.1f} ms",
            f"slowest         operation: {found['slowest operation']:g} s",
            f"in the logs     {found['tracebacks in logs']} tracebacks",
            f"wrong           {judged}",
        )
    )


def stories(history: History, verdict: Verdict) -> Iterator[str]:
    """The problems, and all that happened to the operations of the first ones."""
    for place, problem in enumerate(verdict.problems):
        yield f"{problem.kind}: {', '.join(problem.keys[:5])} {problem.text}".replace("  ", " ")
        if place < STORIES and problem.keys:
            yield from _story(history, problem.keys)


def _story(history: History, keys: tuple[str, ...]) -> Iterator[str]:
    mentions = history.mentions(keys[:3])
    if not mentions:
        return
    faults = [
        (event["at"], "harness", event)
        for event in history.faults
        if event["event"] in ("fault", "over", "ended")
        and any(abs(event["at"] - at) < NEAR for at, _, _ in mentions)
    ]
    for at, log, event in sorted(mentions + faults, key=lambda entry: entry[0]):
        rest = {name: value for name, value in event.items() if name not in ("at", "event")}
        yield f"    {at:.3f}  {log}: {event['event']} {json.dumps(rest)[:300]}"
