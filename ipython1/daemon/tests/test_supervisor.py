"""What is done when parts of a cluster come and end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.daemon.intensity import Intensity
from ipython1.daemon.parts import (
    CONTROLLER,
    Instruction,
    Over,
    PartState,
    Phase,
    Settled,
    Start,
    StartLater,
    Stop,
    Tell,
)
from ipython1.daemon.supervisor import Supervisor

KILLED = "killed by signal 9, SIGKILL"


class SupervisorCase(SynchronousTestCase):
    """A supervisor of a controller and the agents a and b."""

    def setUp(self) -> None:
        self.supervisor = Supervisor({"a": 2, "b": 1}, Intensity(2, 60.0))

    def running(self) -> Supervisor:
        supervisor = self.supervisor
        supervisor.begin()
        supervisor.controller_ready()
        supervisor.registered("a", [0, 1])
        supervisor.registered("b", [2])
        return supervisor

    def without_words(self, instructions: list[Instruction]) -> list[Instruction]:
        return [instruction for instruction in instructions if not isinstance(instruction, Tell)]


class StartTests(SupervisorCase):
    def test_order(self) -> None:
        """The controller is started first, the agents when it is ready; then the cluster is ready."""
        supervisor = self.supervisor
        self.assertEqual(supervisor.begin(), [Start(CONTROLLER, 0)])
        self.assertEqual(supervisor.controller_ready(), [Start("a", 2), Start("b", 1)])
        self.assertEqual(supervisor.registered("b", [0]), [])
        self.assertEqual(supervisor.registered("a", [1, 2]), [Settled()])
        self.assertEqual((supervisor.phase, supervisor.ids()), (Phase.RUNNING, [0, 1, 2]))

    def test_early(self) -> None:
        """Agents that can wait for the controller are started with it; who comes first does not matter."""
        for order in ("ab", "ba"):
            supervisor = Supervisor({"a": 2}, Intensity(2, 60.0), early=True)
            self.assertEqual(supervisor.begin(), [Start("a", 2), Start(CONTROLLER, 0)])
            told = [
                instruction
                for event in order
                for instruction in (
                    supervisor.controller_ready() if event == "a" else supervisor.registered("a", [0, 1])
                )
            ]
            self.assertEqual(told, [Settled()])
        # Later they are not: a controller that is started again takes its time.
        supervisor.ended(CONTROLLER, KILLED, False, 0.0)
        supervisor.ended("a", KILLED, False, 0.0)
        self.assertEqual(supervisor.due("a", 0.1), [])

    def test_early_without_controller(self) -> None:
        """When the controller does not come up, the agents that were started are ended."""
        supervisor = Supervisor({"a": 2}, Intensity(2, 60.0), early=True)
        supervisor.begin()
        self.assertEqual(supervisor.ended(CONTROLLER, "exited with status 1", False, 0.0), [Stop("a")])
        (over,) = supervisor.ended("a", KILLED, False, 0.0)
        self.assertEqual(over, Over(1, "ipcontroller did not come up: exited with status 1"))

    def test_controller_does_not_come_up(self) -> None:
        """A controller that was never ready is not tried again: what it lacks will be lacking again."""
        self.supervisor.begin()
        (over,) = self.supervisor.ended(CONTROLLER, "exited with status 1", False, 0.0)
        self.assertEqual(over, Over(1, "ipcontroller did not come up: exited with status 1"))

    def test_agent_does_not_come_up(self) -> None:
        """Nor is an agent; what has been started is ended, the controller last."""
        self.supervisor.begin()
        self.supervisor.controller_ready()
        self.assertEqual(self.supervisor.ended("a", "exited with status 1", False, 0.0), [Stop("b")])
        self.assertEqual(self.supervisor.ended("b", "exited with status 0", True, 0.0), [Stop(CONTROLLER)])
        (over,) = self.supervisor.ended(CONTROLLER, "exited with status 0", True, 0.0)
        self.assertIn("a did not come up", over.reason)

    def test_added(self) -> None:
        """An agent that is added is a part like the others; if it does not come up, the others go on."""
        supervisor = self.running()
        self.assertEqual(supervisor.add("c", 3), [Start("c", 3)])
        self.assertEqual(supervisor.registered("c", [3, 4, 5]), [])
        self.assertEqual(supervisor.ids(), [0, 1, 2, 3, 4, 5])
        supervisor.add("d", 1)
        (tell,) = supervisor.ended("d", "exited with status 1", False, 0.0)
        self.assertIn("d did not come up", tell.text)
        self.assertNotIn("d", supervisor.parts)
        self.assertEqual(supervisor.phase, Phase.RUNNING)


class EndTests(SupervisorCase):
    def test_agent_is_started_again(self) -> None:
        """An agent that was killed comes back, with the engines that it had left; too often, it is given up."""
        supervisor = self.running()
        supervisor.engine_gone("a", 1)
        for number, delay in enumerate((0.0, 0.5), 1):
            told, later = supervisor.ended("a", KILLED, False, 0.0)
            self.assertIn(f"a has ended ({KILLED})", told.text)
            self.assertEqual(later, StartLater("a", delay))
            self.assertEqual(supervisor.due("a", delay), [Start("a", 1)])
            supervisor.registered("a", [0])
            self.assertEqual(supervisor.parts["a"].restarts, number)
        (told,) = supervisor.ended("a", KILLED, False, 1.0)
        self.assertIn("a is given up", told.text)
        self.assertEqual(supervisor.ids(), [2])
        self.assertIn("a is given up", supervisor.problems[-1])

    def test_last_agent_given_up(self) -> None:
        """When no agent is left that could come back, the cluster ends."""
        supervisor = Supervisor({"a": 1}, Intensity(0, 60.0))
        supervisor.begin()
        supervisor.controller_ready()
        supervisor.registered("a", [0])
        self.assertEqual(supervisor.ended("a", KILLED, False, 0.0), [Stop(CONTROLLER)])
        (over,) = supervisor.ended(CONTROLLER, "exited with status 0", True, 0.0)
        self.assertEqual((over.status, supervisor.phase), (1, Phase.ENDED))

    def test_controller_is_started_again(self) -> None:
        """So does the controller; an agent whose turn comes meanwhile waits for it."""
        supervisor = self.running()
        supervisor.ended(CONTROLLER, KILLED, False, 0.0)
        supervisor.ended("a", "exited with status 1", False, 0.1)
        self.assertEqual(supervisor.due("a", 0.1), [])
        self.assertEqual(supervisor.due(CONTROLLER, 0.0), [Start(CONTROLLER, 0)])
        self.assertEqual(supervisor.controller_ready(), [Start("a", 2)])

    def test_controller_given_up(self) -> None:
        """A controller that keeps ending takes the cluster with it."""
        supervisor = self.running()
        for _ in range(2):
            supervisor.ended(CONTROLLER, KILLED, False, 0.0)
            supervisor.due(CONTROLLER, 0.0)
        self.assertEqual(supervisor.ended(CONTROLLER, KILLED, False, 0.0), [Stop("a"), Stop("b")])

    def test_killed_by_a_client(self) -> None:
        """Engines that a client has killed do not come back; a controller that it has ended is the end."""
        supervisor = self.running()
        supervisor.ended("a", "exited with status 0", True, 0.0)
        (told,) = supervisor.ended("b", "exited with status 0", True, 0.0)
        self.assertIn("all of its engines were killed", told.text)
        *_, over = supervisor.ended(CONTROLLER, "exited with status 0", True, 0.0)
        self.assertEqual(over, Over(0, "the controller was stopped, and so is the cluster"))

    def test_stop(self) -> None:
        """The agents are ended first, and then the controller; once is enough."""
        supervisor = self.running()
        self.assertEqual(supervisor.stop(), [Stop("a"), Stop("b")])
        self.assertEqual(supervisor.stop(), [])
        self.assertEqual(supervisor.ended("a", KILLED, False, 0.0), [])
        self.assertEqual(supervisor.ended("b", "exited with status 0", True, 0.0), [Stop(CONTROLLER)])
        self.assertEqual(supervisor.ended(CONTROLLER, "x", True, 0.0), [Over(0, "it was stopped")])

    def test_stopped_while_delayed(self) -> None:
        """What was about to be started again is not, when the cluster is stopped meanwhile."""
        supervisor = self.running()
        supervisor.ended(CONTROLLER, KILLED, False, 0.0)
        self.assertEqual(supervisor.stop(), [Stop("a"), Stop("b")])
        self.assertEqual(supervisor.due(CONTROLLER, 0.5), [])
        supervisor.ended("a", "x", True, 0.6)
        self.assertEqual(supervisor.ended("b", "x", True, 0.6), [Over(0, "it was stopped")])

    def test_restart(self) -> None:
        """All is ended, and started as it was first: with the engines that were killed, without those added."""
        supervisor = self.running()
        supervisor.add("c", 1)
        supervisor.engine_gone("a", 0)
        self.assertEqual(supervisor.restart(), [Stop("a"), Stop("b"), Stop("c")])
        for label in "abc":
            last = supervisor.ended(label, "exited with status 0", True, 0.0)
        self.assertEqual(last, [Stop(CONTROLLER)])
        self.assertEqual(supervisor.ended(CONTROLLER, "x", True, 0.0), [Start(CONTROLLER, 0)])
        self.assertEqual(supervisor.controller_ready(), [Start("a", 2), Start("b", 1)])


class World:
    """Processes that come and end in any order, and a supervisor: checks each instruction."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.intensity = Intensity(2, 10.0)
        self.supervisor = Supervisor({"a": 2, "b": 1}, self.intensity)
        self.now = 0.0
        self.alive: dict[str, bool] = {}  # whether it was asked to end
        self.delayed: set[str] = set()
        self.started: list[tuple[str, float]] = []
        self.over: list[Over] = []
        self.next_label = 0
        self.carry_out(self.supervisor.begin())

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            self.test.assertEqual(self.over, [], "something was to be done after the end")
            if isinstance(instruction, Start):
                self.test.assertNotIn(instruction.label, self.alive)
                if instruction.label != CONTROLLER:
                    self.test.assertEqual(self.supervisor.controller.state, PartState.RUNNING)
                self.alive[instruction.label] = False
            elif isinstance(instruction, Stop):
                self.test.assertIs(self.alive[instruction.label], False, "was not alive, or was asked before")
                self.alive[instruction.label] = True
                if instruction.label == CONTROLLER:
                    self.test.assertEqual(list(self.alive), [CONTROLLER])
            elif isinstance(instruction, StartLater):
                self.delayed.add(instruction.label)
                self.started.append((instruction.label, self.now))
            elif isinstance(instruction, Over):
                self.test.assertEqual(self.alive, {})
                self.over.append(instruction)

    def step(self, event: str, which: int, passed: float) -> None:
        self.now += passed
        labels = sorted(self.alive)
        label = labels[which % len(labels)] if labels else ""
        supervisor = self.supervisor
        if event == "ready":
            self.carry_out(supervisor.controller_ready() if CONTROLLER in self.alive else [])
        elif event == "registered" and label not in ("", CONTROLLER):
            self.carry_out(supervisor.registered(label, range(which, which + 2)))
        elif event in ("killed", "ended") and label:
            del self.alive[label]
            self.carry_out(supervisor.ended(label, event, event == "ended", self.now))
        elif event == "gone" and label not in ("", CONTROLLER):
            self.carry_out(supervisor.engine_gone(label, which))
        elif event == "due" and self.delayed:
            self.carry_out(supervisor.due(self.delayed.pop(), self.now))
        elif event == "stop":
            self.carry_out(supervisor.stop())
        elif supervisor.phase is Phase.RUNNING and event == "restart":
            self.carry_out(supervisor.restart())
            self.started.clear()
        elif supervisor.phase is Phase.RUNNING and event == "add":
            self.next_label += 1
            self.carry_out(supervisor.add(f"c{self.next_label}", 1))
        self.check()

    def check(self) -> None:
        for label, _ in self.started:
            times = [time for other, time in self.started if other == label and time > self.now - self.intensity.seconds]
            self.test.assertLessEqual(len(times), self.intensity.restarts)
        if not self.over:
            self.test.assertTrue(self.alive or self.delayed, "nothing is left that could make it go on")
        if self.supervisor.phase is Phase.RUNNING:
            self.test.assertIn(CONTROLLER, [*self.alive, *self.delayed])

    def end(self) -> None:
        """Whatever came before, it can be stopped."""
        self.carry_out(self.supervisor.stop())
        while self.alive:
            label = sorted(self.alive, key=lambda label: not self.alive[label])[0]
            self.test.assertTrue(self.alive[label], "was not asked to end")
            del self.alive[label]
            self.carry_out(self.supervisor.ended(label, "ended", True, self.now))
        for label in self.delayed:
            self.carry_out(self.supervisor.due(label, self.now))
        self.test.assertEqual(len(self.over), 1)


EVENTS = ("ready", "ready", "registered", "registered", "killed", "ended", "gone", "due", "due", "add", "restart", "stop")


class HistoryTests(SynchronousTestCase):
    @given(
        st.lists(
            st.tuples(st.sampled_from(EVENTS), st.integers(0, 5), st.floats(0.0, 8.0)),
            max_size=60,
        )
    )
    def test_any_history(self, history: list[tuple[str, int, float]]) -> None:
        """However parts come and end: none is started twice, restarts are bounded, and it ends once."""
        world = World(self)
        for event, which, passed in history:
            world.step(event, which, passed)
        world.end()
