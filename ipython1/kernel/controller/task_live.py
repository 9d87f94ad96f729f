"""A task that has not ended, as the Task interface keeps it: what engines are sent, and for whom it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipython1.kernel.controller.task_spec import Form, Function, Work
from ipython1.kernel.controller.task_store import TaskResult
from ipython1.kernel.controller.task_values import TaskSpec
from ipython1.kernel.framing import Bytes
from ipython1.kernel.messages import without_output


@dataclass(slots=True)
class Accepted:
    """A task that came and was found sound: its form, its own values and how they are described, the functions it names.

    It is `live` when it is stored.
    """

    spec: TaskSpec
    live: LiveTask
    form: Form
    headers: Sequence[Any]
    bodies: Sequence[Bytes]
    functions: Mapping[str, Function]


@dataclass
class LiveTask:
    """A task that has not ended; `client` is the session that submitted it.

    `size` are the bytes that came with it.  `load` has what engines are to be sent; it is called when that is needed, as
    for most of the tasks of an earlier controller that will be much later.
    """

    client: str
    label: str
    load: Callable[[], list[Work]]
    size: int
    submitted: float
    started: float | None = None
    step: int = 0
    attempts: int = 0
    # What it takes of other tasks; it stays here, also if the others are forgotten meanwhile.
    inputs: dict[int, TaskResult] = field(default_factory=dict)

    @functools.cached_property
    def work(self) -> list[Work]:
        """What engines are to be sent, for each step."""
        return self.load()

    def values(self, step: int, with_function: bool) -> tuple[dict[str, Any], list[Any], list[Bytes]]:
        """What an engine is sent: the arguments of ``task``, and its values.

        The values of other tasks come first, then the function if it is shared and the engine does not have it.
        """
        work = self.work[step]
        results: list[Any] = []
        headers: list[Any] = []
        bodies: list[Bytes] = []
        for task in work.needs:
            given = self.inputs[task]
            results.append([task, given.record["pull"] if given.record["kind"] == "string" else None])
            headers += given.fields.get("values") or []
            bodies += without_output(given.fields, given.bodies)
        args = {**work.args, "results": results}
        if work.function is not None:
            args["function"] = [work.function.digest, with_function]
            if with_function:
                headers += work.function.values.headers
                bodies += work.function.values.bodies
        return args, headers + work.values.headers, bodies + work.values.bodies
