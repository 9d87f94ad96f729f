"""Sessions in memory: batches, acknowledgements, repeats, and what ends a session."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import link, messages, room, session
from ipython1.kernel.error import ConnectionError
from ipython1.kernel.framing import Message, StreamRef, encode
from ipython1.kernel.stream import PIECE, THRESHOLD, WINDOW
from ipython1.kernel.tests.memory import MemoryCarrier, link_pair


class Receiver:
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.lost: list[str] = []

    def message_received(self, message: Message) -> None:
        self.messages.append(message)

    def link_lost(self, reason: str) -> None:
        self.lost.append(reason)


def command(number: int, bodies: list[Any] | None = None) -> Message:
    fields = {"id": ["s", number], "verb": "keys", "args": {}, "targets": "all", "label": "keys()"}
    return Message("command", fields, bodies or [])


def reply(number: int, body: bytes) -> Message:
    return Message("reply", {"id": ["s", number], "ok": True}, [body])


def batch(first: int, *contents: Message, ack: int = 0, incarnation: str = "incarnation") -> bytes:
    envelope = Message("batch", {"ack": ack, "first": first, "incarnation": incarnation})
    return b"".join(bytes(part) for message in (envelope, *contents) for part in encode(message))


class LinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client, self.controller = Receiver(), Receiver()
        self.a, self.b = link_pair(
            self.clock, self.client, self.controller, messages.TO_CLIENT, messages.FROM_CLIENT
        )

    def carrier(self, link: Any) -> MemoryCarrier:
        return link._carrier

    def turns(self, count: int = 10) -> None:
        for _ in range(count):
            self.clock.advance(0)

    def test_one_turn_one_batch(self) -> None:
        """What is sent in one reactor turn leaves as one batch."""
        for number in range(1, 51):
            self.a.send(command(number))
        self.turns()
        self.assertEqual(len(self.carrier(self.a).batches), 1)
        self.assertEqual(len(self.controller.messages), 50)

    def test_large_batches_are_split(self) -> None:
        """More than a batch should hold leaves as several, in order."""
        for number in range(1, 51):
            self.a.send(command(number, [b"x" * THRESHOLD]))
        self.turns()
        self.assertGreater(len(self.carrier(self.a).batches), 2)
        self.assertEqual([message.fields["id"][1] for message in self.controller.messages], list(range(1, 51)))

    def test_batches_of_few_messages(self) -> None:
        """A batch has no more messages than its receiver should take without looking at others."""
        for number in range(1, 2 * session.BATCH_MESSAGES + 2):
            self.a.send(command(number))
        self.turns()
        self.assertEqual(len(self.carrier(self.a).batches), 3)
        self.assertEqual(len(self.controller.messages), 2 * session.BATCH_MESSAGES + 1)

    def test_acknowledged_by_the_answer(self) -> None:
        """An answer carries the acknowledgement: no batch is sent for it alone."""
        number = self.a.send(command(1))
        self.turns()
        self.b.send(Message("reply", {"id": ["s", 1], "ok": True}))
        self.turns()
        self.assertTrue(self.a.acknowledged(number))
        self.clock.advance(session.SILENCE / 2)
        self.assertEqual(len(self.carrier(self.b).batches), 1)

    def test_acknowledged_alone(self) -> None:
        """After a silence what came is acknowledged alone, once."""
        number = self.a.send(command(1))
        self.turns()
        self.assertFalse(self.a.acknowledged(number))
        self.clock.advance(session.SILENCE)
        self.turns()
        self.assertTrue(self.a.acknowledged(number))
        self.clock.pump([session.SILENCE] * 5)
        self.assertEqual(len(self.carrier(self.b).batches), 1)
        self.assertEqual(len(self.carrier(self.a).batches), 1)

    def test_acknowledged_when_much_came(self) -> None:
        """A thousand messages are acknowledged without waiting."""
        for number in range(1, session.MAX_MESSAGES + 1):
            self.a.send(command(number))
        self.turns()
        self.assertTrue(self.a.acknowledged(session.MAX_MESSAGES))
        self.b.close("over")
        self.turns()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_repeats(self) -> None:
        """A repeated batch, or the repeated part of one, has no effect."""
        self.b.batch_received(batch(1, command(1), command(2)))
        self.b.batch_received(batch(1, command(1), command(2)))
        self.b.batch_received(batch(2, command(2), command(3)))
        self.assertEqual([message.fields["id"][1] for message in self.controller.messages], [1, 2, 3])

    def test_what_ends_a_session(self) -> None:
        """A gap, another incarnation, half a message, garbage: the session ends and both ends are told why."""
        whole = batch(1, command(1))
        for data in (
            batch(2, command(1)),
            batch(1, command(1), incarnation="other"),
            batch(1, ack=7),
            whole[:-1],
            b"garbage, and enough of it",
            b"",
        ):
            self.setUp()
            self.b.batch_received(data)
            self.turns()
            self.assertEqual(len(self.controller.lost), 1, data)
            self.assertEqual(self.client.lost, self.controller.lost)
            self.assertEqual(self.controller.messages, [])
            self.b.batch_received(whole)
            self.assertEqual(self.controller.messages, [])

    def test_very_many_malformed_messages(self) -> None:
        """One that sends nothing but malformed messages is told of some of them, and then its session ends."""
        for _ in range(2 * link.MAX_REFUSED):
            self.a.send(Message("nonsense"))
        self.turns()
        self.assertEqual([message.kind for message in self.client.messages], ["refused"] * link.MAX_REFUSED)
        (reason,) = self.controller.lost
        self.assertIn("malformed", reason)

    def test_peer_that_takes_nothing(self) -> None:
        """A controller does not keep more and more for a peer that takes nothing, be it messages or pieces."""
        self.patch(room, "MAX_IN_FLIGHT", 1_000_000)
        for body in (bytes(50_000), bytes(100_000)):
            self.setUp()
            self.a.batch_received = lambda batch: None  # type: ignore[method-assign]
            self.a.piece_received = lambda number, offset, data: _never()  # type: ignore[method-assign]
            for number in range(30):
                self.b.send(reply(number, body))
            self.turns()
            self.assertEqual(self.controller.lost, [])
            self.clock.advance(room.STALLED + 1)
            self.b.send(reply(31, body))
            self.turns()
            self.assertEqual(self.controller.lost, ["cut off"])

    def test_peer_that_takes_much(self) -> None:
        """One that is slow is not cut off, nor is one to which much is sent at once after a silence."""
        self.patch(room, "MAX_IN_FLIGHT", 1_000_000)
        for _ in range(10):
            for number in range(30):
                self.b.send(reply(number, bytes(50_000)))
            self.turns()
            self.clock.advance(room.STALLED + 1)
        self.assertEqual(self.controller.lost, [])
        self.assertEqual(len(self.client.messages), 300)

    def test_stream_of_another_message(self) -> None:
        """A message that refers to a stream that is under way already is refused; the stream goes on."""
        self.controller.message_received = self._answer  # type: ignore[method-assign]
        twice = [StreamRef(2, 100_000), StreamRef(2, 100_001)]
        for number, refs in enumerate(([StreamRef(1, 100_000)], [StreamRef(1, 100_000)], twice), 1):
            self.a.send(command(number, refs))
        self.turns()
        self.successResultOf(self.b.piece_received(1, 0, bytes(100_000)))
        self.turns()
        self.assertEqual([message.fields["id"][1] for message in self.controller.messages], [1])
        self.assertEqual([message.fields["id"][1] for message in self.client.messages], [2, 3])

    def test_only_controllers_announce(self) -> None:
        """A controller takes no streams but those that messages refer to."""
        self.a.send(Message("stream", {"number": 1, "size": 1 << 60, "uses": 1}))
        self.turns()
        self.assertEqual([message.kind for message in self.client.messages], ["refused"])
        self.assertFalse(self.successResultOf(self.b.piece_received(1, 0, bytes(10))))

    def test_inline_limit(self) -> None:
        """A body that should have been a stream ends the session."""
        self.b.batch_received(batch(1, command(1, [b"x" * (THRESHOLD + 1)])))
        self.assertEqual(len(self.controller.lost), 1)

    def test_fault_in_the_receiver(self) -> None:
        """A fault while one message is taken is logged, and the next one is taken."""
        taken = self.controller.message_received
        self.controller.message_received = lambda message: 1 / 0  # type: ignore[method-assign]
        self.b.batch_received(batch(1, command(1)))
        self.controller.message_received = taken  # type: ignore[method-assign]
        self.b.batch_received(batch(2, command(2)))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.controller.messages), 1)

    def test_window(self) -> None:
        """A stream whose pieces are not answered stops after a few of them, and others go on."""
        stalled = self.carrier(self.a)
        offered: list[int] = []
        piece = stalled.piece

        def count(number: int, offset: int, data: bytes) -> Any:
            offered.append(number)
            return piece(number, offset, data)

        stalled.piece = count  # type: ignore[method-assign]
        self.b.piece_received = lambda number, offset, data: _never()  # type: ignore[method-assign]
        self.a.send(command(1, [bytes(PIECE * 20)]))
        self.a.send(command(2, [bytes(PIECE * 20)]))
        self.turns(50)
        self.assertEqual(offered, [1] * WINDOW + [2] * WINDOW)

    def test_piece_out_of_place(self) -> None:
        """A piece that does not follow its predecessor, or goes over the end, ends the session."""
        for offset, size in ((5, 10), (0, 200_000)):
            self.setUp()
            self.controller.message_received = self._collect  # type: ignore[method-assign]
            self.b.batch_received(batch(1, command(1, [StreamRef(1, 100_000)])))
            self.assertFalse(self.successResultOf(self.b.piece_received(1, offset, bytes(size))))
            self.assertEqual(len(self.controller.lost), 1)

    def test_released_stream(self) -> None:
        """A stream that was announced and released is forgotten."""
        self.a.batch_received(batch(1, Message("stream", {"number": 7, "size": 100_000, "uses": 2})))
        self.successResultOf(self.a.piece_received(7, 0, bytes(50_000)))
        self.a.batch_received(batch(2, Message("release", {"number": 7, "uses": 1})))
        self.assertTrue(self.successResultOf(self.a.piece_received(7, 50_000, bytes(10))))
        self.a.batch_received(batch(3, Message("release", {"number": 7, "uses": 1})))
        self.assertFalse(self.successResultOf(self.a.piece_received(7, 50_010, bytes(10))))
        self.assertEqual(len(self.a._arrivals), 0)

    def test_nothing_remains(self) -> None:
        """When all streams are over the link remembers none."""
        self.controller.message_received = self._answer  # type: ignore[method-assign]
        for number in range(1, 6):
            self.a.send(command(number, [bytes(300_000), b"small"]))
        self.turns(100)
        self.assertEqual(len(self.controller.messages), 5)
        self.assertEqual((len(self.a._arrivals), len(self.b._arrivals)), (0, 0))

    def test_nothing_remains_of_empty_streams(self) -> None:
        """An empty stream that is passed on is over at once."""
        self.controller.message_received = lambda message: relays.append(  # type: ignore[method-assign]
            self.b.relay(message.streams()[0], [])
        )
        relays: list[Any] = []
        self.b.batch_received(batch(1, command(1, [StreamRef(1, 0)])))
        ends: list[Any] = []
        relays[0].when_done(ends.append)
        self.assertEqual((ends, len(self.b._arrivals)), ([None], 0))

    def _collect(self, message: Message) -> None:
        self.b.collect(message).addErrback(lambda failure: failure.trap(ConnectionError) and None)

    def _answer(self, message: Message) -> None:
        self.b.collect(message).addCallback(self.controller.messages.append)


def _never() -> Any:
    class Never:
        def addCallback(self, callback: Any, *arguments: Any) -> Any:
            return self

    return Never()
