"""A cluster that is supervised: its parts are started by launchers, and started again when they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ipython1.daemon.intensity import Intensity
from ipython1.daemon.member import Member
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
from ipython1.kernel.controller.config import READY
from ipython1.kernel.engine.process import EXITED
from ipython1.kernel.engine.service import gone_engine, registered_ids
from ipython1.kernel.error import ClusterError, IPythonError
from ipython1.kernel.launch.launcher import IEarlyPlan
from ipython1.kernel.launch.values import Share

GRACE = 10.0
"""Seconds that a part has for ending when it is asked to."""
AGENT = "ipengine"


class ClusterService:
    """The parts of `plan`, an `IPlan`.

    `say` gets the lines for the person who started the cluster, and `settled` is called when it is ready.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        plan: Any,
        intensity: Intensity,
        say: Callable[[str], None],
        settled: Callable[[int], None],
    ) -> None:
        self.members: dict[str, Member] = {}
        """What runs, or ran last, for each part."""
        self.was_ready = False
        self._troubled: Member | None = None
        self._reactor = reactor
        self._plan = plan
        self._say = say
        self._settled = settled
        self._shares: dict[str, Share] = {}
        for share in plan.shares:
            self._label(share)
        self.supervisor = Supervisor(
            {label: share.engines for label, share in self._shares.items()},
            intensity,
            early=IEarlyPlan.providedBy(plan),
        )
        self._to_do: deque[Instruction] = deque()
        self._busy = False
        self._held_back: list[str] = []
        self._over: Deferred[Over] = Deferred()
        self._waiting: list[Deferred[None]] = []
        self.observers: list[Callable[[], None]] = []
        """Called when something may have changed."""

    async def run(self) -> Over:
        """Until the end."""
        engines = count(sum(share.engines for share in self._shares.values()))
        self.tell(f"Starting a controller and {engines} ...")
        self._carry_out(self.supervisor.begin())
        return await self._over

    def stop(self) -> None:
        """End the cluster: in order the first time, at once the second time."""
        if self.supervisor.phase is not Phase.STOPPING:
            self.tell("ipcluster: stopping")
            self._carry_out(self.supervisor.stop())
        else:
            for member in self.members.values():
                member.stop(0)

    def restart(self) -> None:
        """End all parts and start them again; ClusterError if the cluster is not running."""
        self._check_running()
        self.tell("ipcluster: starting again")
        self._carry_out(self.supervisor.restart())

    def add(self, engines: int, host: str | None) -> str:
        """Start another agent: its label.  ClusterError if the cluster is not running, or cannot have it there."""
        self._check_running()
        label = self._label(Share(self._plan.where(host), engines))
        self._carry_out(self.supervisor.add(label, engines))
        return label

    def _check_running(self) -> None:
        if self.supervisor.phase is not Phase.RUNNING:
            raise ClusterError(f"the cluster is {self.supervisor.phase.value}: try again when it runs")

    def last_words(self) -> str:
        """What the part that had trouble last has said, as further lines of a text about it."""
        return "".join(f"\n    {line}" for line in self._troubled.recent) if self._troubled else ""

    def _label(self, share: Share) -> str:
        name = f"{AGENT}@{share.host}" if share.host else AGENT
        number = 1
        label = name
        while label in self._shares:
            number += 1
            label = f"{name}-{number}"
        self._shares[label] = share
        return label

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds, or raise what it raises; it is looked at whenever something changes."""
        while not condition():
            change: Deferred[None] = Deferred()
            self._waiting.append(change)
            await change

    # What the members say.

    def member_said(self, label: str, line: str, shown: str) -> None:
        """See `member.Owner`."""
        self.log.info("{line}", line=shown)
        gone = gone_engine(line)
        ids = registered_ids(line)
        if label == CONTROLLER and self.supervisor.controller.state is PartState.STARTING:
            # What a controller says when it starts is for those who start the rest by hand.
            self._held_back.append(shown)
            if line == READY:
                self._held_back.clear()
                self._carry_out(self.supervisor.controller_ready())
            return
        self._say(shown)
        if gone is not None:
            self.supervisor.remember(shown)
            self._troubled = self.members[label]
            self._carry_out(self.supervisor.engine_gone(label, gone.id))
        elif ids is not None:
            self._carry_out(self.supervisor.registered(label, ids))

    def member_changed(self) -> None:
        """See `member.Owner`."""
        self._changed()

    def member_ended(self, label: str, reason: str, succeeded: bool) -> None:
        """See `member.Owner`."""
        self.log.info("{label} has ended ({reason})", label=label, reason=reason)
        if not succeeded:
            self._troubled = self.members.get(label)
        held_back, self._held_back = self._held_back, []
        why = self._message(label, reason)
        if label == CONTROLLER:
            for line in held_back[:-1] if why != reason else held_back:
                self._say(line)
        self._carry_out(self.supervisor.ended(label, why, succeeded, self._reactor.seconds()))

    def _message(self, label: str, reason: str) -> str:
        """Why a part has ended: what it has said, if it did not come up and has said why; else `reason`."""
        member = self.members.get(label)
        starting = self.supervisor.parts[label].state is PartState.STARTING
        if member is None or not starting or not reason.startswith(EXITED):
            return reason
        return member.message or self._engine_problem(member) or reason

    def _engine_problem(self, member: Member) -> str:
        """Why its last engine has gone, in one line: what the agent says of it, and the end of what the engine wrote."""
        gone = [line for line in member.recent if gone_engine(line) is not None]
        if not gone:
            return ""
        return gone[-1] if gone[-1] == member.recent[-1] else f"{gone[-1]} {member.recent[-1].strip()}"

    # What is to be done.

    def _carry_out(self, instructions: Sequence[Instruction]) -> None:
        """Do it, one after the other: what comes of one may be more to do, which is done after the others."""
        self._to_do.extend(instructions)
        if self._busy:
            return
        self._busy = True
        try:
            while self._to_do:
                self._do(self._to_do.popleft())
        finally:
            self._busy = False
        self._changed()

    def _do(self, instruction: Instruction) -> None:
        if isinstance(instruction, Start):
            self._start(instruction.label, instruction.engines)
        elif isinstance(instruction, StartLater):
            self._reactor.callLater(instruction.delay, self._due, instruction.label)
        elif isinstance(instruction, Stop):
            self.members[instruction.label].stop(GRACE)
        elif isinstance(instruction, Tell):
            self.tell(instruction.text)
        elif isinstance(instruction, Settled):
            self.was_ready = True
            self._settled(len(self.supervisor.ids()))
        else:
            self._over.callback(instruction)

    def _start(self, label: str, engines: int) -> None:
        try:
            if label == CONTROLLER:
                launch = self._plan.controller(label)
            else:
                ready = self.supervisor.controller.state is PartState.RUNNING
                agent = self._plan.agent if ready else self._plan.early_agent
                launch = agent(label, replace(self._shares[label], engines=engines))
            launcher = self._plan.launcher(self._reactor, launch)
        except IPythonError as problem:
            self.member_ended(label, str(problem), False)
            return
        self.members[label] = Member(label, launcher, self)
        self.members[label].start()

    def _due(self, label: str) -> None:
        self._carry_out(self.supervisor.due(label, self._reactor.seconds()))

    def tell(self, text: str) -> None:
        """Say it, and log it."""
        self.log.info("{text}", text=text)
        self._say(text)

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            # One whose asker has gone was cancelled.
            if not waiter.called:
                waiter.callback(None)
        for observer in self.observers:
            observer()


def count(engines: int) -> str:
    """So many engines, in words."""
    return "1 engine" if engines == 1 else f"{engines} engines"
