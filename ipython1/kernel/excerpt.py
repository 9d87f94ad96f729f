"""What engines printed, made fit to be shown: without what would harm a terminal, and without the middle of a flood."""

from __future__ import annotations

import re

HEAD = 1000
"""So many lines of the beginning are shown of a text that is too long."""
TAIL = 50
"""So many lines of its end."""
WIDTH = 10_000
"""A line is shown up to so many characters."""

# Colours pass, and what moves within a line; all else that a terminal would obey is shown as an escape.
_ORDERS = re.compile("\x1b\\[[0-9;:]*m|([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f])")


def tame(text: str) -> str:
    """`text` without characters that command a terminal, but for colours, tabs and the ends of lines."""
    return _ORDERS.sub(lambda found: _escaped(found[1]) if found[1] else found[0], text)


def _escaped(character: str) -> str:
    return f"\\x{ord(character):02x}"


def left_out(count: int, what: str) -> str:
    """The line that stands for what is not shown."""
    return f"[... {count:,} {what} left out ...]"


def excerpt(text: str, head: int = HEAD, tail: int = TAIL) -> str:
    """`text`, or of a long one the beginning, a line that says how much was left out, and the end."""
    # Not by splitlines, which would make a list of all of a flood.
    start = _after_lines(text, head)
    end = _before_lines(text, tail)
    if start < end:
        note = left_out(text.count("\n", start, end), "lines")
        text = f"{text[:start]}{note}\n{text[end:]}"
    return "".join(map(_narrow, text.splitlines(keepends=True))) if len(text) > WIDTH else text


def _after_lines(text: str, count: int) -> int:
    """Where `text` goes on after its first `count` lines."""
    at = 0
    for _ in range(count):
        found = text.find("\n", at)
        if found < 0:
            return len(text)
        at = found + 1
    return at


def _before_lines(text: str, count: int) -> int:
    """Where the last `count` lines of `text` begin."""
    at = len(text) - text.endswith("\n")
    for _ in range(count):
        at = text.rfind("\n", 0, at)
        if at < 0:
            return 0
    return at + 1


def _narrow(line: str) -> str:
    text = line.rstrip("\n")
    if len(text) <= WIDTH:
        return line
    half = WIDTH // 2
    return f"{text[:half]}{left_out(len(text) - 2 * half, 'characters')}{line[len(text) - half :]}"
