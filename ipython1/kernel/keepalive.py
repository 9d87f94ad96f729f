"""When a silent connection is asked for a sign, and when it is given up.

It is looked at a few times within the silence that is allowed.  What counts is at how many looks in a row nothing had
come, and not what the clock says: a process that was stopped, or busy, for a minute and goes on looks once, and
its peer has the rest of the time to show that it is there.
"""

from __future__ import annotations

from enum import Enum

LOOKS = 5
"""How often it is looked within the silence that is allowed."""


class Measure(Enum):
    """What is to be done about a silence."""

    NOTHING = "nothing"
    ASK = "ask"
    GIVE_UP = "give up"


class Silence:
    """The silence of one connection."""

    def __init__(self) -> None:
        self._quiet = 0

    def looked(self, heard: bool) -> Measure:
        """It was looked; `heard` is whether anything has come since the last time."""
        if heard:
            self._quiet = 0
            return Measure.NOTHING
        self._quiet += 1
        if self._quiet == 1:
            return Measure.ASK
        # What came last may have come just after a look: so one look less, to be within the time.
        return Measure.GIVE_UP if self._quiet == LOOKS - 1 else Measure.NOTHING
