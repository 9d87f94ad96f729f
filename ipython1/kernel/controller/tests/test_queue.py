"""The queue of an engine: single cases, and random histories together with the queue of its agent."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller import queue as queue_module
from ipython1.kernel.controller.queue import (
    Answer,
    Cancel,
    EngineQueue,
    Entry,
    Fail,
    Instruction,
    Send,
)
from ipython1.kernel.engine import queue as agent_queue
from ipython1.kernel.error import ConnectionError, EngineLost, ProtocolError, QueueCleared


class NoOwner:
    """Owners are the service's business."""

    def answered(self, *args: Any) -> None:
        """Not called by the core."""

    failed = answered


def entry(client: str, number: int, missing: int = 0) -> Entry:
    """Those of client t are tasks."""
    verb = "task" if client == "t" else "execute"
    return Entry((client, number), client, verb, {}, f"{client}{number}", NoOwner(), missing=missing)


def sent(instructions: list[Instruction]) -> list[str]:
    return [instruction.entry.label for instruction in instructions if isinstance(instruction, Send)]


def failed(instructions: list[Instruction]) -> dict[str, str]:
    return {
        instruction.entry.label: f"{type(instruction.error).__name__}: {instruction.error}"
        for instruction in instructions
        if isinstance(instruction, Fail)
    }


class QueueTests(SynchronousTestCase):
    """Single cases."""

    def setUp(self) -> None:
        self.queue = EngineQueue(0, 1, send_ahead=2, tasks_ahead=2)

    def submit(self, *labels: str) -> list[Entry]:
        entries = [entry(label[0], int(label[1:])) for label in labels]
        self.sent: list[str] = []
        for one in entries:
            self.sent += sent(self.queue.submit(one))
        return entries

    def test_did_not_leave(self) -> None:
        """What an earlier controller was about to send, and the agent does not have, was not sent."""
        self.queue.away()
        here, missing = entry("a", 1), entry("t", 1)
        for one in (here, missing):
            self.queue.sent_before(one)
        instructions = self.queue.reclaimed(1, [(here, True)])
        self.assertEqual(list(failed(instructions)), ["t1"])
        self.assertEqual((here.sent, missing.sent), (True, False))

    def test_sends_ahead(self) -> None:
        """One command runs, a few are sent ahead, and the next is sent when one is done."""
        self.submit("a1", "b1", "a2", "b2")
        self.assertEqual(self.sent, ["a1", "b1", "a2"])
        self.assertEqual(self.queue.status(), (["b1", "a2", "b2"], "a1"))
        self.queue.started(("a", 1))
        instructions = self.queue.replied(("a", 1), True)
        self.assertIsInstance(instructions[0], Answer)
        self.assertEqual(sent(instructions), ["b2"])

    def test_tasks_yield(self) -> None:
        """Commands go before tasks, also before those that were sent ahead, but not before what runs."""
        self.submit("t1", "t2", "t3", "t4")
        self.assertEqual(self.sent, ["t1", "t2", "t3"])
        self.queue.started(("t", 1))
        self.submit("a1", "a2", "a3", "a4")
        self.assertEqual(self.sent, ["a1", "a2", "a3"])
        self.assertEqual(self.queue.status(), (["a1", "a2", "a3", "t2", "t3", "a4", "t4"], "t1"))
        self.assertEqual(sent(self.queue.replied(("t", 1), True)), [])
        self.queue.started(("a", 1))
        self.assertEqual(self.queue.status()[1], "a1")
        self.assertTrue(self.queue.has_commands)
        self.assertEqual(sent(self.queue.replied(("a", 1), True)), ["a4"])
        for number in range(2, 5):
            self.queue.started(("a", number))
            self.assertEqual(sent(self.queue.replied(("a", number), True)), ["t4"] if number == 4 else [])
        self.assertFalse(self.queue.has_commands)

    def test_full(self) -> None:
        """A queue that is full takes no more, says so, and goes on when there is room."""
        self.patch(queue_module, "MAX_UNFINISHED", 4)
        self.submit("a1", "a2", "b1", "a3")
        (refused,) = self.queue.submit(entry("b", 2))
        text = "b2 was not taken into the queue of engine 0: 4 commands are there already; wait for some of them"
        self.assertEqual(failed([refused]), {"b2": f"QueueCleared: {text}"})
        self.assertEqual(len(self.queue), 4)
        self.queue.started(("a", 1))
        self.queue.replied(("a", 1), True)
        self.assertEqual(failed(self.queue.submit(entry("b", 3))), {})

    def test_unsendable(self) -> None:
        """An entry that makes no message fails with what is behind it, and its place is another client's."""
        entries = self.submit("a1", "b1", "a2", "a3", "b2")
        instructions = self.queue.unsendable(entries[2], "it is too long")
        self.assertEqual(
            failed(instructions),
            {
                "a2": "ProtocolError: a2 cannot be sent to engine 0: it is too long",
                "a3": "QueueCleared: a3 was dropped from the queue of engine 0: a2 failed",
            },
        )
        self.assertEqual(sent(instructions), ["b2"])
        self.assertEqual(self.queue.status(), (["b1", "b2"], "a1"))

    def test_failure_touches_its_client_alone(self) -> None:
        """When a command fails, what its client has waiting is dropped first, naming it; others go on."""
        self.submit("a1", "b1", "b2", "a2", "b3")
        self.queue.started(("a", 1))
        instructions = self.queue.replied(("a", 1), False)
        text = "QueueCleared: a2 was dropped from the queue of engine 0: a1 failed"
        self.assertEqual(failed(instructions), {"a2": text})
        self.assertIsInstance(instructions[1], Answer)
        self.assertEqual(sent(instructions), ["b3"])

    def test_failures_are_told(self) -> None:
        """A command says how many of its client's had failed when it was submitted."""
        before, _ = self.submit("a1", "a2")
        self.queue.started(("a", 1))
        self.queue.replied(("a", 1), False)
        (after,) = self.submit("a3")
        self.assertEqual((before.failures, after.failures), (0, 1))

    def test_dropped_by_the_agent(self) -> None:
        """A reply to what never started is no failure of its own: nothing is dropped for it."""
        self.submit("a1", "a2", "a3", "a4")
        self.queue.started(("a", 1))
        instructions = self.queue.replied(("a", 2), False)
        self.assertEqual((failed(instructions), sent(instructions)), ({}, ["a4"]))
        (after,) = self.submit("a5")
        self.assertEqual(after.failures, 0)

    def test_stream_holds_up_its_client(self) -> None:
        """While a command's streams are coming, its client's later ones wait, and others pass."""
        large = entry("a", 1, missing=2)
        self.assertEqual(self.queue.submit(large), [])
        self.submit("a2", "b1")
        self.assertEqual(self.sent, ["b1"])
        self.assertEqual(self.queue.stream_arrived(large), [])
        self.assertEqual(sent(self.queue.stream_arrived(large)), ["a1", "a2"])

    def test_stream_breaks(self) -> None:
        """A command whose stream breaks off fails, and with it what its client has behind it."""
        self.submit("a1")
        large = entry("a", 2, missing=2)
        self.queue.submit(large)
        self.submit("a3", "b1")
        instructions = self.queue.stream_broken(large, "the client is gone")
        self.assertEqual(
            failed(instructions),
            {
                "a2": "ConnectionError: a2 did not reach engine 0: the client is gone",
                "a3": "QueueCleared: a3 was dropped from the queue of engine 0: a2 failed",
            },
        )
        self.assertEqual(self.queue.stream_broken(large, "again"), [])
        self.assertEqual(self.queue.stream_arrived(large), [])
        self.assertEqual(self.queue.status(), (["b1"], "a1"))

    def test_clear(self) -> None:
        """Clearing drops what waits, asks back what was sent ahead, and leaves the first alone."""
        entries = self.submit("a1", "b1", "b2", "a2")
        instructions = self.queue.clear("clear_queue() was called")
        self.assertEqual(list(failed(instructions)), ["a2"])
        self.assertEqual(instructions[-1], Cancel(entries[1:3]))
        self.assertEqual(self.queue.status(), ([], "a1"))
        (returned,) = self.queue.returned(("b", 1))
        self.assertIsInstance(returned, Fail)
        self.assertIsInstance(returned.error, QueueCleared)
        # The other one had started before it was asked back, and the first had ended.
        self.queue.started(("a", 1))
        self.queue.replied(("a", 1), True)
        self.queue.started(("b", 2))
        self.assertIsInstance(self.queue.replied(("b", 2), True)[0], Answer)
        self.assertEqual((len(self.queue), self.queue.remembers), (0, 0))

    def test_death_and_successor(self) -> None:
        """What waits when the interpreter dies is dropped, what comes then waits for the next generation."""
        self.submit("a1", "a2", "a3", "b1")
        instructions = self.queue.died("engine 0 lost its interpreter (exit status 3)")
        self.assertIn("(exit status 3)", failed(instructions)["b1"])
        for number in (1, 2, 3):
            self.queue.replied(("a", number), False)
        self.submit("b2")
        self.assertEqual(self.sent, [])
        (instruction,) = self.queue.restarted(2)
        self.assertEqual((instruction.entry.label, instruction.generation), ("b2", 2))

    def test_close(self) -> None:
        """When the engine is gone, what ran is lost with it, and the rest is dropped, all at once."""
        self.submit("a1", "b1", "a2", "b2")
        instructions = self.queue.close("the connection was lost")
        kinds = [(one.entry.label, type(one.error), one.sent) for one in instructions]
        self.assertEqual(
            kinds,
            [
                ("a1", EngineLost, True),
                ("b1", QueueCleared, True),
                ("a2", QueueCleared, True),
                ("b2", QueueCleared, False),
            ],
        )
        self.assertEqual((len(self.queue), self.queue.remembers), (0, 0))

    def test_client_left(self) -> None:
        """What a client left behind goes on, and then nothing is remembered, failures neither."""
        self.submit("a1", "a2")
        self.queue.client_left("a")
        self.queue.started(("a", 1))
        self.queue.replied(("a", 1), False)
        self.assertEqual(self.queue.remembers, 1)
        self.queue.replied(("a", 2), False)
        self.assertEqual(self.queue.remembers, 0)

    def test_not_sent(self) -> None:
        """An agent that speaks of what it was not sent is caught."""
        self.submit("a1")
        self.assertRaises(ProtocolError, self.queue.started, ("a", 2))
        self.assertRaises(ProtocolError, self.queue.replied, ("a", 2), True)
        self.assertRaises(ProtocolError, self.queue.returned, ("a", 1))

    def test_same_command_twice(self) -> None:
        """An engine that a call names twice gets its command twice, and both end."""
        self.submit("a1", "a1")
        self.queue.started(("a", 1))
        self.queue.replied(("a", 1), True)
        self.queue.started(("a", 1))
        self.queue.replied(("a", 1), True)
        self.assertEqual((len(self.queue), self.queue.status()), (0, ([], None)))


class World:
    """An engine's queue, the agent's queue at the other end of two slow lines, and what came of each command."""

    AHEAD = 3

    def __init__(self) -> None:
        self.queue = EngineQueue(0, 1, send_ahead=self.AHEAD, tasks_ahead=self.AHEAD)
        self.agent = agent_queue.CommandQueue("engine 0")
        self.agent.opened(1)
        self.down: list[Any] = []
        self.up: list[Any] = []
        self.numbers: dict[str, int] = defaultdict(int)
        self.entries: dict[tuple[str, int], Entry] = {}
        self.outcomes: dict[tuple[str, int], list[Any]] = defaultdict(list)
        self.ran: list[tuple[str, int]] = []
        self.failed: set[tuple[str, int]] = set()
        self.closed = False

    # The controller's side.

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Send):
                assert not instruction.entry.missing, "sent before its streams were there"
                self.down.append(instruction)
            elif isinstance(instruction, Cancel):
                self.down.append(instruction)
            elif isinstance(instruction, Answer):
                self.outcomes[instruction.entry.id].append("answer")
            else:
                self.outcomes[instruction.entry.id].append(instruction.error)
        _, running = self.queue.status()
        assert (
            len([one for one in self.entries.values() if one.state.value in ("sent", "started")])
            <= self.AHEAD + 1
        )
        assert running is not None or len(self.queue) == len(self.waiting())

    def waiting(self) -> list[Entry]:
        return [one for one in self.entries.values() if one.state.value == "waiting"]

    def submit(self, client: str, missing: int) -> None:
        self.numbers[client] += 1
        new = self.entries[client, self.numbers[client]] = entry(client, self.numbers[client], missing)
        self.carry_out(self.queue.submit(new))

    def stream(self, choice: int, broken: bool) -> None:
        stalled = [one for one in self.waiting() if one.missing]
        if stalled:
            one = stalled[choice % len(stalled)]
            if broken:
                self.carry_out(self.queue.stream_broken(one, "broken"))
            else:
                self.carry_out(self.queue.stream_arrived(one))

    def clear(self) -> None:
        self.carry_out(self.queue.clear("cleared"))

    def message_up(self) -> None:
        if self.up and not self.closed:
            kind, value, *more = self.up.pop(0)
            if kind == "started":
                self.queue.started(value)
            elif kind == "reply":
                self.carry_out(self.queue.replied(value, *more))
            elif kind == "returned":
                self.carry_out(self.queue.returned(value))
            elif kind == "died":
                self.carry_out(self.queue.died(value))
            else:
                self.carry_out(self.queue.restarted(value))

    # The agent's side.

    def at_agent(self, instructions: list[agent_queue.Instruction]) -> None:
        for instruction in instructions:
            command = instruction.command
            if isinstance(instruction, agent_queue.Feed):
                self.ran.append(command.id)
                self.up.append(("started", command.id))
            elif isinstance(instruction, agent_queue.Refuse):
                self.up.append(("reply", command.id, False))
            else:
                self.up.append(("returned", command.id))

    def message_down(self) -> None:
        if self.down:
            instruction = self.down.pop(0)
            if isinstance(instruction, Cancel):
                self.at_agent(self.agent.cancelled([one.id for one in instruction.entries]))
            else:
                one = instruction.entry
                self.at_agent(
                    self.agent.submitted(
                        agent_queue.Command(
                            one.id, one.verb, one.label, instruction.generation, one.failures, one.index
                        )
                    )
                )

    def finish(self, ok: bool) -> None:
        running = self.agent.running
        if running is not None:
            self.up.append(("reply", running.id, ok))
            if not ok:
                self.failed.add(running.id)
            self.at_agent(self.agent.finished(ok))

    def die(self) -> None:
        generation = self.agent.generation
        if self.agent.running is not None:
            self.failed.add(self.agent.running.id)
        self.at_agent(self.agent.died("killed"))
        self.up.append(("died", "killed"))
        self.up.append(("restarted", generation + 1))
        self.at_agent(self.agent.opened(generation + 1))

    # The end.

    def drain(self) -> None:
        for one in list(self.entries.values()):
            while one.missing and one.state.value == "waiting":
                self.carry_out(self.queue.stream_arrived(one))
        self.run_all()

    def run_all(self) -> None:
        for _ in range(10 * len(self.entries) + 100):
            self.message_down()
            self.message_up()
            self.finish(True)

    def close(self) -> None:
        self.carry_out(self.queue.close("gone"))
        self.closed = True


CLIENTS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), CLIENTS, st.sampled_from([0, 0, 0, 1, 2])),
        st.tuples(st.just("stream"), st.integers(0, 5), st.sampled_from([False, False, False, True])),
        st.tuples(st.just("message_down")),
        st.tuples(st.just("message_up")),
        st.tuples(st.just("finish"), st.sampled_from([True, True, False])),
        st.tuples(st.just("clear")),
        st.tuples(st.just("die")),
    ),
    max_size=80,
)


class HistoryTests(SynchronousTestCase):
    """What must hold whatever happens in whatever order."""

    def run_steps(self, steps: list[Any]) -> World:
        world = World()
        for name, *args in steps:
            getattr(world, name)(*args)
        return world

    def check_ends(self, world: World) -> None:
        self.assertEqual(
            {one: len(came) for one, came in world.outcomes.items()}, dict.fromkeys(world.entries, 1)
        )
        for client in "abc":
            world.queue.client_left(client)
        self.assertEqual((len(world.queue), world.queue.remembers), (0, 0))
        self.assertEqual(world.queue.status(), ([], None))

    @settings(deadline=None, max_examples=300)
    @given(STEPS)
    def test_all_end_once(self, steps: list[Any]) -> None:
        """Every command has exactly one outcome, and then nothing is left over."""
        world = self.run_steps(steps)
        world.drain()
        self.check_ends(world)

    @settings(deadline=None, max_examples=300)
    @given(STEPS)
    def test_engine_lost(self, steps: list[Any]) -> None:
        """When the engine is lost at any moment, every command has its outcome at once."""
        world = self.run_steps(steps)
        world.close()
        self.check_ends(world)

    @settings(deadline=None, max_examples=300)
    @given(STEPS)
    def test_order(self, steps: list[Any]) -> None:
        """Each client's commands run in the order of their submission, and none twice."""
        world = self.run_steps(steps)
        world.drain()
        for client in "abc":
            numbers = [number for owner, number in world.ran if owner == client]
            self.assertEqual(numbers, sorted(set(numbers)))

    @settings(deadline=None, max_examples=300)
    @given(STEPS)
    def test_failure_stays_with_its_client(self, steps: list[Any]) -> None:
        """Without deaths and clearing, a client of which nothing failed has all of its commands run."""
        world = self.run_steps([step for step in steps if step[0] not in ("clear", "die")])
        world.drain()
        touched = {client for client, _ in world.failed}
        touched |= {key[0] for key, came in world.outcomes.items() if isinstance(came[0], ConnectionError)}
        for key in world.entries:
            if key[0] not in touched:
                self.assertIn(key, world.ran)

    @settings(deadline=None, max_examples=300)
    @given(STEPS)
    def test_stalled_streams(self, steps: list[Any]) -> None:
        """Streams that never arrive keep none from running but their own client's commands."""
        world = self.run_steps(steps)
        world.run_all()
        stalled = {one.client for one in world.waiting() if one.missing}
        for key in world.entries:
            if key[0] not in stalled:
                self.assertEqual(len(world.outcomes[key]), 1)

    @settings(deadline=None, max_examples=300)
    @given(STEPS)
    def test_nothing_behind_a_failure_runs(self, steps: list[Any]) -> None:
        """A command that was submitted before its client could know of a failure does not run after it."""
        world = self.run_steps(steps)
        world.drain()
        failures: dict[str, int] = defaultdict(int)
        for key in world.ran:
            self.assertGreaterEqual(world.entries[key].failures, failures[key[0]])
            if key in world.failed:
                failures[key[0]] += 1

    @settings(deadline=None, max_examples=200)
    @given(STEPS)
    def test_clear_spares_the_running(self, steps: list[Any]) -> None:
        """Clearing never takes what runs: what started ends with the engine's answer."""
        world = self.run_steps([step for step in steps if step[0] != "die"])
        world.drain()
        for key in world.ran:
            self.assertEqual(world.outcomes[key], ["answer"])
