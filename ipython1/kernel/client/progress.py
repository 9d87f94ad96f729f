"""Bars that say how far something has come: after a while, and only where somebody sees them."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ipython1.kernel.framing import Traffic
from ipython1.kernel.live import write
from ipython1.kernel.terminal import in_notebook, is_watched

AFTER = 2.0
"""Seconds after which there is a bar, if nothing else was chosen."""
EVERY = 0.1
"""Seconds between two looks."""

LARGE = 1 << 20
"""Bytes from which values are large enough for a bar of their own."""

Choice = bool | float | None
Count = Callable[[], tuple[int, int | None] | None]


def bar_after(choice: Choice) -> float | None:
    """After how many seconds there is to be a bar, if the user has made that choice; None if there is to be none.

    None: after a while, where somebody sees it.  True: the same, wherever that is.  A number: after so many seconds.
    """
    if choice is None:
        return AFTER if is_watched() else None
    if isinstance(choice, bool):
        return AFTER if choice else None
    return max(0.0, float(choice))


class Meter:
    """A bar for something that has come as far as `count` says: how many parts are done, of how many if that is known.

    While it says None there is nothing to be shown.  The parts are `unit`.  One that is `lasting` goes on after somebody
    has waited for a part of it.
    """

    def __init__(
        self, what: str, count: Count, choice: Choice = None, lasting: bool = False, unit: str = ""
    ) -> None:
        self.lasting = lasting
        self._unit = unit
        self._what = what
        self._count = count
        after = bar_after(choice)
        self._at = None if after is None else time.monotonic() + after
        self._started = time.monotonic()
        self._bar: Any = None

    @property
    def is_wanted(self) -> bool:
        """Whether there is ever to be a bar."""
        return self._at is not None

    def update(self) -> None:
        """Show how far it is now, if it is time for that."""
        if self._at is None or time.monotonic() < self._at:
            return
        self._at = time.monotonic() + EVERY
        counted = self._count()
        if counted is None:
            return
        done, total = counted
        if self._bar is None:
            self._bar = _bar_class()(
                total=total,
                desc=self._what,
                initial=0,
                unit=self._unit,
                unit_scale=bool(self._unit),
                unit_divisor=1024,
                dynamic_ncols=True,
                file=sys.stderr,
            )
            # It tells how long all of it takes, and not how long there has been a bar.
            self._bar.start_t -= time.monotonic() - self._started
        self._bar.total = total
        self._bar.n = done
        self._bar.refresh()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Within it, something else can be printed."""
        if self._bar is None or in_notebook():
            yield
            return
        self._bar.clear()
        try:
            yield
        finally:
            self._bar.refresh()

    def write(self, kind: str, text: str) -> None:
        """Show text of the stream `kind` above it."""
        with self.hidden():
            write(kind, text)

    def close(self) -> None:
        """It is over: show how far it has come."""
        if self._bar is not None:
            self._at = 0.0
            self.update()
            self._bar.close()
            self._bar = None


class Transferred:
    """A `Count` for large values: how many bytes of them have come or gone."""

    def __init__(self, traffic: Sequence[Traffic]) -> None:
        self._traffic = traffic
        self._shown = False

    def __call__(self) -> tuple[int, int] | None:
        done, total = sum(each.done for each in self._traffic), sum(each.total for each in self._traffic)
        # Where all is there at the first look, it is something else that is waited for.
        self._shown = self._shown or (total >= LARGE and done < total)
        return (done, total) if self._shown else None


def _bar_class() -> Any:
    # tqdm's own choice warns where the widgets are missing.
    if in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as bar
    else:
        from tqdm.std import tqdm as bar
    return bar
