"""A part of a cluster as a process: one life of it, from its launch to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.error import LaunchError
from ipython1.kernel.launch.launcher import ILaunchObserver
from ipython1.kernel.launch.values import LaunchState

RECENT = 20
"""So many of the latest lines are kept, to be shown with an error."""


class Owner(Protocol):
    """Takes what a member says, and its end."""

    def member_said(self, label: str, line: str, shown: str) -> None:
        """A line came; `shown` is the line with the label."""

    def member_changed(self) -> None:
        """Its process has come, or is being ended."""

    def member_ended(self, label: str, reason: str, succeeded: bool) -> None:
        """It has ended, or could not be started.  Called once; nothing comes after it."""


@implementer(ILaunchObserver)
class Member:
    """One launch of the part called `label`; `command` is the name by which its lines begin, if they do."""

    log = Logger()

    def __init__(self, label: str, launcher: Any, owner: Owner) -> None:
        self.label = label
        self.launcher = launcher
        self.recent: deque[str] = deque(maxlen=RECENT)
        self._owner = owner
        self._starting = True
        self._ended: Callable[[], None] | None = None
        launcher.observe(self)

    def start(self) -> None:
        """Start it."""
        started: Deferred[None] = self.launcher.start()
        started.addCallbacks(self._started, self._not_started)
        started.addErrback(lambda failure: self.log.failure("while starting {label}", failure, label=self.label))

    def _started(self, _: None) -> None:
        self._starting = False
        if self._ended is not None:
            self._ended()

    def _not_started(self, failure: Failure) -> None:
        problem = failure.value
        if not failure.check(LaunchError):
            # A launcher may come from another package. Whatever goes wrong in it, the part has not been started.
            self.log.failure("while starting {label}", failure, label=self.label)
        text = str(problem) if isinstance(problem, LaunchError) else f"{type(problem).__name__}: {problem}"
        self._owner.member_ended(self.label, text, False)

    def stop(self, grace: float) -> None:
        """End it in good order, or after `grace` seconds in any case."""
        ended: Deferred[None] = self.launcher.stop(grace)
        ended.addErrback(lambda failure: self.log.failure("while ending {label}", failure, label=self.label))

    def signal(self, number: int) -> Deferred[None]:
        """Send it a signal."""
        sent: Deferred[None] = self.launcher.signal(number)
        return sent

    @property
    def state(self) -> LaunchState:
        """How far its process is."""
        state: LaunchState = self.launcher.status()
        return state

    @property
    def message(self) -> str:
        """The last line of what it has said, if it is a message of the command; '' if it is not."""
        last = self.recent[-1] if self.recent else ""
        return last.removeprefix(self._prefix) if last.startswith(self._prefix) else ""

    @property
    def _prefix(self) -> str:
        return f"{self.launcher.launch.command[0]}: "

    def output(self, line: str) -> None:
        """See `ILaunchObserver`."""
        shown = f"{self.label}: {line.removeprefix(self._prefix)}"
        self.recent.append(line)
        self._owner.member_said(self.label, line, shown)

    def changed(self, state: LaunchState) -> None:
        """See `ILaunchObserver`."""
        if state.state != "ended":
            self._owner.member_changed()
            return
        reason = state.reason or "for an unknown reason"
        self._ended = lambda: self._owner.member_ended(self.label, reason, bool(state.succeeded))
        # One that could not be started fails to start as well, with a better text.
        if not self._starting:
            self._ended()
