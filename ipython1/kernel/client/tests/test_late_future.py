"""Futures that are made when somebody looks into them."""

from __future__ import annotations

import asyncio
import gc
import linecache
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.client import late_future
from ipython1.kernel.client.late_future import LateFuture


class LateFutureTests(SynchronousTestCase):
    def test_outcome(self) -> None:
        """What it came to is there at once, whoever asks, before it is made and after."""
        for look in (False, True):
            with self.subTest(look=look):
                good, bad = LateFuture(), LateFuture()
                if look:
                    self.assertFalse(good.running() or bad.running())
                self.assertEqual([good.done(), good.cancelled()], [False, False])
                good._finish(5, None)
                bad._finish(None, KeyError("x"))
                for _ in range(2):
                    self.assertTrue(good.done() and bad.done())
                    self.assertEqual((good.result(0), good.exception(0)), (5, None))
                    self.assertIsInstance(bad.exception(0), KeyError)
                    self.assertRaises(KeyError, bad.result, 0)
                    self.assertFalse(good.cancelled() or good.running() or good.cancel())
                    for each in (good, bad):
                        self.assertRaises(futures.InvalidStateError, each._finish, 6, None)
                    each = futures.wait([good, bad], 0)
                    self.assertEqual(each.done, {good, bad})
                self.assertEqual(good.result(0), 5)

    def test_waited_for(self) -> None:
        """Who waits, or has a callback, is told; the functions of `concurrent.futures` and `asyncio` take it."""
        future = LateFuture()
        self.assertRaises(futures.TimeoutError, future.result, 0.001)
        told: list[object] = []
        future.add_done_callback(lambda each: told.append(each.result(0)))
        ended = LateFuture()
        ended._finish("early", None)
        thread = threading.Thread(target=future._finish, args=("late", None))
        thread.start()
        self.assertEqual([each.result() for each in futures.as_completed([future, ended], 30)].count("late"), 1)
        thread.join()
        self.assertEqual(told, ["late"])

        async def both() -> list[object]:
            return [await asyncio.wrap_future(each) for each in (future, ended)]

        self.assertEqual(asyncio.run(both()), ["late", "early"])

    def test_cancelled(self) -> None:
        """It can be cancelled until it has an outcome."""
        future = LateFuture()
        self.assertTrue(future.cancel() and future.cancelled() and future.done())
        self.assertRaises(futures.CancelledError, future.result, 0)
        self.assertRaises(futures.InvalidStateError, future._finish, 5, None)

    def test_attributes(self) -> None:
        """It has those of a Future, and no others."""
        self.assertFalse(hasattr(LateFuture(), "anything"))
        self.assertIn("LateFuture", str(self.assertRaises(AttributeError, getattr, LateFuture(), "anything")))
        self.assertLessEqual(set(vars(futures.Future())), set(dir(made())))

    def test_at_once(self) -> None:
        """Many threads that look into it at the same time see one and the same."""
        for _ in range(200):
            future, start, seen = LateFuture(), threading.Barrier(4), []

            def look(future: LateFuture = future, start: threading.Barrier = start, seen: list[int] = seen) -> None:
                start.wait()
                future.add_done_callback(lambda each: seen.append(each.result(0)))

            def finish(future: LateFuture = future, start: threading.Barrier = start) -> None:
                start.wait()
                future._finish(5, None)

            threads = [threading.Thread(target=what) for what in (look, look, look, finish)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(seen, [5, 5, 5])

    def test_interrupted(self) -> None:
        """Ctrl-C may strike at any line while it is made: who looks into it then is told all the same."""
        for line in range(30):
            future, lines, told = LateFuture(), iter(range(100)), []

            def trace(frame: FrameType, event: str, _: object, lines: Iterator[int] = lines, line: int = line) -> Any:
                if frame.f_code.co_filename != late_future.__file__:
                    return None
                # Leaving a lock cannot be interrupted, but by a debugger.
                entered = linecache.getline(late_future.__file__, frame.f_lineno).strip().startswith("with ")
                if event == "line" and not entered and next(lines) == line:
                    raise KeyboardInterrupt
                return trace

            before = sys.gettrace()
            sys.settrace(trace)
            try:
                future.running()
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            future.add_done_callback(told.append)
            future._finish(5, None)
            self.assertEqual(told, [future])
        self.assertLess(next(lines), line)  # there were not so many lines

    def test_light(self) -> None:
        """Nothing is made for one whose outcome is there before anybody asks."""
        many = [LateFuture() for _ in range(100)]
        gc.collect()
        before = len(gc.get_objects())
        for place, each in enumerate(many):
            each._finish(place, None)
        self.assertEqual([each.result(0) for each in many if each.done()], list(range(100)))
        gc.collect()
        self.assertLess(len(gc.get_objects()) - before, 150)


def made() -> LateFuture:
    """One that has been looked into."""
    future = LateFuture()
    future.running()
    return future
