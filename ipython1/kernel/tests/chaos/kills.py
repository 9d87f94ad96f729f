"""When interpreters were ended: what that excuses, and what not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


class Kills:
    """The moments.  What was submitted up to `slack` seconds later may still suffer from one.

    `agents` and `controllers` are the moments in which one of these was killed.
    """

    def __init__(
        self,
        moments: Sequence[float],
        slack: float,
        agents: Sequence[float] = (),
        controllers: Sequence[float] = (),
    ) -> None:
        self._moments = sorted(moments)
        self._slack = slack
        self._agents = sorted(agents)
        self._controllers = sorted(controllers)

    def before(self, called: float, ended: float) -> int:
        """How many may be to blame for the failure of what was called and ended then."""
        return self.between(called - self._slack, ended)

    def between(self, first: float, last: float) -> int:
        """How many there were from the one moment to the other."""
        return _count(self._moments, first, last)

    def forgotten(self, first: float, last: float) -> int:
        """How many attempts of a task that may be tried again nobody may know of.

        Its assignment is stored while it leaves, and not before.  So it is forgotten if the controller is killed just
        then, and the agent, which knows of it, before that is back.
        """
        return min(_count(self._agents, first, last), _count(self._controllers, first, last))


def _count(moments: Sequence[float], first: float, last: float) -> int:
    return bisect_right(moments, last) - bisect_left(moments, first)
