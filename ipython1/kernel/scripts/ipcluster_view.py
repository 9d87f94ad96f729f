"""What ``ipcluster status`` and ``ipcluster list`` show to people."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipython1.kernel.terminal import silence

WIDTH = 120
"""Columns where there is no terminal to ask: what is piped or kept in a file is not broken to the width of none."""

_COLOURS = {
    "running": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "delayed": "yellow",
    "waiting": "yellow",
    "stopping": "yellow",
    "failed": "red",
    "lost": "red",
    "unreadable": "red",
}


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Who reads it has seen enough, as with ``| head``: that is no failure of the command."""
        silence(sys.stdout)


def console() -> Console:
    """Writes to standard output: with colours at a terminal, and plain text elsewhere."""
    made = _Output(highlight=False)
    return made if made.is_terminal else _Output(highlight=False, width=WIDTH)


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state, _COLOURS.get(state, ""))


def since(started: float, now: float) -> str:
    """How long ago that was."""
    seconds = max(int(now - started), 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{seconds} s"


def show_status(plain: Mapping[str, Any], out: Console) -> None:
    """A cluster that runs, from what it has answered."""
    engines = plain["engines"]
    supervisor = plain["supervisor"]
    line = Text.assemble(
        (plain["name"], "bold"),
        "  ",
        state_text(plain["state"]),
        f"  {len(engines)} {'engine' if len(engines) == 1 else 'engines'}"
        f"  for {since(plain['started'], time.time())}  pid {supervisor['pid']} on {supervisor['host']}",
    )
    out.print(line)
    out.print()
    out.print(_parts_table(plain["parts"], supervisor["host"]))
    if engines:
        out.print()
        out.print(_engines_table(engines))
    if plain["problems"]:
        out.print("\nproblems, the latest last:")
        for problem in plain["problems"]:
            out.print(Text(f"  {problem}", "red"))


def _parts_table(parts: Iterable[Mapping[str, Any]], here: str) -> Table:
    table = _table("process", "host", "pid", "state", "engines", "restarts")
    for part in parts:
        process = part["process"]
        table.add_row(
            part["label"],
            part["host"] or here,
            str(process["pid"]) if process else "-",
            state_text(part["state"]),
            ranges(part["engines"]) or "-",
            str(part["restarts"]),
        )
    return table


def _engines_table(engines: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("engine", "of", "running", "waiting")
    for engine in engines:
        waiting = engine["waiting"]
        table.add_row(
            str(engine["id"]),
            engine["agent"] or "started by hand",
            engine["running"] or ("-" if waiting is not None else "?"),
            "?" if waiting is None else str(waiting),
        )
    return table


def show_list(clusters: Sequence[Mapping[str, Any]], out: Console) -> None:
    """The clusters of a folder."""
    table = _table("cluster", "state", "engines", "since", "pid", "host")
    for plain in clusters:
        if "supervisor" not in plain:
            table.add_row(plain["name"], state_text(plain["standing"]), "-", "-", "-", "-")
            continue
        state = plain["state"] if plain["standing"] == "running" else plain["standing"]
        parts = plain["parts"]
        table.add_row(
            plain["name"],
            state_text(state),
            str(sum(len(part["engines"]) for part in parts)) if plain["standing"] == "running" else "-",
            since(plain["started"], time.time()),
            str(plain["supervisor"]["pid"]),
            plain["supervisor"]["host"],
        )
    out.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column != "running", overflow="ellipsis")
    return table


def ranges(ids: Sequence[int]) -> str:
    """Ids, those that follow each other as a range: ``0-3, 5``."""
    found: list[list[int]] = []
    for number in ids:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, run)) for run in found)
