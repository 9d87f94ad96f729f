"""The queue of an engine, as a state machine."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.engine import queue as queue_module
from ipython1.kernel.engine.queue import Begin, Command, CommandQueue, Feed, Instruction, Refuse, Return
from ipython1.kernel.error import ConnectionError, EngineLost, QueueCleared


def a_command(number: int, client: str = "c", **fields: Any) -> Command:
    return Command((client, number), "execute", f"execute({number})", **fields)


def a_task(number: int, **fields: Any) -> Command:
    return Command((f"t{number}", 1), "task", f"task {number}", **fields)


def an_open_queue() -> CommandQueue:
    queue = CommandQueue("engine 0")
    queue.opened(1)
    return queue


class QueueTests(SynchronousTestCase):
    """One event after the other."""

    def test_one_at_a_time(self) -> None:
        """A command is fed when the one before has ended."""
        queue = an_open_queue()
        first, second = a_command(1), a_command(2)
        self.assertEqual(queue.submitted(first), [Feed(first)])
        self.assertEqual(queue.submitted(second), [])
        self.assertEqual(queue.finished(True), [Feed(second)])
        self.assertEqual(queue.finished(True), [])
        self.assertFalse(queue.busy)

    def test_tasks_yield(self) -> None:
        """A task is fed when there are no other commands; what runs goes on."""
        queue = an_open_queue()
        tasks = [a_task(number) for number in range(3)]
        others = [a_command(1), a_command(2, "d", complete=False), a_command(3)]
        self.assertEqual(queue.submitted(tasks[0]), [Feed(tasks[0])])
        for command in (tasks[1], others[0], tasks[2], others[1], others[2]):
            self.assertEqual(queue.submitted(command), [])
        self.assertEqual(queue.finished(True), [Feed(others[0])])
        self.assertEqual(queue.finished(True), [Feed(others[2])])
        self.assertEqual(queue.finished(True), [Feed(tasks[1])])
        self.assertEqual(queue.completed(others[1], []), [])
        self.assertEqual(queue.finished(True), [Feed(others[1])])
        self.assertEqual(queue.finished(True), [Feed(tasks[2])])

    def test_failure(self) -> None:
        """A failure refuses the client's waiting commands, and those that it submitted before it could know."""
        queue = an_open_queue()
        failing, mine, others = (
            a_command(1, failures=0),
            a_command(2, failures=0),
            a_command(3, "d", failures=0),
        )
        for command in (failing, mine, others):
            queue.submitted(command)
        refusal, feed = queue.finished(False)
        assert isinstance(refusal, Refuse)
        self.assertIs(refusal.command, mine)
        self.assertIsInstance(refusal.error, QueueCleared)
        self.assertIn("execute(1) failed", str(refusal.error))
        self.assertEqual(feed, Feed(others))
        self.assertIsInstance(queue.submitted(a_command(4, failures=0))[0], Refuse)
        self.assertEqual(queue.submitted(a_command(5, failures=1)), [])

    def test_cancel(self) -> None:
        """What waits is returned, what runs is not."""
        queue = an_open_queue()
        running, waiting = a_command(1), a_command(2)
        queue.submitted(running)
        queue.submitted(waiting)
        self.assertEqual(queue.cancelled([("c", 1), ("c", 2), ("c", 3)]), [Return(waiting)])
        self.assertEqual(queue.finished(True), [])

    def test_death(self) -> None:
        """The running command is lost, the waiting ones are dropped, and so is what comes until the successor."""
        queue = an_open_queue()
        running, waiting = a_command(1), a_command(2, "d")
        queue.submitted(running)
        queue.submitted(waiting)
        lost, dropped = queue.died("exited with status 3")
        assert isinstance(lost, Refuse) and isinstance(dropped, Refuse)
        self.assertIsInstance(lost.error, EngineLost)
        self.assertEqual(
            str(lost.error), "engine 0 lost its interpreter (exited with status 3) while it ran execute(1)"
        )
        self.assertIs(dropped.command, waiting)
        self.assertIsInstance(dropped.error, QueueCleared)
        late = queue.submitted(a_command(3, "e"))[0]
        assert isinstance(late, Refuse)
        self.assertEqual(queue.opened(2), [])
        self.assertIsInstance(queue.submitted(a_command(4, "e", generation=1))[0], Refuse)
        self.assertIsInstance(queue.submitted(a_command(5, "e", generation=2))[0], Feed)

    def test_streams(self) -> None:
        """A command whose streams are on their way holds up its client alone."""
        queue = an_open_queue()
        large, mine, others = a_command(1, complete=False), a_command(2), a_command(3, "d")
        self.assertEqual(queue.submitted(large) + queue.submitted(mine), [])
        self.assertEqual(queue.submitted(others), [Feed(others)])
        self.assertEqual(queue.completed(large, [b"body"]), [])
        self.assertEqual(queue.finished(True), [Feed(large)])
        self.assertEqual(large.bodies, [b"body"])
        self.assertEqual(queue.finished(True), [Feed(mine)])

    def test_broken_stream(self) -> None:
        """A command that does not come wholly is refused, and holds up nobody any more."""
        queue = an_open_queue()
        large, mine = a_command(1, complete=False), a_command(2)
        queue.submitted(large)
        queue.submitted(mine)
        refusal, feed = queue.broken(large, "the client is gone")
        assert isinstance(refusal, Refuse)
        self.assertIsInstance(refusal.error, ConnectionError)
        self.assertEqual(feed, Feed(mine))
        self.assertEqual(queue.broken(large, "again"), [])

    def test_cancelled_stream(self) -> None:
        """A command that is taken back while its streams come lets the next one of its client run."""
        queue = an_open_queue()
        large, mine = a_command(1, complete=False), a_command(2)
        queue.submitted(large)
        queue.submitted(mine)
        self.assertEqual(queue.cancelled([("c", 1)]), [Return(large), Feed(mine)])
        self.assertEqual(queue.completed(large, []), [])

    def test_repeat(self) -> None:
        """The same command a second time has no effect, and long after an error; for another of the targets it has."""
        queue = an_open_queue()
        queue.submitted(a_command(1, index=0))
        self.assertEqual(queue.submitted(a_command(1, index=0)), [])
        queue.finished(True)
        (refusal,) = queue.submitted(a_command(1, index=0))
        self.assertIsInstance(refusal, Refuse)
        self.assertIn("came to engine 0 before", str(refusal.error))
        self.assertIsInstance(queue.submitted(a_command(1, index=1))[0], Feed)

    def test_abandoned(self) -> None:
        """When the controller is gone, the running command runs on for nobody, and its failure is forgotten."""
        queue = an_open_queue()
        queue.submitted(a_command(1))
        queue.submitted(a_command(2))
        queue.abandoned()
        self.assertTrue(queue.discarding)
        self.assertEqual(queue.submitted(a_command(3, failures=0)), [])
        feed = queue.finished(False)[0]
        assert isinstance(feed, Feed)
        self.assertEqual(feed.command.id, ("c", 3))
        self.assertFalse(queue.discarding)

    def test_abandoned_death(self) -> None:
        """When such a command's interpreter dies, nobody is answered."""
        queue = an_open_queue()
        queue.submitted(a_command(1))
        queue.abandoned()
        self.assertEqual(queue.died("killed"), [])

    def test_bounded(self) -> None:
        """What is remembered of the past is bounded."""
        self.patch(queue_module, "SEEN", 10)
        self.patch(queue_module, "CLIENTS", 10)
        queue = an_open_queue()
        for number in range(100):
            queue.submitted(a_command(number, f"client {number}", index=0))
            queue.finished(False)
        self.assertEqual((len(queue._seen), len(queue._failures)), (10, 10))


class AheadTests(SynchronousTestCase):
    """What the interpreter is given beside what runs."""

    def setUp(self) -> None:
        self.queue = an_open_queue()
        self.tasks = [a_task(number) for number in range(5)]
        for task in self.tasks:
            self.queue.submitted(task)

    def give(self) -> list[Command]:
        given = self.queue.next_ahead()
        for command in given:
            command.ticket = 0, int(command.id[0][1:])
        return given

    def test_begin(self) -> None:
        """Tasks are given behind the one that runs, and begin in their order."""
        self.assertEqual(self.give(), self.tasks[1:])
        self.assertEqual(self.give(), [])
        self.assertEqual(self.queue.held, self.tasks)
        self.assertEqual(self.queue.finished(True), [Begin(self.tasks[1])])
        self.assertEqual(self.queue.finished(False), [Begin(self.tasks[2])])

    def test_no_others(self) -> None:
        """Where a command waits that is no task, none are given; nor what has not come wholly, nor two of one client."""
        self.queue.submitted(a_command(1))
        self.assertEqual(self.give(), [])
        self.setUp()
        self.queue.submitted(Command(("t3", 2), "task", "the same client"))
        self.assertEqual(self.give(), self.tasks[1:])
        self.setUp()
        self.tasks[2].complete = False
        self.assertEqual(self.give(), self.tasks[1:2])

    def test_bounded(self) -> None:
        """No more bytes are given than are easily sent twice, but one task always is."""
        for task in self.tasks:
            task.bodies = [bytes(queue_module.AHEAD_BYTES)]
        self.assertEqual(self.give(), self.tasks[1:2])
        self.assertEqual(self.give(), [])

    def test_recalled(self) -> None:
        """What has not begun waits again, before what came later; what has stays."""
        self.give()
        self.queue.submitted(a_task(5))
        self.assertEqual(self.queue.recalled({(0, 3), (0, 4)}), [])
        self.assertEqual([*self.queue.ahead], self.tasks[1:3])
        self.assertEqual(self.queue.cancelled([("t3", 1)]), [Return(self.tasks[3])])
        self.assertEqual([command.id[0] for command in self.give()], ["t4", "t5"])

    def test_recalled_before_it_began(self) -> None:
        """One that is said to run, and has lost its ticket, is fed again."""
        self.give()
        self.queue.finished(True)
        self.assertEqual(
            self.queue.recalled({(0, number) for number in range(1, 5)}), [Feed(self.tasks[1], again=True)]
        )
        self.assertIs(self.queue.running, self.tasks[1])
        self.assertEqual(self.queue.finished(True), [Feed(self.tasks[2])])

    def test_death(self) -> None:
        """What has begun is lost, and the rest was dropped."""
        self.give()
        self.queue.recalled({(0, 2), (0, 3), (0, 4)})
        refusals = self.queue.died("killed")
        errors = [type(refusal.error) for refusal in refusals if isinstance(refusal, Refuse)]
        self.assertEqual(errors, [EngineLost, EngineLost, QueueCleared, QueueCleared, QueueCleared])

    def test_halted(self) -> None:
        """What the interpreter has begins; nothing else does before it goes on."""
        self.queue.recalled(set())
        self.queue.halt()
        self.assertEqual(self.queue.finished(True), [])
        self.queue.submitted(a_command(1))
        (feed,) = self.queue.go_on()
        assert isinstance(feed, Feed)
        self.assertEqual(feed.command.id, ("c", 1))
        self.assertEqual(self.queue.go_on(), [])

    def test_abandoned(self) -> None:
        """Nobody waits for what had begun, either."""
        self.give()
        self.queue.recalled({(0, 2), (0, 3), (0, 4)})
        self.queue.abandoned()
        self.assertEqual(self.queue.held, [])
        self.assertEqual(self.queue.finished(True), [Begin(self.tasks[1])])
        self.assertTrue(self.queue.discarding)
        self.assertEqual(self.queue.finished(False), [])


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from("abc"), st.booleans(), st.integers(0, 2)),
        st.tuples(st.just("submit"), st.just("t"), st.booleans(), st.integers(0, 2)),
        st.tuples(st.just("ahead")),
        st.tuples(st.just("recall"), st.integers(0, 3)),
        st.tuples(st.just("halt")),
        st.tuples(st.just("go_on")),
        st.tuples(st.just("finish"), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(1, 60)),
        st.tuples(st.just("complete"), st.integers(0, 60)),
        st.tuples(st.just("break"), st.integers(0, 60)),
        st.tuples(st.just("die")),
        st.tuples(st.just("open")),
    ),
    max_size=60,
)


class History:
    """Drives a queue with random events, and notes what becomes of each command."""

    def __init__(self) -> None:
        self.queue = an_open_queue()
        self.generation = 1
        self.commands: list[Command] = []
        self.fed: list[Command] = []
        self.ends: dict[int, list[str]] = {}
        self.tickets = 0

    def take(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Feed | Begin):
                if not (isinstance(instruction, Feed) and instruction.again):
                    self.fed.append(instruction.command)
            else:
                self.end(instruction.command, type(instruction).__name__)

    def end(self, command: Command, how: str) -> None:
        self.ends.setdefault(id(command), []).append(how)

    def submit(self, client: str, complete: bool, failures: int) -> None:
        number = len(self.commands)
        said = {"complete": complete, "failures": failures, "generation": self.generation}
        command = a_task(number, **said) if client == "t" else a_command(number, client, **said)
        self.commands.append(command)
        if client != "t":
            self.recall(0)
        self.take(self.queue.submitted(command))

    def ahead(self) -> None:
        for command in self.queue.next_ahead():
            self.tickets += 1
            command.ticket = 0, self.tickets

    def recall(self, begun: int) -> None:
        """So many of those that the interpreter has beside what runs have begun: at most one."""
        tickets = [command.ticket for command in self.queue.ahead if command.ticket is not None]
        self.take(self.queue.recalled(set(tickets[min(begun, 1) :])))

    def halt(self) -> None:
        self.queue.halt()

    def go_on(self) -> None:
        self.take(self.queue.go_on())

    def finish(self, ok: bool) -> None:
        running = self.queue.running
        if running is not None:
            self.end(running, "finished")
        self.take(self.queue.finished(ok))

    def cancel(self, number: int) -> None:
        self.recall(0)
        self.take(self.queue.cancelled([*((client, number) for client in "abc"), (f"t{number}", 1)]))

    def complete(self, number: int) -> None:
        if number < len(self.commands):
            self.take(self.queue.completed(self.commands[number], []))

    def break_(self, number: int) -> None:
        if number < len(self.commands) and not self.commands[number].complete:
            self.take(self.queue.broken(self.commands[number], "it broke"))

    def die(self) -> None:
        self.recall(0)
        self.take(self.queue.died("it died"))

    def open(self) -> None:
        if self.queue.running is None:
            self.generation += 1
            self.take(self.queue.died("restart"))
            self.take(self.queue.opened(self.generation))


class QueueProperties(SynchronousTestCase):
    """What holds whatever happens."""

    @given(EVENTS)
    def test_each_command_ends_once(self, events: list[tuple[Any, ...]]) -> None:
        """Every command ends exactly once, was fed at most once, and a client's were fed in order."""
        history = History()
        for name, *arguments in events:
            getattr(history, {"break": "break_"}.get(name, name))(*arguments)
            if history.queue.running is not None:
                self.assertIs(history.queue.running, history.fed[-1])
        history.die()
        self.assertFalse(history.queue.busy)
        for command in history.commands:
            self.assertEqual(len(history.ends[id(command)]), 1)
        self.assertEqual(len(history.fed), len(set(map(id, history.fed))))
        self.assertTrue(all(command.complete for command in history.fed))
        for client in "abc":
            numbers = [command.id[1] for command in history.fed if command.client == client]
            self.assertEqual(numbers, sorted(numbers))
