"""What a setting may be: each kind reads a value from text and writes it as text that reads back as the same.

The text is the same in a file, in an environment variable and on a command line.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Kind(ABC, Generic[T]):
    """A type of values, called `name`; `expected` says more about what is allowed, '' where the name says it all."""

    name: str
    expected: str = ""

    @abstractmethod
    def read(self, text: str) -> T | None:
        """The value that `text` means; None if it means none."""

    def write(self, value: T) -> str:
        """The text of a value."""
        return str(value)


@dataclass(frozen=True)
class Text(Kind[str]):
    """One line of text, all of which `pattern` matches."""

    name: str = "text"
    pattern: str = ".*"

    def read(self, text: str) -> str | None:
        return text if text.isprintable() and re.fullmatch(self.pattern, text) else None


@dataclass(frozen=True)
class Boolean(Kind[bool]):
    """Yes or no."""

    name: str = "yes or no"

    def read(self, text: str) -> bool | None:
        if text.lower() in ("yes", "true", "on", "1"):
            return True
        return False if text.lower() in ("no", "false", "off", "0") else None

    def write(self, value: bool) -> str:
        return "yes" if value else "no"


@dataclass(frozen=True)
class Integer(Kind[int]):
    """A whole number from `least` to `most`."""

    name: str = "number"
    least: int = 0
    most: int = 2**63 - 1

    def read(self, text: str) -> int | None:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else self.least - 1
        return value if self.least <= value <= self.most else None


@dataclass(frozen=True)
class Number(Kind[float]):
    """A number from `least` to `most`."""

    name: str = "number"
    least: float = 0.0
    most: float = 1e9

    def read(self, text: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            return None
        return value if self.least <= value <= self.most else None

    def write(self, value: float) -> str:
        return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Size(Kind[int]):
    """A number of bytes."""

    name: str = "number"
    expected: str = "whole, with K, M, G or T after it if you like, as in 64M"

    def read(self, text: str) -> int | None:
        match = re.fullmatch(r"([0-9]{1,18}) ?([KMGT]?)(i?B)?", text, re.IGNORECASE)
        return int(match[1]) * _UNITS[match[2].upper()] if match else None

    def write(self, value: int) -> str:
        for unit in ("T", "G", "M", "K"):
            if value and value % _UNITS[unit] == 0:
                return f"{value // _UNITS[unit]}{unit}"
        return str(value)


@dataclass(frozen=True)
class Words(Kind[tuple[str, ...]]):
    """Words separated by commas, each of which `pattern` matches."""

    name: str = "list"
    pattern: str = r"[^,\s]+"

    def read(self, text: str) -> tuple[str, ...] | None:
        words = tuple(word.strip() for word in text.split(",")) if text else ()
        return words if all(re.fullmatch(self.pattern, word) for word in words) else None

    def write(self, value: tuple[str, ...]) -> str:
        return ",".join(value)
