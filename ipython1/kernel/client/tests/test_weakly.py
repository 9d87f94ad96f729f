"""Objects that are known as long as somebody else has them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.client.weakly import FEW, Weakly


class Thing:
    pass


class WeaklyTests(SynchronousTestCase):
    def test_known(self) -> None:
        """By its name, until it is gone or forgotten."""
        known: Weakly[Thing] = Weakly()
        one, two = Thing(), Thing()
        known["one"], known["two"], known["three"] = one, two, Thing()
        self.assertEqual((known.get("one"), known.get("three"), known.get("four")), (one, None, None))
        self.assertEqual(known.all(), [one, two])
        known.forget("one")
        known.forget("one")
        self.assertEqual(known.all(), [two])
        known.clear()
        self.assertEqual((known.all(), known.get("two")), ([], None))

    def test_does_not_grow(self) -> None:
        """What is gone takes no place for long."""
        known: Weakly[Thing] = Weakly()
        kept = {str(number): Thing() for number in range(10)}
        for name, thing in kept.items():
            known[name] = thing
        for number in range(10_000):
            known[f"gone {number}"] = Thing()
        self.assertEqual(known.all(), list(kept.values()))
        self.assertLess(len(known._found), 2 * (FEW + 2 * len(kept)))
