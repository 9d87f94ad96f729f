"""Waiting for a result, with a line that says for how long, and how many engines are done."""

from __future__ import annotations

import sys
import time
from typing import Any

from ipython1.kernel.error import CallTimeout

EVERY = 0.5
"""Seconds after which the line is written anew."""


def wait_with_progress(pending: Any, after: float) -> Any:
    """The outcome of `pending`; if it takes longer than `after` seconds, a line on stderr says how it goes meanwhile."""
    begun = time.monotonic()
    line = _Line()
    limit = after
    try:
        while True:
            try:
                return pending.result(limit)
            except CallTimeout:
                if pending.done():  # its own time is over, or it has come now
                    return pending.result()
            line.show(f"{_done(pending)}{time.monotonic() - begun:.0f} s")
            limit = EVERY
    finally:
        line.clear()


def _done(pending: Any) -> str:
    came, of = pending.client._calls.connection.came(pending._requests)
    return "" if of is None else f"{came} of {of} engines done, "


class _Line:
    """The last line of stderr, which is written over and over."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, text: str) -> None:
        """Write `text` in the place of what is there."""
        if sys.stderr is not None:
            sys.stderr.write(f"\r{text.ljust(self._width)}")
            sys.stderr.flush()
            self._width = len(text)

    def clear(self) -> None:
        """Leave the line empty."""
        if self._width:
            self.show("")
            sys.stderr.write("\r")
            sys.stderr.flush()
