"""Messages in an interpreter process: read ahead, and not lost when a signal's handler raises."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from types import FrameType

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.channel import Receiver
from ipython1.core.tests import property_tests  # noqa: F401 (sets how they run)
from ipython1.kernel.framing import Message, encode

# Around what is read ahead, and far above.
_SIZES = st.sampled_from([0, 1, 100, 5_000, 65_000, 65_536, 200_000])


def _bytes(messages: list[Message]) -> bytes:
    return b"".join(bytes(part) for message in messages for part in encode(message))


class ReceiverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.receiver = Receiver(self.ours)

    def next(self) -> Message | None:
        """The next message; asked for twice, as after an exception."""
        first = self.receiver.receive()
        self.assertEqual(self.receiver.receive(), first)
        self.receiver.advance()
        self.receiver.advance()
        return first

    def send(self, data: bytes, cuts: list[int] | None = None) -> None:
        """Send these bytes in the background, in parts of these lengths, and then end of file."""

        def send() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
            start = 0
            for cut in cuts or ():
                self.theirs.sendall(data[start : start + cut])
                start += cut
            self.theirs.sendall(data[start:])
            self.theirs.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        self.addCleanup(thread.join)

    @given(st.lists(st.lists(_SIZES, max_size=3), max_size=8), st.lists(st.integers(1, 70_000), max_size=5))
    def test_messages(self, bodies: list[list[int]], cuts: list[int]) -> None:
        """Whatever their sizes, and however they come, all messages come, with bodies that are writable."""
        self.setUp()
        messages = [
            Message("command", {"n": number}, [os.urandom(size) for size in sizes]) for number, sizes in enumerate(bodies)
        ]
        self.send(_bytes(messages), cuts)
        for message in messages:
            came = self.next()
            self.assertEqual(came, message)
            assert came is not None
            self.assertTrue(all(type(body) is bytearray for body in came.bodies))
        self.assertIsNone(self.receiver.receive())
        self.doCleanups()

    def test_bodies_are_kept(self) -> None:
        """The bodies of a message are not touched by what comes after it."""
        messages = [Message("command", {}, [bytes([number]) * 30_000]) for number in range(10)]
        self.send(_bytes(messages))
        came = []
        for _ in messages:
            came.append(self.receiver.receive())
            self.receiver.advance()
        self.assertEqual(came, messages)

    def test_exceptions(self) -> None:
        """A handler that raises wherever it strikes costs no byte."""

        def ring(number: int, frame: FrameType | None) -> None:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, ring)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        messages = [Message("command", {"n": n}, [bytes([n % 256]) * (n * 37 % 90_000)]) for n in range(1_500)]
        self.send(_bytes(messages))
        gc.disable()  # a handler that strikes it is ignored, with a note
        self.addCleanup(gc.enable)
        came: list[Message | None] = []
        strays = 0
        while len(came) < len(messages):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + strays % 300))
                current = self.receiver.receive()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except TimeoutError:
                strays += 1
            else:
                came.append(current)
                self.receiver.advance()
        self.assertEqual(came, messages)
        self.assertGreater(strays, 0)
