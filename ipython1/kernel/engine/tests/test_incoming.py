"""Large values that come in streams, until their interpreters have them; and those that leave in streams."""

from __future__ import annotations

import gc
import pickle
import sys
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.engine.incoming import LEAST, MOST, Incoming, InMemory, divided
from ipython1.kernel.engine.tests.harness import AgentCase
from ipython1.kernel.keeping import Joined
from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.shared_memory.system import Unavailable

LARGE = bytes(range(256)) * (LEAST // 256)
OTHER = LARGE[::-1]
# The interpreter does not see memory of other processes any more.
_BLIND = """
from ipython1.kernel.shared_memory import system
def refuse(*arguments):
    raise system.Unavailable("it is dark")
system.open_of = refuse
"""
# It cannot get more memory.
_FULL = """
from ipython1.kernel.shared_memory import system
def refuse(*arguments):
    raise system.Unavailable("it is full")
system.own_memory = system.private_view = refuse
"""


# How many descriptors of memory it has.
_MEMORY = "import os; sum('memfd' in os.readlink(e.path) for e in os.scandir('/proc/self/fd') if os.path.lexists(e.path))"
# How much it keeps for its agent.
_LEFT = "import gc; from ipython1.core.loop import Loop; [len(o._left) for o in gc.get_objects() if isinstance(o, Loop)]"


def refuse(*arguments: Any) -> Any:
    raise Unavailable("there is no more")


class KeepingTests(SynchronousTestCase):
    if sys.platform != "linux":
        skip = "shared memory is for Linux"

    def test_memory(self) -> None:
        """It becomes sealed memory, which several messages may name, each at its place."""
        kept = Incoming().keeping(len(LARGE), 2)
        kept.add(LARGE[:1000])
        kept.add(LARGE[1000:])
        rest, (first,) = divided([b"small", kept.whole()])
        self.assertEqual(rest, [b"small", b""])
        opened = Memory.open(first.reference)
        self.assertEqual(opened.bodies(rest), [b"small", LARGE])
        self.assertTrue(first.reference.sealed)
        [second] = divided([first.placed(0)])[1]
        self.assertEqual(second.bodies([b""]), [LARGE])

    def test_small(self) -> None:
        """What is small becomes bytes, and so does what is large if there is no memory to share."""
        incoming = Incoming()
        self.assertIsInstance(incoming.keeping(LEAST - 1, 1), Joined)
        self.patch(system, "create", refuse)
        self.assertIsInstance(incoming.keeping(LEAST, 1), Joined)

    def test_for_one(self) -> None:
        """What is for one alone is not sealed: that one takes a copy, and has it once when it changes it."""
        kept = Incoming().keeping(len(LARGE), 1)
        kept.add(LARGE)
        memory = kept.whole()
        self.assertFalse(memory.reference.sealed)
        self.assertEqual(Memory.open(memory.reference).bodies([b""]), [LARGE])

    def test_many(self) -> None:
        """Not very many lie in memory at a time, since each takes a descriptor; a command that refers to one counts."""
        incoming = Incoming()
        kept = [incoming.keeping(LEAST, 1) for _ in range(MOST + 1)]
        self.assertEqual([type(each) for each in kept], [InMemory] * MOST + [Joined])
        first = kept.pop(0)
        first.add(LARGE)
        _, memories = divided([first.whole()])
        del first
        self.assertIsInstance(incoming.keeping(LEAST, 1), Joined)
        del memories
        self.assertIsInstance(incoming.keeping(LEAST, 1), InMemory)

    def test_no_more_memory(self) -> None:
        """It becomes bytes if the memory ends in the middle, or when it is to be sealed."""
        for fails in ("write", "seal"):
            kept = InMemory(len(LARGE), True)
            kept.add(LARGE[:1000])
            patch = self.patch(system, fails, refuse)
            kept.add(LARGE[1000:-5])
            kept.add(LARGE[-5:])
            self.assertEqual(kept.whole(), LARGE, fails)
            patch.restore()


class StreamTests(AgentCase):
    """Agents that share memory with their interpreters."""

    shared_memory = True
    if sys.platform != "linux":
        skip = "shared memory is for Linux"

    async def test_push(self) -> None:
        """Interpreters take what has come in streams, several in one message, too, and may write to it."""
        await self.start(2)
        arrays = [bytearray(LARGE), b"small", bytearray(OTHER)]
        segments: list[bytes] = []
        described = []
        for array in arrays:
            buffers: list[Any] = []
            segments.append(pickle.dumps(array if array == b"small" else pickle.PickleBuffer(array), 5, buffer_callback=buffers.append))
            segments += [bytes(buffer.raw()) for buffer in buffers]
            described.append([1 + len(buffers), "pickle", {}])
        args = {"names": ["a", "b", "c"]}
        for engine in (0, 1):
            outcome = await self.controller.command("push", *segments, engine=engine, args=args, values=described)
            self.assertTrue(outcome.ok)
        shown = await self.controller.execute("a[0] = 1; bytes(a[:3]), len(a), b, bytes(c[:2])")
        self.assertEqual(shown.shown, repr((b"\1\1\2", len(LARGE), b"small", OTHER[:2])))
        self.assertEqual((await self.controller.execute("bytes(a[:3])", engine=1)).shown, repr(LARGE[:3]))

    async def test_let_go_of(self) -> None:
        """While user code runs that was given a large value, its interpreter does not keep the memory in which that came."""
        await self.start()
        shown = await self.controller.execute(f"{_MEMORY} {'#' * LEAST}")
        before = await self.controller.execute(_MEMORY)
        self.assertEqual(shown.shown, before.shown)

    async def test_large_source(self) -> None:
        """Code may be as large; what is kept of it, if the interpreter dies meanwhile, too."""
        await self.start()
        comment = "#" * LEAST
        self.assertEqual((await self.controller.execute(f"1 + 1 {comment}")).shown, "2")
        source = f"import os; os._exit(3) {comment}"
        self.assertEqual((await self.controller.execute(source)).error, "EngineLost")
        record = self.agent.engines[0].history.get(None)
        assert record is not None
        self.assertIn(source.encode(), record.document)

    async def test_blind_interpreter(self) -> None:
        """An interpreter that does not see the memory gets what lies there all the same."""
        await self.start()
        await self.controller.execute(_BLIND)
        outcomes = await gatherResults(
            [self.controller.push(x=LARGE), self.controller.execute("x[:3], len(x)"), self.controller.task("y = x", pull=["y"])]
        )
        self.assertEqual(outcomes[1].shown, repr((LARGE[:3], len(LARGE))))
        self.flushLoggedErrors()

    async def test_blind_with_others_behind(self) -> None:
        """So it does if very short tasks wait behind it, none of which is lost."""
        await self.start()
        await self.controller.execute(_BLIND)
        first = self.controller.task("import time; time.sleep(0.2)")
        large = self.controller.task(f"x = 1 {'#' * LEAST}", pull=["x"])
        outcomes = await gatherResults(
            [first, large, *(self.controller.task(f"y = {n}", pull=["y"]) for n in range(20))]
        )
        self.assertEqual([outcome.ok for outcome in outcomes], [True] * 22)
        self.assertEqual([pickle.loads(outcome.bodies[0]) for outcome in outcomes[1:]], [1, *range(20)])

    async def test_no_room_in_the_interpreter(self) -> None:
        """Where there is no room for the value, the command fails, and the engine goes on."""
        await self.start()
        await self.controller.execute(f"kept = 5; {_FULL}")
        outcome = await self.controller.push(x=LARGE)
        self.assertEqual((outcome.error, outcome.text), ("ConnectionError", "a large value did not arrive: it is full"))
        self.assertEqual((await self.controller.execute("kept")).shown, "5")

    async def test_not_to_be_opened(self) -> None:
        """A value that cannot be taken from the interpreter is lost, with an error, and is not kept there."""
        await self.start()
        await self.controller.execute(f"x = bytes(range(256)) * {LEAST // 256}")
        patch = self.patch(system, "open_of", refuse)
        outcome = await self.controller.command("pull", args={"names": ["x"]}, label="pull('x')")
        text = "the values of pull('x') could not be taken from the interpreter of engine 0: there is no more"
        self.assertEqual((outcome.error, outcome.text), ("EngineLost", text))
        patch.restore()
        self.assertEqual((await self.controller.execute(_LEFT)).shown, "[0]")
        self.patch(system, "is_visible", lambda pid: False)
        outcome = await self.controller.command("pull", args={"names": ["x"]})
        self.assertEqual(pickle.loads(outcome.bodies[0]), LARGE)

    async def test_nowhere_to_be_seen(self) -> None:
        """If nobody sees it, the command fails with an error, and the engine goes on."""
        await self.start()
        await self.controller.execute(_BLIND)
        self.patch(system, "own_memory", refuse)
        outcome = await self.controller.push(x=LARGE)
        self.assertEqual((outcome.error, outcome.ok), ("ConnectionError", False))
        self.assertIn("engine 0 did not get all of push(): it is dark", outcome.text)
        self.assertEqual((await self.controller.execute("1 + 1")).shown, "2")

    async def test_leaves_from_where_it_lies(self) -> None:
        """A large value leaves from the interpreter's memory, which that may use again when it has left."""
        await self.start()
        asked = []
        for number in range(3):  # of several pieces, which do not all leave at once
            self.controller.execute(f"x = bytes([{number}]) * {8 * LEAST}")
            asked.append(self.controller.command("pull", args={"names": ["x"]}))
        for number, outcome in enumerate(await gatherResults(asked)):
            self.assertEqual(pickle.loads(outcome.bodies[0]), bytes([number]) * 8 * LEAST)
        del asked, outcome
        self.controller.heard.clear()
        gc.collect()
        await self.until(lambda: not len(self.agent.memories))
        self.assertEqual((await self.controller.execute(_LEFT)).shown, "[0]")

    async def test_interpreter_ends(self) -> None:
        """A value that is leaving outlives the interpreter whose it was."""
        await self.start()
        await self.controller.execute(f"import os; x = bytes(range(256)) * {LEAST // 256}")
        pulled = self.controller.command("pull", args={"names": ["x"]})
        ended = self.controller.execute("os._exit(3)")
        self.assertEqual((await ended).error, "EngineLost")
        self.assertEqual(pickle.loads((await pulled).bodies[0]), LARGE)


class NotSharedTests(AgentCase):
    """Agents in which that is turned off."""

    async def test_push(self) -> None:
        """It goes through the socket."""
        await self.start()
        await self.controller.push(x=LARGE)
        outcome = await self.controller.execute("x[:3], len(x)")
        self.assertEqual(outcome.shown, repr((LARGE[:3], len(LARGE))))
        self.assertEqual(len(self.agent.memories), 0)
