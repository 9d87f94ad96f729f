"""Lines, on loopback: sessions that go over to them, and what strangers and faults do to them."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import endpoint, line_dial, line_frames, tubs
from ipython1.kernel.carrier import FoolscapCarrier
from ipython1.kernel.controller import door, lines
from ipython1.kernel.controller.remote import ControllerTub
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Message
from ipython1.kernel.line import Line
from ipython1.kernel.line_frames import Hello, Kind
from ipython1.kernel.patience import Patience
from ipython1.kernel.secured import dialing_context, socket_of
from ipython1.kernel.stream import PIECE
from ipython1.kernel.tests.proxy import Proxy
from ipython1.kernel.tests.test_wire import Recorder, WireTestCase, command


def reply(number: int, *bodies: bytes) -> Message:
    return Message("reply", {"id": ["s", number], "ok": True}, list(bodies))


class LineTestCase(WireTestCase):
    patience = Patience(grace=10, agents=20, clients=20)

    async def opened(self) -> Recorder:
        self.tub = await self.controller()
        return await self.dial(self.tub.furls["multiengine"])

    def carrier(self, recorder: Recorder) -> Any:
        return recorder.link._carrier

    async def both_ways(self, client: Recorder, number: int = 1) -> None:
        """Messages and streams go both ways, once and in order."""
        body = os.urandom(3 * PIECE)
        client.link.send(command(number, [body, b"small"]))
        self.multiengine.link.send(reply(number, body))
        there, here = await self.multiengine.when(number), await client.when(number)
        self.assertEqual(there[number - 1].bodies, [body, b"small"])
        self.assertEqual(here[number - 1].bodies, [body])
        self.assertEqual(len(there), number)

    async def stranger(self, tub: ControllerTub, says: bytes) -> Stranger:
        connected: Any = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", tub.port), Protocol())
        return Stranger(socket_of(connected.transport), says)


class Stranger:
    """Opens TLS with a controller, says something, and keeps what is answered."""

    def __init__(self, sock: Any, says: bytes) -> None:
        self.answers: list[int | str] = []
        self.over: Deferred[None] = Deferred()
        self.line = Line(reactor, sock, dialing_context())
        self.line.ready = lambda: self.line.send(says)
        self.line.opening = lambda kind, content: self.answers.append(line_frames.parse_welcome(content))
        self.line.socket.closed.addCallback(self.over.callback)
        self.line.socket.start()


class GoingOverTests(LineTestCase):
    async def test_goes_over(self) -> None:
        """A session goes over to a line; the connection that opened it ends, and so does the token."""
        self.patch(tubs, "UNUSED", 0.05)
        client = await self.opened()
        await self.on_line(client)
        self.assertIsInstance(self.carrier(self.multiengine), Line)
        self.assertEqual(len(self.tub._lines), 0)
        await self.until(lambda: not self.tub._tub.brokers)
        await self.both_ways(client)
        self.assertEqual((client.away, client.back), ([], 0))
        # And another one is opened, and goes over too.
        await self.on_line(await self.dial(self.tub.furls["engine"], "engine"))

    async def test_while_much_is_sent(self) -> None:
        """What is sent while the session goes over arrives once and in order, streams too; no call stays unanswered."""
        self.patch(tubs, "UNUSED", 60)
        client = await self.opened()
        broker = self.carrier(client)._remote.tracker.broker
        bodies = [os.urandom(2 * PIECE + 5) for _ in range(3)]
        sent = 0
        while not isinstance(self.carrier(client), Line) or sent < 10:
            sent += 1
            client.link.send(command(sent, bodies if sent < 4 else []))
            self.multiengine.link.send(reply(sent, *(bodies if sent < 4 else [])))
            await deferLater(reactor, 0, lambda: None)
        await client.when(sent)
        await self.multiengine.when(sent)
        for messages in (client.messages, self.multiengine.messages):
            numbers = sorted(message.fields["id"][1] for message in messages)
            self.assertEqual(numbers, list(range(1, sent + 1)))
            self.assertEqual([len(m.bodies) for m in messages if m.fields["id"][1] < 4], [3, 3, 3])
        self.assertFalse(broker.disconnected)
        await self.until(lambda: not broker.waitingForAnswers)
        self.assertEqual(client.reasons + client.away, [])

    async def test_acknowledged_meanwhile(self) -> None:
        """What the dialing end acknowledges over Foolscap when it has said what it has may arrive before that."""
        hello, begin = line_frames.hello, line_dial._Attempt.begin
        begun: list[Any] = []
        self.patch(line_frames, "hello", lambda said: hello(said._replace(received=0)))
        self.patch(line_dial._Attempt, "begin", lambda *attempt: begun.append(attempt))
        client = await self.opened()
        client.link.send(command(1))
        self.multiengine.link.send(reply(1))
        await self.until(lambda: self.multiengine.link.acknowledged(1))
        begin(*begun[0])
        await self.on_line(client)
        await self.both_ways(client, 2)
        self.assertEqual((client.reasons, client.away), ([], []))

    async def test_closed_meanwhile(self) -> None:
        """A session that is closed while it goes over is over at both ends, with the reason."""
        client = await self.opened()
        closed: list[str] = []
        hello = line_frames.hello

        def asked(said: Hello) -> bytes:
            reactor.callLater(0, client.link.close, "done")
            closed.append("")
            return hello(said)

        self.patch(line_dial.frames, "hello", asked)
        self.assertEqual(await self.multiengine.when_lost(), "done")
        self.assertEqual(len(closed), 1)

    async def test_breaks_off(self) -> None:
        """Where a line ends just when the controller has gone over, the session is taken up again; nothing is lost."""
        client = await self.opened()
        welcome, broken = line_frames.welcome, []

        def breaks(received: int) -> bytes:
            if broken:
                return welcome(received)
            broken.append(received)
            reactor.callLater(0, lambda: self.carrier(self.multiengine).cut_off())
            return b""

        self.patch(door.line_frames, "welcome", breaks)
        client.link.send(command(1))
        self.multiengine.link.send(reply(1))
        await self.until(lambda: broken and client.back)
        await self.on_line(client)
        await self.both_ways(client, 2)

    async def test_no_more_attempts(self) -> None:
        """Where lines always break off in that moment, the session stays on Foolscap in the end."""
        self.patch(line_dial, "ATTEMPTS", 2)

        def breaks(received: int) -> bytes:
            reactor.callLater(0, lambda: self.carrier(self.multiengine).cut_off())
            return b""

        self.patch(door.line_frames, "welcome", breaks)
        client = await self.opened()
        await self.until(lambda: client.back == 2)
        await self.both_ways(client)
        self.assertIsInstance(self.carrier(client), FoolscapCarrier)


class WithoutTests(LineTestCase):
    async def stays(self, client: Recorder) -> None:
        """The session works, and stays where it was."""
        await self.both_ways(client)
        self.assertIsInstance(self.carrier(client), FoolscapCarrier)
        self.assertEqual(client.away + client.reasons, [])

    async def test_older_controller(self) -> None:
        """A controller that gives no token has sessions over Foolscap."""
        self.patch(door.Door, "_token", lambda self, session: None)
        await self.stays(await self.opened())

    async def test_certificate_of_no_use(self) -> None:
        """A controller whose certificate Python's TLS does not take has sessions over Foolscap, and cuts lines off."""

        def refuse(certificate: Any) -> Any:
            raise ssl.SSLError(1, "the key is too short")

        self.patch(lines, "serving_context", refuse)
        client = await self.opened()
        await self.stays(client)
        stranger = await self.stranger(self.tub, b"")
        await stranger.over.addTimeout(5, reactor)

    async def test_older_client(self) -> None:
        """A client that does not ask for a line has its session over Foolscap."""
        self.patch(line_dial.LineDialer, "go_over", lambda *args: None)
        await self.stays(await self.opened())

    async def test_expired(self) -> None:
        """A token that is used too late is refused, and the session stays."""
        self.patch(lines, "GOOD_FOR", -1.0)
        refused = self.problems()
        client = await self.opened()
        await self.until(lambda: refused)
        self.assertIn("not good", refused[0])
        await self.stays(client)

    async def test_another_certificate(self) -> None:
        """Who has another certificate is told nothing: neither the token nor the session."""
        other = await self.controller()
        go_over = line_dial.LineDialer.go_over
        misled = IPv4Address("TCP", "127.0.0.1", other.port)
        self.patch(
            line_dial.LineDialer, "go_over", lambda self, *args: go_over(self, *args[:4], misled, args[5])
        )
        heard: list[Any] = []
        self.patch(lines.Lines, "_opened", lambda *args: heard.append(args))
        problems = self.problems()
        client = await self.opened()
        await self.until(lambda: problems)
        self.assertIn("certificate", problems[0])
        await self.stays(client)
        self.assertEqual(heard, [])

    async def test_nobody_there(self) -> None:
        """Where no second connection is let through, or nothing answers on it, the session stays."""
        self.patch(line_dial, "WITHIN", 0.3)
        self.tub = await self.controller()
        proxy = Proxy(self, self.tub.port)
        await proxy.start()
        dialed: list[Any] = []
        go_over = line_dial.LineDialer.go_over

        def silenced(dialer: Any, *args: Any) -> None:
            proxy._silent = True  # new ones
            dialed.append(args)
            go_over(dialer, *args)

        self.patch(line_dial.LineDialer, "go_over", silenced)
        problems = self.problems()
        client = await self.dial(proxy.furl(self.tub.furls["multiengine"]))
        await self.until(lambda: problems)
        self.assertIn("0.3 s", problems[0])
        await self.stays(client)

    def problems(self) -> list[str]:
        """What is said of attempts that fail, as it is said."""
        said: list[str] = []
        over = line_dial.LineDialer.over

        def noted(dialer: Any, attempt: Any, problem: str = "", half: bool = False) -> None:
            said.extend([problem] * bool(problem))
            over(dialer, attempt, problem, half)

        self.patch(line_dial.LineDialer, "over", noted)
        return said


class StrangerTests(LineTestCase):
    def hello(self, token: bytes, session: str = "s") -> bytes:
        return line_frames.hello(Hello(token, session, self.tub._lines._incarnation, 0))

    async def refused(self, says: bytes) -> str:
        stranger = await self.stranger(self.tub, says)
        await stranger.over.addTimeout(5, reactor)
        [answer] = stranger.answers
        return answer

    async def test_wrong_tokens(self) -> None:
        """A token that was not given, of another session, or for the second time opens nothing."""
        await self.on_line(await self.opened())
        taken: list[Line] = []

        def go_over(line: Line, has: int) -> None:
            taken.append(line)
            line.finish(line_frames.refusal("taken"))

        grant = self.tub._lines.grant
        self.assertIn("not good", await self.refused(self.hello(os.urandom(32))))
        self.assertIn("another session", await self.refused(self.hello(grant("other", go_over))))
        token = grant("s", go_over)
        self.assertEqual(await self.refused(self.hello(token)), "taken")
        self.assertIn("not good", await self.refused(self.hello(token)))
        revoked = grant("s", go_over)
        self.tub._lines.revoke(revoked)
        self.assertIn("not good", await self.refused(self.hello(revoked)))
        self.assertEqual(len(taken), 1)

    async def test_garbage(self) -> None:
        """What is no TLS, and what is no hello in TLS, ends that connection and nothing else."""
        client = await self.opened()
        await self.on_line(client)
        for says in (
            b"\xff" * 100,
            line_frames.head(Kind.HELLO, 1 << 30),
            line_frames.frame(Kind.HELLO, b"\xc1nonsense"),
            line_frames.frame(Kind.BATCH, b"x"),
            line_frames.frame(Kind.ASK),
        ):
            stranger = await self.stranger(self.tub, says)
            await stranger.over.addTimeout(5, reactor)
            self.assertEqual([answer for answer in stranger.answers if isinstance(answer, int)], [])
        plain = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.tub.port), _Plain(b"\x16" * 300))
        await plain.over.addTimeout(5, reactor)
        await self.both_ways(client)
        self.assertEqual(client.away, [])

    async def test_garbage_of_a_peer(self) -> None:
        """What is no frame, in the middle of a session, costs the line; the session goes on over another."""
        client = await self.opened()
        for number, garbage in enumerate(
            (
                b"\xff" * 100,
                line_frames.frame(Kind.PART, b"of nothing"),
                line_frames.piece(1, 0, 10) + line_frames.piece(1, 0, 10),
                line_frames.piece(1, 0, 10) + line_frames.frame(Kind.PART, bytes(11)),
                line_frames.frame(Kind.HELLO, b"again"),
                line_frames.frame(Kind.CLOSE, b"\x01"),
            ),
            1,
        ):
            line = await self.on_line(client)
            line.send(garbage)
            await self.until(lambda number=number: client.back == number)
            await self.both_ways(client, number)
        self.assertEqual(client.reasons + self.multiengine.reasons, [])

    async def test_silence(self) -> None:
        """Who opens TLS and shows no token is cut off after some seconds, and when he sends too much."""
        self.patch(endpoint, "IDENTIFY_WITHIN", 0.3)
        self.tub = await self.controller()
        for says in (b"", line_frames.head(Kind.HELLO, 100) + b"x"):
            stranger = await self.stranger(self.tub, says)
            await stranger.over.addTimeout(5, reactor)
            self.assertEqual(stranger.answers, [])


class _Plain(Protocol):
    def __init__(self, says: bytes) -> None:
        self._says = says
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self._says)

    def connectionLost(self, reason: Any = None) -> None:
        self.over.callback(None)


class _Stalled:
    """A sink that has no place for a second piece."""

    def __init__(self) -> None:
        self.pieces = 0

    def piece(self, data: Any) -> Deferred[bool]:
        self.pieces += 1
        return Deferred()

    def complete(self) -> None:
        raise AssertionError("it cannot be complete")

    def broken(self, reason: str) -> None:
        pass


class StreamTests(LineTestCase):
    async def test_stalled(self) -> None:
        """A stream whose receiver takes no more stops neither other streams nor messages, and little of it is kept."""
        client = await self.opened()
        line = await self.on_line(client)
        stalled = _Stalled()
        take = self.multiengine.message_received

        def received(message: Message) -> None:
            if message.fields["id"][1] == 1:
                self.multiengine.link._arrivals.expect(message.streams()[0], stalled)
            else:
                take(message)

        self.multiengine.message_received = received
        client.link.send(command(1, [bytes(100 * PIECE)]))
        client.link.send(command(2, [bytes(5 * PIECE)]))
        client.link.send(command(3))
        there = await self.multiengine.when(2)
        self.assertEqual(sorted(message.fields["id"][1] for message in there), [2, 3])
        self.assertLessEqual(stalled.pieces, 4)
        self.assertLessEqual(len(line._pieces) + len(line._answers), 8)

    async def test_messages_go_first(self) -> None:
        """A message does not wait for the pieces that were sent before it."""
        client = await self.opened()
        await self.on_line(client)
        client.link.send(command(1, [os.urandom(60 * PIECE)]))
        await self.until(lambda: len(self.multiengine.link._arrivals))
        client.link.send(command(2))
        there = await self.multiengine.when(1)
        self.assertEqual([message.fields["id"][1] for message in there], [2])
        await self.multiengine.when(2)

    def test_between_parts(self) -> None:
        """... nor for the rest of the piece that is being sent."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        line = Line(reactor, ours, dialing_context())
        self.addCleanup(line.socket.abort)
        body = os.urandom(3 * line_frames.PART)
        line.piece(1, 0, body)
        sent = [bytes(line.next_part() or b"") for _ in range(3)]
        line.deliver(b"a message")
        sent.append(bytes(line.next_part() or b""))
        self.assertEqual(sent[3], line_frames.frame(Kind.BATCH, b"a message"))
        while (part := line.next_part()) is not None:
            sent.append(bytes(part))
        self.assertEqual(sent[0], line_frames.piece(1, 0, len(body)))
        self.assertEqual(b"".join(part for part in sent if len(part) == line_frames.PART), body)

    async def test_cut_short(self) -> None:
        """A stream whose sender dies in the middle of a piece is broken off, when it does not come back."""
        self.patience = Patience(grace=0.2, agents=20, clients=20)
        self.tub = await self.controller()
        proxy = Proxy(self, self.tub.port)
        await proxy.start()
        client = await self.dial(proxy.furl(self.tub.furls["multiengine"]))
        await self.on_line(client)
        proxy.cut_after(PIECE // 2)
        client.link.send(command(1, [os.urandom(10 * PIECE)]))
        await self.until(lambda: self.multiengine.away)
        await proxy.refuse()
        await self.multiengine.when_lost()
        self.assertEqual(self.multiengine.messages, [])
        self.assertEqual(len(self.multiengine.link._arrivals), 0)


class FrameTests(SynchronousTestCase):
    def test_what_does_not_go(self) -> None:
        """Frames that are unknown or too long, and contents of the wrong form, are refused."""
        wrong: list[tuple[Callable[..., Any], bytes]] = [
            (line_frames.parse_head, b"\x63\0\0\0\0"),
            (line_frames.parse_head, line_frames.head(Kind.BATCH, 5 << 20)),
            (line_frames.parse_head, line_frames.head(Kind.PART, line_frames.PART + 1)),
            (line_frames.parse_head, line_frames.head(Kind.ASK, 1)),
            (line_frames.parse_piece, b"short"),
            (line_frames.parse_piece, line_frames.piece(1, 0, 0)[line_frames.HEAD :]),
            (line_frames.parse_piece, line_frames.piece(1, 0, PIECE + 1)[line_frames.HEAD :]),
            (line_frames.parse_answer, b""),
            (line_frames.parse_close, b"\x01"),
            (line_frames.parse_hello, b"\x94\x01\x02\x03\x04"),
            (line_frames.parse_welcome, b"\x80"),
        ]
        for parse, content in wrong:
            self.assertRaises(ProtocolError, parse, content)
