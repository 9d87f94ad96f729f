"""What one run of the harness is to be, for all of its processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ipython1.kernel.tests.chaos.schedule import Shape

EXECUTIONS = "executions.jsonl"
"""What engines ran."""
FAULTS = "faults.jsonl"
"""What the harness did."""
LAST = "last.jsonl"
"""What a client that came after all others was told."""
CLIENTS = "client-*.jsonl"
"""What the clients did: ``client-NUMBER.INCARNATION.jsonl``."""
WATCH = "watch.jsonl"
"""How long the controller took to answer somebody to whom no faults happen."""
_PLAN = "plan.json"
_OVER = "over"


@dataclass(frozen=True)
class Plan:
    """The choices of one run.

    `folder` is where all of it takes place.  `seconds` is how long faults happen, `tasks` how many tasks are submitted in that
    time at most (0: as many as there is room for).  `gap` is the mean time between faults, `longest` how long one lasts.
    `grace` and `silence` are what the controller is told; an operation that takes longer than `deadline` hangs.
    `broken` is a fault that controller and agents are given.  `began` is when faults and load began.
    """

    folder: str
    seed: int
    seconds: float
    kinds: Sequence[str]
    agents: int = 2
    engines: int = 2
    clients: int = 4
    tasks: int = 0
    gap: float = 2.0
    longest: float = 6.0
    grace: float = 30.0
    silence: float = 3.0
    deadline: float = 180.0
    broken: str = ""
    began: float = 0.0

    @property
    def shape(self) -> Shape:
        """How much there is of what faults happen to."""
        return Shape(self.agents, self.engines, self.clients)

    def path(self, name: str) -> Path:
        """A file of the run."""
        return Path(self.folder, name)

    @property
    def is_over(self) -> bool:
        """Whether clients are to begin nothing more."""
        return self.path(_OVER).exists()

    def end(self) -> None:
        """Clients are to begin nothing more."""
        self.path(_OVER).touch()

    def save(self) -> None:
        """Write it where the processes of the run find it."""
        new = self.path(f"{_PLAN}.new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(self.path(_PLAN))

    @classmethod
    def load(cls, folder: str) -> Plan:
        """What `save` wrote."""
        return cls(**json.loads(Path(folder, _PLAN).read_text()))
