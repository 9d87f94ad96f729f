"""Calls with a deadline: how their time is shared by their requests."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import derive
from ipython1.kernel.derive import CLEARED_UP_WITHIN, limited
from ipython1.kernel.error import CallTimeout
from ipython1.kernel.request import Finished, Request, Steps, advance


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.patch(derive.time, "monotonic", lambda: self.now)

    def verb(self, own: float | None = None) -> Steps[str]:
        """Asks twice, and once more if the second is not answered in time."""
        yield [Request("get_ids")]
        try:
            yield [Request("push"), Request("push", timeout=own)]
        except CallTimeout:
            yield [Request("clear_queue")]
            raise
        return "done"

    def times(self, requests: list[Request]) -> list[Any]:
        return [request.timeout for request in requests]

    def test_shared(self) -> None:
        """Each request has what is left of the time."""
        steps = limited(self.verb(), 10.0)
        self.assertEqual(self.times(advance(steps, None)), [10.0])
        self.now += 4
        self.assertEqual(self.times(advance(steps, [])), [6.0, 6.0])
        self.assertEqual(self.assertRaises(Finished, advance, steps, []).value, "done")

    def test_own(self) -> None:
        """One that has a time of its own has the shorter one."""
        for own, expected in ((2.0, 2.0), (50.0, 10.0)):
            steps = limited(self.verb(own), 10.0)
            advance(steps, None)
            self.assertEqual(self.times(advance(steps, [])), [10.0, expected])

    def test_clearing_up(self) -> None:
        """When the time is over, what is left to be said has a little more."""
        steps = limited(self.verb(), 10.0)
        advance(steps, None)
        advance(steps, [])
        self.now += 10
        self.assertEqual(self.times(advance(steps, CallTimeout())), [CLEARED_UP_WITHIN])
        self.assertRaises(CallTimeout, advance, steps, [])
