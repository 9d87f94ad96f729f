"""What launchers have in common: a state that observers are told of, and its end, which may be waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel.launch.values import Launch, LaunchState


class Told:
    """The state of a launch, and who is told of it.  To be inherited from by launchers."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._state = LaunchState(host=launch.host)
        self._observers: list[Any] = []
        self._waiting: list[Deferred[None]] = []

    def status(self) -> LaunchState:
        """How far it is."""
        return self._state

    def observe(self, observer: Any) -> None:
        """Tell `observer` what comes from now on."""
        self._observers.append(observer)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, or was never started and will not be."""
        return self._state.state == "ended"

    def when_ended(self) -> Deferred[None]:
        """Fires when it has ended."""
        waiter: Deferred[None] = Deferred()
        if self.has_ended:
            waiter.callback(None)
        else:
            self._waiting.append(waiter)
        return waiter

    def _change(self, **changes: Any) -> None:
        if self.has_ended:
            return
        self._state = replace(self._state, **changes)
        for observer in self._observers:
            observer.changed(self._state)
        if self.has_ended:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def _say(self, line: str) -> None:
        if line:
            for observer in self._observers:
                observer.output(line)
