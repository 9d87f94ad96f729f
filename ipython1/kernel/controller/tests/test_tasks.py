"""The Task interface of the controller, with agents and clients over links in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.serialize import Serialized
from ipython1.kernel.controller.task_store import TaskResult, TaskStore
from ipython1.kernel.controller.tasks import TaskController
from ipython1.kernel.controller.tests.cluster import Cluster, FakeAgent, FakeClient
from ipython1.kernel.error import FunctionMissing
from ipython1.kernel.framing import Message, unpack
from ipython1.kernel.shared import MAX_FUNCTIONS, digest
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.store.values import StoredTask
from ipython1.kernel.together import Together, outcomes_in, pack_form

STEP = {
    "kind": "string",
    "retries": 0,
    "clear_before": False,
    "clear_after": False,
    "timeout": None,
    "depend": False,
    "push": [],
    "pull": [],
    "results": [],
    "function": None,
    "values": 1,
}
LARGE = bytes(range(256)) * 2_000


class TaskClient(FakeClient):
    """A client of the Task interface.  `done` has what came of tasks, in so many messages as it was `told`."""

    role = "task"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.done: dict[int, Message] = {}
        self.told = 0

    def submit(self, task: int, bodies: Any = (b"a=5",), steps: Any = None, **options: Any) -> int:
        """Submit a task of one step, or of those."""
        return self.submit_together((task, bodies, [STEP] if steps is None else steps, options))

    def submit_together(self, *tasks: tuple[int, Any, Any, dict[str, Any]]) -> int:
        """Submit some in one message; of each its id, values, steps and options."""
        together = Together()
        for task, bodies, steps, options in tasks:
            values = [Serialized([body]) for body in bodies]
            options = {"label": f"submit({self.number + 1})", **options}
            together.add(task, pack_form(steps, options, [None] * len(values)), values)
        return self.call("submit", together.args, None, together.bodies)

    def outcomes(self, number: int) -> list[Any]:
        """See `FakeClient`; of submissions what was said to each that was refused, [None] if none was."""
        (*_, reply) = self.replies.get(number) or [None]
        refused = None if reply is None else reply.fields.get("result")
        if reply is None or not reply.bodies or not isinstance(refused, list):
            return [None if outcome == [] else outcome for outcome in super().outcomes(number)]
        documents = [unpack(body) for body in reply.bodies[::2]]  # type: ignore[arg-type]
        return [f"{document['class']}: {document['text']}" for document in documents]

    def message_received(self, message: Message) -> None:
        if message.kind != "tasks_done":
            super().message_received(message)
            return
        self.told += 1
        self.link.collect(message).addCallback(self._done)

    def _done(self, message: Message) -> None:
        for fields, bodies in outcomes_in(message):
            assert fields["task"] not in self.done, f"task {fields['task']} ended twice"
            self.done[fields["task"]] = Message("done", fields, bodies)

    def came_to(self, task: int) -> Any:
        """The first body of a task's outcome, or the error as text; None if it has not ended."""
        message = self.done.get(task)
        if message is None:
            return None
        if message.fields["ok"]:
            return bytes(message.bodies[0])  # type: ignore[arg-type]
        document = unpack(message.bodies[0])  # type: ignore[arg-type]
        return f"{document['class']}: {document['text']}"


class TaskCase(SynchronousTestCase):
    """An agent with two engines, and a client that has leased ids."""

    engines = 2

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.agent = FakeAgent(self.cluster, self.engines)
        self.client = TaskClient(self.cluster)
        self.assertEqual(self.ask("lease_tasks", count=100), [0, 100])
        tasks = self.cluster.service.interfaces["task"]
        assert isinstance(tasks, TaskController)
        self.tasks = tasks

    def ask(self, verb: str, **args: Any) -> Any:
        """What a verb comes to."""
        return self.answer(self.client.call(verb, args, None))

    def answer(self, number: int) -> Any:
        """What a command comes to by now; None if to nothing."""
        self.cluster.settle()
        return (self.client.outcomes(number) or [None])[0]

    def finish(self, *engines: int, **how: Any) -> None:
        """End what runs on these engines."""
        self.cluster.settle()
        for engine in engines:
            self.agent.finish(engine, **how)
        self.cluster.settle()


class RunTests(TaskCase):
    def test_begun_and_ended(self) -> None:
        """That a task has begun may be said with its outcome: well, badly, large; and it is tried again as ever."""
        self.agent.says_when_ended = True
        self.client.submit(0)
        self.client.submit(1, steps=[{**STEP, "retries": 1}])
        self.cluster.settle()
        self.assertEqual(self.ask("task_status", verbose=False)["scheduled"], 2)
        self.finish(0, body=b"five")
        self.finish(1, ok=False)
        self.assertEqual(self.client.came_to(0), b"five")
        record = self.client.done[0].fields["record"]
        self.assertGreater(record["completed"] - record["started"], 0.4)
        self.assertIsNone(self.client.came_to(1))
        self.finish(0, 1, body=LARGE)
        self.assertEqual(self.client.came_to(1), LARGE)
        self.assertEqual(self.client.done[1].fields["record"]["attempts"], 2)

    def test_outcome(self) -> None:
        """A task runs on an engine; who submitted it is told its outcome, and who asks."""
        self.client.submit(0, label="run('a=5')")
        waiting = self.client.call("task_result", {"task": 0, "block": True}, None)
        self.cluster.settle()
        self.assertEqual(self.agent.running(0), "task 0: run('a=5')")
        self.assertIsNone(self.ask("task_result", task=0, block=False))
        self.finish(0, body=b"five")
        self.assertEqual(self.client.came_to(0), b"five")
        self.assertEqual(self.answer(waiting), b"five")
        self.assertEqual(self.ask("task_result", task=0, block=False), b"five")
        (reply,) = self.client.replies[waiting]
        self.assertEqual(reply.fields["result"], self.client.done[0].fields["record"])
        self.assertEqual(reply.fields["result"]["attempts"], 1)

    def test_large(self) -> None:
        """Large values and results are streams, and are kept."""
        self.client.submit(0, [LARGE])
        self.finish(0, body=LARGE[::-1])
        self.assertEqual(bytes(self.agent.got[0].bodies[0]), LARGE)  # type: ignore[arg-type]
        self.assertEqual(self.client.came_to(0), LARGE[::-1])
        self.assertEqual(self.ask("task_result", task=0, block=False), LARGE[::-1])

    def test_results_of_others(self) -> None:
        """What a task takes of others goes with it as it came; also when it was forgotten before the task could run."""
        for task in range(2):
            self.client.submit(task)
        both = [{**STEP, "results": [1, 0]}]
        self.client.submit(2, [b"c"], both)
        self.finish(0, body=LARGE)
        self.assertEqual(self.ask("clear_tasks", tasks=[0]), 1)
        self.finish(1, body=b"one")
        self.assertEqual(self.ask("clear_tasks", tasks=[1]), 1)
        got = self.agent.got[-1]
        self.assertEqual([bytes(body) for body in got.bodies], [b"one", LARGE, b"c"])  # type: ignore[arg-type]
        self.assertEqual(got.fields["args"]["results"], [[1, []], [0, []]])
        self.assertEqual(got.fields["values"], [[1, "pickle", {}]] * 3)
        late = self.client.submit(3, [b"d"], both)
        text = "IndexError: task 1 is unknown: its result was cleared, or it was not submitted; task 3 cannot take"
        self.assertIn(text, self.answer(late))

    def test_failed_results_of_others(self) -> None:
        """A task whose results another was to take has failed: the other fails, and says why."""
        self.client.submit(0, label="first")
        self.client.submit(1, steps=[{**STEP, "results": [0]}], label="second")
        self.finish(0, ok=False)
        text = "TaskDependencyError: task 1 (second) cannot run: task 0 (first), whose result it takes, failed"
        self.assertEqual(self.client.came_to(1), text)

    def test_order_of_arrival(self) -> None:
        """A task that comes after one whose large values are on their way waits for these, not for nothing."""
        self.client.submit(0, [LARGE])
        later = self.client.submit(1, after=[0])
        self.cluster.settle()
        self.assertTrue(self.client.replies[later][0].fields["ok"])
        self.finish(0)
        self.finish(0)
        self.assertEqual(sorted(self.client.done), [0, 1])

    def test_full(self) -> None:
        """More than so many tasks, or so many bytes, are not taken; when some have ended there is room again."""
        self.tasks.submissions.max_tasks = 3
        for task in range(3):
            self.client.submit(task)
        text = "TaskQueueFull: task 3 (many) was not taken: 3 tasks with 0 MB have not ended, and no more than 3 "
        self.assertIn(text, self.answer(self.client.submit(3, label="many")))
        self.assertEqual(sum(self.ask("task_status", verbose=False).values()), 3)
        self.finish(0)
        self.client.submit(3)
        for _ in range(2):
            self.finish(0, 1)
        self.assertEqual(sorted(self.client.done), [0, 1, 2, 3])
        self.tasks.submissions.max_bytes = 100
        self.client.submit(4, [LARGE])
        self.assertIn("TaskQueueFull: task 5", self.answer(self.client.submit(5)))
        self.finish(0)
        self.client.submit(5)
        self.finish(0)
        self.assertEqual(sorted(self.client.done)[4:], [4, 5])

    def test_together(self) -> None:
        """Tasks of one message are taken in their order, but for those that are refused; outcomes of one turn go together."""
        odd: dict[str, Any] = {"nonsense": 1}
        number = self.client.submit_together(
            (0, [b"a"], [STEP], {}),
            (1, [b"b"], [STEP], odd),
            (2, [b"c"], [STEP], {"after": [0]}),
            (3, [b"d"], [STEP], {"after": [1]}),
            (100, [b"e"], [STEP], {}),
            (4, [b"f", b"g"], [STEP], {}),
            (5, [b"h"], [STEP], {"targets": [1]}),
            (5, [b"i"], [STEP], {}),
        )
        self.cluster.settle()
        self.assertEqual(self.client.replies[number][0].fields["result"], [1, 3, 100, 4])
        odd_option, unknown, not_leased, values = self.client.outcomes(number)
        self.assertIn("a task has no option 'nonsense'", odd_option)
        self.assertIn("task 3 cannot come after it", unknown)
        self.assertIn("100 is not an id that was leased", not_leased)
        self.assertIn("a task came with 1 values more", values)
        self.assertEqual([self.agent.running(engine) for engine in (0, 1)], ["task 0: submit(2)", "task 5: submit(2)"])
        self.finish(0, 1)
        self.assertEqual((sorted(self.client.done), self.client.told), ([0, 5], 1))
        self.finish(0)
        self.assertEqual([bytes(each.bodies[0]) for each in self.agent.got], [b"a", b"h", b"c"])  # type: ignore[arg-type]

    def test_malformed(self) -> None:
        """A message of tasks that does not fit together is refused as a whole."""
        form = pack_form([STEP], {}, [None])
        odd = [
            ({"tasks": [[0, 0, [[1, "pickle", {}]]]], "forms": 3}, [form, b"a"], "3 forms are said to be among"),
            ({"tasks": [[0, 0, []]], "forms": 1}, [form, b"a"], "have 1 segments, 2 came"),
            ({"tasks": [[0, 1, []]], "forms": 1}, [form], "of a form that did not come"),
            ({"tasks": [[0, True, []]], "forms": 1}, [form], "not described by its id"),
            ({"tasks": [[0, 0, [[0, "pickle", {}]]]], "forms": 1}, [form], "not described by count"),
        ]
        for args, bodies, text in odd:
            self.assertIn(text, self.answer(self.client.call("submit", args, None, bodies)))
        number = self.client.call("submit", {"tasks": [[0, 0, []]], "forms": 1}, None, [b"\xc1"])
        self.assertIn("not plain data", self.answer(number))
        self.assertEqual(sum(self.ask("task_status", verbose=False).values()), 0)

    def test_submitted_twice(self) -> None:
        """A task whose confirmation was lost is confirmed again, and runs once."""
        self.client.submit(0)
        again = self.client.submit(0)
        self.finish(0, body=b"five")
        self.assertTrue(self.client.replies[again][0].fields["ok"])
        self.assertEqual(self.agent.running(1), None)
        self.assertEqual(self.ask("task_status", verbose=False)["succeeded"], 1)

    def test_wait(self) -> None:
        """Waiting ends with the last of the tasks; unknown ones are not waited for."""
        for task in range(2):
            self.client.submit(task)
        waiting = self.client.call("wait_tasks", {"tasks": [0, 1, 77, "x"]}, None)
        self.finish(1)
        self.assertNotIn(waiting, self.client.replies)
        self.finish(0)
        self.assertIn(waiting, self.client.replies)

    def test_printed(self) -> None:
        """What a task has printed is told when it has ended, without its values; nothing, of one that is not known."""
        self.client.submit(0)
        waiting = self.client.call("task_printed", {"task": 0}, None)
        self.assertNotIn(waiting, self.client.replies)
        self.finish(0, body=b"five")
        later = self.client.call("task_printed", {"task": 0}, None)
        self.cluster.settle()
        for number in (waiting, later):
            (reply,) = self.client.replies[number]
            self.assertEqual((reply.fields["result"]["engine"], reply.bodies), (0, []))
        self.assertEqual(self.ask("task_printed", task=77), None)

    def test_status_and_clear(self) -> None:
        """What there is is counted and listed; what has ended can be forgotten."""
        for task in range(8):
            self.client.submit(task)
        self.finish(0, body=b"")
        self.finish(1, ok=False)
        listed = self.ask("task_status", verbose=True)
        self.assertEqual((listed["succeeded"], listed["failed"]), ([0], [1]))
        self.assertEqual(listed["pending"], [2, 3])
        self.assertEqual(listed["scheduled"], [4, 5, 6, 7])
        counts = {name: len(tasks) for name, tasks in listed.items()}
        self.assertEqual(self.ask("task_status", verbose=False), counts)
        self.assertIn("KeyError", self.ask("clear_tasks", tasks=[0, 2]))
        self.assertIn("IndexError: task 0 is unknown", self.ask("task_result", task=0, block=False))
        self.assertEqual(self.ask("clear_tasks", tasks=None), 1)
        self.assertEqual(self.ask("count_engines"), 2)
        self.assertEqual(self.ask("why", task=3), "task 3 (submit(5)) runs on engine 1, for 0.0 s now")

    def test_errors(self) -> None:
        """What makes no sense is an error of the call, and names the reason."""
        odd = [
            (self.client.submit(100), "IndexError: 100 is not an id that was leased"),
            (self.client.submit(0, [b"1", b"2"]), "ProtocolError: a task came with 1 values more"),
            (self.client.submit(0, []), "ProtocolError: a task came with fewer values"),
            (self.client.submit(0, steps=[]), "ProtocolError: a task and its recovery tasks are 1 to"),
            (
                self.client.submit(0, steps=[{**STEP, "kind": "x"}]),
                "ProtocolError: a task is a string or a map",
            ),
            (self.client.submit(0, steps=[{**STEP, "timeout": 0.0}]), "ProtocolError: retries are 0 or more"),
            (self.client.submit(0, nonsense=1), "ProtocolError: a task has no option 'nonsense'"),
            (self.client.submit(0, after=[7]), "IndexError: task 7 is unknown"),
            (self.client.submit(0, after=[0]), "IndexError: task 0 is unknown"),
            (self.client.call("abort_task", {"task": 5}, None), "IndexError: task 5 is unknown"),
            (self.client.call("lease_tasks", {"count": 0}, None), "ProtocolError: ids are leased 1 to"),
        ]
        for number, text in odd:
            self.assertIn(text, self.answer(number))
        self.client.execute()
        self.cluster.settle()
        self.assertIn("unknown verb 'execute'", self.client.refused[0].fields["error"])
        self.assertEqual(sum(self.ask("task_status", verbose=False).values()), 0)


class SharedFunctionTests(TaskCase):
    """Functions that go to the controller, and to an interpreter, once."""

    engines = 1

    def keep(self, body: bytes, digest_: str = "", drop: Any = ()) -> Any:
        args = {"digest": digest_ or digest([body]), "drop": list(drop)}
        return self.answer(
            self.client.call("keep_function", args, None, [body], values=[[1, "pickle", {}]])
        )

    def call(self, task: int, function: bytes = LARGE) -> int:
        step = {**STEP, "kind": "map", "function": digest([function]), "values": 1}
        return self.client.submit(task, [b"args"], [step])

    def got(self) -> tuple[bool, int]:
        """Whether the engine was told that its latest task came with its function, and how many values it had."""
        got = self.agent.got[-1]
        return got.fields["args"]["function"][1], len(got.bodies)

    def test_once(self) -> None:
        """An interpreter is sent a function with its tasks until one of them has begun; its successor anew."""
        self.keep(LARGE)
        for task in range(3):
            self.call(task)
        self.cluster.settle()
        self.assertEqual(self.got(), (True, 2))  # the second, which was sent before the function had come
        self.finish(0)
        self.finish(0)
        self.assertEqual(self.got(), (False, 1))
        self.agent.die(0)
        self.call(3)
        self.cluster.settle(1)
        self.assertEqual(self.got(), (True, 2))

    def test_missed(self) -> None:
        """An interpreter that lacks a function is sent the task again, with it, which costs no retry."""
        self.keep(LARGE)
        self.call(0)
        self.finish(0)
        self.call(1)
        self.cluster.settle()
        self.assertEqual(self.got(), (False, 1))
        self.finish(0, error=FunctionMissing("not here"))
        self.assertEqual(self.got(), (True, 2))
        self.finish(0, body=b"one")
        self.assertEqual(self.client.came_to(1), b"one")

    def test_errors(self) -> None:
        """Functions are named by their digests, and are kept as long as the client wants, up to a number."""
        self.assertIn("ProtocolError: a function of tasks is one value", self.keep(b"f", "g"))
        self.assertIn("ProtocolError: a task names a function that was not sent", self.answer(self.call(0)))
        for number in range(MAX_FUNCTIONS):
            self.assertIsNone(self.keep(bytes([number])))
        self.assertIn("ProtocolError: the controller keeps at most", self.keep(LARGE))
        self.assertIsNone(self.keep(LARGE, drop=[digest([b"\0"])]))
        self.assertIn("ProtocolError: a task names a function", self.answer(self.call(0, b"\0")))
        self.call(1)
        self.finish(0)
        self.assertEqual(list(self.client.done), [1])


class LossTests(TaskCase):
    engines = 1

    def test_interpreter(self) -> None:
        """When an interpreter ends, what it ran has failed, and what it had not begun runs in its successor."""
        self.client.submit(0)
        self.client.submit(1)
        self.cluster.settle()
        self.agent.die(0)
        self.cluster.settle(1)
        self.assertIn("EngineLost: engine 0 lost its interpreter", self.client.came_to(0))
        self.finish(0, body=b"one")
        self.assertEqual(self.client.came_to(1), b"one")
        self.assertEqual(self.client.done[1].fields["record"]["attempts"], 2)

    def test_agent(self) -> None:
        """When an agent is lost, tasks without retries that may have started end; others wait for engines."""
        self.client.submit(0)
        self.client.submit(1)
        self.client.submit(2)
        again = {**STEP, "retries": 1}
        self.client.submit(3, steps=[again])
        self.cluster.settle()
        self.agent.leave()
        self.cluster.settle()
        self.assertIn("EngineLost: task 0 (submit(2)) was lost with its engine", self.client.came_to(0))
        self.assertIn("EngineLost: task 1 (submit(3)) may have started", self.client.came_to(1))
        self.assertIsNone(self.client.came_to(2))
        self.assertIn("no engines are registered", self.ask("why", task=2))
        self.agent = FakeAgent(self.cluster)
        self.finish(0)
        self.finish(0)
        self.assertEqual(self.ask("task_status", verbose=False)["succeeded"], 2)

    def test_agent_away(self) -> None:
        """An agent that cannot be reached gets no more tasks, until it is back; those that it has go on."""
        session = self.agent.far._receiver
        self.client.submit(0)
        self.cluster.settle()
        session.link_away("the connection was lost")
        self.client.submit(1)
        self.cluster.settle()
        self.assertEqual(self.agent.running(0), "task 0: submit(2)")
        self.assertEqual(self.ask("task_status", verbose=False)["scheduled"], 1)
        session.link_back()
        self.finish(0, body=b"zero")
        self.finish(0, body=b"one")
        self.assertEqual((self.client.came_to(0), self.client.came_to(1)), (b"zero", b"one"))

    def test_queue_cleared_by_others(self) -> None:
        """Who clears an engine's queue drops commands; tasks that waited there run later."""
        others = FakeClient(self.cluster)
        others.execute()
        self.client.submit(0)
        self.cluster.settle()
        others.call("clear_queue")
        self.finish(0)
        self.cluster.settle(1)
        self.finish(0, body=b"zero")
        self.assertEqual(self.client.came_to(0), b"zero")

    def test_client(self) -> None:
        """The tasks of a client that has left run on, and others can ask for them."""
        self.client.submit(0)
        self.cluster.settle()
        self.client.leave()
        self.client = TaskClient(self.cluster)
        self.finish(0, body=b"zero")
        self.assertEqual(self.ask("task_result", task=0, block=True), b"zero")

    def test_nothing_is_left_over(self) -> None:
        """Tasks that have ended leave nothing but their results, in the controller and in its queues."""
        for task in range(6):
            self.client.submit(task, steps=[{**STEP, "results": [task - 1] if task in (3, 5) else []}])
        for turn in range(6):
            self.finish(0, ok=turn % 2 == 0)
        self.assertEqual(self.ask("clear_tasks", tasks=None), 6)
        queue = self.cluster.service.engines[0].queue
        self.assertEqual((len(queue), queue.remembers), (0, 0))
        for table in ("live", "_entries", "_waiting", "_takers", "_departing"):
            self.assertEqual(len(getattr(self.tasks.course, table)), 0, table)
        submissions = self.tasks.submissions
        self.assertEqual((self.tasks.course.bytes, submissions._bytes, submissions.storing), (0, 0, {}))
        self.assertEqual((len(self.tasks.scheduler.tasks), len(self.tasks.results)), (0, 0))
        self.cluster.settle(1)
        self.assertEqual(self.cluster.clock.getDelayedCalls(), [])


class StoreTests(SynchronousTestCase):
    def test_retention(self) -> None:
        """Results are kept up to a number, and up to so many bytes; the oldest go first, the latest stays."""
        store = TaskStore(max_results=3, max_bytes=20_000)
        gone = [store.add(task, TaskResult({}, {}, [b""])) for task in range(4)]
        self.assertEqual(gone, [[], [], [], [0]])
        self.assertEqual(store.add(4, TaskResult({}, {}, [bytes(15_000)])), [1, 2])
        self.assertEqual(store.add(5, TaskResult({}, {}, [bytes(50_000)])), [3, 4])
        self.assertEqual(store.ids(), [5])
        store.remove(5)
        self.assertEqual((store.bytes, len(store)), (0, 0))


class SlowStore(MemoryStore):
    """Stores nothing before it is told to go on."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    def tasks_submitted(self, tasks: Sequence[StoredTask]) -> Deferred[None]:
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def settled(self) -> Deferred[None]:
        if not self._waiting:
            return succeed(None)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def go_on(self) -> None:
        while self._waiting:
            self._waiting.pop(0).callback(None)


class AgainTests(SynchronousTestCase):
    """Sessions that have come back, and ask again what they have asked before."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.agent = FakeAgent(self.cluster)
        self.client, self.other = TaskClient(self.cluster), TaskClient(self.cluster)
        self.client.call("lease_tasks", {"count": 10}, None)
        self.cluster.settle()

    def submit(self, *tasks: int) -> None:
        for task in tasks:
            self.client.submit(task)
        self.cluster.settle()

    def asked(self, verb: str, args: Any, **more: Any) -> Any:
        """What the other client is answered."""
        number = self.other.call(verb, args, None, **more)
        self.cluster.settle()
        return self.other.outcomes(number)[0]

    def test_watch(self) -> None:
        """Those that have ended are told, the others will be, and which are unknown is said."""
        self.submit(0, 1)
        self.agent.finish(0)
        self.cluster.settle()
        self.assertEqual(self.asked("watch_tasks", {"tasks": [0, 1, 1, 5, "x"]}), [5])
        self.assertEqual(list(self.other.done), [0])
        self.agent.finish(0)
        self.cluster.settle()
        self.assertEqual(list(self.other.done), [0, 1])
        self.assertEqual(list(self.client.done), [0, 1])

    def test_abort(self) -> None:
        """What was aborted is aborted, to somebody who asks again; to others, that is an error."""
        self.submit(0, 1)
        self.asked("abort_task", {"task": 1})
        self.assertIsNone(self.asked("abort_task", {"task": 1}, again=True))
        self.assertIn("aborted already", self.asked("abort_task", {"task": 1}))

    def test_clear(self) -> None:
        """So it is with what was cleared."""
        self.submit(0)
        self.agent.finish(0)
        self.cluster.settle()
        self.assertEqual(self.asked("clear_tasks", {"tasks": [0]}), 1)
        self.assertEqual(self.asked("clear_tasks", {"tasks": [0]}, again=True), 0)
        self.assertIn("no task of that id", self.asked("clear_tasks", {"tasks": [0]}))

    def test_submitted_while_it_is_stored(self) -> None:
        """A task that comes again before it is stored is taken once, and confirmed to both."""
        store = SlowStore()
        journal = self.cluster.service.interfaces["task"].journal  # type: ignore[attr-defined]
        journal._store, journal.keeps = store, True
        numbers = [client.submit(0) for client in (self.client, self.other)]
        self.cluster.settle()
        self.assertEqual(self.client.outcomes(numbers[0]) + self.other.outcomes(numbers[1]), [])
        self.assertEqual(self.asked("task_status", {"verbose": False})["scheduled"], 1)
        self.assertEqual(self.asked("task_status", {"verbose": True})["scheduled"], [0])
        for _ in range(3):
            store.go_on()
            self.cluster.settle()
        self.assertEqual(self.client.outcomes(numbers[0]) + self.other.outcomes(numbers[1]), [None, None])
        self.agent.finish(0)
        self.cluster.settle()
        self.assertEqual(len(self.agent.got), 1)
