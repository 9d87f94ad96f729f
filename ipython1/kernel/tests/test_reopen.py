"""Clients of a controller that is killed and started again on the same store, which is not really there."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ipython1.kernel import client_session, error, task_session
from ipython1.kernel.async_task import AsyncTaskClient
from ipython1.kernel.framing import StreamRef
from ipython1.kernel.peer import Ending
from ipython1.kernel.shared import SHARED_FROM
from ipython1.kernel.task import MapTask, StringTask
from ipython1.kernel.task_session import TaskConnection
from ipython1.kernel.tests.fake_cluster import FURL
from ipython1.kernel.tests.fake_tasks import FakeTasks
from ipython1.kernel.tests.test_asyncclient import AsyncTestCase
from ipython1.kernel.together import came

LONG = 65.0
"""Seconds: more than the grace time."""


class ReopenTestCase(AsyncTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster.house = "a house"

    def turn(self, seconds: float = 0.5) -> None:
        self.clock.pump([0.01] * int(seconds * 100))

    def connect(self) -> None:
        self.result(self.mec.get_ids())
        self.cluster.received.clear()

    def sent(self) -> list[tuple[int, bool]]:
        """The numbers of the commands that came, and whether they may have come before."""
        return [(message.fields["id"][1], "again" in message.fields) for message in self.cluster.received]


class CommandTests(ReopenTestCase):
    def test_sent_again(self) -> None:
        """What was not answered is sent again, under its number, in order; and what came meanwhile after that."""
        self.connect()
        self.result(self.mec.execute("a = 1"))
        self.cluster.held_back = True
        waiting = [self.mec.execute(f"b = {number}; print({number})") for number in range(3)]
        self.turn()
        session = self.cluster.received[0].fields["id"][0]
        self.cluster.received.clear()
        self.cluster.restart()
        self.cluster.unreachable = True
        late = self.mec.pull("b")
        self.turn(5)
        self.assertIn("restarted", self.connection.away)
        self.assertIn("is dialed again", self.connection.waits_for)
        self.cluster.unreachable = False
        self.turn(5)
        self.assertEqual(self.sent(), [(3, True), (4, True), (5, True), (6, False)])
        self.assertEqual({message.fields["id"][0] for message in self.cluster.received}, {session})
        self.assertIsNone(self.connection.away)
        self.cluster._later.reverse()  # it carries out the latest first
        self.cluster.go_on()
        for number, results in enumerate(waiting):
            self.assertEqual([r["stdout"] for r in self.result(results)], [f"{number}\n"] * 4)
        self.assertEqual(self.result(late), [2] * 4)

    def test_some_replies(self) -> None:
        """A command that some of its engines have answered is asked again; that they answer twice has no effect."""
        self.connect()
        self.cluster.held_back = True
        waiting = self.mec.execute("print(id)")
        self.turn()
        replies = self.cluster._replies(self.cluster.received[0])
        for reply in replies[:2]:
            self.cluster.links[0].reply(self.cluster.received[0], reply.fields, reply.bodies)
        self.cluster.restart()
        self.turn()
        self.assertNoResult(waiting)
        self.cluster.go_on()
        self.assertEqual([r["stdout"] for r in self.result(waiting)], ["0\n", "1\n", "2\n", "3\n"])

    def test_large_reply(self) -> None:
        """A reply whose large values broke off is asked for again."""
        self.connect()
        self.cluster.held_back = True
        waiting = self.mec.pull("id", targets=0)
        self.turn()
        [link] = self.cluster.links
        collected: Deferred[Any] = Deferred()
        link.collect = lambda message: collected  # type: ignore[assignment]
        fields = {"ok": True, "engine": 0, "index": 0, "of": 1, "values": [[1, "pickle", {}]]}
        link.reply(self.cluster.received[0], fields, [StreamRef(1, 100_000)])
        link.ending = Ending.UNKNOWN
        collected.errback(Failure(error.ConnectionError("it broke off")))
        self.cluster.restart()
        self.turn()
        self.assertNoResult(waiting)
        self.cluster.go_on()
        self.assertEqual(self.result(waiting), [0])

    def test_killed_again(self) -> None:
        """It may be killed again, whenever that is."""
        self.connect()
        self.cluster.held_back = True
        waiting = self.mec.execute("print(id)")
        self.turn()
        for _ in range(3):
            self.cluster.restart()
            self.turn()
        self.cluster.held_back = False
        links = len(self.cluster.links)
        self.cluster.restart()
        self.assertEqual(len(self.result(waiting)), 4)
        self.assertEqual(len(self.cluster.links), links + 1)

    def test_lost_at_once(self) -> None:
        """A link that is over before it is in use is none."""
        self.connect()
        dial, bad = self.connection._dial, [2]

        async def over_at_once(*args: Any, **more: Any) -> Any:
            link = await dial(*args, **more)
            if bad:
                bad.pop()
                link.lose("restarted again", Ending.UNKNOWN)
            return link

        self.connection._dial = over_at_once
        self.cluster.restart()
        self.assertEqual(len(self.result(self.mec.execute("a = 1"))), 4)
        self.assertEqual(bad, [])

    def test_another_store(self) -> None:
        """A controller with another store, or without, knows nothing of what was asked."""
        for house in ("another house", ""):
            self.setUp()
            self.connect()
            self.cluster.held_back = True
            waiting = self.mec.execute("a = 1")
            self.turn()
            self.cluster.house = house
            self.cluster.restart()
            problem = self.failure(waiting, error.ConnectionError)
            self.assertIn(
                "the controller was restarted; the new one has another store, while execute", str(problem)
            )
            self.assertTrue(self.cluster.links[1].closed)
            self.cluster.held_back = False
            self.assertEqual(len(self.result(self.mec.execute("a = 1"))), 4)

    def test_without_a_store(self) -> None:
        """If there is no store, calls fail at once."""
        self.cluster.house = ""
        self.connect()
        self.cluster.held_back = True
        waiting = self.mec.execute("a = 1")
        self.turn()
        self.cluster.restart()
        self.failureResultOf(waiting, error.ConnectionError)
        self.assertEqual(len(self.cluster.links), 1)

    def test_grace(self) -> None:
        """If there is no controller within the grace time, calls fail, and say why and what is known of them."""
        self.connect()
        self.cluster.held_back = True
        waiting = self.mec.execute("a = 1")
        self.turn()
        self.cluster.restart()
        self.cluster.unreachable = True
        late = self.mec.execute("b = 1")
        self.turn(LONG)
        text = str(self.failureResultOf(waiting, error.ConnectionError).value)
        self.assertIn("the new one stayed away for 60 s: nobody there", text)
        self.assertIn("had reached the controller", text)
        text = str(self.failureResultOf(late, error.ConnectionError).value)
        self.assertIn("not known to have reached", text)
        self.cluster.unreachable = self.cluster.held_back = False
        self.assertEqual(len(self.result(self.mec.execute("a = 1"))), 4)

    def test_closed_meanwhile(self) -> None:
        """A client that leaves meanwhile does not come back."""
        self.connect()
        self.cluster.restart()
        waiting = self.mec.execute("a = 1")
        self.turn(0.02)
        self.mec.disconnect()
        self.failureResultOf(waiting, error.ConnectionError)
        self.turn(LONG)
        self.assertEqual(len(self.cluster.links), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """Timeouts hold."""
        self.connect()
        self.cluster.unreachable = True
        self.cluster.restart()
        request = client_session.Request("get_ids", timeout=3.0)
        waiting = self.connection.perform([request])
        self.turn(4)
        problem = self.failureResultOf(waiting, error.CallTimeout).value
        self.assertIn("restarted, and the controller is dialed again", str(problem))

    def test_room(self) -> None:
        """No more commands wait than there is room for."""
        for name, limit in (("MAX_KEPT", 3), ("MAX_KEPT_BYTES", 3 * 1000)):
            self.setUp()
            self.patch(client_session, name, limit)
            self.connect()
            self.cluster.unreachable = True
            self.cluster.restart()
            waiting = [self.mec.execute("a = 1".ljust(1000)) for _ in range(3)]
            refused = self.failure(self.mec.execute("a = 1"), error.ConnectionError)
            self.assertIn("3 commands wait for it already", str(refused))
            self.cluster.unreachable = False
            self.turn(5)
            for each in waiting:
                self.assertEqual(len(self.result(each)), 4)

    def test_held(self) -> None:
        """A call whose outcome the controller held is made known to it again, until the outcome was fetched."""
        self.connect()
        first = self.result(self.mec.execute("print(1)", block=False))
        second = self.result(self.mec.execute("print(2)", block=False))
        self.assertEqual(len(self.result(self.mec.get_pending_deferred(first))), 4)
        self.cluster.received.clear()
        self.cluster.pending.clear()
        self.cluster.restart()
        self.turn()
        self.assertEqual(self.sent(), [(3, True)])
        self.assertEqual(self.cluster.received[0].fields["hold"], second)
        self.assertEqual(len(self.result(self.mec.get_pending_deferred(second))), 4)
        self.result(self.mec.execute("print(3)", block=False))
        self.result(self.mec.flush())
        self.cluster.received.clear()
        self.cluster.restart()
        self.turn()
        self.assertEqual(self.sent(), [])


class TaskTests(ReopenTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.cluster = self.tasks = FakeTasks(self.clock)
        self.tasks.house = "a house"
        self.connection = TaskConnection(FURL, self.clock, self.tasks.dial)
        self.tc = AsyncTaskClient(self.connection)

    def verbs(self) -> list[str]:
        verbs = self.tasks.verbs
        self.tasks.received.clear()
        return verbs

    def submitted(self) -> list[int]:
        """The tasks that came."""
        messages = [message for message in self.tasks.received if message.fields["verb"] == "submit"]
        return [each.task for message in messages for each in came(message.fields["args"], message.bodies)]

    def test_watched(self) -> None:
        """Tasks that end while the client is away, and later, are told; others are asked for in chunks."""
        self.patch(task_session, "WATCHED", 4)
        self.tasks.held_back = True
        waiting = [self.tc.submit(lambda n: n * 2, number) for number in range(10)]
        self.turn()
        self.verbs()
        self.tasks.unreachable = True
        self.tasks.restart()
        ended, self.tasks.waiting = self.tasks.waiting[:5], self.tasks.waiting[5:]
        for link, number, args, values in ended:
            self.tasks.end(link, number, args["steps"][0], values)
        self.turn()
        self.tasks.unreachable = False
        self.turn(5)
        self.assertEqual(self.verbs(), ["watch_tasks"] * 3)
        self.assertEqual([self.successResultOf(each) for each in waiting[:5]], [0, 2, 4, 6, 8])
        self.tasks.go_on()
        self.assertEqual([self.successResultOf(each) for each in waiting[5:]], [10, 12, 14, 16, 18])
        # That it is said again that they have ended has no effect.
        for done in self.tasks.outcomes.values():
            self.tasks.links[-1].receiver.message_received(done)

    def test_unconfirmed(self) -> None:
        """Submissions that were not confirmed are submitted again, under their ids, with their functions before them."""
        blob = bytes(SHARED_FROM)
        shared = [partial(lambda blob, n: (len(blob), n), bytes([each]) * SHARED_FROM) for each in range(2)]
        self.result(self.tc.submit(shared[0], 0))
        self.tasks.silent = True
        waiting = [self.tc.submit(shared[number % 2], number) for number in range(4)]
        self.turn()
        before = self.submitted()[1:]
        self.verbs()
        self.tasks.restart()
        late = self.tc.submit(shared[1], 4)
        self.tasks.silent = False
        self.turn()
        self.assertEqual(self.submitted(), [*before, before[-1] + 1])
        self.assertEqual(self.verbs(), ["keep_function", "submit"] * 2 + ["submit"] * 3)
        expected = [(len(blob), number) for number in range(4)]
        self.assertEqual([self.successResultOf(each) for each in waiting], expected)
        self.assertEqual(self.successResultOf(late), (len(blob), 4))

    def test_confirmation_lost(self) -> None:
        """A task that has run, and of whose submission nothing is known, is not run again, and its outcome comes."""
        self.result(self.tc.run(StringTask("count = 0")))
        self.tasks.silent = True
        waiting = self.tc.submit(StringTask("count += 1", pull="count"))
        self.turn()
        self.tasks.links[0].closed = "the confirmation does not arrive"
        self.tasks.confirm()
        self.tasks.silent = False
        self.tasks.links[0].closed = ""
        self.tasks.restart()
        self.assertEqual(self.result(waiting)["count"], 1)
        self.assertEqual(self.tasks.namespace["count"], 1)

    def test_unknown(self) -> None:
        """A task that the controller does not know any more fails, and says so."""
        self.tasks.held_back = True
        waiting = [self.tc.submit(StringTask("a = 1")) for _ in range(2)]
        self.turn()
        del self.tasks.waiting[0]
        self.tasks.restart()
        problem = self.failure(waiting[0], error.ConnectionError)
        self.assertIn("task 0: the controller was restarted, and does not know the task", str(problem))
        self.tasks.go_on()
        self.assertIsNone(self.result(waiting[1]).failure)

    def test_questions(self) -> None:
        """What waits for tasks, and the ids that are being leased, are asked again."""
        self.tasks.held_back = True
        task = self.result(self.tc.run(StringTask("a = 5", pull="a")))
        asking = [
            self.tc.get_task_result(task, block=True),
            self.tc.barrier([task]),
            self.tc.run(MapTask(abs_, (-3,)), block=True),
        ]
        self.turn()
        for _ in range(2):
            self.tasks.restart()
            self.turn()
        self.tasks.go_on()
        result, none, value = [self.result(each) for each in asking]
        self.assertEqual((result["a"], none, value), (5, None, 3))

    def test_map(self) -> None:
        """A map, whose chunks are submitted bit by bit, goes on."""
        self.tasks.held_back = True
        mapped = self.tc.map(abs_, range(-100, 0), chunksize=1)
        self.turn()
        self.tasks.restart()
        self.turn()
        self.tasks.go_on()
        self.assertEqual(self.result(mapped), list(range(100, 0, -1)))

    def test_restarted_before_the_lease(self) -> None:
        """The very first command may be the one that is not answered."""
        self.result(self.tc.queue_status())
        self.tasks.unreachable = True
        self.tasks.restart()
        waiting = self.tc.submit(abs_, -1)
        self.turn()
        self.tasks.unreachable = False
        self.turn(3)
        self.assertEqual(self.result(waiting), 1)

    def test_grace(self) -> None:
        """What is watched and not confirmed fails when nobody comes back."""
        self.tasks.held_back = True
        watched = self.tc.submit(abs_, -1)
        self.turn()
        self.tasks.silent = True
        unconfirmed = self.tc.submit(abs_, -1)
        self.turn()
        self.tasks.restart()
        self.tasks.unreachable = True
        self.turn(LONG)
        for each in (watched, unconfirmed):
            self.failureResultOf(each, error.ConnectionError)


def abs_(number: int) -> int:
    return abs(number)
