"""The memory that an agent shares with clients."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.engine.memories import MAX_LEFT, Left, Memories
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.memory import Memory, without
from ipython1.kernel.shared_memory.pool import IDLE
from ipython1.kernel.shared_memory.reference import Reference
from ipython1.kernel.shared_memory.system import Unavailable

BODIES = [b"small", b"large" * 10_000]


class Reactor(Clock):
    """A clock, and what is called from a thread is called at once."""

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        function(*arguments)


class MemoriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        try:
            system.check_supported()
        except Unavailable as problem:
            raise SkipTest(str(problem)) from None
        self.clock = Reactor()
        self.heard: list[str] = []
        self.memories = Memories(self.clock, lambda: self.heard.append("trim"), True)

    def theirs(self) -> tuple[Memory, dict[str, Any]]:
        """Memory of a client."""
        memory = Memory.of_bodies(BODIES)
        return memory, memory.reference.to_plain()

    def left(self, name: str) -> Left:
        """Memory of an interpreter."""
        memory = Memory.of_bodies(BODIES)
        return Left(Memory.open(memory.reference), lambda: self.heard.append(name))

    def test_announced(self) -> None:
        """Memory is open from when it is announced until its last use, though its client is gone."""
        memory, said = self.theirs()
        self.memories.announced(said, 2)
        memory.close()
        rest = without(BODIES, memory.reference)
        self.assertEqual(self.memories.use(said).bodies(rest), BODIES)
        self.assertEqual(self.memories.use(said).bodies(rest), BODIES)
        self.assertRaises(Unavailable, self.memories.use, said)
        self.assertEqual(len(self.memories), 0)

    def test_unused(self) -> None:
        """Uses that will not come count, and those of what is not known do not matter."""
        memory, said = self.theirs()
        self.memories.announced(said, 2)
        self.memories.announced(said, 1)
        self.memories.unused(said["nonce"], 2)
        self.assertEqual(len(self.memories), 1)
        self.memories.unused(said["nonce"], 1)
        self.memories.unused(said["nonce"], 1)
        self.assertEqual(len(self.memories), 0)
        memory.close()

    def test_tried_again(self) -> None:
        """What could not be opened at first is tried again when it is used."""
        _, said = memory = self.theirs()
        patch = self.patch(system, "open_of", self.refuse)
        self.memories.announced(said, 1)
        patch.restore()
        self.assertEqual(self.memories.use(said).reference.nonce, memory[0].reference.nonce)

    def refuse(self, *arguments: Any) -> int:
        raise Unavailable("not now")

    def test_left(self) -> None:
        """An outcome is kept until it is taken; then its interpreter hears of it, and in the end gives back what it keeps."""
        left = self.left("first")
        said = self.memories.leave(left)
        self.assertEqual(Memory.open(Reference.of(said)).bodies(without(BODIES, Reference.of(said))), BODIES)
        self.assertEqual(self.heard, [])
        self.memories.taken(said["nonce"])
        self.memories.taken(said["nonce"])
        self.assertEqual(self.heard, ["first"])
        self.assertRaises(Unavailable, Memory.open, Reference.of(said))
        self.clock.advance(IDLE - 1)
        self.memories.taken(self.memories.leave(self.left("second"))["nonce"])
        self.clock.advance(IDLE - 1)
        self.assertEqual(self.heard, ["first", "second"])
        self.clock.advance(1)
        self.assertEqual(self.heard, ["first", "second", "trim"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_room(self) -> None:
        """There is a limit to how many are left."""
        for number in range(MAX_LEFT):
            self.assertTrue(self.memories.has_room)
            self.memories.leave(self.left(str(number)))
        self.assertFalse(self.memories.has_room)
        self.memories.clear()
        self.assertEqual(len(self.heard), MAX_LEFT)
        self.memories.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lent(self) -> None:
        """What no client is to take any more leaves from where it lies, and is given back when it has left."""
        said = self.memories.leave(self.left("first"))
        left = self.memories.left(said["nonce"])
        assert left is not None
        self.assertIsNone(self.memories.left(said["nonce"]))
        lent = self.memories.lend(left, without(BODIES, left.reference))
        self.assertEqual(lent, BODIES)
        self.assertEqual((self.heard, len(self.memories)), ([], 1))
        del lent[0]
        gc.collect()
        self.assertEqual((self.heard, len(self.memories)), ([], 1))
        lent.clear()
        gc.collect()
        self.assertEqual((self.heard, len(self.memories)), (["first"], 0))
        self.memories.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_to_be_lent(self) -> None:
        """What cannot be mapped is given back at once."""
        left = self.left("first")
        self.patch(system, "private_view", self.refuse)
        self.assertRaises(Unavailable, self.memories.lend, left, without(BODIES, left.reference))
        self.assertEqual((self.heard, len(self.memories)), (["first"], 0))
        self.memories.stop()

    def test_meet(self) -> None:
        """Who sees whose memory, and who may leave outcomes there."""
        memory, said = self.theirs()
        ours = self.memories.meet(said)
        assert ours is not None
        self.assertEqual(self.memories.answer_in([100, b"another", ours["nonce"]]), 100)
        self.assertIsNone(self.memories.answer_in([100, b"another"]))
        self.assertIsNone(self.memories.answer_in(None))
        self.assertIsNone(self.memories.answer_in([]))
        self.assertIsNone(self.memories.answer_in(["many", ours["nonce"]]))
        memory.close()
        self.assertIsNone(self.memories.meet(said))
        self.assertIsNone(self.memories.meet({}))
        self.assertIsNone(Memories(self.clock, list.clear, False).meet(self.theirs()[1]))  # type: ignore[arg-type] # not called
        self.assertRaises(ProtocolError, self.memories.announced, {}, 1)
