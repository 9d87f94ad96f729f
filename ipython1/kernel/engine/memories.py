"""The memory that an agent shares with its interpreters and with clients of its host: where values lie until they are taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ipython1.kernel.error import ProtocolError
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.shared_memory.pool import IDLE
from ipython1.kernel.shared_memory.reference import Reference
from ipython1.kernel.shared_memory.system import Unavailable

MAX_LEFT = 64
"""So many outcomes are left in memory for clients at a time."""


@dataclass
class _Announced:
    """Memory of a client that so many commands will name; without `memory` if that could not be opened."""

    uses: int
    memory: Memory | None = None


class Left:
    """Memory in which an interpreter has left values; `on_taken` is called, once, when it may use it again."""

    def __init__(self, memory: Memory, on_taken: Callable[[], None]) -> None:
        self._memory = memory
        self._on_taken: Callable[[], None] | None = on_taken

    @property
    def reference(self) -> Reference:
        """The memory, as this process has it open."""
        return self._memory.reference

    def opened(self) -> None:
        """The interpreter need not keep it."""
        on_taken, self._on_taken = self._on_taken, None
        if on_taken is not None:
            on_taken()

    def taken(self) -> None:
        """Nobody needs it any more."""
        self._memory.close()
        self.opened()

    def lend(self, rest: list[Any], on_returned: Callable[[], None]) -> list[Any]:
        """The bodies where they lie, with the `rest`; `on_returned` is called when nobody has them any more.  Unavailable."""
        return self._memory.lent_bodies(rest, on_returned)


class Memories:
    """What of it is open, for one controller at a time.  The agent does not look into values, but may send them from there.

    `trim` is called when interpreters have had no use for some time for what they keep for the next value.
    """

    log = Logger()

    def __init__(self, reactor: Any, trim: Callable[[], None], enabled: bool = False) -> None:
        self._reactor = reactor
        self._trim = trim
        self._trimming: IDelayedCall | None = None
        self.enabled = enabled
        """Whether values go through memory at all."""
        self._own: Memory | None = None
        self._announced: dict[bytes, _Announced] = {}
        self._left: dict[bytes, Left] = {}
        self._lent = 0
        self._stopped = False

    def __len__(self) -> int:
        return len(self._announced) + len(self._left) + self._lent

    def clear(self) -> None:
        """The controller is gone: nothing more of what it has announced will come, and nothing be taken."""
        self._announced.clear()
        for nonce in list(self._left):
            self.taken(nonce)

    def stop(self) -> None:
        """There are no interpreters any more."""
        self.clear()
        self._stopped = True
        if self._trimming is not None:
            self._trimming.cancel()
            self._trimming = None

    # Who sees whose memory.

    def meet(self, said: Any) -> dict[str, Any] | None:
        """Memory of our own for a client whose memory we see; None if we do not, or are not to share any."""
        if not self.enabled:
            return None
        try:
            Memory.open(Reference.of(said)).close()
            if self._own is None:
                self._own = Memory.of_bodies([])
        except (Unavailable, ProtocolError) as problem:
            self.log.info("no memory is shared with a client of this host: {problem}", problem=problem)
            return None
        return self._own.reference.to_plain()

    def answer_in(self, asked: list[Any] | None) -> int | None:
        """From how many bytes on an outcome may be left in memory for the client; None if it takes none there."""
        if asked is None or self._own is None or self._own.reference.nonce not in asked[1:]:
            return None
        return asked[0] if type(asked[0]) is int else None

    # What comes in memory of clients.

    def announced(self, said: Any, uses: int) -> None:
        """So many commands will come whose bodies lie there: open it, before its process may end."""
        reference = Reference.of(said)
        known = self._announced.get(reference.nonce)
        if known is not None:
            known.uses += uses
        else:
            self._announced[reference.nonce] = _Announced(uses, _opened(reference))

    def unused(self, nonce: bytes, uses: int) -> None:
        """So many of them will not come."""
        known = self._announced.get(nonce)
        if known is not None:
            known.uses -= uses
            if known.uses <= 0:
                del self._announced[nonce]

    def use(self, said: Any) -> Memory:
        """The memory of a command that has come; Unavailable if it is not to be had."""
        reference = Reference.of(said)
        known = self._announced.get(reference.nonce)
        self.unused(reference.nonce, 1)
        # What could not be opened when it was announced, for want of descriptors perhaps, is tried again.
        return known.memory if known is not None and known.memory is not None else Memory.open(reference)

    # What is left in memory for clients.

    @property
    def has_room(self) -> bool:
        """Whether more may be left: each takes a descriptor."""
        return len(self._left) + self._lent < MAX_LEFT

    def leave(self, left: Left) -> dict[str, Any]:
        """Keep an outcome until its client has taken it; where that is to be told that it lies."""
        self._left[left.reference.nonce] = left
        return left.reference.to_plain()

    def left(self, nonce: bytes) -> Left | None:
        """The memory of an outcome that was not taken; it is the caller's to take it."""
        return self._left.pop(nonce, None)

    def taken(self, nonce: bytes) -> None:
        """The client has taken it, or is not going to."""
        left = self._left.pop(nonce, None)
        if left is not None:
            self._let_go(left)

    def lend(self, left: Left, rest: list[Any]) -> list[Any]:
        """The bodies of an outcome that goes with the connection, with the `rest` of them; Unavailable.

        They stay where they are until nobody here has them any more.
        """
        self._lent += 1
        try:
            # The last one to have them may be anywhere, also in the middle of sending something to an interpreter.
            return left.lend(rest, lambda: self._reactor.callFromThread(self._returned, left))
        except Unavailable:
            self._returned(left)
            raise

    def _returned(self, left: Left) -> None:
        self._lent -= 1
        self._let_go(left)

    def _let_go(self, left: Left) -> None:
        left.taken()
        if self._stopped:
            return
        if self._trimming is None:
            self._trimming = self._reactor.callLater(IDLE, self._trim_now)
        else:
            self._trimming.reset(IDLE)

    def _trim_now(self) -> None:
        self._trimming = None
        self._trim()


def _opened(reference: Reference) -> Memory | None:
    try:
        return Memory.open(reference)
    except Unavailable:
        return None
