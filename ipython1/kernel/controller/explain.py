"""Why a task does not run, in one sentence."""

from __future__ import annotations

from ipython1.kernel.controller.scheduler import Scheduler
from ipython1.kernel.controller.task_state import Task
from ipython1.kernel.controller.task_values import Outcome, Place, State
from ipython1.kernel.controller.workers import Worker


def why(scheduler: Scheduler, task: Task, now: float) -> str:
    """What the task waits for, or what else is the matter with it."""
    if task.state is State.ENDED:
        return f"{task.name} has ended: {_end(task)}"
    if task.state is State.BLOCKED:
        return f"{task.name} waits for {_tasks(sorted(task.blockers or ()))}"
    attempt = task.attempt
    if attempt is None:
        return f"{task.name} waits: {_waits(scheduler, task, now)}"
    if attempt.started is not None:
        return f"{task.name} runs on engine {task.engine}, for {now - attempt.started:.1f} s now"
    before = [
        other.task for other in attempt.worker.attempts if other is not attempt and other.started is not None
    ]
    behind = f", which runs {_tasks(before)}" if before else ""
    return f"{task.name} has been sent to engine {task.engine}{behind}"


def _end(task: Task) -> str:
    where = "" if task.engine is None else f" on engine {task.engine}"
    if task.outcome is Outcome.ABORTED:
        return "it was aborted"
    why = "" if task.error is None else f" ({type(task.error).__name__}: {task.error})"
    return f"it {'succeeded' if task.outcome is Outcome.SUCCEEDED else 'failed'}{where}{why}"


def _tasks(ids: list[int]) -> str:
    if len(ids) == 1:
        return f"task {ids[0]}"
    shown = [str(task) for task in ids[:10]]
    if len(ids) > 10:
        return f"tasks {', '.join(shown)} and {len(ids) - 10} more"
    return f"tasks {', '.join(shown[:-1])} and {shown[-1]}"


def _waits(scheduler: Scheduler, task: Task, now: float) -> str:
    if not scheduler.workers:
        return "no engines are registered"
    workers = [scheduler.workers[engine] for engine in sorted(scheduler.workers)]
    reasons = [(worker, _obstacle(worker, task.place)) for worker in workers]
    if all(reason is not None for _, reason in reasons):
        told = "; ".join(f"engine {worker.engine} {reason}" for worker, reason in reasons[:20])
        more = f"; and {len(reasons) - 20} more engines" if len(reasons) > 20 else ""
        return f"no engine is fit for it: {told}{more}"
    fit = [worker for worker, reason in reasons if reason is None]
    if all(not worker.ready for worker in fit):
        return f"{_engines(fit)} has no interpreter at the moment"
    asked = [worker for worker in fit if _is_asked(worker, task.place)]
    if asked and len(asked) == len(fit):
        return f"{_engines(asked)} has been asked whether its properties satisfy depend, and has not answered"
    assert task.ticket is not None
    # Those that wait for something else than these engines are not in its way.
    before = scheduler.waiting.before(
        task.ticket, lambda place: any(_obstacle(worker, place) is None for worker in fit)
    )
    if before:
        return f"{before} {'task is' if before == 1 else 'tasks are'} ahead of it"
    return f"{_engines(fit)} has other work"


def _engines(workers: list[Worker]) -> str:
    ids = [worker.engine for worker in workers]
    return f"engine {ids[0]}" if len(ids) == 1 else f"each of engines {', '.join(map(str, ids[:20]))}"


def _is_asked(worker: Worker, place: Place) -> bool:
    verdict = worker.verdicts.get(place.depend) if place.depend is not None else None
    return verdict is not None and verdict.fit is None


def _obstacle(worker: Worker, place: Place) -> str | None:
    """What keeps tasks of that place from the engine for good, as long as nothing changes there; None if nothing."""
    if place.targets is not None and worker.engine not in place.targets:
        return "is not among its targets"
    for name, wanted in place.resources:
        if not worker.offers(name, wanted):
            return f"has {name} = {worker.properties.get(name)!r:.50}, and {wanted:g} is asked for"
    verdict = worker.verdicts.get(place.depend) if place.depend is not None else None
    if verdict is not None and verdict.fit is False:
        return f"does not satisfy depend: {verdict.text}"
    if worker.mark in place.rejected:
        return "was rejected by it"
    return None
