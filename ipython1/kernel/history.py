"""What is asked about the past: who had what run, when, where, and how it ended; and the table that shows it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ipython1.kernel.queries import PAGE, query_problem
from ipython1.kernel.request import Request, Steps, ask_controller

TIME_FORMAT = "%Y/%m/%d %H:%M:%S"


def past(
    verb: str, limit: int | None, states: Sequence[str], own: bool = False, **asked: Any
) -> Steps[list[dict[str, Any]]]:
    """The rows that a query is about, the newest first; all of them if `limit` is None.

    With `own`, those of sessions that have the same name as that of the client who asks.  TypeError or ValueError if it
    cannot be one.
    """
    query = {word: value for word, value in asked.items() if value is not None}
    for word in ("since", "until"):
        if isinstance(query.get(word), datetime):
            query[word] = query[word].timestamp()
    problem = query_problem(query)
    if problem:
        raise TypeError(problem)
    if query.get("state", states[0]) not in states:
        raise ValueError(f"state is one of {', '.join(states)}, not {query['state']!r:.50}")
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise ValueError(f"limit is a number of rows, or None for all, not {limit!r:.50}")
    rows: list[dict[str, Any]] = []
    while limit is None or len(rows) < limit:
        count = PAGE if limit is None else min(PAGE, limit - len(rows))
        page = {**query, "limit": count, "offset": len(rows)}
        found = yield from ask_controller(Request(verb, {"query": page, "own": own}, method="history"))
        rows += found
        if len(found) < count:
            break
        # What is submitted meanwhile must not move the others to another page.
        query.setdefault("until", math.nextafter(rows[0]["submitted"], math.inf))
    return rows


class History(list[dict[str, Any]]):
    """Rows of a history: dictionaries, which print as a table.

    Times (`submitted`, `started`, `completed`) are in seconds since 1970, and None where it did not come to that.
    """

    def __init__(self, rows: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__(rows)

    def __repr__(self) -> str:
        if not self:
            return "nothing is known of that"
        shown = [name for name in _COLUMNS if name in self[0]]
        cells = [[_TITLES.get(name, name) for name in shown]]
        cells += [[_COLUMNS[name](row) for name in shown] for row in self]
        widths = [max(map(len, column)) for column in zip(*cells)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells
        )

    __str__ = __repr__

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return History(found) if isinstance(place, slice) else found


def _text(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "" if row[name] is None else str(row[name])


def _time(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "" if row[name] is None else time.strftime(TIME_FORMAT, time.localtime(row[name]))


def _who(row: Mapping[str, Any]) -> str:
    """Whose session it was, as far as that is known."""
    user, host = row.get("user"), row.get("host")
    return f"{user}@{host}" if user and host else host or row["session"][:8]


def _seconds(row: Mapping[str, Any]) -> str:
    began, ended = row["started"], row["completed"]
    return "" if began is None or ended is None else f"{ended - began:.3f}"


def _label(row: Mapping[str, Any]) -> str:
    text: str = row["label"]
    return text if len(text) <= 40 else f"{text[:37]}..."


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "id": _text("id"),
    "label": _label,
    "state": _text("state"),
    "engine": _text("engine"),
    "attempts": _text("attempts"),
    "submitted": _time("submitted"),
    "completed": _time("completed"),
    "started": _seconds,
    "name": _text("name"),
    "session": _who,
}
_TITLES = {"started": "seconds", "session": "by"}
