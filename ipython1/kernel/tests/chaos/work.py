"""What engines run, and the log in which they say so."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from ipython1.kernel.tests.chaos.journal import Journal

_journals: dict[str, Journal] = {}


class Expected(Exception):
    """What a task raises that is to fail."""


def note(log: str, key: str, event: str = "began", **fields: Any) -> str:
    """Write that the operation `key` is carried out here; the name of this execution."""
    journal = _journals.get(log)
    if journal is None:
        journal = _journals[log] = Journal(log)
    run = f"{os.getpid()}-{time.monotonic_ns()}"
    journal.write(event, key=key, pid=os.getpid(), run=run, **fields)
    return run


def value(number: int) -> int:
    """What is computed from a number: known to those who check it, and unlike the number."""
    return number * number + 7


def pattern(number: int, size: int) -> bytes:
    """So many bytes that follow from the number."""
    return (f"{value(number)};".encode() * (size // 2 + 1))[:size]


def answer(log: str, key: str, number: int, seconds: float, size: int, given: Any = b"") -> Any:
    """Take a while; return the key, the value, the name of this execution, how much was `given`, and `size` bytes."""
    run = note(log, key)
    time.sleep(seconds)
    return key, value(number), run, len(given), pattern(number, size)


def follow(log: str, key: str, number: int, earlier: Any) -> Any:
    """What comes after another task: its value counts, too."""
    run = note(log, key)
    return key, value(number) + earlier[1], run, 0, b""


def fail(log: str, key: str) -> None:
    """Fail as expected."""
    note(log, key)
    raise Expected(key)


def crash(log: str, key: str, number: int, marker: str) -> Any:
    """End the interpreter: each time, or with a `marker`, a file to be made, only the first time."""
    first = not marker
    with contextlib.suppress(FileExistsError):
        if marker:
            Path(marker).touch(exist_ok=False)
            first = True
    run = note(log, key, crashes=first)
    if first:
        os._exit(3)
    return key, value(number), run, 0, b""


def step(namespace: dict[str, Any], log: str, name: str, key: str, seconds: float) -> None:
    """A command of a MultiEngine client: count in the namespace, and print the number."""
    count = namespace[name] = namespace.get(name, 0) + 1
    run = note(log, key, count=count)
    time.sleep(seconds)
    print(json.dumps({"key": key, "count": count, "run": run}))
