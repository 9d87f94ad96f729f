"""Sessions over Foolscap, on loopback: what a controller and its peers do with each other and with strangers."""

from __future__ import annotations

import gc
import os
import socket
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foolscap.api import RemoteException, flushEventualQueue
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ipython1.kernel import endpoint
from ipython1.kernel.controller.remote import CERTIFICATE_FILE, ControllerTub
from ipython1.kernel.dial import dial, hang_up_all
from ipython1.kernel.error import ConnectionError, ControllerCreationError, FURLError, SecurityError
from ipython1.kernel.framing import Message
from ipython1.kernel.furl import read_furl, secret
from ipython1.kernel.line import Line
from ipython1.kernel.patience import Patience
from ipython1.kernel.peer import Link
from ipython1.kernel.places import Places
from ipython1.kernel.tub import WatchedBroker, new_tub


@dataclass(frozen=True)
class Settings:
    places: Places
    port: int = 0
    interface: str = "127.0.0.1"
    location: str = ""
    reuse_furls: bool = False


class Recorder:
    """A receiver that keeps what comes, and tells who waits for it."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.messages: list[Message] = []
        self.reasons: list[str] = []
        self.away: list[str] = []
        self.back = 0
        self._waiting: list[Deferred[None]] = []

    def message_received(self, message: Message) -> None:
        assert self.link is not None
        self.link.collect(message).addCallbacks(self._collected, self._broken)

    def _collected(self, message: Message) -> None:
        self.messages.append(message)
        self._tell()

    def _broken(self, failure: Failure) -> None:
        self.reasons.append(failure.getErrorMessage())
        self._tell()

    def link_away(self, reason: str) -> None:
        self.away.append(reason)
        self._tell()

    def link_back(self) -> None:
        self.back += 1
        self._tell()

    def link_lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    async def changed(self) -> None:
        """Returns after the next message, or the end."""
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        await deferred.addTimeout(20, reactor)

    async def when(self, count: int) -> list[Message]:
        while len(self.messages) < count:
            await self.changed()
        return self.messages

    async def when_lost(self) -> str:
        while not self.reasons:
            await self.changed()
        return self.reasons[0]


class Opened(Recorder):
    """An interface of a controller: takes one kind of session, and keeps what comes."""

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Recorder:
        self.link = link
        self.hello = hello
        return self


def command(number: int = 1, bodies: list[Any] | None = None, **fields: Any) -> Message:
    plain = {"id": ["s", number], "verb": "keys", "args": {}, "targets": "all", "label": "keys()"}
    return Message("command", {**plain, **fields}, bodies or [])


class WireTestCase(TestCase):
    timeout = 180
    patience = Patience()

    async def controller(self, **settings: Any) -> ControllerTub:
        directory = settings.pop("ipython_dir", None) or Path(self.mktemp())
        self.engine, self.multiengine = Opened(), Opened()
        doors = {"engine": self.engine, "multiengine": self.multiengine}
        tub = ControllerTub(Settings(Places(directory), **settings), doors, reactor, self.patience)
        await tub.start()

        async def stop() -> None:
            await hang_up_all()
            await tub.stop()
            await flushEventualQueue()

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return tub

    async def dial(self, furl: str, role: str = "multiengine", timeout: float = 10) -> Recorder:
        recorder = Recorder()
        recorder.link = await dial(furl, role, recorder, reactor=reactor, timeout=timeout)
        return recorder

    async def until(self, condition: Callable[[], Any]) -> None:
        """Returns when the condition is met."""

        async def look() -> None:
            while not condition():
                await deferLater(reactor, 0.01, lambda: None)

        await Deferred.fromCoroutine(look()).addTimeout(20, reactor)

    async def on_line(self, recorder: Recorder) -> Line:
        """Returns when its session goes over a line: that."""
        await self.until(lambda: isinstance(recorder.link._carrier, Line))
        return recorder.link._carrier


class SessionTests(WireTestCase):
    async def test_messages_both_ways(self) -> None:
        """Messages arrive once and in order at both ends, and the dialer said who it is."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        for number in range(1, 2001):
            client.link.send(command(number))
        there = await self.multiengine.when(2000)
        self.assertEqual([message.fields["id"][1] for message in there], list(range(1, 2001)))
        self.assertEqual(self.multiengine.hello["pid"], os.getpid())
        self.multiengine.link.send(Message("reply", {"id": ["s", 1], "ok": True, "index": None}, [b"body"]))
        [reply] = await client.when(1)
        self.assertEqual(reply.bodies, [b"body"])
        self.assertTrue(client.link.acknowledged(2000))

    async def test_nothing_is_left_of_a_session(self) -> None:
        """A session that is over is forgotten at both ends, though their connection goes on."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        client.link.send(command())
        await self.multiengine.when(1)
        references = [weakref.ref(client.link), weakref.ref(self.multiengine.link)]
        stays = await self.dial(tub.furls["multiengine"])
        client.link.close("done")
        await self.multiengine.when_lost()
        client.link = None
        for _ in range(100):
            gc.collect()  # which takes long where much has been run before
            if not any(reference() for reference in references):
                break
            turn: Deferred[None] = Deferred()
            reactor.callLater(0.01, turn.callback, None)
            await turn
        self.assertEqual([reference() for reference in references], [None, None])
        stays.link.send(command(2))
        await self.multiengine.when(2)

    async def test_acknowledged_in_silence(self) -> None:
        """A message that nothing answers is acknowledged all the same, soon."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        number = client.link.send(command())
        self.assertFalse(client.link.acknowledged(number))
        acknowledged: Deferred[None] = Deferred()

        def look() -> None:
            if client.link.acknowledged(number):
                acknowledged.callback(None)
            else:
                reactor.callLater(0.02, look)

        look()
        await acknowledged.addTimeout(5, reactor)

    async def test_large_bodies(self) -> None:
        """Large bodies travel as streams, both ways, several at once, and arrive whole beside small ones."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        bodies = [os.urandom(5_000_000), b"small", os.urandom(70_000), memoryview(os.urandom(1_000_000))]
        client.link.send(command(1, bodies))
        client.link.send(command(2, [b"x" * 3_000_000]))
        there = await self.multiengine.when(2)
        by_number = {message.fields["id"][1]: message for message in there}
        self.assertEqual(by_number[1].bodies, [bytes(body) for body in bodies])
        self.assertEqual(by_number[2].bodies, [b"x" * 3_000_000])

    async def test_many_small_bodies(self) -> None:
        """More small bodies than a batch holds arrive too."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        bodies = [os.urandom(60_000) for _ in range(60)]
        client.link.send(command(1, bodies))
        [message] = await self.multiengine.when(1)
        self.assertEqual(message.bodies, bodies)

    async def test_relay(self) -> None:
        """A stream is passed on piece by piece to two links, one of which is also told how often it is used."""
        tub = await self.controller()
        source = await self.dial(tub.furls["multiengine"])
        source_end = self.multiengine
        one = await self.dial(tub.furls["engine"], "engine")
        link_one = self.engine.link
        two = await self.dial(tub.furls["engine"], "engine")
        link_two = self.engine.link
        body = os.urandom(3_000_000)
        done: Deferred[str | None] = Deferred()

        def relay(message: Message) -> None:
            [ref] = message.streams()
            relayed = source_end.link.relay(ref, [(link_one, 2), (link_two, 1)])
            relayed.when_done(lambda reason: send(relayed.refs) or done.callback(reason))

        def send(refs: Any) -> None:
            for link, ref, uses in ((link_one, refs[0], 2), (link_two, refs[1], 1)):
                for engine in range(uses):
                    fields = {"id": ["s", 1], "engine": engine, "generation": 0, "verb": "keys", "args": {}, "label": ""}
                    link.send(Message("command", fields, [ref]))

        source_end.message_received = relay
        source.link.send(command(1, [body]))
        self.assertIsNone(await done)
        for message in await one.when(2):
            self.assertEqual(message.bodies, [body])
        [message] = await two.when(1)
        self.assertEqual(message.bodies, [body])

    async def test_unwanted_stream(self) -> None:
        """A stream that the receiver neither collects nor passes on is refused, and the session goes on."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        collect = self.multiengine.message_received

        def ignore_the_first(message: Message) -> None:
            self.multiengine.message_received = collect

        self.multiengine.message_received = ignore_the_first
        client.link.send(command(1, [b"x" * 50_000_000]))
        client.link.send(command(2, [b"y" * 100_000]))
        [message] = await self.multiengine.when(1)
        self.assertEqual(message.fields["id"][1], 2)

    async def test_malformed_message_is_refused(self) -> None:
        """A message that the protocol does not know is answered by an error, and the session goes on."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        client.link.send(command(1, verb=5))
        client.link.send(Message("nonsense", {"id": ["s", 2]}))
        client.link.send(command(3))
        refusals = await client.when(2)
        self.assertEqual([message.kind for message in refusals], ["refused", "refused"])
        self.assertEqual(refusals[0].fields["id"], ["s", 1])
        [message] = await self.multiengine.when(1)
        self.assertEqual(message.fields["id"], ["s", 3])

    async def test_close(self) -> None:
        """Closing a session tells the other end, with the reason, after what was sent before."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        other = await self.dial(tub.furls["engine"], "engine")
        client.link.send(command())
        client.link.close("done")
        self.assertEqual(await self.multiengine.when_lost(), "done")
        self.assertEqual(len(self.multiengine.messages), 1)
        self.assertEqual(client.reasons, ["done"])
        self.assertEqual(other.reasons, [])

    async def test_lost_in_the_middle_of_a_stream(self) -> None:
        """Who collects a stream is told when the connection ends before it is complete."""
        tub = await self.controller()
        client = await self.dial(tub.furls["multiengine"])
        client.link.send(command(1, [b"x" * 200_000_000]))
        while not self.multiengine.link._arrivals:
            step: Deferred[None] = Deferred()
            reactor.callLater(0, step.callback, None)
            await step
        await hang_up_all()
        await self.multiengine.when_lost()
        self.assertEqual(self.multiengine.messages, [])
        self.assertEqual(len(self.multiengine.reasons), 2)


class LostTests(WireTestCase):
    async def test_lost_when_found(self) -> None:
        """A connection that is lost just before something is asked for over it was cut off: that may be tried again."""
        tub = await self.controller()
        ask = WatchedBroker.getYourReferenceByName

        def lost(broker: WatchedBroker, name: object) -> object:
            broker.cut_off()
            return ask(broker, name)

        self.patch(WatchedBroker, "getYourReferenceByName", lost)
        problem = await self.assertFailure(
            Deferred.fromCoroutine(self.dial(tub.furls["multiengine"])), ConnectionError
        )
        self.assertIn("cut the connection off", str(problem))


class FURLTests(WireTestCase):
    async def test_wrong_role(self) -> None:
        """A FURL of another role is refused in words."""
        tub = await self.controller()
        error = await self.assertFailure(Deferred.fromCoroutine(self.dial(tub.furls["engine"])), FURLError)
        self.assertIn("register engines", str(error))

    async def test_wrong_secret(self) -> None:
        """The right controller with a wrong secret is refused."""
        tub = await self.controller()
        furl = tub.furls["multiengine"]
        wrong = furl.replace(secret(furl), "a" * 32)
        error = await self.assertFailure(Deferred.fromCoroutine(self.dial(wrong)), FURLError)
        self.assertIn("does not know this FURL", str(error))

    async def test_wrong_tub(self) -> None:
        """A FURL of another controller on the same port is refused."""
        tub = await self.controller()
        furl = tub.furls["multiengine"]
        wrong = f"pb://{'a' * 32}@{furl.split('@')[1]}"
        await self.assertFailure(Deferred.fromCoroutine(self.dial(wrong)), FURLError)

    async def test_nobody_there(self) -> None:
        """Nothing listens where the FURL leads: refused at once, naming the place."""
        tub = await self.controller()
        furl = tub.furls["multiengine"]
        await tub.stop()
        error = await self.assertFailure(Deferred.fromCoroutine(self.dial(furl)), ConnectionError)
        self.assertIn(f"127.0.0.1:{tub.port}", str(error))

    async def test_silent_host(self) -> None:
        """What accepts and says nothing is given up after the timeout."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            furl = f"pb://{'a' * 32}@127.0.0.1:{silent.getsockname()[1]}/{'b' * 32}"
            error = await self.assertFailure(Deferred.fromCoroutine(self.dial(furl, timeout=0.3)), ConnectionError)
        self.assertIn("did not answer", str(error))
        await hang_up_all()
        await flushEventualQueue()


class FileTests(WireTestCase):
    async def test_files_are_private(self) -> None:
        """The folder is for its owner alone, and so is each file in it."""
        tub = await self.controller()
        folder = tub.file("engine").parent
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        for file in folder.iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)
        self.assertEqual(read_furl(tub.file("engine"), "engine"), tub.furls["engine"])

    async def test_clean_stop_removes(self) -> None:
        """A clean stop leaves no file, and the next start has new FURLs."""
        tub = await self.controller()
        furls = dict(tub.furls)
        await tub.stop()
        self.assertEqual(list(tub.file("engine").parent.iterdir()), [])
        again = await self.controller(ipython_dir=tub.file("engine").parent.parent)
        self.assertNotEqual(again.furls, furls)

    async def test_reuse(self) -> None:
        """With reuse_furls the next start has the same FURLs to the letter."""
        tub = await self.controller(reuse_furls=True)
        await tub.stop()
        again = await self.controller(reuse_furls=True, ipython_dir=tub.file("engine").parent.parent)
        self.assertEqual(again.furls, tub.furls)

    async def test_unclean_end(self) -> None:
        """After an end that was not clean the FURLs are taken up again."""
        tub = await self.controller()
        await tub.stop(clean=False)
        again = await self.controller(ipython_dir=tub.file("engine").parent.parent)
        self.assertEqual(again.furls, tub.furls)

    async def test_port_taken(self) -> None:
        """A port that is taken is an error that names it; one of an earlier run gives way unless it must be kept."""
        tub = await self.controller()
        with self.subTest("asked for"):
            await self.assertFailure(
                Deferred.fromCoroutine(self.controller(port=tub.port)), ControllerCreationError
            )
        await tub.stop(clean=False)
        folder = tub.file("engine").parent.parent
        with socket.create_server(("127.0.0.1", tub.port)):
            await self.assertFailure(
                Deferred.fromCoroutine(self.controller(ipython_dir=folder, reuse_furls=True)), ControllerCreationError
            )
            again = await self.controller(ipython_dir=folder)
            self.assertNotEqual(again.port, tub.port)
            self.assertEqual(secret(again.furls["engine"]), secret(tub.furls["engine"]))

    async def test_damaged_certificate(self) -> None:
        """A damaged certificate is an error that names the file."""
        tub = await self.controller()
        await tub.stop(clean=False)
        path = tub.file("engine").parent / CERTIFICATE_FILE
        path.write_text("nonsense")
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.controller(ipython_dir=path.parent.parent)), SecurityError
        )
        self.assertIn(str(path), str(error))


class Stranger(Protocol):
    """Connects, says something, and waits to be cut off."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self.cut_off: Deferred[None] = Deferred()
        self.heard = b""

    def connectionMade(self) -> None:
        self.transport.write(self._says)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.cut_off.callback(None)


class StrangerTests(WireTestCase):
    async def stranger(self, tub: ControllerTub, says: bytes) -> Stranger:
        return await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", tub.port), Stranger(says))

    async def test_random_bytes(self) -> None:
        """Bytes that begin like nothing that one says here are cut off at once."""
        tub = await self.controller()
        stranger = await self.stranger(tub, b"\x17\x03\x01" + os.urandom(1000))
        await stranger.cut_off.addTimeout(2, reactor)
        self.assertEqual(stranger.heard, b"")

    async def test_silence(self) -> None:
        """A connection that does not identify itself is cut off after a few seconds, however it stops."""
        self.patch(endpoint, "IDENTIFY_WITHIN", 0.2)
        tub = await self.controller()
        beginnings = (b"", b"GET ", f"GET /id/{tub.furls['engine'][5:37]} HTTP/1.1\r\nUpgrade: TLS/1.0\r\n\r\n".encode())
        strangers = [await self.stranger(tub, says) for says in beginnings]
        for stranger in strangers:
            await stranger.cut_off.addTimeout(3, reactor)

    async def test_no_end_of_it(self) -> None:
        """What is sent before one has shown a FURL is not much, or one is cut off."""
        tub = await self.controller()
        furl = tub.furls["multiengine"]
        other = new_tub()
        other.startService()
        self.addCleanup(other.stopService)
        await self.assertFailure(other.getReference(furl.replace(secret(furl), "a" * 32)), RemoteException)
        (broker,) = other.brokers.values()
        cut_off: Deferred[None] = Deferred()
        broker.notifyOnDisconnect(cut_off.callback, None)
        # Banana: a call (request 5, of object 0, which everybody may call) of a method whose name has 1 GB.
        broker.transport.write(b"\x09\x88" + b"\x04\x82call" + b"\x05\x81\x00\x81" + b"\x00\x00\x00\x00\x04\x82")
        broker.transport.write(bytes(1 << 20))
        await cut_off.addTimeout(2, reactor)

    async def test_wrong_secret_does_not_keep_the_connection(self) -> None:
        """A correct Tub that knows no FURL is cut off too."""
        self.patch(endpoint, "IDENTIFY_WITHIN", 0.3)
        tub = await self.controller()
        furl = tub.furls["multiengine"]
        await self.assertFailure(
            Deferred.fromCoroutine(self.dial(furl.replace(secret(furl), "a" * 32))), FURLError
        )
        while tub._tub.brokers:
            step: Deferred[None] = Deferred()
            reactor.callLater(0.05, step.callback, None)
            await step

    async def test_a_thousand(self) -> None:
        """A thousand silent connections keep nobody out."""
        tub = await self.controller()
        strangers = []
        for _ in range(300):
            strangers.append(await self.stranger(tub, b"GET /"))
        client = await self.dial(tub.furls["multiengine"])
        client.link.send(command())
        await self.multiengine.when(1)
        for stranger in strangers:
            stranger.transport.abortConnection()
            await stranger.cut_off.addTimeout(5, reactor)
