"""The protocol of sessions, checked on all that can happen to two ends, within limits, and at random beyond them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.session import Batch, Session
from ipython1.kernel.tests import session_model
from ipython1.kernel.tests.session_model import Limits, Violation, World, search

SMALL = Limits((1, 1), connections=2, duplicates=1, crashes=1)
FEW_CONNECTIONS = Limits((2, 0), connections=3, duplicates=0, crashes=0)
LARGE = Limits((6, 5), connections=8, duplicates=4, crashes=1)


class SearchTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """Whatever is lost, late, or comes twice, and whoever is killed: each message is taken once, in order."""
        self.assertGreater(search(Session, SMALL), 10_000)
        self.assertGreater(search(Session, FEW_CONNECTIONS), 10_000)

    def test_long_histories(self) -> None:
        """So it is in long histories, of which only some are tried."""
        for seed in range(200):
            chance = random.Random(seed)
            world = World(Session, LARGE)
            for _ in range(80):
                events = [event for event in world.events() if event[0] != "lose" or chance.random() < 0.1]
                if events:
                    world.happen(*chance.choice(events))
            world.lose_all()
            world.settle()


class ForgetsRepeats(Session[int]):
    """Takes what comes, whether or not it came before."""

    def _accept(self, batch: Batch[int], size: int) -> Sequence[int]:
        super()._accept(batch, size)
        return batch.messages


class DropsAcknowledgements(Session[int]):
    """Does not hear that its messages have arrived."""

    def arrived(self, connection: int, batch: Batch[int], size: int) -> Sequence[int]:
        return super().arrived(connection, Batch(batch.first, self.acknowledged, batch.messages), size)


class KeepsNothing(Session[int]):
    """Forgets what has left."""

    def _leave_again(self) -> None:
        self._left.clear()


class AcknowledgesTooEarly(Session[int]):
    """Says that it has what has not come."""

    def connected(self, has: int) -> int:
        self.received = max(self.received, 1)
        return super().connected(has)


class SwallowsGaps(Session[int]):
    """Takes what comes, though messages are missing before it; and forgets one that was under way."""

    def _accept(self, batch: Batch[int], size: int) -> Sequence[int]:
        self.received = max(self.received, batch.first - 1)
        return super()._accept(batch, size)

    def _leave_again(self) -> None:
        super()._leave_again()
        if len(self._waiting) > 1:
            self._waiting.popleft()


class FaultTests(SynchronousTestCase):
    """The search finds faults that are put in."""

    def test_faulty_ends(self) -> None:
        """A fault at an end."""
        for fault in (ForgetsRepeats, DropsAcknowledgements, KeepsNothing, AcknowledgesTooEarly, SwallowsGaps):
            # A repeat comes only where a connection brings something twice: the ends say what they have before.
            limits = SMALL if fault is ForgetsRepeats else FEW_CONNECTIONS
            with self.assertRaises(Violation, msg=fault.__name__):
                search(fault, limits)

    def test_late_hello(self) -> None:
        """A controller that lets an attempt count which came after a later one."""
        self.patch(session_model.World, "is_late", lambda world, index: False)
        problem = self.assertRaises(Violation, search, Session, FEW_CONNECTIONS)
        self.assertIn("dial, lose (0, 0), dial", str(problem))
