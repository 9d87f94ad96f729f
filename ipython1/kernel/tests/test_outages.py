"""Links whose connections are lost at any moment, with streams under way: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import batches, link, messages, session, stream
from ipython1.kernel.arrivals import Arrivals
from ipython1.kernel.error import ConnectionError
from ipython1.kernel.framing import Message
from ipython1.kernel.hello import hello
from ipython1.kernel.link import SessionLink

GRACE = 10.0


class Absence:
    """Counts how often there was no connection."""

    def __init__(self) -> None:
        self.began = self.ended = 0

    def begin(self, link: SessionLink, reason: str) -> None:
        self.began += 1

    def end(self, link: SessionLink) -> None:
        self.ended += 1


class Wire:
    """One way of a connection: brings what it is given one after the other, a little later, until it is cut."""

    def __init__(self, clock: Clock, to: SessionLink) -> None:
        self.clock = clock
        self.to = to
        self.number = to.connection
        self.cut = False

    def deliver(self, batch: bytes) -> None:
        self._later(lambda: self.to.batch_received(batch, self.number))

    def piece(self, number: int, offset: int, data: bytes) -> Deferred[bool | None]:
        answer: Deferred[bool | None] = Deferred()

        def answered(wanted: bool) -> None:
            self._later(lambda: answer.callback(wanted))

        def arrived() -> None:
            # An end that has another connection, or has noticed that it has none, does not read.
            if self.number == self.to.connection:
                self.to.piece_received(number, offset, data).addCallback(answered)

        self._later(arrived)
        return answer

    def _later(self, what: Any) -> None:
        self.clock.callLater(1, lambda: None if self.cut else what())

    def let_go(self) -> None:
        """What still comes over it to the other end does; what comes back does not."""

    def close(self, reason: str, goodbye: bool) -> None:
        self._later(lambda: self.to.over(reason))

    def cut_off(self) -> None:
        self.cut = True


class End:
    """Sends messages, some of them with large bodies, and keeps what comes."""

    def __init__(self, clock: Clock, kind: str, allowed: Any) -> None:
        self.kind = kind
        self.link = SessionLink(clock, hello("multiengine", "s"), "i", allowed, Absence())
        self.sent = 0
        self.taken: list[int] = []
        self.whole: list[int] = []
        self.over: list[str] = []

    def send(self, bodies: list[bytes]) -> None:
        self.sent += 1
        fields: dict[str, Any] = {"id": ["s", self.sent]}
        if self.kind == "command":
            fields |= {"verb": "keys", "args": {}, "targets": "all", "label": ""}
        else:
            fields["ok"] = True
        self.link.send(Message(self.kind, fields, bodies))

    def message_received(self, message: Message) -> None:
        number = message.fields["id"][1]
        self.taken.append(number)
        self.link.collect(message).addCallback(self._collected, number)

    def _collected(self, message: Message, number: int) -> None:
        assert all(body == bytes([number % 256]) * len(body) for body in message.bodies), number
        self.whole.append(number)

    def link_away(self, reason: str) -> None:
        pass

    def link_back(self) -> None:
        pass

    def link_lost(self, reason: str) -> None:
        self.over.append(reason)


class OutageTests(SynchronousTestCase):
    def setUp(self) -> None:
        for module, name, value in (
            (stream, "THRESHOLD", 20),
            (batches, "THRESHOLD", 20),
            (stream, "PIECE", 10),
            (session, "BATCH_MESSAGES", 2),
        ):
            self.patch(module, name, value)
        self.clock = Clock()
        self.client = End(self.clock, "command", messages.TO_CLIENT)
        self.controller = End(self.clock, "reply", messages.FROM_CLIENT)
        self.ends = (self.client, self.controller)
        self.wires: tuple[Wire, ...] = ()
        for end, other in (self.ends, self.ends[::-1]):
            wire = Wire(self.clock, other.link)
            self.wires += (wire,)
            end.link.attach(wire, end)
        for wire in self.wires:
            wire.number = 1

    def lose(self, chance: random.Random) -> None:
        """The connection is lost, at one end or both; what is under way is lost, or comes late."""
        for end, wire in zip(self.ends, self.wires):
            wire.cut = chance.random() < 0.5
            if chance.random() < 0.7 or end is self.client:
                end.link.carrier_lost(wire, "cut")

    def resume(self) -> None:
        """The client has dialed again."""
        has = [end.link.received for end in self.ends]
        self.wires = tuple(Wire(self.clock, other.link) for other in self.ends[::-1])
        # The controller first, and the client when it hears of it.
        self.controller.link.resume(self.wires[1], has[0])
        self.wires[0].number = self.controller.link.connection
        self.client.link.resume(self.wires[0], self.controller.link.received)
        self.wires[1].number = self.client.link.connection

    def check(self) -> None:
        for end, other in (self.ends, self.ends[::-1]):
            self.assertEqual(end.over, [])
            self.assertEqual(end.taken, list(range(1, len(end.taken) + 1)))
            self.assertEqual(len(set(end.whole)), len(end.whole))
            self.assertLessEqual(len(end.taken), other.sent)

    def history(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            event = chance.random()
            if event < 0.3:
                end = chance.choice(self.ends)
                number = end.sent + 1
                end.send([bytes([number % 256]) * chance.choice((1, 15, 30, 95)) for _ in range(chance.randrange(3))])
            elif event < 0.9:
                self.clock.advance(1)
            elif self.client.link.is_away:
                self.resume()
            else:
                self.lose(chance)
            self.check()
        if self.client.link.is_away:
            self.resume()
        self.clock.pump([1] * 200)
        self.check()
        for end, other in (self.ends, self.ends[::-1]):
            self.assertEqual(sorted(end.whole), list(range(1, other.sent + 1)))
            self.assertEqual((len(end.link._arrivals), len(end.link._offers)), (0, 0))
            self.assertEqual((end.link._session.kept, end.link._session.bytes_kept), (0, 0))

    def away(self) -> None:
        """Both ends have no connection."""
        for end, wire in zip(self.ends, self.wires):
            wire.cut = True
            end.link.carrier_lost(wire, "cut")

    def test_full(self) -> None:
        """A controller gives up a peer for which too much waits; a client is told that it has to wait itself."""
        self.patch(session, "MAX_KEPT", 10)
        self.away()
        for _ in range(11):
            self.client.send([])
            self.controller.send([])
        problem = self.assertRaises(ConnectionError, self.client.send, [])
        self.assertIn("11 messages wait for it already", str(problem))
        self.clock.advance(0)
        self.assertEqual(self.client.over, [])
        (reason,) = self.controller.over
        self.assertIn("the peer is away, and 11 messages are kept for it already", reason)

    def test_large_bodies_that_wait(self) -> None:
        """Large bodies count too, where they are not their users' own memory, and only while there is no connection."""
        self.patch(session, "MAX_KEPT_BYTES", 1_000)
        for _ in range(20):
            self.controller.send([bytes([self.controller.sent + 1]) * 90])
            self.clock.pump([1] * 20)
        self.away()
        for end in self.ends:
            end.send([bytes([end.sent + 1]) * 500])
        self.clock.advance(0)
        self.assertEqual(self.controller.over, [])
        for end in self.ends:
            end.send([bytes([end.sent + 1]) * 500])
        self.clock.advance(0)
        self.assertEqual((len(self.client.over), len(self.controller.over)), (0, 1))

    def test_late_answer(self) -> None:
        """What a connection brings that is no longer in use does not end a stream."""
        answers: list[Deferred[bool | None]] = []

        class Silent(Wire):
            def piece(self, number: int, offset: int, data: bytes) -> Deferred[bool | None]:
                answers.append(Deferred())
                return answers[-1]

        offers = link.Offers()
        first, second = (Silent(self.clock, self.client.link) for _ in range(2))
        offers.use(first)
        outcome = offers.add(1, 0, b"piece")
        offers.disconnected()
        answers[0].callback(False)
        offers.use(second)
        self.assertNoResult(outcome)
        answers[1].callback(True)
        self.assertTrue(self.successResultOf(outcome))
        self.assertEqual((len(offers), offers.bytes), (0, 0))

    def test_random_histories(self) -> None:
        """Whatever happens to the connections, each message and each of its bodies arrives, once."""
        for seed in range(300):
            self.setUp()
            try:
                self.history(seed)
            except Exception:
                print("seed", seed)
                raise

    def test_faults_are_found(self) -> None:
        """A receiver that takes a repeated piece for a new one, and a sender that forgets those without an answer."""

        def taken_again(arrivals: Arrivals, number: int, offset: int, data: bytes) -> Deferred[bool]:
            arrival = arrivals._arrivals.get(number)
            return succeed(False) if arrival is None else arrival.sink.piece(data)

        def forgotten(offers: Any, carrier: Any) -> None:
            if carrier is not offers._carrier:
                offers._open.clear()
            offers._carrier = carrier

        for kind, name, fault in ((Arrivals, "piece_received", taken_again), (link.Offers, "use", forgotten)):
            patch = self.patch(kind, name, fault)
            with self.assertRaises(AssertionError):
                for seed in range(50):
                    self.setUp()
                    self.history(seed)
            patch.restore()
