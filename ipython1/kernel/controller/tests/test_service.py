"""The controller with agents and clients over links in memory."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller.clients import MAX_REFUSED
from ipython1.kernel.controller.tests.cluster import Cluster, FakeAgent, FakeClient
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import MAX_HEADER, Message

LARGE = bytes(range(256)) * 2_000
RESULT_ID = "r" * 40


class ServiceCase(SynchronousTestCase):
    """One agent with two engines, and one client."""

    engines = 2

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.agent = FakeAgent(self.cluster, self.engines)
        self.client = FakeClient(self.cluster)
        self.cluster.settle()

    def settled(self, number: int, client: FakeClient | None = None) -> list[Any]:
        """What a command has come to by now."""
        self.cluster.settle()
        return (client or self.client).outcomes(number)

    def finish_all(self, **how: Any) -> None:
        """End what runs on every engine."""
        self.cluster.settle()
        for engine in list(self.agent.queues):
            self.agent.finish(engine, **how)
        self.cluster.settle()


class CallTests(ServiceCase):
    """What a call comes to."""

    def test_all_targets(self) -> None:
        """A command goes to each target, and each target's outcome comes as it is there."""
        number = self.client.execute()
        self.cluster.settle()
        self.agent.finish(1, body=b"one")
        self.assertEqual(self.settled(number), [b"one"])
        self.agent.finish(0, body=b"zero")
        self.assertEqual(self.settled(number), [b"zero", b"one"])
        fields = [reply.fields for reply in self.client.replies[number]]
        self.assertEqual(
            [(said["index"], said["engine"], said["of"]) for said in fields], [(1, 1, 2), (0, 0, 2)]
        )

    def test_order_and_repeats(self) -> None:
        """Targets are answered at their places; an engine that is named twice runs the command twice."""
        number = self.client.execute([1, 0, 1])
        self.finish_all(body=b"first")
        self.finish_all(body=b"second")
        self.assertEqual(self.settled(number), [b"first", b"first", b"second"])

    def test_no_targets(self) -> None:
        """An empty list of targets is answered at once."""
        number = self.client.execute([])
        self.assertEqual(self.settled(number), [None])
        (reply,) = self.client.replies[number]
        self.assertEqual((reply.fields["index"], reply.fields["of"]), (None, 0))

    def test_bad_targets(self) -> None:
        """Unknown engines are an error of the call as a whole."""
        number = self.client.execute([7])
        text = "InvalidEngineID: Engine with id 7 is not registered; registered: [0, 1]"
        self.assertEqual(self.settled(number), [text])

    def test_failure(self) -> None:
        """A failure comes from its engine, and what the client had behind it is dropped there and nowhere else."""
        other = FakeClient(self.cluster)
        first, second = self.client.execute(), self.client.execute()
        self.cluster.settle()
        others = other.execute()
        self.cluster.settle()
        self.agent.finish(0, ok=False)
        self.finish_all(body=b"ok")
        self.finish_all(body=b"ok")
        self.finish_all(body=b"ok")
        self.assertEqual(self.settled(first), ["EngineLost: failed as told", b"ok"])
        dropped, ran = self.settled(second)
        self.assertTrue(dropped.startswith("QueueCleared: "), dropped)
        self.assertIn("execute(1) failed", dropped)
        self.assertEqual(ran, b"ok")
        self.assertEqual(self.settled(others, other), [b"ok", b"ok"])

    def test_failure_that_had_not_begun_before(self) -> None:
        """It is the same where the failure says as well that its command had begun."""
        self.agent.says_when_ended = True
        self.test_failure()

    def test_repeat(self) -> None:
        """A command that comes again has no effect."""
        self.client.execute()
        self.client.number = 0
        self.client.execute()
        self.finish_all()
        self.assertIsNone(self.agent.running())
        self.assertEqual(len(self.client.replies[1]), 2)

    def test_refused(self) -> None:
        """A command that is unsound is refused, says why, and the session goes on."""
        for verb, args, bodies, more in (
            ("nonsense", {}, [], {}),
            ("execute", {}, [], {}),
            ("execute", {"a": 1}, [b""], {}),
            ("get_result", {"number": True}, [], {}),
            ("push", {"names": ["a"]}, [b"1", b"2"], {"values": [[1, "pickle", {}]]}),
            ("keys", {}, [], {"hold": "short"}),
            ("get_ids", {}, [], {"hold": RESULT_ID}),
        ):
            self.client.call(verb, args, "all", bodies, **more)
        self.client.link.send(
            Message("command", {"id": ["x", 1], "verb": "keys", "args": {}, "targets": "all", "label": ""})
        )
        self.cluster.settle()
        self.assertEqual(len(self.client.refused), 8)
        self.assertIn("nonsense", self.client.refused[0].fields["error"])
        self.assertEqual(self.client.refused[0].fields["id"], [self.client.session, 1])
        number = self.client.execute()
        self.finish_all(body=b"ok")
        self.assertEqual(self.settled(number), [b"ok", b"ok"])

    def test_very_many_unsound_commands(self) -> None:
        """A client that sends nothing else is told of some of them, and then its session ends."""
        for _ in range(MAX_REFUSED + 50):
            self.client.call("nonsense")
        self.cluster.settle()
        self.assertEqual(len(self.client.refused), MAX_REFUSED)
        self.assertIn("unsound", str(self.client.lost))

    def test_header_of_full_length(self) -> None:
        """A command or a reply whose header leaves no room for what the controller adds fails alone."""
        self.client.link._max_header = self.agent.link._max_header = MAX_HEADER
        fields = {"id": [self.client.session, 1], "verb": "pull", "label": "x", "targets": [0]}
        self.send_longest(self.client, lambda text: Message("command", {**fields, "args": {"names": [text]}}))
        self.client.number = 1
        later = self.client.execute([0])
        (failure,) = self.settled(1)
        self.assertIn("ProtocolError: x cannot be sent to engine 0", failure)
        self.assertEqual(self.agent.running(), f"execute({later})")
        said = {"engine": 0, "id": [self.client.session, later], "ok": True}
        self.send_longest(
            self.agent, lambda text: Message("reply", {**said, "values": [[1, text, {}]]}, [b""])
        )
        (failure,) = self.settled(later)
        self.assertIn("ProtocolError: a reply message names too much", failure)

    def send_longest(self, peer: Any, message: Callable[[str], Message]) -> None:
        """Send the message with the longest text that its header has room for."""
        for length in range(MAX_HEADER, 0, -1):
            with contextlib.suppress(ProtocolError):
                peer.link.send(message("x" * length))
                return

    def test_long_label(self) -> None:
        """A label is cut before it is kept and shown."""
        fields = {
            "id": [self.client.session, 1],
            "verb": "keys",
            "args": {},
            "targets": [0],
            "label": "x" * 9_999,
        }
        self.client.link.send(Message("command", fields))
        self.cluster.settle()
        self.assertEqual(self.agent.running(), "x" * 197 + "...")


class StreamTests(ServiceCase):
    """Large bodies."""

    def test_to_engines(self) -> None:
        """A large body goes to each agent once, and all of its engines get it."""
        other = FakeAgent(self.cluster)
        self.cluster.settle()
        number = self.client.execute("all", LARGE)
        self.cluster.settle()
        self.assertEqual([bytes(message.bodies[0]) for message in self.agent.got], [LARGE, LARGE])
        self.assertEqual([bytes(message.bodies[0]) for message in other.got], [LARGE])
        self.finish_all(body=b"ok")
        other.finish(2, body=b"ok")
        self.assertEqual(self.settled(number), [b"ok"] * 3)

    def test_to_the_client(self) -> None:
        """A large result comes to the client."""
        number = self.client.execute()
        self.finish_all(body=LARGE)
        self.assertEqual(self.settled(number), [LARGE, LARGE])

    def test_client_leaves_amid(self) -> None:
        """A command whose client leaves before its body has come never runs."""
        self.client.execute("all", LARGE * 40)
        self.cluster.step(6)
        self.assertEqual(len(self.cluster.service.engines[0].queue), 1)
        self.client.leave()
        self.cluster.settle()
        self.assertEqual([self.agent.running(0), self.agent.running(1)], [None, None])
        self.assertEqual(len(self.cluster.service.engines[0].queue), 0)

    def test_dropped_meanwhile(self) -> None:
        """What was dropped before its body had come is not kept by the agent."""
        self.client.execute("all", LARGE)
        self.client.execute("all", LARGE * 10)
        clear = self.client.call("clear_queue")
        self.assertEqual(self.settled(clear), [None, None])
        for number in (1, 2):
            self.assertTrue(self.settled(number)[0].startswith("QueueCleared"))
        self.assertEqual((len(self.agent.link._arrivals), len(self.client.far._arrivals)), (0, 0))


class ControlTests(ServiceCase):
    """Verbs of the controller and of agents."""

    def test_get_ids(self) -> None:
        self.assertEqual(self.settled(self.client.call("get_ids", targets=None)), [[0, 1]])

    def test_queue_status(self) -> None:
        """What runs and what waits, per engine."""
        for _ in range(3):
            self.client.execute([0])
        status = self.settled(self.client.call("queue_status"))
        self.assertEqual(
            status,
            [
                [0, {"queue": ["execute(2)", "execute(3)"], "pending": "execute(1)"}],
                [1, {"queue": [], "pending": "None"}],
            ],
        )

    def test_long_queue(self) -> None:
        """The status of a very long queue counts what it does not name."""
        for _ in range(1_203):
            self.client.execute([0])
        (status,) = self.settled(self.client.call("queue_status", targets=[0]))
        self.assertEqual(len(status[1]["queue"]), 1_001)
        self.assertEqual(status[1]["queue"][-1], "... and 202 more")

    def test_clear_queue(self) -> None:
        """What waits is dropped, whether it was sent ahead or not; what runs goes on."""
        numbers = [self.client.execute([0]) for _ in range(20)]
        self.cluster.settle()
        self.assertEqual(self.settled(self.client.call("clear_queue")), [None, None])
        for number in numbers[1:]:
            (text,) = self.settled(number)
            self.assertIn("clear_queue() was called", text)
        self.finish_all(body=b"ok")
        self.assertEqual(self.settled(numbers[0]), [b"ok"])
        self.assertIsNone(self.agent.running())

    def test_reset_clears(self) -> None:
        """A reset waits for what runs, and what waits is dropped."""
        first, second = self.client.execute([0]), self.client.execute([0])
        reset = self.client.call("reset", targets=[0])
        self.cluster.settle()
        self.assertIn("reset() was called", self.settled(second)[0])
        self.finish_all(body=b"ok")
        self.assertEqual(self.agent.running(), "reset(3)")
        self.finish_all()
        self.assertEqual((self.settled(first), self.settled(reset)), ([b"ok"], [b""]))

    def test_beside_the_queue(self) -> None:
        """A verb of the agent does not wait for what runs."""
        self.client.execute()
        self.assertEqual(self.settled(self.client.call("get_result", {"number": None}, [0, 0])), [None, None])

    def test_kill(self) -> None:
        """A killed engine is gone for good, with what it ran and what waited."""
        first, second = self.client.execute([0]), self.client.execute([0])
        kill = self.client.call("kill", targets=[0])
        self.assertEqual(self.settled(kill), [None])
        self.assertTrue(self.settled(first)[0].startswith("EngineLost: engine 0"), self.settled(first))
        self.assertTrue(self.settled(second)[0].startswith("QueueCleared: "), self.settled(second))
        self.assertEqual(self.settled(self.client.call("get_ids", targets=None)), [[1]])

    def test_kill_controller(self) -> None:
        """All engines end, the client is told, and then the controller stops; new engines are refused."""
        number = self.client.call("kill_controller", targets=None)
        self.assertEqual(self.settled(number), [None])
        self.assertEqual(len(self.cluster.service.engines.registry), 0)
        self.assertEqual(self.agent.queues, {})
        late = FakeAgent(self.cluster)
        self.cluster.settle()
        self.assertEqual(late.refused, ["the controller is stopping"])
        self.assertEqual(self.cluster.stopped, 0)
        for _ in range(10):
            self.cluster.settle(0.05)
        self.assertEqual(self.cluster.stopped, 1)

    def test_kill_controller_without_engines(self) -> None:
        """It stops without engines, too."""
        self.client.call("kill", targets="all")
        self.cluster.settle()
        number = self.client.call("kill_controller", targets=None)
        self.assertEqual(self.settled(number), [None])
        self.cluster.settle(0.3)
        self.cluster.settle(0.3)
        self.assertEqual(self.cluster.stopped, 1)

    def test_engine_does_not_end(self) -> None:
        """An agent that does not answer does not keep the controller from its end."""
        self.agent.message_received = lambda message: None  # type: ignore[method-assign]
        number = self.client.call("kill_controller", targets=None)
        self.assertEqual(self.settled(number), [])
        self.cluster.settle(10)
        self.assertEqual(self.settled(number), [None])
        for _ in range(50):
            self.cluster.settle(0.05)
        self.assertEqual(self.cluster.stopped, 1)


class HoldTests(ServiceCase):
    """Two-phase calls."""

    def get(self, block: bool, client: FakeClient | None = None) -> int:
        args = {"result_id": RESULT_ID, "block": block}
        return (client or self.client).call("get_pending", args, None)

    def test_fetch(self) -> None:
        """A held call is accepted at once; another client fetches what it came to, once."""
        other = FakeClient(self.cluster)
        held = self.client.execute("all", hold=RESULT_ID)
        self.assertEqual(self.settled(held), [None])
        self.assertIn("ResultNotCompleted", self.settled(self.get(False))[0])
        self.finish_all(body=LARGE)
        self.assertEqual(self.settled(held), [None])
        fetched = self.get(False, other)
        self.assertEqual(self.settled(fetched, other), [LARGE, LARGE])
        self.assertIn("InvalidDeferredID", self.settled(self.get(True))[0])

    def test_wait(self) -> None:
        """Who waits has it when it is complete, as the held call would have had it."""
        self.client.execute([1, 0], hold=RESULT_ID)
        fetched = self.get(True)
        self.cluster.settle()
        self.agent.finish(0, ok=False)
        self.agent.finish(1, body=b"one")
        self.assertEqual(self.settled(fetched), [b"one", "EngineLost: failed as told"])
        self.assertEqual(self.client.replies[fetched][0].fields["of"], 2)

    def test_bad_targets(self) -> None:
        """Bad targets are held like any failure."""
        self.assertEqual(self.settled(self.client.execute([9], hold=RESULT_ID)), [None])
        self.assertIn("InvalidEngineID", self.settled(self.get(True))[0])

    def test_id_in_use(self) -> None:
        """Two calls cannot be held under one id."""
        self.client.execute("all", hold=RESULT_ID)
        self.assertIn("InvalidDeferredID", self.settled(self.client.execute("all", hold=RESULT_ID))[0])

    def test_clear(self) -> None:
        """Who flushes forgets what its own calls came to; who waits for that is told."""
        other = FakeClient(self.cluster)
        self.client.execute("all", hold=RESULT_ID)
        waiting = self.get(True, other)
        self.cluster.settle()
        self.assertEqual(self.settled(self.client.call("clear_pending", targets=None)), [None])
        self.assertIn("AbortedPendingDeferredError", self.settled(waiting, other)[0])
        self.finish_all()
        self.assertEqual(len(self.cluster.multiengine.results), 0)

    def test_client_left(self) -> None:
        """What a client that left had held can be fetched; its other outcomes are dropped."""
        other = FakeClient(self.cluster)
        self.client.execute("all", hold=RESULT_ID)
        self.client.execute()
        self.cluster.settle()
        self.client.leave()
        self.finish_all(body=b"held")
        self.finish_all(body=LARGE)
        self.assertEqual(self.settled(self.get(False, other), other), [b"held", b"held"])


class LossTests(ServiceCase):
    """Interpreters and agents that end."""

    def test_interpreter_dies(self) -> None:
        """Its command is lost, what waits is dropped, what comes then waits for its successor."""
        other = FakeClient(self.cluster)
        lost = self.client.execute([0])
        self.cluster.settle()
        numbers = [other.execute([0]) for _ in range(20)]
        self.cluster.settle()
        self.agent.die(0, restart=False)
        (text,) = self.settled(lost)
        self.assertIn("EngineLost: engine 0 lost its interpreter (killed by signal 9, SIGKILL)", text)
        for number in numbers:
            (text,) = self.settled(number, other)
            self.assertTrue(text.startswith("QueueCleared: "), text)
            self.assertIn("lost its interpreter", text)
        after = self.client.execute([0])
        self.assertEqual(self.settled(after), [])
        self.agent.say("restarted", 0, generation=2, pid=9)
        self.agent.queues[0].opened(2)
        self.finish_all(body=b"ok")
        self.assertEqual(self.settled(after), [b"ok"])

    def test_connection_lost(self) -> None:
        """All of an agent's engines are gone at once, with a reason, and their ids are free."""
        numbers = [self.client.execute(), self.client.execute(), self.client.call("keys")]
        asked = self.client.call("get_result")
        self.cluster.settle()
        self.client.replies.pop(asked)
        self.agent.message_received = lambda message: None  # type: ignore[method-assign]
        asked = self.client.call("get_result")
        self.cluster.settle()
        self.agent.leave()
        first, second, third = (self.settled(number) for number in numbers)
        for text in first:
            self.assertIn("was lost while it ran execute(1): the connection to the host agent", text)
        for text in second + third:
            self.assertTrue(text.startswith("QueueCleared: "), text)
        self.assertIn("EngineLost: engine 0 was lost, and get_result(5) with it", self.settled(asked)[0])
        self.assertIn("NoEnginesRegistered", self.settled(self.client.execute())[0])
        again = FakeAgent(self.cluster)
        self.cluster.settle()
        self.assertEqual(list(again.queues), [0])

    def test_agent_away(self) -> None:
        """While an agent cannot be reached its engines stay, what is submitted waits, and it shows; then it goes on."""
        session = self.agent.far._receiver
        running = self.client.execute([0])
        self.cluster.settle()
        session.link_away("the connection was lost")
        waiting, asked = self.client.execute([0]), self.client.call("queue_status", targets=[0])
        ids = self.client.call("get_ids")
        self.cluster.settle(3)
        self.assertEqual(self.settled(ids), [[0, 1]])
        [[engine, status]] = self.settled(asked)
        self.assertEqual((engine, status["queue"], status["pending"]), (0, ["execute(2)"], "execute(1)"))
        self.assertEqual(status["away"], "for 3 s: the connection was lost")
        self.assertEqual(len(self.agent.got), 1)
        session.link_back()
        self.finish_all(body=b"one")
        self.finish_all(body=b"two")
        self.assertEqual((self.settled(running), self.settled(waiting)), ([b"one"], [b"two"]))
        [[_, status]] = self.settled(self.client.call("queue_status", targets=[0]))
        self.assertNotIn("away", status)

    def test_agent_stays_away(self) -> None:
        """If it does not come back, what waited was dropped, and what ran is lost."""
        running = self.client.execute([0])
        self.cluster.settle()
        self.agent.far._receiver.link_away("the connection was lost")
        waiting = self.client.execute([0])
        self.cluster.settle()
        self.agent.far.over("the connection was lost, and not taken up again within 60 s")
        self.assertIn("EngineLost: engine 0 was lost while it ran execute(1)", self.settled(running)[0])
        self.assertIn("QueueCleared: execute(2) was dropped", self.settled(waiting)[0])

    def test_client_away(self) -> None:
        """What a client's calls come to while it cannot be reached is kept for it."""
        number = self.client.execute([0])
        self.cluster.settle()
        self.client.far._receiver.link_away("the connection was lost")
        self.finish_all(body=b"kept")
        self.client.far._receiver.link_back()
        self.assertEqual(self.settled(number), [b"kept"])

    def test_liar(self) -> None:
        """An agent that speaks of engines or commands that are not its own is not believed."""
        liar = FakeAgent(self.cluster)
        number = self.client.execute([0])
        self.cluster.settle()
        liar.say("reply", 0, id=[self.client.session, number], ok=True)
        liar.say("gone", 1, reason="lie")
        self.agent.say("reply", 1, id=[self.client.session, number], ok=True)
        self.agent.say("returned", 0, id=[self.client.session, number])
        self.assertEqual(self.settled(number), [])
        self.assertEqual(self.cluster.service.engines.registry.ids(), [0, 1, 2])
        self.finish_all(body=b"ok")
        self.assertEqual(self.settled(number), [b"ok"])

    def test_observer_uses_the_engine(self) -> None:
        """Who hears of a new engine can submit to it at once."""
        engines = self.cluster.service.engines
        seen: list[Any] = []
        engines.observers.on_register_engine_do(
            lambda engine: seen.append(engines[engine].queue.status()), True
        )
        FakeAgent(self.cluster)
        self.cluster.settle()
        self.assertEqual(seen, [([], None)])

    def test_properties(self) -> None:
        """The controller has an engine's properties, until its interpreter ends."""
        self.agent.say("properties", 0, properties={"memory": 4})
        self.cluster.settle()
        self.assertEqual(self.cluster.service.engines.registry[0].properties, {"memory": 4})
        self.agent.die(0)
        self.cluster.settle()
        self.assertEqual(self.cluster.service.engines.registry[0].properties, {})


class GrowthTests(SynchronousTestCase):
    """What is over leaves nothing behind."""

    def test_random_traffic(self) -> None:
        """After any traffic, when clients and agents have left, all tables are empty; and each call had its outcomes."""
        for seed in range(8):
            self.traffic(random.Random(seed))

    def traffic(self, chance: random.Random) -> None:
        cluster = Cluster()
        agents = [FakeAgent(cluster, 2) for _ in range(3)]
        clients = [FakeClient(cluster) for _ in range(4)]
        cluster.settle()
        gone: list[FakeClient] = []
        held = 0
        for step in range(600):
            client = chance.choice(clients)
            agent = chance.choice(agents)
            targets = chance.choice(["all", [0], [1, 2], [3, 3], {"slice": [None, None, 2]}, []])
            what = chance.random()
            if what < 0.3:
                held += 1
                client.execute(targets, b"x", hold=f"{held:040}" if chance.random() < 0.2 else None)
            elif what < 0.36:
                client.execute(targets, LARGE)
            elif what < 0.4:
                client.call(
                    chance.choice(["clear_queue", "queue_status", "get_result", "interrupt", "reset"])
                )
            elif what < 0.43:
                args = {"result_id": f"{chance.randint(1, held + 1):040}", "block": chance.random() < 0.5}
                client.call("get_pending", args, None)
            elif what < 0.44:
                client.call("clear_pending", None, None)
            elif what < 0.75:
                for engine in list(agent.queues):
                    agent.finish(engine, chance.random() < 0.8, chance.choice([b"", LARGE]))
            elif what < 0.76 and agent.queues:
                agent.die(chance.choice(list(agent.queues)))
            elif what < 0.765:
                gone.append(client)
                clients[clients.index(client)] = FakeClient(cluster)
                client.leave()
            elif what < 0.77:
                agents[agents.index(agent)] = FakeAgent(cluster, 2)
                agent.leave()
            elif what < 0.775 and step > 300 and agent.queues:
                client.call("kill", None, [next(iter(agent.queues))])
            cluster.step(chance.choice([0, 1, 1, 2, 20]))
        cluster.settle()
        while any(agent.running(engine) for agent in agents for engine in agent.queues):
            for agent in agents:
                for engine in list(agent.queues):
                    agent.finish(engine)
            cluster.settle()
        for client in clients:
            client.call("clear_pending", None, None)
        cluster.settle()
        for client in clients:
            self.check_answered(client)
        self.check_empty(cluster, clients + gone, agents)

    def check_answered(self, client: FakeClient) -> None:
        for number in range(1, client.number + 1):
            replies = client.replies.get(number, [])
            of = replies[0].fields["of"] or 1
            self.assertEqual(len(replies), of, number)

    def check_empty(self, cluster: Cluster, clients: list[FakeClient], agents: list[FakeAgent]) -> None:
        service = cluster.service
        for engine in service.engines.registry.ids():
            self.assertEqual(len(service.engines[engine].queue), 0)
        for client in clients:
            if client.lost is None:
                client.leave()
        cluster.settle()
        for engine in service.engines.registry.ids():
            self.assertEqual(service.engines[engine].queue.remembers, 0)
        for agent in agents:
            self.assertEqual((len(agent.link._arrivals), len(agent.far._arrivals)), (0, 0))
            agent.leave()
        cluster.settle()
        self.assertEqual(len(service.engines.registry), 0)
        self.assertEqual(service.engines._engines, {})
        self.assertEqual((len(service.agents), cluster.multiengine.clients), (0, {}))
        self.assertEqual(cluster.multiengine.results._waiting, {})
        # What clients that left had held may still be fetched.
        alive = {client.session for client in clients if client.lost is None}
        self.assertFalse(
            [one for one in cluster.multiengine.results.table._held.values() if one.session in alive]
        )


class InterruptTests(ServiceCase):
    """An interrupt that names a command."""

    def interrupt(self, number: int, targets: Any = "all") -> int:
        return self.client.call("interrupt", {"only": [self.client.session, number], "within": 1.0}, targets)

    def test_waiting(self) -> None:
        """What has not begun is dropped, wherever it waits, and what is behind it goes on."""
        numbers = [self.client.execute() for _ in range(30)]
        self.cluster.settle()
        for number in (numbers[2], numbers[20]):  # sent ahead, and not
            self.interrupt(number)
            (zero, one) = self.settled(number)
            self.assertIn("QueueCleared: ", zero)
            self.assertIn("of engine 1: its client does not wait for it any more", one)
        for _ in range(28):
            self.finish_all(body=b"done")
        for number in numbers:
            if number not in (numbers[2], numbers[20]):
                self.assertEqual(self.settled(number), [b"done", b"done"])

    def test_running(self) -> None:
        """What runs is the agent's to interrupt; other engines and other commands hear nothing of it."""
        number = self.client.execute()
        self.cluster.settle()
        asked = self.interrupt(number, [1])
        self.cluster.settle()
        self.assertEqual(len(self.client.replies[asked]), 1)
        self.finish_all(body=b"done")
        self.assertEqual(self.settled(number), [b"done", b"done"])

    def test_garbage(self) -> None:
        """What is no command id is refused, and nothing is dropped."""
        number = self.client.execute()
        for only in ([], [1], ["x"], ["x", "y"], [None, 1], ["x", 1, 2], [[], 1]):
            asked = self.client.call("interrupt", {"only": only, "within": None}, "all")
            (said,) = self.settled(asked)
            self.assertIn("is no command id", said)
        self.finish_all(body=b"done")
        self.assertEqual(self.settled(number), [b"done", b"done"])


class DebuggerTests(ServiceCase):
    """What others are told of somebody in the debugger."""

    def debug(self, action: str, session: str = "s", client: FakeClient | None = None) -> None:
        args = {"action": action, "line": "", "session": session, "theme": "nocolor"}
        (client or self.client).call("debug", args, [1])
        self.finish_all()

    def told(self) -> bool:
        watcher = FakeClient(self.cluster)
        self.cluster.settle()
        ((_, zero), (_, one)) = self.settled(watcher.call("queue_status", None, "all"), watcher)
        self.assertNotIn("debugger", zero)
        return str(one.get("debugger", "")).endswith("is in the debugger")

    def test_told(self) -> None:
        """From its first line until it is left."""
        self.assertFalse(self.told())
        self.debug("open")
        self.debug("line")
        self.assertTrue(self.told())
        self.debug("close", "another")
        self.assertTrue(self.told())
        self.debug("close")
        self.assertFalse(self.told())

    def test_left(self) -> None:
        """A client that goes away is not in the debugger any more, and keeps nobody from the engine."""
        other = FakeClient(self.cluster)
        self.cluster.settle()
        self.debug("open", client=other)
        other.leave()
        self.assertFalse(self.told())
        number = self.client.execute()
        self.finish_all(body=b"done")
        self.assertEqual(self.settled(number), [b"done", b"done"])
