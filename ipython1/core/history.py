"""What an interpreter remembers of its commands: `In`, `Out` and the lines that tracebacks show.

All of it is bounded, since an engine may run for months.  The old entries go first.
"""

from __future__ import annotations

import itertools
import linecache
from collections import deque
from collections.abc import Sequence
from typing import Any, overload

# Sources are kept for `In` and for tracebacks; IPython keeps all of a session, which a person types. An engine
# gets them from programs, thousands in a second.
MAX_INPUTS = 1000
# As IPython: `Out` keeps its objects alive.
MAX_OUTPUTS = 1000
# A function that was defined many commands ago should still show its lines.
MAX_SOURCES = 5000
MAX_SOURCE_CHARACTERS = 8_000_000


class Inputs(Sequence[str]):
    """`In`: the source of each command; the index is the command's number, ``In[0]`` is empty.

    Commands older than the last 1000 are empty too.
    """

    def __init__(self) -> None:
        self._recent: deque[str] = deque([""], maxlen=MAX_INPUTS)
        self._dropped = 0

    def append(self, source: str) -> None:
        """Remember the source of the next command."""
        if len(self._recent) == MAX_INPUTS:
            self._dropped += 1
        self._recent.append(source)

    def __len__(self) -> int:
        return self._dropped + len(self._recent)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError("there is no command with that number")
        return self._recent[number - self._dropped] if number >= self._dropped else ""

    def __repr__(self) -> str:
        shown = list(self._recent)
        return repr(shown) if not self._dropped else f"[... {self._dropped} dropped ..., {repr(shown)[1:]}"


class Outputs:
    """`Out`, `_`, `__` and `___` in a namespace."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._out: dict[int, Any] = {}
        self._last: list[Any] = ["", "", ""]

    def seed(self) -> dict[str, Any]:
        """Start anew; return the names that belong into the namespace."""
        self._out = {}
        self._last = ["", "", ""]
        return {"Out": self._out, "_oh": self._out, "_": "", "__": "", "___": ""}

    def add(self, number: int, value: Any) -> None:
        """Remember the value of a command.  A `_` that the user assigned is the user's, as in IPython."""
        if value is self._out:
            return
        names = ("_", "__", "___")
        ours = all(self._namespace.get(name, old) is old for name, old in zip(names, self._last, strict=True))
        self._last = [value, *self._last[:2]]
        if ours:
            self._namespace.update(zip(names, self._last, strict=True))
        self._out[number] = value
        while len(self._out) > MAX_OUTPUTS:
            del self._out[next(iter(self._out))]


class Sources:
    """Names the sources of commands, and keeps their lines where Python's traceback machinery looks for them."""

    _serials = itertools.count(1)

    def __init__(self) -> None:
        self._kept: deque[tuple[str, int]] = deque()
        self._characters = 0

    def add(self, number: int, source: str) -> str:
        """The file name to compile `source`, command `number`, under."""
        # The serial keeps names apart after a reset, when numbers start again but functions may live on.
        name = f"<ipython1-input-{number}-{next(self._serials)}>"
        self.replace(name, source)
        self._kept.append((name, len(source)))
        self._characters += len(source)
        while self._kept and (len(self._kept) > MAX_SOURCES or self._characters > MAX_SOURCE_CHARACTERS):
            self._drop_oldest()
        return name

    def replace(self, name: str, source: str) -> None:
        """Show the lines of `source` for `name`."""
        # No modification time: linecache then never takes the entry for an outdated file.
        lines = (source if source.endswith("\n") else f"{source}\n").splitlines(keepends=True)
        linecache.cache[name] = (len(source), None, lines, name)

    def _drop_oldest(self) -> None:
        name, characters = self._kept.popleft()
        self._characters -= characters
        linecache.cache.pop(name, None)


def command_number(name: str) -> str | None:
    """The command's number in a file name that `Sources` made; None for any other file name."""
    parts = name.split("-")
    if len(parts) == 4 and parts[0] == "<ipython1" and parts[1] == "input":
        return parts[2]
    return None
