"""Bars of progress, and waiting."""

from __future__ import annotations

import io
import sys
import threading
from concurrent.futures import Future
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.client import progress
from ipython1.kernel.client.progress import AFTER, Meter, bar_after
from ipython1.kernel.client.waiting import Wait


class MeterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = io.StringIO()
        self.patch(sys, "stderr", self.stream)
        self.watched = False
        self.patch(progress, "is_watched", lambda: self.watched)

    def test_choice(self) -> None:
        """A bar comes where somebody sees it, or where it is wanted; after a while, or after what is said."""
        self.assertEqual([bar_after(choice) for choice in (None, False, True, 0, 1.5)], [None, None, AFTER, 0.0, 1.5])
        self.watched = True
        self.assertEqual(bar_after(None), AFTER)

    def test_nobody_sees_it(self) -> None:
        """Into a pipe, nothing is written."""
        meter = Meter("map", lambda: (1, 2))
        self.assertFalse(meter.is_wanted)
        meter.update()
        meter.close()
        self.assertEqual(self.stream.getvalue(), "")

    def test_bar(self) -> None:
        """It says what it is of, and how far that is; at the end it is where that has come."""
        done = 1
        meter = Meter("map", lambda: (done, 4), 0)
        meter.update()
        self.assertIn("map", self.stream.getvalue())
        self.assertIn("1/4", self.stream.getvalue())
        with meter.hidden():
            self.assertTrue(self.stream.getvalue().endswith("\r"))
        done = 4
        meter.close()
        self.assertIn("4/4", self.stream.getvalue())
        self.assertTrue(self.stream.getvalue().endswith("\n"))
        meter.close()

    def test_total_that_is_not_known(self) -> None:
        meter = Meter("x", lambda: (3, None), 0)
        meter.update()
        meter.close()
        self.assertIn("3", self.stream.getvalue())


class WaitTests(SynchronousTestCase):
    def later(self, future: Future[Any]) -> None:
        timer = threading.Timer(0.2, future.set_result, [None])
        timer.start()
        self.addCleanup(timer.join)

    def test_done(self) -> None:
        """It returns when all are done, or it takes too long, and tells which."""
        first, second = Future[Any](), Future[Any]()
        first.set_result(1)
        self.assertTrue(Wait([first]).run())
        self.assertFalse(Wait([first, second]).run(0.01))
        self.later(second)
        self.assertTrue(Wait([first, second]).run(60))

    def test_with_a_bar(self) -> None:
        """The same where there is a bar."""
        self.patch(sys, "stderr", io.StringIO())
        future = Future[Any]()
        self.later(future)
        self.assertTrue(Wait([future], meter=Meter("x", lambda: (int(future.done()), 1), 0)).run(60))
        self.assertIn("1/1", sys.stderr.getvalue())

    def test_enough(self) -> None:
        """It returns when it is enough."""
        self.assertTrue(Wait([Future()], enough=lambda: True).run())
        self.assertFalse(Wait([Future()], enough=lambda: False).run(0.01))
