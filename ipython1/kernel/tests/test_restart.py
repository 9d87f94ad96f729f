"""Clients, over Foolscap, whose controller is started again: its services live on, as if the store had kept all of them."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from foolscap.api import flushEventualQueue
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from ipython1.kernel.async_task import AsyncTaskClient
from ipython1.kernel.asyncclient import AsyncMultiEngineClient
from ipython1.kernel.client_session import Connection
from ipython1.kernel.controller.config import ControllerConfig
from ipython1.kernel.controller.remote import ControllerTub
from ipython1.kernel.controller.service import ControllerService, interfaces
from ipython1.kernel.controller.tests.cluster import FakeAgent
from ipython1.kernel.dial import dial, hang_up_all
from ipython1.kernel.error import ConnectionError
from ipython1.kernel.patience import Patience
from ipython1.kernel.places import Places
from ipython1.kernel.shared import SHARED_FROM
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.task_session import TaskConnection
from ipython1.kernel.tests.test_wire import Opened, Recorder, Settings

CONFIG = ControllerConfig(Places(Path("/nowhere")))
LARGE = 12_000_000
"""Bytes: many pieces of a stream."""


class Called:
    """A function that is large enough to be sent once for all tasks; it is never called."""

    def __init__(self) -> None:
        self.blob = bytes(SHARED_FROM)

    def __call__(self, *args: Any) -> None:
        raise AssertionError


class RestartTestCase(TestCase):
    timeout = 180
    house = "5" * 32

    async def start(self, engines: int = 2, store: Store | None = None) -> None:
        """A controller with that store, or with one that is said to be kept, an agent, and a client."""
        self.ran: list[str] = []
        self.folder = Path(self.mktemp())
        self.store = store
        self.service = ControllerService(reactor, lambda: None, interfaces(CONFIG, store or MemoryStore()), store)
        await self.listen(self.house)
        self.agent = FakeAgent(SimpleNamespace(clock=reactor, service=self.service), engines)  # type: ignore[arg-type]
        self.addCleanup(lambda: Deferred.fromCoroutine(self.end()))
        self.tc = AsyncTaskClient(TaskConnection(self.tub.file("task"), reactor, dial))

    async def listen(self, house: str) -> None:
        patience = Patience(grace=20.0)
        settings = Settings(Places(self.folder))
        said = MemoryStore()
        said.house = house
        self.tub = ControllerTub(settings, self.service.doors, reactor, patience, self.store or said)
        await self.tub.start()

    async def restart(self, house: str = house) -> None:
        """As it is when the process is killed and started again: nobody is told."""
        for door in self.tub._doors:
            for session in door._sessions.values():
                session.link._drop_carrier()
            door._sessions.clear()
        for broker in list(self.tub._tub.brokers.values()):
            broker.cut_off()
        await self.tub.stop(clean=False)
        await self.listen(house)

    async def end(self) -> None:
        self.tc._connection.end("the test is over")
        self.agent.leave()
        await hang_up_all()
        await self.tub.stop()
        await flushEventualQueue()
        if self.store is not None:
            await self.store.close()
        for call in reactor.getDelayedCalls():
            if getattr(call.func, "__self__", None) is self.service.interfaces["task"].course:
                call.cancel()

    async def until(self, condition: Any) -> None:
        async def look() -> None:
            while not condition():
                await deferLater(reactor, 0.01, lambda: None)

        await Deferred.fromCoroutine(look()).addTimeout(20, reactor)

    async def finished(self, count: int, value: Any = 1) -> None:
        """Let so many commands run, and end."""
        for _ in range(count):
            await self.until(lambda: any(map(self.agent.running, self.agent.queues)))
            for engine in self.agent.queues:
                label = self.agent.running(engine)
                if label:
                    self.ran.append(label)
                    self.agent.finish(engine, body=pickle.dumps(value))
                    break


class RestartTests(RestartTestCase):
    async def test_tasks(self) -> None:
        """Tasks that ran, waited, or ended while nobody listened: each runs once, and its outcome comes."""
        await self.start()
        waiting = [self.tc.submit(Called(), number) for number in range(40)]
        await self.finished(10)
        await self.restart()
        await self.finished(10)
        waiting += [self.tc.submit(Called(), number) for number in range(10)]
        await self.restart()
        await self.restart()
        await self.finished(30)
        for each in waiting:
            self.assertEqual(await each, 1)
        self.assertEqual(len(set(self.ran)), 50)
        self.assertEqual(len(self.ran), 50)

    async def test_large_values(self) -> None:
        """Values that were on their way when it was killed arrive, both ways."""
        await self.start(1)
        blob = bytes(range(250)) * (LARGE // 250)
        waiting = self.tc.submit(Called(), blob)
        await self.until(lambda: self.tc._connection.peer)
        await self.restart()
        await self.finished(1, blob)
        await self.until(lambda: len(self.tc._connection._session.link._arrivals))
        await self.restart()
        self.assertEqual(await waiting, blob)
        self.assertEqual(len(self.ran), 1)

    async def test_confirmation_lost(self) -> None:
        """A task that ran, but of whose submission the client was not told, is not run again."""
        await self.start(1)
        first = self.tc.submit(Called(), 1)
        await self.finished(1)
        self.assertEqual(await first, 1)
        waiting = self.tc.submit(Called(), 1)
        # The client hears nothing more.
        self.tc._connection._session.link.batch_received = lambda *batch: None
        await self.finished(1)
        await self.until(lambda: len(self.service.interfaces["task"].results) == 2)
        await self.restart()
        self.assertEqual(await waiting, 1)
        self.assertEqual(len(self.ran), 2)

    async def test_questions(self) -> None:
        """Calls that wait for tasks of somebody else go on."""
        await self.start(1)
        number = await self.tc.run(_task())
        other = AsyncTaskClient(TaskConnection(self.tub.file("task"), reactor, dial))
        self.addCleanup(lambda: other._connection.end("the test is over"))
        asking = [other.get_task_result(number, block=True), other.barrier([number])]
        await self.until(lambda: len(self.service.interfaces["task"].course._waiting.get(number, ())) == 2)
        await self.restart()
        await self.until(lambda: len(self.service.interfaces["task"].course._waiting.get(number, ())) == 4)
        await self.finished(1, 7)
        self.assertEqual(await asking[0], 7)
        self.assertIsNone(await asking[1])

    async def test_multiengine(self) -> None:
        """A call that was not sent yet, and one that was."""
        await self.start()
        connection = Connection(self.tub.file("multiengine"), reactor, dial)
        mec = AsyncMultiEngineClient(connection)
        self.addCleanup(lambda: connection.end("the test is over"))
        self.assertEqual(await mec.get_ids(), [0, 1])
        asking = mec.get_ids()
        await self.restart()
        self.assertEqual(await asking, [0, 1])
        self.assertEqual(await mec.get_ids(), [0, 1])

    async def test_other_interfaces(self) -> None:
        """What the interfaces of users are asked is not stored: their clients are told of no store."""
        store = MemoryStore()
        store.house = self.house
        doors = {"counters": Opened(), "task": Opened()}
        tub = ControllerTub(Settings(Places(Path(self.mktemp()))), doors, reactor, Patience(), store)
        await tub.start()
        links = [await dial(tub.furls[role], role, Recorder(), reactor=reactor, timeout=10) for role in doors]
        self.assertEqual([link.peer["house"] for link in links], ["", self.house])
        await hang_up_all()
        await tub.stop()
        await flushEventualQueue()

    async def test_another_store(self) -> None:
        """A controller with another store does not know what waits."""
        await self.start()
        waiting = self.tc.submit(Called(), 1)
        await self.until(lambda: any(map(self.agent.running, self.agent.queues)))
        await self.restart("6" * 32)
        problem = await self.assertFailure(waiting, ConnectionError)
        self.assertIn("the controller was restarted", str(problem))
        self.assertIn("another store", str(problem))


def _task() -> Any:
    from ipython1.kernel.task import MapTask

    return MapTask(lambda: 7)
