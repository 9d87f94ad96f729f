"""How much memory interpreters may use."""

from __future__ import annotations

import os
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.kernel.config.settings import MEMORY_LIMIT
from ipython1.kernel.engine.memory import MemoryLimit, host_memory, used_memory
from ipython1.kernel.tests.program import Program, asynchronous

MIB = 1 << 20
FAMILY = """
import os, sys
own = b'x' * (20 << 20)
if os.fork() == 0:
    child = b'y' * (30 << 20)
    print('child', flush=True)
    sys.stdin.read()
    os._exit(0)
print('parent', flush=True)
sys.stdin.read()
os._exit(0)
"""


class LimitTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """A size is for each engine, a share of the machine for all."""
        for text, limit in (
            ("4G", MemoryLimit(each=4 << 30)),
            ("512m", MemoryLimit(each=512 << 20)),
            (" 2 GiB ", MemoryLimit(each=2 << 30)),
            ("1000", MemoryLimit(each=1000)),
            ("80%", MemoryLimit(together=0.8)),
        ):
            self.assertEqual(MemoryLimit.parse(text), limit)
            self.assertEqual(MEMORY_LIMIT.read(text), text.strip())

    def test_nonsense(self) -> None:
        """Anything else is refused, with what is allowed."""
        for text in ("", "many", "-1G", "0", "0%", "101%", "4X", "1.5G"):
            self.assertIn("4G or 512M", str(self.assertRaises(ValueError, MemoryLimit.parse, text)))

    def test_each(self) -> None:
        """The interpreter that uses more than its limit is named, with both numbers."""
        limit = MemoryLimit(each=100 * MIB)
        self.assertIsNone(limit.exceeded({}, 1000 * MIB))
        self.assertIsNone(limit.exceeded({1: 100 * MIB, 2: 50 * MIB}, 1000 * MIB))
        text = "it used 150.0 MiB of memory, 100.0 MiB are allowed"
        self.assertEqual(limit.exceeded({1: 20 * MIB, 2: 150 * MIB}, 1000 * MIB), (2, text))

    def test_together(self) -> None:
        """When all use more than the machine's share, the largest is named."""
        limit = MemoryLimit(together=0.5)
        used = {1: 20 * MIB, 2: 50 * MIB, 3: 40 * MIB}
        self.assertIsNone(limit.exceeded(used, 220 * MIB))
        place, text = limit.exceeded(used, 219 * MIB)
        self.assertEqual(place, 2)
        self.assertIn("all engines of this host 110.0 MiB", text)

    @given(
        st.dictionaries(st.integers(1, 9), st.integers(0, 1 << 40)),
        st.one_of(st.none(), st.integers(1, 1 << 40)),
        st.one_of(st.none(), st.floats(0.01, 1.0)),
    )
    def test_the_largest(self, used: dict[int, int], each: int | None, together: float | None) -> None:
        """Only ever the largest is ended, and only if a limit is exceeded."""
        host = 1 << 38
        excess = MemoryLimit(each, together).exceeded(used, host)
        beyond = (each is not None and any(size > each for size in used.values())) or (
            together is not None and sum(used.values()) > together * host
        )
        self.assertEqual(excess is not None, beyond)
        if excess is not None:
            self.assertEqual(used[excess[0]], max(used.values()))


class MeasureTests(TestCase):
    timeout = 180

    @asynchronous
    async def test_family(self) -> None:
        """What an interpreter has forked counts too, and what they share counts once; what is gone is left out."""
        program = Program(self, sys.executable, "-c", FAMILY)
        await program.said("(?s)child.*parent|parent.*child")
        used = used_memory([program.pid, os.getpid()])
        self.assertLess(used[program.pid], 90 * MIB)
        self.assertGreater(used[program.pid], 50 * MIB)
        pid = program.pid
        # The end of its input ends both.
        program.transport.closeStdin()
        await program.ended()
        self.assertEqual(list(used_memory([pid, os.getpid()])), [os.getpid()])

    def test_host(self) -> None:
        """The machine has more than this process uses."""
        self.assertGreater(host_memory(), used_memory([os.getpid()])[os.getpid()])
