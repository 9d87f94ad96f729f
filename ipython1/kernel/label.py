"""The short text that names a command to people: in queue_status, errors and logs."""

from __future__ import annotations

import reprlib
from typing import Any

LONGEST = 80
MAX_LABEL = 200
"""Labels of others are cut to so many characters: they are for people, and are kept and sent on."""


class _Short(reprlib.Repr):
    """Shows plain values, shortened, and of all others the type: their repr may be long, slow, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 50
        self.maxlist = self.maxtuple = self.maxset = self.maxdict = 4
        self.maxlevel = 2

    def repr1(self, x: Any, level: int) -> str:
        if type(x).__module__ != "builtins":
            return f"<{type(x).__name__}>"
        return super().repr1(x, level)

    def repr_bytes(self, x: bytes, level: int) -> str:
        return f"<{len(x)} bytes>"

    repr_bytearray = repr_bytes

    def repr_instance(self, x: Any, level: int) -> str:
        if x is None or isinstance(x, bool | float | complex | range | slice):
            return repr(x)
        return f"<{type(x).__name__}>"


_short = _Short()


def label(verb: str, *args: Any) -> str:
    """Such as ``execute('a=5')``."""
    shown = f"{verb}({', '.join(map(_short.repr, args))})"
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 4] + "...)"


def cut(text: str) -> str:
    """A label as it came, no longer than it may be."""
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 3] + "..."
