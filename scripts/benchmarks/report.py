"""What came of it: a table, a file of JSON, a picture."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.run import Results
from benchmarks.works import Work


def spread(figures: list[float]) -> tuple[float, float, float]:
    """Their median, the least, the greatest."""
    return statistics.median(figures), min(figures), max(figures)


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(results: Results, systems: list[str], console: Console) -> None:
    """Print the medians of each work and system, and below them how far the figures spread."""
    shown = Table(title="Medians (least - greatest)", title_justify="left")
    shown.add_column("work")
    shown.add_column("unit")
    for system in systems:
        shown.add_column(system, justify="right")
    for work in results.works:
        figures = results.figures[work.name]
        better = _best(work, figures)
        shown.add_row(work.title, work.unit.name, *(_cell(figures.get(system), system == better) for system in systems))
    console.print(shown)


def to_rst(results: Results, systems: list[str], goals: list[list[str]], versions: dict[str, str]) -> str:
    """The same as reStructuredText, for the documents; `goals` are the rows of the table of goals, its titles first."""
    rows = [["work", "unit", *systems]]
    for work in results.works:
        figures = results.figures[work.name]
        rows.append([work.title, work.unit.name, *(_plain(figures.get(system)) for system in systems)])
    where = ", ".join(f"{name} {value}" for name, value in {**machine(), **versions}.items())
    return "\n".join([f"Measured: {where}.", "", *_list_table(rows), "", *_list_table(goals), ""])


def _plain(figures: list[float] | None) -> str:
    if not figures:
        return "--"
    median, least, greatest = map(number, spread(figures))
    return median if len(figures) == 1 else f"{median} ({least} - {greatest})"


def _list_table(rows: list[list[str]]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for place, cell in enumerate(row):
            lines.append(f"   {'  -' if place else '* -'} {cell}")
    return lines


def _cell(figures: list[float] | None, best: bool) -> str:
    if not figures:
        return "-"
    median, least, greatest = map(number, spread(figures))
    text = f"[bold]{median}[/bold]" if best else median
    return text if len(figures) == 1 else f"{text}\n({least} - {greatest})"


def _best(work: Work, figures: dict[str, list[float]]) -> str | None:
    choose = max if work.unit.more_is_better else min
    medians = {system: statistics.median(values) for system, values in figures.items() if values}
    return choose(medians, key=lambda system: medians[system], default=None)


def machine() -> dict[str, Any]:
    """Where and when it was measured."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return {
        "date": time.strftime("%Y-%m-%d"),
        "system": f"{platform.system()} {platform.release()}",
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "ipython1": importlib.metadata.version("ipython1"),
    }


def to_json(results: Results, versions: dict[str, str]) -> str:
    """All figures, for programs."""
    works = [
        {"name": work.name, "title": work.title, "unit": work.unit.name, "figures": results.figures[work.name]}
        for work in results.works
    ]
    told = {"machine": machine(), "versions": versions, "works": works, "problems": results.problems}
    return json.dumps(told, indent=1)


def picture(results: Results, systems: list[str], path: Path) -> None:
    """How much faster or slower than ipython1 each system is, as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = [work for work in results.works if results.figures[work.name].get("ipython1")]
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.07 * len(works) * len(systems)))
    height = 0.8 / len(systems)
    for place, system in enumerate(systems):
        rows, ratios = [], []
        for row, work in enumerate(works):
            figures = results.figures[work.name]
            if figures.get(system):
                ours, theirs = statistics.median(figures["ipython1"]), statistics.median(figures[system])
                rows.append(row + place * height)
                ratios.append(theirs / ours if work.unit.more_is_better else ours / theirs)
        axes.barh(rows, ratios, height, label=system)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(works))], [work.title for work in works])
    axes.invert_yaxis()
    axes.set_xlabel("speed, where ipython1 is 1 (longer is faster)")
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
