"""How often something that keeps ending is started again: so often in so many seconds, and not more.

Without a limit, what cannot work would be started for ever; with a limit on the sum alone, what ends once a
month would be given up some day.  (Erlang's supervisors call this the restart intensity.)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

FIRST_DELAY = 0.5
LONGEST_DELAY = 10.0
"""Seconds before the second restart in a row, and at most; the first one comes at once."""


@dataclass(frozen=True)
class Intensity:
    """At most `restarts` in `seconds`."""

    restarts: int = 5
    seconds: float = 60.0

    def __str__(self) -> str:
        return f"{self.restarts} times in {self.seconds:g} s"


class Budget:
    """The restarts of one thing."""

    def __init__(self, intensity: Intensity) -> None:
        self._intensity = intensity
        self._times: deque[float] = deque()

    def spend(self, now: float) -> float | None:
        """Take one restart: seconds to wait before it, or None if there is none left."""
        while self._times and self._times[0] <= now - self._intensity.seconds:
            self._times.popleft()
        recent = len(self._times)
        if recent >= self._intensity.restarts:
            return None
        self._times.append(now)
        return min(FIRST_DELAY * 2.0 ** (recent - 1), LONGEST_DELAY) if recent else 0.0
