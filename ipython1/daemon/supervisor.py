"""What is to be done when a part of a cluster comes, ends, or does not come.

A plain state machine: an event goes in, instructions come out; time is an argument.  One part is the controller, the
others are host agents, each with some engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ipython1.daemon.intensity import Budget, Intensity
from ipython1.daemon.parts import (
    COMING,
    CONTROLLER,
    PROCESSES,
    Instruction,
    Over,
    Part,
    PartState,
    Phase,
    Settled,
    Start,
    StartLater,
    Stop,
    Tell,
)
from ipython1.kernel.error import ClusterError

MAX_PROBLEMS = 20
"""So many of the latest problems are remembered."""


class Supervisor:
    """A controller and the agents of `plan`: how many engines each label has.

    `early` agents are started with the controller; otherwise when it is ready.
    """

    def __init__(self, plan: Mapping[str, int], intensity: Intensity, early: bool = False) -> None:
        self.phase = Phase.STARTING
        self.parts: dict[str, Part] = {}
        self.problems: list[str] = []
        """What went wrong, the latest last."""
        self._plan = dict(plan)
        self._intensity = intensity
        self._early = early
        self._outcome: Over | None = None

    @property
    def controller(self) -> Part:
        """The controller."""
        return self.parts[CONTROLLER]

    def ids(self) -> list[int]:
        """The ids of the engines that are registered."""
        return sorted(engine for part in self.parts.values() for engine in part.ids)

    def part_of(self, engine: int) -> Part | None:
        """The agent that has the engine of that id."""
        return next((part for part in self.parts.values() if engine in part.ids), None)

    def coming(self) -> list[Part]:
        """The parts that are on their way."""
        return [part for part in self.parts.values() if part.state in COMING]

    def is_coming(self, label: str) -> bool:
        """Whether that part is there, and on its way."""
        part = self.parts.get(label)
        return part is not None and part.state in COMING

    def enough(self, engines: int) -> bool:
        """Whether so many engines are registered; ClusterError if they are not, and no part is on its way."""
        ids = self.ids()
        if len(ids) >= engines:
            return True
        if self.phase in (Phase.STOPPING, Phase.ENDED):
            why = self._outcome.reason if self._outcome else ""
        elif self.coming() or self.phase is not Phase.RUNNING:
            return False
        else:
            why = self.problems[-1] if self.problems else "no others were started"
        raise ClusterError(f"{len(ids)} of {engines} engines are registered, and no others are on their way: {why}")

    # Orders.

    def begin(self) -> list[Instruction]:
        """Start the cluster."""
        self.phase = Phase.STARTING
        self._outcome = None
        self.parts = {
            label: Part(label, engines, Budget(self._intensity))
            for label, engines in {CONTROLLER: 0, **self._plan}.items()
        }
        # The agents first: they are to see whether the controller has done something since.
        early = [instruction for part in self._agents() for instruction in self._start(part)] if self._early else []
        return early + self._start(self.controller)

    def add(self, label: str, engines: int) -> list[Instruction]:
        """Start another agent; the label must be a new one."""
        assert label not in self.parts
        part = self.parts[label] = Part(label, engines, Budget(self._intensity))
        return self._start_when_possible(part)

    def stop(self, reason: str = "it was stopped", status: int = 0) -> list[Instruction]:
        """End the cluster: first the agents, so that their engines leave in good order, then the controller."""
        if self.phase in (Phase.STOPPING, Phase.ENDED):
            return []
        self.phase = Phase.STOPPING
        self._outcome = Over(status, reason)
        return self._stop_parts()

    def restart(self) -> list[Instruction]:
        """End all parts, and start the cluster as it was started first.  Only a cluster that runs."""
        assert self.phase is Phase.RUNNING
        self.phase = Phase.RESTARTING
        return self._stop_parts()

    # What happens.

    def controller_ready(self) -> list[Instruction]:
        """The controller has said that engines can connect."""
        if self.controller.state is not PartState.STARTING:
            return []
        self.controller.state = PartState.RUNNING
        self.controller.was_ready = True
        waiting = [part for part in self.parts.values() if part.state is PartState.WAITING]
        return [instruction for part in waiting for instruction in self._start(part)] + self._settle()

    def registered(self, label: str, ids: Iterable[int]) -> list[Instruction]:
        """An agent has said that its engines are registered, under these ids."""
        part = self.parts.get(label)
        if part is None or part.state not in (PartState.STARTING, PartState.RUNNING):
            return []
        part.ids = set(ids)
        part.state = PartState.RUNNING
        part.was_ready = True
        return self._settle()

    def engine_gone(self, label: str, engine: int | None) -> list[Instruction]:
        """An agent has said that one of its engines is gone for good; `engine` is None if it had no id yet."""
        part = self.parts.get(label)
        if part is not None and part.state is not PartState.STOPPING:
            part.engines = max(part.engines - 1, 0)
            if engine is not None:
                part.ids.discard(engine)
        return []

    def due(self, label: str, now: float) -> list[Instruction]:
        """The delay of `StartLater` is over."""
        part = self.parts.get(label)
        if part is None or part.state is not PartState.DELAYED:
            return []
        return self._start_when_possible(part)

    def ended(self, label: str, reason: str, succeeded: bool, now: float) -> list[Instruction]:
        """The process of a part has ended, or could not be started; `reason` completes "it has ended (...)"."""
        part = self.parts[label]
        stopping = part.state is PartState.STOPPING
        part.reason = reason
        part.ids = set()
        part.state = PartState.ENDED if succeeded or stopping else PartState.FAILED
        if not succeeded and not stopping:
            self.remember(f"{label} has ended ({reason})")
        if self.phase in (Phase.STOPPING, Phase.RESTARTING):
            return self._stop_parts()
        if part.label == CONTROLLER:
            return self._controller_ended(part, succeeded, now)
        return self._agent_ended(part, succeeded, now)

    def remember(self, problem: str) -> None:
        """Note a problem."""
        self.problems = [*self.problems[1 - MAX_PROBLEMS :], problem]

    # What follows from it.

    def _controller_ended(self, part: Part, succeeded: bool, now: float) -> list[Instruction]:
        if succeeded:
            # It was told to by a client, or by somebody who knows its process id.
            text = "the controller was stopped, and so is the cluster"
            return [Tell(f"ipcluster: {text}"), *self.stop(text)]
        if not part.was_ready:
            return self.stop(_did_not_come_up(part), 1)
        again = self._start_again(part, now)
        if again is None:
            return self.stop(self._too_often(part), 1)
        return again

    def _agent_ended(self, part: Part, succeeded: bool, now: float) -> list[Instruction]:
        if succeeded:
            # Its engines were killed. A client that does so may be about to end the controller, or to start others.
            del self.parts[part.label]
            return self._settle() + self._without_engines()
        if not part.was_ready:
            if self.phase is Phase.STARTING:
                return self.stop(_did_not_come_up(part), 1)
            del self.parts[part.label]
            return [Tell(f"ipcluster: {_did_not_come_up(part)}")]
        again = self._start_again(part, now) if part.engines else None
        if again is not None:
            return again
        text = self._too_often(part) if part.engines else f"{part.label} has no engines left ({part.reason})"
        if any(other.state is not PartState.FAILED for other in self._agents()):
            return [Tell(f"ipcluster: {text}"), *self._settle()]
        return self.stop(text, 1)

    def _too_often(self, part: Part) -> str:
        text = f"{part.label} is given up ({part.reason}): it was started again {self._intensity}"
        self.remember(text)
        return text

    def _agents(self) -> list[Part]:
        return [part for part in self.parts.values() if part.label != CONTROLLER]

    def _without_engines(self) -> list[Instruction]:
        if self._agents():
            return []
        return [Tell("ipcluster: all of its engines were killed; the controller goes on. Ctrl-C stops it.")]

    def _start_again(self, part: Part, now: float) -> list[Instruction] | None:
        delay = part.budget.spend(now)
        if delay is None:
            return None
        part.state = PartState.DELAYED
        part.restarts += 1
        text = f"ipcluster: {part.label} has ended ({part.reason}); starting it again"
        return [Tell(text), StartLater(part.label, delay)]

    def _start_when_possible(self, part: Part) -> list[Instruction]:
        # An agent that is started without a controller would wait for it too, but not for as long as it may take.
        if part.label != CONTROLLER and self.controller.state is not PartState.RUNNING:
            part.state = PartState.WAITING
            return []
        return self._start(part)

    def _start(self, part: Part) -> list[Instruction]:
        part.state = PartState.STARTING
        return [Start(part.label, part.engines)]

    def _settle(self) -> list[Instruction]:
        if self.phase is not Phase.STARTING or self.coming():
            return []
        self.phase = Phase.RUNNING
        return [Settled()]

    def _stop_parts(self) -> list[Instruction]:
        """Go on with ending all parts."""
        for part in self.parts.values():
            if part.state not in PROCESSES:
                part.state = PartState.ENDED
        agents = [part for part in self._agents() if part.state in PROCESSES]
        left = agents or [part for part in self.parts.values() if part.state in PROCESSES]
        if left:
            stopped = [part for part in left if part.state is not PartState.STOPPING]
            for part in stopped:
                part.state = PartState.STOPPING
            return [Stop(part.label) for part in stopped]
        if self.phase is Phase.RESTARTING:
            return self.begin()
        self.phase = Phase.ENDED
        assert self._outcome is not None
        return [self._outcome]


def _did_not_come_up(part: Part) -> str:
    return f"{part.label} did not come up: {part.reason}"
