"""Coming back to a controller that was killed and started again on the same store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.task import deferLater

from ipython1.kernel.error import ConnectionError, IncompatiblePeer, KernelError, NoFURLFile
from ipython1.kernel.peer import Ending, Link
from ipython1.kernel.redial import delays


def may_reopen(link: Link) -> bool:
    """Whether a session that is over may go on by another link: the controller does not know it, but has a store."""
    return link.ending is Ending.UNKNOWN and bool(link.peer.get("house"))


async def reopened(old: Link, dial: Callable[[], Awaitable[Link]], reactor: Any) -> Link:
    """Another link to the controller that has the store of `old`; `dial` opens one.

    It is tried again and again for the grace time.  Raises ConnectionError if none is there by then, or the one that is
    has another store.
    """
    house, grace = old.peer["house"], old.peer["grace"]
    deadline = reactor.seconds() + grace
    for delay in delays():
        await deferLater(reactor, min(delay, max(0.0, deadline - reactor.seconds())))
        try:
            link = await dial()
        except (IncompatiblePeer, NoFURLFile) as problem:
            raise ConnectionError(f"the new one cannot be used: {problem}") from None
        except KernelError as problem:
            if reactor.seconds() >= deadline:
                raise ConnectionError(f"the new one stayed away for {grace:g} s: {problem}") from None
            continue
        if link.peer["house"] == house:
            return link
        link.close("the store is another one")
        break
    raise ConnectionError("the new one has another store")
