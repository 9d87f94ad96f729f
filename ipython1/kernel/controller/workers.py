"""The engines as workers: what each has been sent, how long such work takes there, and how much more it may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ipython1.kernel.controller.task_values import Event, Place, Verdict

AHEAD = 0.02
"""Seconds of work that an engine is sent ahead, beside what it runs: about what it takes to send it more."""
MAX_AHEAD = 64
"""So many tasks are sent ahead at the most, if they are very short; what is sent together costs less."""
LONG = 0.2
"""Tasks that take so many seconds are sent one at a time: a round trip is nothing beside them."""
PAUSE = 0.2
"""Seconds for which an engine that dropped a task is left alone."""
STUCK = 0.1
"""Seconds after which an engine that does something else, and has begun with no task, is not waited for."""
_WEIGHT = 0.3  # of the latest duration in the average


@dataclass(eq=False, slots=True)
class Attempt:
    """A step of a task at an engine.

    `cause` is why it is to stop running, `deadline` when the next measure against it is due, and `measures` how
    many were taken.  `returning` is whether it was asked back.
    """

    task: int
    number: int
    kind: str
    worker: Worker
    timeout: float | None = None
    sent: float = 0.0
    started: float | None = None
    returning: bool = False
    cause: Event | None = None
    deadline: float | None = None
    measures: int = 0


@dataclass(eq=False)
class Worker:
    """An engine.  `mark` names it as it is now: after a change, and after a restart, it has another one.

    `occupied` is whether it was last found to have commands of others: then other engines come before it.
    """

    engine: int
    mark: int
    properties: dict[str, Any]
    ready: bool = True
    paused_until: float = 0.0
    occupied: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    stopping: set[Attempt] = field(default_factory=set)
    """Those of the attempts that are to stop."""
    _durations: dict[str, float] = field(default_factory=dict)
    _last_end: float = 0.0

    @property
    def running(self) -> Attempt | None:
        """What runs."""
        for attempt in self.attempts:
            if attempt.started is not None:
                return attempt
        return None

    def has_room(self, now: float, without: int = 0) -> bool:
        """Whether it may be sent one more task, or might if it were `without` so many of those that it has."""
        count = len(self.attempts) - without
        if not self.ready or now < self.paused_until:
            return False
        if count <= 0:
            return True
        if count > MAX_AHEAD or self.is_stuck(now):
            return False
        return not self.stopping and count - 1 < self._ahead(now)

    def is_stuck(self, now: float) -> bool:
        """Whether it has tasks and begins with none, for what others want of it."""
        if not self.attempts or not self.occupied or now - max(self.attempts[0].sent, self._last_end) <= STUCK:
            return False
        return self.running is None

    def _ahead(self, now: float) -> int:
        kind = self.attempts[0].kind
        usual = self._durations.get(kind)
        running = self.running
        elapsed = now - running.started if running is not None and running.started is not None else 0.0
        if usual is None:
            return 1 if elapsed < LONG else 0
        if max(usual, elapsed) > LONG or elapsed > 2 * usual + AHEAD:
            return 0
        return max(1, self.portion(kind) - 1)

    def portion(self, kind: str) -> int:
        """How many tasks of that kind it may have when it has none."""
        usual = self._durations.get(kind)
        return 1 if usual is None or usual > LONG else 1 + min(MAX_AHEAD, int(AHEAD / max(usual, 1e-6)))

    def stop(self, attempt: Attempt, cause: Event) -> None:
        """An attempt is to stop, for that reason unless there was one before."""
        attempt.cause = attempt.cause or cause
        self.stopping.add(attempt)

    def ended(self, attempt: Attempt, now: float, took: float | None = None) -> None:
        """An attempt is over; if it had started, it tells how long such work takes: `took`, if the engine has said that."""
        self.attempts.remove(attempt)
        self.stopping.discard(attempt)
        if attempt.started is None:
            return
        if took is None:
            took = max(0.0, now - max(attempt.started, self._last_end))
        self._last_end = now
        usual = self._durations.get(attempt.kind)
        self._durations[attempt.kind] = took if usual is None else usual + _WEIGHT * (took - usual)

    def waits(self, now: float) -> float | None:
        """Seconds until what is last in line begins, as far as can be told; None if nothing tells."""
        total = 0.0
        for attempt in self.attempts[:-1]:
            usual = self._durations.get(attempt.kind)
            if usual is None:
                return None
            if attempt.started is None:
                total += usual
            elif now - attempt.started > usual + AHEAD:
                return None
            else:
                total += max(0.0, usual - (now - attempt.started))
        return total

    def admits(self, place: Place) -> bool:
        """Whether a task of that place may run here, but for its depend function and rejections."""
        if place.targets is not None and self.engine not in place.targets:
            return False
        return all(self.offers(name, wanted) for name, wanted in place.resources)

    def offers(self, name: str, wanted: float) -> bool:
        """Whether its property of that name is so much, or more."""
        offered = self.properties.get(name)
        return isinstance(offered, int | float) and offered >= wanted

    def may_become(self, place: Place) -> bool:
        """Whether a task of that place may run here, unless it turns out otherwise."""
        if not self.admits(place):
            return False
        verdict = self.verdicts.get(place.depend) if place.depend is not None else None
        return verdict is None or verdict.fit is not False
