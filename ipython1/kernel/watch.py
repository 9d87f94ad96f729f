"""Watching a connection for silence: see `ipython1.kernel.keepalive`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ipython1.kernel.keepalive import LOOKS, Measure, Silence


class Watch:
    """Has the peer asked for a sign when nothing comes, and the connection given up after a longer silence."""

    def __init__(self, ask: Callable[[], None], give_up: Callable[[], None]) -> None:
        self.heard = False
        """To be set whenever something comes."""
        self._ask = ask
        self._give_up = give_up
        self._seconds = 0.0
        self._look: IDelayedCall | None = None

    def begin(self, clock: IReactorTime, seconds: float) -> None:
        """From now on give the connection up after so many seconds of silence, or fewer if that was said before."""
        if 0 < self._seconds <= seconds:
            return
        self.end()
        self._seconds = seconds
        self._look = clock.callLater(seconds / LOOKS, self._looked, clock, Silence())

    def _looked(self, clock: IReactorTime, silence: Silence) -> None:
        heard, self.heard = self.heard, False
        measure = silence.looked(heard)
        self._look = None
        if measure is Measure.GIVE_UP:
            self._give_up()
            return
        if measure is Measure.ASK:
            self._ask()
        self._look = clock.callLater(self._seconds / LOOKS, self._looked, clock, silence)

    def end(self) -> None:
        """The connection is over."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
