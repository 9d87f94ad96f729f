"""What a cluster consists of, and the instructions for those who start and end the parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ipython1.daemon.intensity import Budget

CONTROLLER = "ipcontroller"
"""The label of the controller."""


class Phase(Enum):
    """How far the cluster is."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"  # all parts are being stopped, to be started again
    STOPPING = "stopping"
    ENDED = "ended"


class PartState(Enum):
    """How far a part is."""

    WAITING = "waiting"  # an agent, for the controller to be there
    STARTING = "starting"
    RUNNING = "running"
    DELAYED = "delayed"  # it has ended, and is about to be started again
    STOPPING = "stopping"
    ENDED = "ended"
    FAILED = "failed"  # and is not started again


COMING = (PartState.WAITING, PartState.STARTING, PartState.DELAYED)
"""A part that is on its way."""
PROCESSES = (PartState.STARTING, PartState.RUNNING, PartState.STOPPING)
"""A part that has a process."""


@dataclass(frozen=True)
class Start:
    """Start that part; an agent with so many engines."""

    label: str
    engines: int


@dataclass(frozen=True)
class StartLater:
    """Call `Supervisor.due` after so many seconds."""

    label: str
    delay: float


@dataclass(frozen=True)
class Stop:
    """End that part in good order; `Supervisor.ended` is to be called then, as always."""

    label: str


@dataclass(frozen=True)
class Tell:
    """Say this to the person who started the cluster, and in the log."""

    text: str


@dataclass(frozen=True)
class Settled:
    """The cluster is ready to be used, with the engines that it was to have."""


@dataclass(frozen=True)
class Over:
    """Nothing runs any more; 0 is the exit status of a cluster that was to end, else `reason` says why it did."""

    status: int
    reason: str


Instruction = Start | StartLater | Stop | Tell | Settled | Over


@dataclass
class Part:
    """A part of the cluster: its state, the ids of its engines, and how it ended the last time."""

    label: str
    engines: int
    budget: Budget
    state: PartState = PartState.WAITING
    ids: set[int] = field(default_factory=set)
    restarts: int = 0
    reason: str | None = None
    was_ready: bool = False
