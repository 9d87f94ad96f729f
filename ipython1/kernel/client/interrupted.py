"""Ctrl-C while somebody waits: the engines are asked to stop, and what came of that is said.

The first one goes to the engines that are waited for, and what they say then is shown.  A second one only ends the
waiting.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, NoReturn, TypeVar

from ipython1.kernel.client import patient
from ipython1.kernel.derive import VerbCall
from ipython1.kernel.error import CallInterrupted, CompositeError, KernelError, StillRunning
from ipython1.kernel.request import Request
from ipython1.kernel.taskclient import abandon, aborted, not_aborted

if TYPE_CHECKING:
    from ipython1.kernel.client.calls import Calls
    from ipython1.kernel.client.pending import PendingResult

T = TypeVar("T")

SOON = 0.3
"""Seconds after which it is said what is waited for."""
NOTICE = "Interrupting the engines; Ctrl-C again does not wait for them."
"""What is said then."""
OUTCOME_WITHIN = 2.0
"""Seconds in which the outcome follows when the engines have said that they stopped."""


def stopped(calls: Calls, requests: Sequence[Request], outcome: Future[T]) -> T:
    """What comes of commands that are to stop, in `outcome`; StillRunning where that may take for ever."""
    running = [request for request in requests if request.runs]
    if not running:
        # The verb may have tasks to abort.
        name = requests[0].name if requests else "the call"
        raise CallInterrupted(f"{name} is not waited for any more", []) from None
    name = running[0].name
    try:
        engines = told(calls.reactor.submit(calls.connection.interrupt, requests))
    except (TimeoutError, KernelError) as problem:
        if outcome.done():  # the problem is what came of the commands
            return outcome.result(0)
        raise StillRunning(f"{name} is not waited for any more, and may go on: {problem}") from None
    except KeyboardInterrupt:
        raise StillRunning(f"{name} is not waited for any more, and may go on") from None
    if engines:
        raise StillRunning(_goes_on(name, engines), engines) from None
    return _outcome(outcome, name)


def _outcome(outcome: Future[T], name: str) -> T:
    """What came of commands that have stopped, if it follows soon."""
    try:
        return patient.outcome(outcome, OUTCOME_WITHIN)
    except (TimeoutError, KeyboardInterrupt):
        if outcome.done():  # it is what came of them
            raise
    raise CallInterrupted(f"{name} was interrupted; what came of it, which may be large, is not waited for", [])


def all_stopped(
    pending: Sequence[PendingResult], what: str, tasks: Mapping[Calls, Sequence[int]] | None = None
) -> NoReturn:
    """Raise what comes of several results, which are to stop together: commands are interrupted, tasks aborted.

    With `tasks`, these of clients are aborted, too.
    """
    waiting = [member for member in pending if not member.done()]
    commands = [member for member in waiting if member.taskid is None]
    for calls in {member.client._calls for member in commands}:
        requests = [request for member in commands if member.client._calls is calls for request in member._requests]
        outcome: Future[None] = patient.SafeFuture()
        outcome.set_result(None)
        stopped(calls, requests, outcome)
    numbers = {calls: list(of_client) for calls, of_client in (tasks or {}).items() if of_client}
    for member in waiting:
        if member.taskid is not None:
            numbers.setdefault(member.client._calls, []).append(member.taskid)
    count = sum(_aborted(calls, of_client, what) for calls, of_client in numbers.items())
    patient.settled(waiting, OUTCOME_WITHIN)
    problems = [member.exception(0) for member in waiting if member.done()]
    failures = [entry for problem in problems if isinstance(problem, CompositeError) for entry in problem.elist]
    raise CallInterrupted(aborted(what, count) if numbers else f"{what} was interrupted", failures) from None


def _aborted(calls: Calls, tasks: Sequence[int], what: str) -> int:
    """Have tasks aborted; how many there were that had not ended."""
    try:
        count: int = calls.run(VerbCall(abandon(tasks), True, what), stopping=True)
    except KeyboardInterrupt:
        raise not_aborted(what) from None
    return count


def told(answer: Future[T]) -> T:
    """What engines have said that were asked to stop, when they have said so."""
    try:
        return patient.outcome(answer, SOON)
    except TimeoutError:
        if answer.done():  # it is what came of it
            raise
    if sys.stderr is not None:
        print(NOTICE, file=sys.stderr, flush=True)
    return patient.outcome(answer)


def _goes_on(name: str, engines: list[int]) -> str:
    several = len(engines) > 1
    where = f"engines {', '.join(map(str, engines))}" if several else f"engine {engines[0]}"
    targets = engines if several else engines[0]
    return (
        f"{name} still runs on {where}: it is in code that cannot be interrupted, or that does not end when it is."
        f" mec.restart({targets}) ends it, with all that is defined there"
    )


def as_interrupted(problem: BaseException) -> BaseException:
    """What is raised where Ctrl-C was pressed, of a call that came to its end with `problem`."""
    if isinstance(problem, CompositeError):
        return CallInterrupted(problem.message, problem.elist, problem.results)
    return problem.with_traceback(None)
