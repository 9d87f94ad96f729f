"""Finding the controller, with patience: whichever is started first, agent and controller find each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.task import deferLater

from ipython1.kernel.error import ConnectionError, FileTimeoutError, FURLError, IncompatiblePeer, KernelError
from ipython1.kernel.furl import read_furl, stamp
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.places import FURL_FILES, Places

FIRST_DELAY = 0.1
FIRST_DELAY_EARLY = 0.02
"""The same, if the controller is being started."""
LONGEST_DELAY = 2.0
"""Seconds between two attempts."""
LONGEST_DIAL = 10.0
"""Seconds that one attempt may take."""


class Dial(Protocol):
    """`ipython1.kernel.dial.dial`, or a fake of it."""

    def __call__(
        self,
        furl: str,
        role: str,
        receiver: Receiver,
        *,
        reactor: Any,
        timeout: float,
        session: str,
        again: Callable[[], str],
    ) -> Awaitable[Link]:
        """Open a session."""


@dataclass(frozen=True)
class Address:
    """Where the FURL is: `furl_or_file` as the user gave it, or '' for the cluster's own file.

    `before` is the stamp that the file had before the controller was started, which writes another one; None if that
    may have been at any time.
    """

    furl_or_file: str
    places: Places
    before: str | None = None

    @property
    def path(self) -> Path | None:
        """The FURL file; None if the FURL itself was given."""
        if self.furl_or_file.startswith(("pb://", "pbu://")):
            return None
        if self.furl_or_file:
            return Path(self.furl_or_file).expanduser()
        return self.places.furl_file("engine")

    def read(self) -> str:
        """The FURL.  FileTimeoutError if the file is not there (yet), FURLError if it is of no use."""
        path = self.path
        if path is not None and not path.exists():
            raise FileTimeoutError(
                f"there is no FURL file {path}: start a controller with ipcontroller or ipcluster, or copy its"
                f" {FURL_FILES['engine']} there"
            )
        if path is not None and stamp(path) == self.before:
            raise FileTimeoutError(f"the controller has not written the FURL file {path} yet")
        return read_furl(self.furl_or_file, "engine", self.places)


async def reach(
    address: Address,
    receiver: Receiver,
    *,
    dial: Dial,
    reactor: Any,
    timeout: float,
    say: Callable[[str], None],
    session: str,
    again: bool = False,
) -> Link:
    """A link to the controller, within `timeout` seconds; `say` is told what is waited for.

    `session` is the agent's id, the same each time: a controller that has not noticed yet that the old link is lost
    knows by it that it is, and frees the ids of the engines.

    The file is read anew for each attempt.  What waiting cannot mend raises at once: a FURL for something else, or an
    incompatible controller.  If it is to be reached `again`, a FURL that is wrong may be one that the
    next controller is about to replace.  Nothing is said of a controller that is known to be starting.
    """
    deadline = reactor.seconds() + timeout
    early = address.before is not None and not again
    delay = FIRST_DELAY_EARLY if early else FIRST_DELAY
    said = ""
    while True:
        left = deadline - reactor.seconds()
        try:
            patience = max(min(left, LONGEST_DIAL), 1.0)
            furl = address.read()
            return await dial(
                furl,
                "engine",
                receiver,
                reactor=reactor,
                timeout=patience,
                session=session,
                again=address.read,
            )
        except (IncompatiblePeer, FURLError) as problem:
            if isinstance(problem, IncompatiblePeer) or not again:
                raise
            reason: KernelError = problem
        except (FileTimeoutError, ConnectionError) as problem:
            reason = problem
        left = deadline - reactor.seconds()
        if left <= 0:
            raise type(reason)(f"gave up after {timeout:g} s: {reason}") from None
        if str(reason) != said and not early:
            said = str(reason)
            say(f"waiting, up to {left:.0f} s: {said}")
        await deferLater(reactor, min(delay, left), lambda: None)
        delay = min(delay * (1.1 if early else 1.5), LONGEST_DELAY)
