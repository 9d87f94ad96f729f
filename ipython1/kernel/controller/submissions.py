"""Tasks on their way in: checked, stored, and only then taken.

Tasks that come in one message are stored together, and their client hears of all of them at once: those that were
refused are named, each with what was wrong with it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.calls import Call
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.resubmit import Content
from ipython1.kernel.controller.task_course import TaskCourse
from ipython1.kernel.controller.task_live import Accepted, LiveTask
from ipython1.kernel.controller.task_spec import Forms
from ipython1.kernel.controller.task_values import TaskSpec
from ipython1.kernel.error import KernelError, TaskQueueFull
from ipython1.kernel.failures import failure_bodies

MAX_TASKS = 1_000_000
"""So many tasks that have not ended are taken."""
MAX_BYTES = 4 << 30
"""What they are to be run with has so many bytes together."""
MAX_BACKLOG = 256 << 20
"""While so many bytes wait to be stored, no more tasks are taken."""

Refused = dict[int, Exception]
"""What is said of tasks that are not taken."""


class Submissions:
    """Takes tasks into a course; ids below `next_id` were given out for them.

    `storing` are those that came, and are not stored yet.
    """

    log = Logger()

    def __init__(self, course: TaskCourse) -> None:
        self.next_id = 0
        self.storing: dict[int, LiveTask] = {}
        self.forms = Forms()
        self.max_tasks = MAX_TASKS
        self.max_bytes = MAX_BYTES
        self._course = course
        self._journal = course.journal
        self._bytes = 0  # of those that are not stored

    def accept(self, client: ClientSession, task: int, content: Content) -> Accepted:
        """What is to become of a task that came; KernelError or LookupError if it cannot be taken."""
        form, headers, bodies = self.forms.get(content.form), content.headers, content.bodies
        form.check(headers, content.functions)
        spec = form.spec(task)
        self._check_dependencies(spec)
        functions = {name: content.functions[name] for name in form.functions}
        size = len(form.packed) + sum(map(len, bodies))
        live = LiveTask(client.key, spec.label, partial(form.work, headers, bodies, functions), size, time.time())
        self._check_room(task, live)
        self.storing[task] = live
        self._bytes += size
        return Accepted(spec, live, form, headers, bodies, functions)

    def keep(self, call: Call, accepted: Sequence[Accepted], refused: Refused) -> None:
        """Store tasks that came together, then take them, and tell the client."""
        if not accepted:
            _confirm(call, refused)
            return
        stored = self._journal.submitted(accepted, call.client.name)
        told = (call, accepted, refused)
        stored.addCallbacks(self._stored, self._not_stored, callbackArgs=told, errbackArgs=told)

    def _stored(self, _: None, call: Call, accepted: Sequence[Accepted], refused: Refused) -> None:
        for each in accepted:
            task = each.spec.id
            self._over(each)
            try:
                # One that was being stored, too, may have been refused.
                self._check_dependencies(each.spec)
            except LookupError as problem:
                self._journal.cleared([task])
                refused[task] = problem
            else:
                self._course.take(each.spec, each.live)
        _confirm(call, refused)

    def _not_stored(self, failure: Failure, call: Call, accepted: Sequence[Accepted], refused: Refused) -> None:
        problem = failure.value
        if not isinstance(problem, KernelError):
            self.log.failure("while storing tasks", failure)
            problem = KernelError("the task was not taken: it could not be stored")
        for each in accepted:
            self._over(each)
            refused[each.spec.id] = problem
        _confirm(call, refused)

    def _over(self, accepted: Accepted) -> None:
        """A task is stored, or never will be."""
        del self.storing[accepted.spec.id]
        self._bytes -= accepted.live.size

    def check_known(self, task: int, problem: str = "") -> None:
        """IndexError if there is no such task, saying which `problem` that is."""
        if task not in self._course.scheduler.tasks:
            raise self.unknown(task, problem)

    def unknown(self, task: int, problem: str = "") -> IndexError:
        """What is said of a task that is not known."""
        why = (
            "its result was cleared, or it was not submitted"
            if 0 <= task < self.next_id
            else "no task has that id"
        )
        return IndexError(f"task {task} is unknown: {why}{'; ' if problem else ''}{problem}")

    def _check_dependencies(self, spec: TaskSpec) -> None:
        for other in spec.dependencies:
            if other not in self.storing:
                does = "take its result" if other in spec.needs else "come after it"
                self.check_known(other, f"task {spec.id} cannot {does}")

    def _check_room(self, task: int, live: LiveTask) -> None:
        count = len(self._course.live) + len(self.storing)
        if self._journal.backlog > MAX_BACKLOG:
            raise TaskQueueFull(
                f"task {task} ({live.label}) was not taken: {self._journal.backlog >> 20} MB wait to be stored, as the"
                " disk of the controller is slow; wait for some tasks, or submit them by imap"
            )
        size = self._course.bytes + self._bytes
        if count < self.max_tasks and (not count or size + live.size <= self.max_bytes):
            return
        raise TaskQueueFull(
            f"task {task} ({live.label}) was not taken: {count} tasks with {size >> 20} MB have not"
            f" ended, and no more than {self.max_tasks} with {self.max_bytes >> 20} MB may be there; wait for some"
            " of them, or submit them by imap"
        )


def _confirm(call: Call, refused: Refused) -> None:
    """Tell a client that its tasks are here, but for those that were refused."""
    bodies = [body for problem in refused.values() for body in failure_bodies(problem)]
    call.repeat({"index": None, "of": 0, "ok": True, "result": list(refused)}, bodies)
