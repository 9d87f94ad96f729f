"""Messages to bytes and back."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import framing
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Decoder, Message, StreamRef, encode, pack, receive, send, unpack

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
bodies = st.binary(max_size=200) | st.builds(StreamRef, st.integers(0, 2**40), st.integers(0, 2**40))
messages = st.builds(
    Message, st.text(max_size=10), st.dictionaries(st.text(max_size=8), plain, max_size=4), st.lists(bodies, max_size=5)
)


def frame(message: Message) -> bytes:
    return b"".join(encode(message))


class DecoderTests(SynchronousTestCase):
    @given(st.lists(messages, max_size=6), st.lists(st.integers(1, 60), min_size=1))
    def test_round_trip_in_any_pieces(self, sent: list[Message], sizes: list[int]) -> None:
        """Whatever the pieces are in which the bytes come, the messages come out as they went in."""
        data = b"".join(map(frame, sent))
        decoder = Decoder()
        received = []
        while data:
            for size in sizes:
                received += decoder.feed(data[:size])
                data = data[size:]
        self.assertEqual(received, sent)
        self.assertFalse(decoder.partial)

    @given(st.binary(max_size=300))
    def test_garbage(self, data: bytes) -> None:
        """Garbage is refused or waits for more; nothing else happens."""
        with contextlib.suppress(ProtocolError):
            Decoder(max_body=1000).feed(data)

    def test_nothing_remains(self) -> None:
        """A decoder keeps no message that it has given away: the next one may not come for long."""
        decoder = Decoder()
        (message,) = decoder.feed(frame(Message("kind", {}, [bytes(100_000)])))
        # The message and the call of this function have it, and nobody else.
        self.assertEqual(sys.getrefcount(message.bodies), 2)
        self.assertEqual(sys.getrefcount(message.bodies[0]), 2)

    def test_partial(self) -> None:
        """The decoder knows when it stands in the middle of a message."""
        data = frame(Message("kind", {}, [b"body"]))
        for cut in range(1, len(data)):
            decoder = Decoder()
            self.assertEqual(decoder.feed(data[:cut]), [])
            self.assertTrue(decoder.partial, cut)
            self.assertEqual(len(decoder.feed(data[cut:])), 1)

    def refuse(self, header: Any, **limits: Any) -> None:
        packed = header if isinstance(header, bytes) else pack(header)
        self.assertRaises(ProtocolError, Decoder(**limits).feed, framing.LENGTH.pack(len(packed)) + packed)

    def test_refusals(self) -> None:
        """Headers of another form, bodies that are too long or have odd sizes, and headers too long are refused."""
        self.refuse(b"\xc1")
        self.refuse([1, 2])
        self.refuse([1, {}, []])
        self.refuse(["kind", [], []])
        self.refuse(["kind", {}, {}])
        for size in (-1, True, 1.5, "1", [1], [1, -1], [1, 2, 3], [None, 1]):
            self.refuse(["kind", {}, [size]])
        self.refuse(["kind", {}, [1001]], max_body=1000)
        self.refuse(["kind", {}, [0] * (framing.MAX_BODIES + 1)])
        self.assertRaises(ProtocolError, Decoder().feed, b"\xff\xff\xff\xff")

    def test_nested_too_deep(self) -> None:
        """A header nested without end is refused, and does not exhaust the stack."""
        self.refuse(b"\x91" * 100_000)

    def test_header_too_long_to_send(self) -> None:
        """A header over the limit is refused by the sender already."""
        self.assertRaises(ProtocolError, encode, Message("kind", {"x": "a" * framing.MAX_HEADER}))

    def test_large_bodies_are_not_copied(self) -> None:
        """Encoding hands out the very body that it got."""
        body = bytearray(1000)
        self.assertIs(encode(Message("kind", {}, [body]))[1], body)


class DocumentTests(SynchronousTestCase):
    @given(plain)
    def test_round_trip(self, value: Any) -> None:
        """Plain data comes back as it was."""
        self.assertEqual(unpack(pack(value)), value)

    def test_not_plain(self) -> None:
        """What is not plain cannot be packed."""
        for value in (object(), {1, 2}, 2**64, 1j):
            self.assertRaises((TypeError, OverflowError, ValueError), pack, value)


class SocketTests(SynchronousTestCase):
    def test_blocking(self) -> None:
        """Messages pass a socket pair, large bodies arrive writable, and the end of file is None."""
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        message = Message("kind", {"a": 1}, [b"x" * 3_000_000, b"", b"y"])

        def write() -> None:
            send(here, message)
            here.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        self.addCleanup(writer.join)
        received = receive(there)
        self.assertEqual(received, message)
        assert received is not None
        self.assertIsInstance(received.bodies[0], bytearray)
        self.assertIsNone(receive(there))
