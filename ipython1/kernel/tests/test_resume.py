"""Sessions over Foolscap and connections that are cut, silent, or doubled."""

from __future__ import annotations

import os

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ipython1.kernel import dial as dialing
from ipython1.kernel import tubs
from ipython1.kernel.error import ConnectionError
from ipython1.kernel.framing import Message
from ipython1.kernel.patience import Patience
from ipython1.kernel.peer import Ending
from ipython1.kernel.tests.proxy import Proxy
from ipython1.kernel.tests.test_wire import Recorder, WireTestCase, command

QUICK = Patience(grace=5, agents=0.5, clients=0.5)


def reply(number: int, body: bytes = b"") -> Message:
    return Message("reply", {"id": ["s", number], "ok": True}, [body])


class ResumeTestCase(WireTestCase):
    patience = QUICK

    async def reachable(self) -> Recorder:
        """A client that reaches the controller through a proxy."""
        self.tub = await self.controller()
        self.proxy = Proxy(self, self.tub.port)
        await self.proxy.start()
        client = await self.dial(self.proxy.furl(self.tub.furls["multiengine"]))
        await self.on_line(client)
        return client

    def numbers(self, messages: list[Message]) -> list[int]:
        return [message.fields["id"][1] for message in messages]


class CutTests(ResumeTestCase):
    async def test_cut(self) -> None:
        """What was sent before, during and after a cut arrives, once and in order, both ways."""
        client = await self.reachable()
        for number in range(1, 201):
            client.link.send(command(number))
            self.multiengine.link.send(reply(number))
            if number % 50 == 0:
                self.proxy.cut()
                await client.changed()
        await client.when(200)
        await self.multiengine.when(200)
        self.assertEqual(self.numbers(client.messages), list(range(1, 201)))
        self.assertEqual(self.numbers(self.multiengine.messages), list(range(1, 201)))
        self.assertEqual(client.reasons + self.multiengine.reasons, [])
        self.assertGreater(client.back, 0)

    async def test_cut_anywhere(self) -> None:
        """Wherever in a conversation with large bodies the connection is cut, and cut again."""
        client = await self.reachable()
        bodies = [os.urandom(3_000_000), b"small", os.urandom(70_000)]
        for number, count in enumerate((0, 1_000, 70_000, 300_000, 1_500_000, 2_900_000, 4_000_000), 1):
            client.link.send(command(number, bodies))
            self.multiengine.link.send(reply(number, bodies[0]))
            self.proxy.cut_after(count)
            for end in (client, self.multiengine):
                await end.when(number)
        for message in self.multiengine.messages:
            self.assertEqual(message.bodies, bodies)
        for message in client.messages:
            self.assertEqual(message.bodies, bodies[:1])
        self.assertEqual(client.reasons + self.multiengine.reasons, [])
        self.assertGreater(client.back, 5)
        for link in (client.link, self.multiengine.link):
            self.assertEqual(len(link._arrivals), 0)
            await self.until(lambda link=link: not len(link._offers))

    async def test_relay(self) -> None:
        """A stream that is passed on goes on, whichever of its two connections is cut."""
        source = await self.reachable()
        source_end = self.multiengine
        other = Proxy(self, self.tub.port)
        await other.start()
        agent = await self.dial(other.furl(self.tub.furls["engine"]), "engine")
        body = os.urandom(12_000_000)

        def relay(message: Message) -> None:
            [ref] = message.streams()
            relayed = source_end.link.relay(ref, [(self.engine.link, 1)])
            fields = {"engine": 0, "generation": 0, "verb": "keys", "args": {}, "label": ""}
            self.engine.link.send(
                Message("command", {**fields, "id": message.fields["id"]}, [relayed.refs[0]])
            )

        source_end.message_received = relay
        for number, proxy in enumerate((self.proxy, other, self.proxy, other), 1):
            source.link.send(command(number, [body]))
            proxy.cut_after(2_500_000 * number)
            await agent.when(number)
        for message in agent.messages:
            self.assertEqual(message.bodies, [body])

    async def test_refused_for_a_while(self) -> None:
        """While nobody answers it is dialed again, and what is sent waits."""
        client = await self.reachable()
        await self.proxy.refuse()
        await client.changed()
        client.link.send(command(1, [bytes(100_000)]))
        self.multiengine.link.send(reply(1, bytes(100_000)))
        await deferLater(reactor, 0.5, lambda: None)
        self.assertEqual((client.messages, self.multiengine.messages), ([], []))
        await self.proxy.accept()
        await client.when(1)
        await self.multiengine.when(1)


class SilenceTests(ResumeTestCase):
    async def test_silent_for_good(self) -> None:
        """A connection that is silent at both ends is given up, and another one takes its place."""
        client = await self.reachable()
        self.proxy.silence(new_ones=False)
        client.link.send(command(1))
        self.multiengine.link.send(reply(1))
        await client.when(1)
        await self.multiengine.when(1)
        self.assertEqual((client.back, len(client.away)), (1, 1))

    async def test_half_open(self) -> None:
        """The controller takes the new connection while it believes in the old one; nothing comes twice."""
        self.patience = Patience(grace=5, agents=100, clients=100)
        client = await self.reachable()
        client.link.send(command(1))
        await self.multiengine.when(1)
        self.proxy.silence(new_ones=False)
        self.multiengine.link.send(reply(1))
        client.link.send(command(2))
        # With a Tub of another name, since Foolscap drops the older one of two connections of one Tub.
        [tub] = tubs._tubs.values()
        tub.retire()
        client.link._carrier.cut_off()
        await client.when(1)
        await self.multiengine.when(2)
        self.assertEqual(self.multiengine.away, [])
        # Now what the old connection held arrives: it goes nowhere.
        self.proxy.go_on()
        client.link.send(command(3))
        await self.multiengine.when(3)
        self.assertEqual(self.numbers(self.multiengine.messages), [1, 2, 3])

    async def test_new_ones_are_silent_too(self) -> None:
        """An attempt that is not answered is given up, and does not stand in the way of the next."""
        self.patch(dialing, "AGAIN_WITHIN", 0.3)
        client = await self.reachable()
        self.proxy.silence()
        client.link.send(command(1))
        await self.until(lambda: client.away)
        await deferLater(reactor, 1.0, lambda: None)
        self.proxy.go_on()
        await self.multiengine.when(1)

    async def test_slow(self) -> None:
        """A connection on which everything takes long is not silent."""
        client = await self.reachable()
        self.proxy.delay = 0.1
        client.link.send(command(1))
        await self.multiengine.when(1)
        await deferLater(reactor, 1.5, lambda: None)
        self.assertEqual(client.away, [])
        self.proxy.delay = 0
        await deferLater(reactor, 0.2, lambda: None)

    async def test_idle(self) -> None:
        """Nor is one on which nothing is said, and it costs little."""
        client = await self.reachable()
        await deferLater(reactor, 0.3, lambda: None)
        before = self.proxy.bytes
        await deferLater(reactor, 2.0, lambda: None)
        self.assertEqual(client.away + self.multiengine.away, [])
        # 20 times the silence that is allowed in ordinary life takes 20 times as long.
        self.assertLess(self.proxy.bytes - before, 4_000)


class EndTests(ResumeTestCase):
    async def test_grace(self) -> None:
        """A peer that does not come back in time is given up at both ends, each of which says why."""
        self.patience = Patience(grace=0.5, agents=100, clients=100)
        client = await self.reachable()
        await self.proxy.refuse()
        self.assertIn("not taken up again within 0.5 s", await self.multiengine.when_lost())
        self.assertIn("the controller stayed away for 0.5 s", await client.when_lost())
        self.assertIs(client.link.ending, Ending.STAYED_AWAY)
        self.assertEqual(len(self.tub._doors[1]), 0)

    async def test_too_late(self) -> None:
        """One that comes back after that is told so."""
        client = await self.reachable()
        await self.proxy.refuse()
        await self.until(lambda: self.multiengine.away)
        self.multiengine.link.over("given up")
        await self.proxy.accept()
        self.assertIn("has given up this session", await client.when_lost())
        self.assertIs(client.link.ending, Ending.UNKNOWN)

    async def test_controller_restarted(self) -> None:
        """A controller that was killed and started again does not know the session, and says so."""
        client = await self.reachable()
        folder = self.tub.file("engine").parent.parent
        # As it is when the process is killed: nobody is told.
        for door in self.tub._doors:
            for session in door._sessions.values():
                session.link._drop_carrier()
            door._sessions.clear()
        await self.tub.stop(clean=False)
        again = await self.controller(ipython_dir=folder)
        self.assertEqual(again.furls["multiengine"], self.tub.furls["multiengine"])
        self.assertIn("the controller was restarted", await client.when_lost())

    async def test_goodbye(self) -> None:
        """A controller that stops says goodbye: nobody dials again."""
        client = await self.reachable()
        await self.tub.stop()
        self.assertEqual(await client.when_lost(), "the controller stopped")
        self.assertIs(client.link.ending, Ending.GOODBYE)

    async def test_close_while_away(self) -> None:
        """A session that is closed while it has no connection is not taken up again."""
        client = await self.reachable()
        await self.proxy.refuse()
        await self.until(lambda: client.away)
        client.link.close("done")
        self.assertEqual(client.reasons, ["done"])

    async def test_late_attempt(self) -> None:
        """An attempt that arrives after a later one does not take the session from that."""
        client = await self.reachable()
        early = dialing.hello("multiengine", self.multiengine.hello["session"], client.link.peer["ticket"], 0)
        self.proxy.cut()
        await self.until(lambda: client.back)
        opening = dialing._opened(self.tub.furls["multiengine"], early, reactor, 5)
        error = await self.assertFailure(Deferred.fromCoroutine(opening), ConnectionError)
        self.assertIn("overtaken", str(error))
        client.link.send(command(1))
        await self.multiengine.when(1)

    async def test_foreign_session(self) -> None:
        """A session cannot be taken up with its id alone."""
        client = await self.reachable()
        said = dialing.hello("multiengine", self.multiengine.hello["session"], "x" * 64, 0)
        opening = dialing._opened(self.tub.furls["multiengine"], said, reactor, 5)
        await self.assertFailure(Deferred.fromCoroutine(opening), dialing.UnknownSession)
        client.link.send(command(1))
        await self.multiengine.when(1)
