"""Functions that tasks have in common: their digests, and how many are kept."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.shared import Recent, digest


class DigestTests(SynchronousTestCase):
    def test_segments(self) -> None:
        """Equal bytes in equal segments have equal digests, whatever type they are."""
        self.assertEqual(digest([b"ab", b"c"]), digest([bytearray(b"ab"), memoryview(b"c")]))
        self.assertNotEqual(digest([b"ab", b"c"]), digest([b"a", b"bc"]))


class RecentTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        """What was used longest ago goes first; the latest stays, however large it is."""
        recent: Recent[int] = Recent(max_values=3, max_bytes=100)
        for number, name in enumerate("abc"):
            self.assertEqual(recent.add(name, number, 10), [])
        self.assertEqual((recent.get("a"), recent.get("x")), (0, None))
        self.assertEqual(recent.add("d", 3, 10), ["b"])
        self.assertEqual(recent.add("e", 4, 85), ["c", "a"])
        self.assertEqual(recent.add("d", 5, 20), ["e"])
        self.assertEqual(recent.add("f", 6, 1000), ["d"])
        recent.discard("f")
        recent.discard("f")
        self.assertEqual((len(recent), "f" in recent), (0, False))
