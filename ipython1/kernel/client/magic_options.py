"""What is written after the parallel magics: their options, and the code behind them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from ipython1.kernel.show import GROUPS

# An option begins with two hyphens. What follows it, or its =, up to a blank is its value; in brackets or quotes there
# may be blanks.
_OPTION = re.compile(r"--([A-Za-z][\w-]*)(=?)")
_VALUE = re.compile(r"""'[^']*'|"[^"]*"|\[[^\]]*\]|[^\s'"\[]\S*""")


class OptionError(ValueError):
    """What is written after a magic is wrong; the text says what."""


@dataclass
class Options:
    """What was asked for; None where that is not said."""

    targets: Any = None
    block: bool | None = None
    local: bool = False
    group_outputs: str | None = None
    name: str | None = None
    progress: float | None = None
    timeout: float | None = None

    @property
    def limit(self) -> float | None:
        """The timeout as calls take it, with which 0 is none at all; None where that is not said."""
        return math.inf if self.timeout == 0 else self.timeout


def parse(magic: str, line: str, allowed: Iterable[str]) -> tuple[Options, str]:
    """The options at the beginning of `line`, of those that are `allowed`, and what is behind them.

    OptionError names what is wrong.
    """
    known = [name for name in _OPTIONS if name in allowed]
    found = Options()
    rest = line.lstrip()
    while match := _OPTION.match(rest):
        name = match[1]
        if name not in known:
            raise OptionError(f"%{magic} has no option --{name}; it has {', '.join(f'--{each}' for each in known)}")
        option = _OPTIONS[name]
        rest = rest[match.end() :]
        if option.convert is None:
            if match[2] or (rest and not rest[0].isspace()):
                raise OptionError(f"--{name} takes no value")
            setattr(found, option.attribute, option.value)
        else:
            rest = rest if match[2] else rest.lstrip()
            value = _VALUE.match(rest)
            if value is None:
                raise OptionError(f"--{name} needs a value: {option.help}")
            rest = rest[value.end() :]
            setattr(found, option.attribute, option.convert(name, value[0].strip("'\"")))
        rest = rest.lstrip()
    return found, rest


def _targets(name: str, text: str) -> Any:
    try:
        return targets(text)
    except OptionError as problem:
        raise OptionError(f"--{name} {problem}") from None


def targets(text: str) -> Any:
    """Targets as people write them: ``all``, ``0``, ``0,2``, ``[0, 2]``, ``::2``."""
    text = text.strip()
    try:
        if text == "all":
            return text
        if ":" in text:
            parts = text.split(":")
            chosen = slice(*(int(part) if part.strip() else None for part in parts))
            if chosen.step == 0:
                raise ValueError
            return chosen
        if text.startswith("[") or "," in text:
            return [int(part) for part in text.strip("[]").split(",") if part.strip()]
        return int(text)
    except (ValueError, TypeError):
        raise OptionError(
            f"{text}: targets are all, an engine id, ids with commas between them, or a slice such as ::2"
        ) from None


def shown_targets(chosen: Any) -> str:
    """Targets as people are shown them."""
    if isinstance(chosen, slice):
        parts = ["" if part is None else str(part) for part in (chosen.start, chosen.stop, chosen.step)]
        return ":".join(parts if parts[2] else parts[:2])
    return str(chosen)


def _group(name: str, text: str) -> str:
    if text not in GROUPS:
        raise OptionError(f"--{name} {text}: outputs are grouped by {', '.join(GROUPS)}")
    return text


def _identifier(name: str, text: str) -> str:
    if not text.isidentifier() or iskeyword(text):
        raise OptionError(f"--{name} {text}: that is no name of a variable")
    return text


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise OptionError(f"--{name} {text}: that is no number of seconds")
    return seconds


@dataclass(frozen=True)
class _Option:
    attribute: str
    help: str
    convert: Callable[[str, str], Any] | None = None
    value: Any = True


_OPTIONS: Mapping[str, _Option] = {
    "targets": _Option("targets", "the engines: all, 0, 0,2 or ::2", _targets),
    "block": _Option("block", "wait for the outcome", value=True),
    "noblock": _Option("block", "do not wait: give a PendingResult", value=False),
    "local": _Option("local", "run the code here, too"),
    "group-outputs": _Option("group_outputs", "show the outputs by engine, order or type", _group),
    "name": _Option("name", "the variable that gets the result", _identifier),
    "progress": _Option("progress", "show how far it is after so many seconds", _seconds),
    "timeout": _Option("timeout", "seconds that it may take; 0 is for ever", _seconds),
}


def described(allowed: Iterable[str]) -> str:
    """The options, for people to read."""
    chosen = [(name, _OPTIONS[name]) for name in _OPTIONS if name in allowed]
    return "\n".join(f"--{name:14s} {option.help}" for name, option in chosen)
