"""When interpreters were ended: what that excuses, and what not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


class Kills:
    """The moments, in their order.  What was submitted up to `slack` seconds later may still suffer from one."""

    def __init__(self, moments: Sequence[float], slack: float) -> None:
        self._moments = sorted(moments)
        self._slack = slack

    def before(self, called: float, ended: float) -> int:
        """How many may be to blame for the failure of what was called and ended then."""
        return self.between(called - self._slack, ended)

    def between(self, first: float, last: float) -> int:
        """How many there were from the one moment to the other."""
        return bisect_right(self._moments, last) - bisect_left(self._moments, first)
