"""What can be asked about the past: the words of a query, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAGE = 400
"""So many rows travel at a time."""

_NUMBER = (int, float)
WORDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "session": (str,),
    "engine": (int,),
    "state": (str,),
    "label": (str,),
    "since": _NUMBER,
    "until": _NUMBER,
    "limit": (int,),
    "offset": (int,),
}
"""What a query may say, and in which types."""


def query_problem(query: Mapping[str, Any]) -> str | None:
    """What is wrong with a query, in words; None if nothing is."""
    for word, value in query.items():
        types = WORDS.get(word)
        if types is None:
            return f"{word!r:.50} cannot be asked for: {', '.join(WORDS)} can"
        if not isinstance(value, types) or isinstance(value, bool):
            return f"{word} of a query is {' or '.join(kind.__name__ for kind in types)}, not {value!r:.50}"
    if not 0 < query.get("limit", 1) <= PAGE:
        return f"at most {PAGE} rows are told at a time"
    return "offset is 0 or more" if query.get("offset", 0) < 0 else None
