"""Dialing again when a connection is lost: with patience, and not all peers at the same moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.error import IncompatiblePeer, KernelError, NoFURLFile, UnknownSession
from ipython1.kernel.link import SessionLink
from ipython1.kernel.peer import Ending

FIRST_DELAY = 0.1
"""Seconds before the first attempt, about."""
LONGEST_DELAY = 1.0
"""Seconds between two attempts, about."""
_FACTOR = 1.6


def delays() -> Iterator[float]:
    """How many seconds to wait before each attempt.

    The jitter spreads those that have lost their connections at the same moment.
    """
    delay = FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.0)
        delay = min(delay * _FACTOR, LONGEST_DELAY)


Resume = Callable[[SessionLink], None]
Attempt = Callable[[int], Coroutine[Any, Any, Resume]]


class Redial:
    """What the dialing end does while a session has no connection: see `ipython1.kernel.connection.Absence`.

    `attempt` dials once, saying how many messages were received, and returns what makes the session go on; it raises
    what `ipython1.kernel.dial.dial` does, or UnknownSession.  After `grace` seconds of that the session is over.
    """

    log = Logger()

    def __init__(self, reactor: IReactorTime, attempt: Attempt, grace: float) -> None:
        self._reactor = reactor
        self._attempt = attempt
        self._grace = grace
        self._deadline = 0.0
        self._delays = delays()
        self._reason = ""
        self._call: IDelayedCall | None = None
        self._running: Deferred[Any] | None = None

    def begin(self, link: SessionLink, reason: str) -> None:
        """See `Absence`."""
        self._deadline = self._reactor.seconds() + self._grace
        self._delays = delays()
        self._reason = reason
        self._dial_later(link)

    def end(self, link: SessionLink) -> None:
        """See `Absence`."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def _dial_later(self, link: SessionLink) -> None:
        left = max(0.0, self._deadline - self._reactor.seconds())
        self._call = self._reactor.callLater(min(next(self._delays), left), self._dial, link)

    def _dial(self, link: SessionLink) -> None:
        self._call = None
        self._running = Deferred.fromCoroutine(self._attempt(link.received))
        self._running.addCallbacks(self._succeeded, self._failed, callbackArgs=(link,), errbackArgs=(link,))

    def _succeeded(self, resume: Resume, link: SessionLink) -> None:
        self._running = None
        if link.is_away:
            resume(link)

    def _failed(self, failure: Failure, link: SessionLink) -> None:
        self._running = None
        if not link.is_away:
            return
        problem = failure.value
        if isinstance(problem, UnknownSession):
            link.over(str(problem), Ending.UNKNOWN)
        elif isinstance(problem, IncompatiblePeer) or not isinstance(problem, KernelError):
            if not isinstance(problem, KernelError):
                self.log.failure("while dialing again", failure)
            link.over(f"{self._reason}, and it cannot be taken up again: {problem}", Ending.STAYED_AWAY)
        elif isinstance(problem, NoFURLFile):
            # It has ended in good order, and we have not heard its goodbye.
            link.over(f"{self._reason}, and the controller has ended: its FURL file is gone", Ending.STAYED_AWAY)
        elif self._reactor.seconds() >= self._deadline:
            text = f"{self._reason}, and the controller stayed away for {self._grace:g} s: {problem}"
            link.over(text, Ending.STAYED_AWAY)
        else:
            self._dial_later(link)
