"""Captured output."""

from __future__ import annotations

import os

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.kernel.engine.output import CHUNK, Capture, Text


class TextTests(SynchronousTestCase):
    """Kept text."""

    def test_take(self) -> None:
        """What was added is given once."""
        text = Text(100)
        text.add(b"a")
        text.add(b"b")
        self.assertEqual((text.take(), text.take()), (b"ab", b""))

    def test_limit(self) -> None:
        """What goes beyond the limit is dropped, and a note says so once."""
        text = Text(10)
        for _ in range(5):
            text.add(b"123456")
        taken = text.take()
        self.assertTrue(taken.startswith(b"1234561234\n["))
        self.assertEqual(taken.count(b"more than 10 bytes"), 1)
        text.add(b"new")
        self.assertEqual(text.take(), b"new")

    def test_larger_limit(self) -> None:
        """When the limit is raised, text is kept again."""
        text = Text(2)
        text.add(b"1234")
        text.set_limit(100)
        text.add(b"5678")
        self.assertTrue(text.take().endswith(b"5678"))


class CaptureTests(SynchronousTestCase):
    """A pipe that is read."""

    def setUp(self) -> None:
        read, self.write = os.pipe()
        self.addCleanup(self.close_write)
        self.reactor = MemoryReactorClock()
        self.capture = Capture(self.reactor, read)
        self.addCleanup(self.reactor.advance, 0)
        self.addCleanup(self.capture.close)

    def close_write(self) -> None:
        if self.write >= 0:
            os.close(self.write)
            self.write = -1

    def test_drain(self) -> None:
        """All that was written is there, without waiting for the reactor."""
        for _ in range(3):
            os.write(self.write, b"text")
        self.capture.drain()
        self.assertEqual(self.capture.take(), b"text" * 3)

    def test_drain_is_bounded(self) -> None:
        """One who goes on writing does not keep the agent there: a drain reads no more than the pipe can hold."""
        os.set_blocking(self.write, False)
        refill = self.capture._received

        def received(chunk: bytes) -> None:
            refill(chunk)
            try:
                os.write(self.write, b"x" * CHUNK)
            except BlockingIOError:
                return

        self.patch(self.capture, "_received", received)
        os.write(self.write, b"x")
        self.capture.drain()
        self.assertLessEqual(len(self.capture.take()), 2 * CHUNK)

    def test_end(self) -> None:
        """When everybody has closed the other end, the descriptor is given up, and the text stays."""
        os.write(self.write, b"last")
        self.close_write()
        self.capture.doRead()
        self.capture.doRead()
        self.assertEqual((self.capture.fileno(), self.capture.take()), (-1, b"last"))
        self.assertEqual(self.reactor.getReaders(), [])


class ReactorTests(TestCase):
    """With a real reactor."""

    def capture(self) -> tuple[Capture, int]:
        """One that reads a pipe, and the end to write to."""
        read, write = os.pipe()
        capture = Capture(reactor, read)
        self.addCleanup(capture.close)
        return capture, write

    async def test_next(self) -> None:
        """What follows one that has ended, in the same round of the reactor, is not taken for it."""
        told, tell = self.capture()
        ended, end = self.capture()
        following: Deferred[tuple[Capture, int]] = Deferred()

        def replace() -> None:
            ended.close()
            following.callback(self.capture())

        told.heard = replace
        os.write(tell, b"now")  # the reactor fetches both events together, this one first
        os.close(end)
        capture, write = await following
        await deferLater(reactor, 0, lambda: None)
        os.write(write, b"text")
        capture.drain()
        self.assertEqual(capture.take(), b"text")
        for descriptor in (tell, write):
            os.close(descriptor)
