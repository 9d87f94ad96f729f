"""What the scheduler knows of one task."""

from __future__ import annotations

from dataclasses import dataclass

from ipython1.kernel.controller.task_values import ANYWHERE, Outcome, Place, State, Step, TaskSpec
from ipython1.kernel.controller.waiting import Ticket
from ipython1.kernel.controller.workers import Attempt
from ipython1.kernel.error import IPythonError


@dataclass(eq=False, slots=True)
class Task:
    """What is known of one task: there are very many, most of which have ended, so little is made for each.

    `failures` are those of its present step, `attempts` all that were made.  `engine` is the latest it was sent to.
    `blockers` are the tasks that it waits for, `leaders` the engines of the tasks that it follows; None if there are none.
    `error` is why it failed, unless that is in the reply of an engine.
    """

    spec: TaskSpec
    state: State = State.NEW
    step: int = 0
    failures: int = 0
    attempts: int = 0
    position: int = 0
    engine: int | None = None
    place: Place = ANYWHERE
    ticket: Ticket | None = None
    attempt: Attempt | None = None
    blockers: set[int] | None = None
    leaders: set[int] | None = None
    outcome: Outcome | None = None
    error: IPythonError | None = None

    @property
    def now(self) -> Step:
        """The step that it is at."""
        return self.spec.steps[self.step]

    @property
    def name(self) -> str:
        """What texts call it."""
        return f"task {self.spec.id} ({self.spec.label})"
