"""The memory that an agent shares with clients of its host: theirs until its interpreters have it, and its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger

from ipython1.kernel.error import ProtocolError
from ipython1.kernel.shared_memory.memory import Memory, Unavailable
from ipython1.kernel.shared_memory.reference import Reference


@dataclass
class _Announced:
    """Memory of a client that so many commands will name; or the `problem` there was with it."""

    uses: int
    memory: Memory | None = None
    problem: str = ""


class Memories:
    """What of it is open, for one controller at a time.  The agent does not look into it."""

    log = Logger()

    def __init__(self, enabled: bool = False) -> None:
        self._enabled = enabled
        self._own: Memory | None = None
        self._announced: dict[bytes, _Announced] = {}
        self._left: dict[bytes, Memory] = {}

    def __len__(self) -> int:
        return len(self._announced) + len(self._left)

    def clear(self) -> None:
        """The controller is gone: nothing more of what it has announced will come, and nothing be taken."""
        self._announced.clear()
        self._left.clear()

    # Who sees whose memory.

    def meet(self, said: Any) -> dict[str, Any] | None:
        """Memory of our own for a client whose memory we see; None if we do not, or are not to share any."""
        if not self._enabled:
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
        """From how many bytes on an outcome may be left in memory; None if it may not."""
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
            self._announced[reference.nonce] = _Announced(uses, *_opened(reference))

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
        known = self._announced.get(reference.nonce) or _Announced(1, *_opened(reference))
        self.unused(reference.nonce, 1)
        if known.memory is None:
            raise Unavailable(known.problem)
        return known.memory

    # What is left in memory for clients.

    def leave(self, memory: Memory) -> None:
        """Keep an outcome until its client has taken it."""
        self._left[memory.reference.nonce] = memory

    def left(self, nonce: bytes) -> Memory | None:
        """The memory of an outcome that was not taken."""
        return self._left.get(nonce)

    def taken(self, nonce: bytes) -> None:
        """The client has taken it."""
        self._left.pop(nonce, None)


def _opened(reference: Reference) -> tuple[Memory | None, str]:
    try:
        return Memory.open(reference), ""
    except Unavailable as problem:
        return None, str(problem)
