"""What a controller takes up from the one before: tasks, engines, commands; and what it says when."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller.multiengine import MultiEngine
from ipython1.kernel.controller.service import ControllerService
from ipython1.kernel.controller.tasks import TaskController
from ipython1.kernel.controller.tests.cluster import Cluster, FakeAgent, FakeClient
from ipython1.kernel.controller.tests.kept import KeptStore
from ipython1.kernel.controller.tests.test_tasks import STEP, TaskClient
from ipython1.kernel.engine.queue import CommandQueue
from ipython1.kernel.framing import Message

AGAIN_AND_AGAIN = [{**STEP, "retries": 3}]


class KeptCluster(Cluster):
    """A controller with what is in that store."""

    def __init__(self, test: SynchronousTestCase, store: KeptStore) -> None:
        super().__init__()
        self.store = store
        self._test = test
        self.start()

    def start(self) -> None:
        """Start the next controller; nobody of the last one's peers is told."""
        snapshot = self._test.successResultOf(self.store.open())

        def multiengine(*made_of: Any) -> MultiEngine:
            return MultiEngine(*made_of, store=self.store)

        def tasks(*made_of: Any) -> TaskController:
            return TaskController(*made_of, store=self.store)

        self.service = ControllerService(self.clock, self._stop, [multiengine, tasks], self.store, 60.0)
        self._test.successResultOf(Deferred.fromCoroutine(self.service.take_up(snapshot)))
        self.service.opened()


class ReturningAgent(FakeAgent):
    """An agent that comes back to the next controller, with what its engines have."""

    def __init__(self, cluster: Cluster, before: FakeAgent | None = None, engines: int = 2) -> None:
        self._before = before
        super().__init__(cluster, 0 if before else engines)
        if before is not None:
            self.queues = before.queues
            for engine, queue in self.queues.items():
                held = [
                    [
                        list(command.id),
                        command.index or 0,
                        command is queue.running,
                        command.verb,
                        command.label,
                        command.among,
                    ]
                    for command in queue.held
                ]
                fields = {"place": engine, "wanted": engine, "generation": 1, "pid": 1, "properties": {}}
                self.link.send(Message("register", {**fields, "commands": held}))

    def new_session(self) -> str:
        return self._before.session if self._before is not None else super().new_session()

    def message_received(self, message: Message) -> None:
        if message.kind != "registered" or message.fields["engine"] not in self.queues:
            super().message_received(message)


class TakenUpCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = KeptStore()
        self.cluster = KeptCluster(self, self.store)
        self.client = TaskClient(self.cluster)
        number = self.client.call("lease_tasks", {"count": 100}, None)
        self.cluster.settle()
        self.assertEqual(self.client.outcomes(number), [[0, 100]])

    def restart(self) -> None:
        """The controller is killed, and started again; the client is here at once."""
        self.cluster.start()
        self.client = TaskClient(self.cluster)

    def ask(self, verb: str, **args: Any) -> Any:
        number = self.client.call(verb, args, None)
        self.cluster.settle()
        return (self.client.outcomes(number) or [None])[0]

    def result(self, task: int) -> Any:
        return self.ask("task_result", task=task, block=False)


class TaskTests(TakenUpCase):
    def test_queue(self) -> None:
        """Tasks that wait are there, in their order; ids go on."""
        for task in (0, 1, 2):
            self.client.submit(task, after=[task - 1] if task else [])
        self.cluster.settle()
        self.restart()
        self.assertEqual(self.ask("task_status", verbose=False)["scheduled"], 3)
        self.assertEqual(self.ask("lease_tasks", count=1), [100, 1])
        agent = FakeAgent(self.cluster, 1)
        for task in (0, 1, 2):
            self.cluster.settle()
            self.assertEqual(agent.running(), f"task {task}: submit({task + 2})")
            agent.finish(body=b"%d" % task)
        self.assertEqual(self.result(2), b"2")

    def test_results(self) -> None:
        """What has ended is there, also for tasks that take the results of others."""
        agent = FakeAgent(self.cluster, 1)
        self.client.submit(0)
        self.cluster.settle()
        agent.finish(body=b"zero")
        self.cluster.settle()
        self.restart()
        self.assertEqual(self.result(0), b"zero")
        self.assertEqual(self.ask("task_status", verbose=False)["succeeded"], 1)
        agent = FakeAgent(self.cluster, 1)
        self.client.submit(1, [b"one"], [{**STEP, "results": [0]}])
        self.cluster.settle()
        self.assertEqual([bytes(body) for body in agent.got[0].bodies], [b"zero", b"one"])  # type: ignore[arg-type]

    def test_running(self) -> None:
        """What runs goes on, and is not sent again; what did not reach its engine is."""
        agent = ReturningAgent(self.cluster, engines=1)
        self.client.submit(0)
        self.cluster.settle()
        self.client.submit(1)
        self.cluster.settle()
        (queue,) = agent.queues.values()
        self.assertEqual(len(queue.held), 2)
        queue._waiting.clear()  # what was sent ahead is lost on its way
        self.restart()
        self.assertEqual(self.ask("task_status", verbose=False)["scheduled"], 1)
        self.assertEqual(self.ask("task_status", verbose=False)["pending"], 1)
        back = ReturningAgent(self.cluster, agent)
        self.cluster.settle()
        self.assertEqual(back.running(), "task 0: submit(2)")
        self.assertEqual(self.ask("task_status", verbose=False), {"scheduled": 1, "pending": 1, "succeeded": 0, "failed": 0})
        back.finish(body=b"zero")
        self.cluster.settle(1.0)
        self.assertEqual(self.result(0), b"zero")
        self.assertEqual(back.running(), "task 1: submit(3)")
        back.finish(body=b"one")
        self.cluster.settle()
        self.assertEqual(self.result(1), b"one")
        self.assertEqual(len(back.got), 1)

    def test_gone(self) -> None:
        """An engine that does not come back: what may run once is over, the rest runs elsewhere."""
        agent = ReturningAgent(self.cluster)
        self.client.submit(0)
        self.client.submit(1, steps=AGAIN_AND_AGAIN)
        self.cluster.settle()
        self.assertIsNotNone(agent.running(0) and agent.running(1))
        self.restart()
        other = FakeAgent(self.cluster, 1)
        self.cluster.settle(59)
        self.assertIsNone(self.result(0))
        self.assertIsNone(other.running(2))
        self.cluster.settle(2)
        self.assertIn("task 0 (submit(2)) was lost with its engine", self.result(0))
        self.assertEqual(other.running(2), "task 1: submit(3)")


class OrderTests(TakenUpCase):
    """What is stored first, and said then."""

    def test_assigned(self) -> None:
        """A task leaves when its assignment is stored."""
        agent = FakeAgent(self.cluster, 2)
        self.cluster.settle()
        self.store.slow = True
        self.client.submit(0)
        self.client.submit(1, steps=AGAIN_AND_AGAIN)
        self.cluster.settle()
        self.store.catch_up()  # they are confirmed, and assigned
        self.cluster.settle()
        self.assertEqual(agent.got, [])
        self.store.catch_up()
        self.cluster.settle()
        self.assertEqual(len(agent.got), 2)

    def test_told(self) -> None:
        """An outcome is told when it is stored."""
        agent = FakeAgent(self.cluster, 1)
        self.client.submit(0)
        self.cluster.settle()
        self.store.slow = True
        agent.finish(body=b"done")
        self.cluster.settle()
        self.assertIsNone(self.client.came_to(0))
        self.assertIsNone(self.result(0))
        self.store.catch_up()
        self.cluster.settle()
        self.assertEqual(self.client.came_to(0), b"done")

    def test_full(self) -> None:
        """A task that cannot be stored is refused, and what depends on it; others go on."""
        self.store.full = True
        number = self.client.submit(0)
        self.cluster.settle()
        self.assertIn("StoreFull: there is no room", self.client.outcomes(number)[0])
        self.store.full = False
        after = self.client.submit(1, after=[0])
        fine = self.client.submit(2)
        self.cluster.settle()
        self.assertIn("task 0 is unknown", self.client.outcomes(after)[0])
        self.assertEqual(self.client.outcomes(fine), [None])
        self.assertEqual(list(self.store.live), [2])


class CommandTests(TakenUpCase):
    """Commands of MultiEngine that a client sends again."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = ReturningAgent(self.cluster)
        self.user = FakeClient(self.cluster)
        self.cluster.settle()

    def back(self) -> None:
        """The controller is started again; the client asks again before the agent is there."""
        self.cluster.start()
        before, self.user = self.user, FakeClient(self.cluster)
        self.user.session = before.session
        self.user.far._receiver.key = before.session  # type: ignore[union-attr]

    def again(self, number: int, **more: Any) -> None:
        self.user.number = number - 1
        self.user.call("execute", bodies=[b"a=5"], again=True, **more)
        self.cluster.settle()

    def test_ended(self) -> None:
        """What is stored is told again; an engine that has the command answers when it is done."""
        number = self.user.execute()
        self.cluster.settle()
        self.agent.finish(0, body=b"zero")
        self.cluster.settle()
        self.back()
        self.again(number)
        self.assertEqual(self.user.outcomes(number), [])  # engine 1 is awaited
        back = ReturningAgent(self.cluster, self.agent)
        self.cluster.settle()
        self.assertEqual(self.user.outcomes(number), [b"zero"])
        back.finish(1, body=b"one")
        self.cluster.settle()
        self.assertEqual(self.user.outcomes(number), [b"zero", b"one"])
        self.assertEqual(back.got, [])

    def test_agent_first(self) -> None:
        """The engine answers before the client asks."""
        number = self.user.execute()
        self.cluster.settle()
        self.back()
        back = ReturningAgent(self.cluster, self.agent)
        self.cluster.settle()
        for engine in (0, 1):
            back.finish(engine, body=b"done")
        self.cluster.settle()
        self.again(number)
        self.assertEqual(self.user.outcomes(number), [b"done", b"done"])
        self.assertEqual(back.got, [])

    def test_never_came(self) -> None:
        """What no engine has is sent; but not what came after a command that failed."""
        first = self.user.execute([0])
        self.cluster.settle()
        self.agent.finish(0, ok=False)
        self.cluster.settle()
        self.back()
        back = ReturningAgent(self.cluster, self.agent)
        self.cluster.settle()
        self.again(first)
        self.again(first + 1)
        self.assertIn("failed as told", self.user.outcomes(first)[0])
        dropped, sent = self.user.outcomes(first + 1) or [None], back.running(1)
        self.assertIn("QueueCleared", dropped[0])
        self.assertEqual(sent, f"execute({first + 1})")

    def lost_for(self, number: int, engine: int) -> None:
        """What was for that engine had not left when the controller was killed, and was not stored either."""
        self.agent.queues[engine] = CommandQueue(f"engine {engine}")
        self.agent.queues[engine].opened(1)
        del self.store.commands[self.user.session, number][engine]

    def test_came_to_some(self) -> None:
        """The controller was killed when only some of a command's engines had it, and the store as much, or nothing."""
        for asked, stored in (("all", 1), ("all", 0), ({"slice": [None, None, -1]}, 1), ([0, 1], 1), ([0, 1], 0)):
            with self.subTest(asked=asked, stored=stored):
                self.setUp()
                number = self.user.execute(asked)
                self.cluster.settle()
                self.lost_for(number, 1)
                if not stored:
                    del self.store.commands[self.user.session, number]
                self.back()
                self.again(number, targets=asked)
                newer = FakeAgent(self.cluster, 1)
                back = ReturningAgent(self.cluster, self.agent)
                self.cluster.settle()
                for agent, engine in ((back, 0), (back, 1), (newer, 2)):
                    agent.finish(engine, body=b"of %d" % engine)
                self.cluster.settle()
                found = [b"of 0", b"of 1"]
                self.assertEqual(self.user.outcomes(number), found[::-1] if isinstance(asked, dict) else found)
                self.assertEqual(len(back.got), 1)

    def test_ended_at_some(self) -> None:
        """So it is where it has ended at those that had it, and the agent has forgotten it."""
        number = self.user.execute()
        self.cluster.settle()
        self.agent.finish(0, body=b"of 0")
        self.cluster.settle()
        self.lost_for(number, 1)
        self.back()
        self.again(number)
        self.assertEqual(self.user.outcomes(number), [])  # engine 1 is awaited
        back = ReturningAgent(self.cluster, self.agent)
        self.cluster.settle()
        back.finish(1, body=b"of 1")
        self.cluster.settle()
        self.assertEqual(self.user.outcomes(number), [b"of 0", b"of 1"])

    def test_engine_stays_away(self) -> None:
        """A command for an engine that does not come back fails."""
        number = self.user.execute()
        self.cluster.settle()
        self.back()
        self.again(number)
        self.cluster.settle(61)
        self.assertIn("EngineLost: engine 0 was lost", self.user.outcomes(number)[0])

    def test_new_ones_wait(self) -> None:
        """What is new waits for the engines, too."""
        self.back()
        number = self.user.execute([1])
        self.cluster.settle()
        self.assertEqual(self.user.outcomes(number), [])
        back = ReturningAgent(self.cluster, self.agent)
        self.cluster.settle()
        self.assertEqual(back.running(1), f"execute({number})")
