"""What was wanted: ratios of what ipython1 and others did in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.report import number
from benchmarks.run import Results


@dataclass(frozen=True)
class Goal:
    """`ours` is to do `work` at least (or, for times, at most) `ratio` times as `theirs` does; the best of several."""

    work: str
    ours: str
    theirs: tuple[tuple[str, str], ...]
    """Pairs of a work and a system."""
    ratio: float
    at_most: bool = False


def _same(work: str, ours: str, theirs: str, ratio: float, at_most: bool = False) -> Goal:
    return Goal(work, ours, ((work, theirs),), ratio, at_most)


GOALS = (
    _same("execute", "ipython1", "ipyparallel", 0.5, at_most=True),
    _same("tasks", "ipython1-memory", "ipyparallel", 10),
    _same("tasks", "ipython1-memory", "processpool", 1),
    _same("tasks", "ipython1", "ipyparallel", 7),
    Goal("map", "ipython1", tuple((f"map {chunk}", "ipyparallel") for chunk in (100, 1000, 10_000)), 1),
    _same("push 100 MB", "ipython1", "dask", 1),
    _same("pull 100 MB", "ipython1", "dask", 1),
    _same("broadcast 100 MB to 4", "ipython1", "ipyparallel", 5),
    _same("push 100 MB", "ipython1-stream", "relay", 0.8),
    _same("start", "ipython1", "ipyparallel", 0.5, at_most=True),
)


def ratios(goal: Goal, results: Results) -> list[float]:
    """Turn by turn, what was wanted; of several others the best in that turn."""
    ours = results.figures.get(goal.work, {}).get(goal.ours, [])
    others: list[Sequence[float]] = [results.figures.get(work, {}).get(system, []) for work, system in goal.theirs]
    others = [figures for figures in others if figures]
    choose = min if goal.at_most else max
    return [one / choose(each) for one, *each in zip(ours, *others)] if others else []


TITLES = ["work", "of", "to", "median (least - greatest)", "wanted", ""]


def rows(results: Results) -> list[list[str]]:
    """What came of each goal that was measured."""
    titles = {work.name: work.title for work in results.works}
    found = []
    for goal in GOALS:
        if each := ratios(goal, results):
            median = statistics.median(each)
            reached = median <= goal.ratio if goal.at_most else median >= goal.ratio
            found.append(
                [
                    titles[goal.work],
                    goal.ours,
                    ", ".join(sorted({system for _, system in goal.theirs})),
                    f"{number(median)} ({number(min(each))} - {number(max(each))})",
                    f"{'<=' if goal.at_most else '>='} {goal.ratio:g}",
                    "reached" if reached else "not reached",
                ]
            )
    return found


def table(results: Results, console: Console) -> None:
    """Print that."""
    shown = Table(*TITLES, title="Goals: ratios within each turn", title_justify="left")
    for row in rows(results):
        shown.add_row(*row)
    if shown.row_count:
        console.print(shown)
