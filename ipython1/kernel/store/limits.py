"""How long what has ended is kept: by age, by number, by bytes.  What has not ended is kept in any case."""

from __future__ import annotations

from dataclasses import dataclass

from ipython1.kernel.config.settings import (
    KEPT_COMMANDS_AGE,
    KEPT_COMMANDS_BYTES,
    KEPT_COMMANDS_COUNT,
    KEPT_TASKS_AGE,
    KEPT_TASKS_BYTES,
    KEPT_TASKS_COUNT,
)


@dataclass(frozen=True)
class Limits:
    """What is kept: `age` in seconds (0: for ever), the newest `count`, of at most `size` bytes together."""

    age: float = KEPT_TASKS_AGE.default
    count: int = KEPT_TASKS_COUNT.default
    size: int = KEPT_TASKS_BYTES.default


@dataclass(frozen=True)
class Retention:
    """What is kept of tasks that have ended, with their results, and of commands."""

    tasks: Limits = Limits()
    commands: Limits = Limits(
        KEPT_COMMANDS_AGE.default, KEPT_COMMANDS_COUNT.default, KEPT_COMMANDS_BYTES.default
    )
