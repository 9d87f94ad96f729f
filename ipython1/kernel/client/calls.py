"""Carrying out verbs for threads of users: each request goes through the reactor, all else runs in their threads."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ipython1.kernel.client.interrupted import as_interrupted, stopped, told
from ipython1.kernel.client.live import Feed, is_wanted, prints
from ipython1.kernel.client.patient import SafeFuture
from ipython1.kernel.client.pending import PendingResult
from ipython1.kernel.client.progress import Choice, Meter, Transferred, bar_after
from ipython1.kernel.client.reactor import ReactorThread
from ipython1.kernel.client.waiting import Wait
from ipython1.kernel.client.weakly import Weakly
from ipython1.kernel.client.worker import results_worker
from ipython1.kernel.client_session import Connection
from ipython1.kernel.derive import VerbCall
from ipython1.kernel.error import (
    CallInterrupted,
    InvalidDeferredID,
    InvalidEngineID,
    KernelError,
    NoEnginesRegistered,
)
from ipython1.kernel.framing import Traffic
from ipython1.kernel.live import Screen
from ipython1.kernel.replies import Replies
from ipython1.kernel.request import Answer, Finished, Request, Steps, advance
from ipython1.kernel.result_id import new_result_id
from ipython1.kernel.task_session import Pace

T = TypeVar("T")

TRANSFERS = ("push", "pull", "apply")
"""What brings large values to engines, and from them."""


class Calls:
    """The calls of one client; may be used from several threads."""

    def __init__(self, reactor: ReactorThread, connection: Connection) -> None:
        self.reactor = reactor
        self.connection = connection
        self.live: bool | None = None
        """Whether what engines print is shown to who waits; None: where somebody sees it."""
        self.progress: Choice = None
        """Whether there are bars of progress, or after how many seconds; see `ipython1.kernel.client.progress`."""
        self._unfetched: Weakly[PendingResult] = Weakly()

    def run(self, call: VerbCall, stopping: bool = False) -> Any:
        """Carry out a call, here and now; its value, or what it raises.

        Ctrl-C interrupts it on the engines, and raises what came of that (see `ipython1.kernel.client.interrupted`).
        With `stopping`, that is what it is about itself.
        """
        interrupted = False
        steps = self.connection.ways.carried(call.steps)
        try:
            requests = advance(steps, None)
            while True:
                answers, now = self._waited_for(requests, call.name, stopping or interrupted)
                interrupted = interrupted or now
                requests = advance(steps, answers)
                if now and not isinstance(answers, KeyboardInterrupt):
                    # There is more to it, which nobody wants any more.
                    requests = advance(steps, CallInterrupted(f"{call.name} did not come to its end", []))
        except Finished as end:
            if interrupted:
                raise CallInterrupted(f"{call.name} came to its end before it was interrupted", []) from None
            return end.value
        except KernelError as problem:
            # What an engine or the controller said: our own frames below are of no interest to anybody. This is the
            # frame in which %debug starts, and its `e` is what one looks at there.
            e = as_interrupted(problem) if interrupted else problem.with_traceback(None)
            raise e from problem.__cause__

    def _waited_for(
        self, requests: list[Request], name: str, stopping: bool = False
    ) -> tuple[list[Answer] | BaseException, bool]:
        """The answers, and whether somebody has pressed Ctrl-C meanwhile; a KeyboardInterrupt if there are none then."""
        self.reactor.check_can_wait(name)
        at_once = self._answers_at_once(requests)
        if at_once is not None:
            return at_once, False
        future: Future[list[Answer]] = SafeFuture()
        try:
            self.reactor.submit_into(future, self.connection.perform, self._followed(requests))
            return told(future) if stopping else self._wait(future, requests, name), False
        except KeyboardInterrupt:
            return self._stopped(requests, future), True
        except Exception as problem:  # whatever it is, the verb may have something to say to it
            return problem, False

    def _stopped(self, requests: list[Request], future: Future[list[Answer]]) -> list[Answer] | BaseException:
        try:
            return stopped(self, requests, future)
        except (Exception, KeyboardInterrupt) as problem:  # as above
            return problem

    def _followed(self, requests: list[Request]) -> list[Request]:
        """The same, whose replies are told as they come, if somebody is to see something of them."""
        live = is_wanted(self.live)
        counted = bar_after(self.progress) is not None
        for request in requests:
            if (live and prints(request)) or (counted and request.joined):
                request.replies = Replies()
            if counted and request.verb in TRANSFERS:
                request.traffic = Traffic()
        return requests

    def _wait(self, future: Future[T], requests: list[Request], name: str) -> T:
        """Wait for the outcome of requests, and show what they print."""
        followed = [request for request in requests if request.replies is not None]
        meter = self._meter(requests, name)
        feed = self._feed(followed or _listened_to(requests))
        if followed or feed is not None or meter is not None:
            self.reactor.check_can_wait(name)
            future.add_done_callback(partial(_told, requests))
            replies = [request.replies for request in followed if request.replies is not None]
            Wait([future], [] if feed is None else [feed], replies, meter).run()
            if feed is not None:
                screen = Screen(None if meter is None else meter.write)
                feed.finish(screen, all_of_it=False)
                screen.end_line()
                if not followed:
                    requests[0].group.listened = feed.listened
        return self.reactor.wait(future, name)

    def _feed(self, requests: list[Request]) -> Feed | None:
        """What these print, if somebody is to see that."""
        if not requests or not is_wanted(self.live):
            return None
        group = requests[0].group
        return Feed(self.reactor, self.connection, requests, None if group is None else group.listened)

    def _meter(self, requests: list[Request], name: str) -> Meter | None:
        """A bar: how many items of a map are done, or how many engines with their share; how much of large values is there."""
        group = next((request.group for request in requests if request.group is not None), None)
        if group is not None:
            if group.closing is None:
                meter = Meter(name, lambda: (group.done, group.total), self.progress, lasting=True)
                group.meter, group.closing = meter, meter.close
            return group.meter  # type: ignore[no-any-return]
        joined = [request.replies for request in requests if request.joined and request.replies is not None]
        if not joined:
            traffic = [request.traffic for request in requests if request.traffic is not None]
            return Meter(name, Transferred(traffic), self.progress, unit="B") if traffic else None
        return Meter(name, lambda: (sum(map(len, joined)), len(joined)), self.progress)

    def _answers_at_once(self, requests: list[Request]) -> list[Answer] | None:
        """Answers for which nobody has to be asked; None if there are none."""
        return None

    def submit(self, call: VerbCall, client: Any) -> PendingResult:
        """Submit a call now, so that it is in the queues when this returns; its outcome comes later.

        Errors of the arguments are raised here; what is wrong with the targets is known when the result is fetched.
        A KeyboardInterrupt meanwhile stops what was submitted.
        """
        pending = PendingResult(client, new_result_id(), f"{call.name}")
        pending._iterates = call.iterates
        self._unfetched[pending.result_id] = pending
        steps = self.connection.ways.carried(call.steps)
        try:
            requests = advance(steps, None)
            while all(request.quick for request in requests):
                requests = advance(steps, self._waited_for(requests, call.name)[0])
            self._perform_later(steps, requests, pending)
        except Finished as end:
            pending._settle(end.value)
        except (InvalidEngineID, NoEnginesRegistered) as problem:
            pending._settle(error=problem)
        except KeyboardInterrupt:
            # Nobody gets the result: what was submitted already is not to go on.
            self.abort(pending)
            raise
        return pending

    def _perform_later(self, steps: Steps[Any], requests: list[Request], pending: PendingResult) -> None:
        for request in requests:
            request.own_memory()
        if len(requests) == 1:
            pending._name = requests[0].name
        pending._asks(requests)

        def done(answers: Any, problem: BaseException | None) -> None:
            if problem is None:
                _tell(requests, answers)
            results_worker.call(self._resume, steps, answers if problem is None else problem, pending)

        self.reactor.begin(done, self.connection.perform, requests)

    def _resume(
        self, steps: Steps[Any], outcome: list[Answer] | BaseException, pending: PendingResult
    ) -> None:
        """Runs in the results' thread: what came is unpickled here."""
        try:
            self._perform_later(steps, advance(steps, outcome), pending)
        except Finished as end:
            pending._settle(end.value)
        except BaseException as raised:  # code of users; it must reach whoever waits, and the thread go on
            pending._settle(error=raised)

    def fetched(self, pending: PendingResult) -> None:
        """A result was fetched: its id means nothing any more."""
        self._unfetched.forget(pending.result_id)

    def abort(self, pending: PendingResult) -> None:
        """Have engines drop or stop what a result is to come of; does not wait for that."""
        if pending.taskid is None:
            self.reactor.submit(self.connection.interrupt, pending._requests)
        else:
            self.reactor.submit(self.connection.perform, [Request("abort_task", {"task": pending.taskid})])

    def flush(self) -> None:
        """Forget the results that were not fetched."""
        for pending in self._unfetched.all():
            pending._flush()
        self._unfetched.clear()

    def take(self, result_id: str, block: bool) -> Any:
        """The result of that id; KeyError if it is none of this client's."""
        pending = self._unfetched.get(result_id)
        if pending is None:
            raise KeyError(result_id)
        try:
            return pending._take(block)
        except InvalidDeferredID:
            raise KeyError(result_id) from None


def _listened_to(requests: list[Request]) -> list[Request]:
    """What is listened to while a map waits: the tasks that it asks for next, as if it did so now."""
    tasks = requests[0].first if requests and isinstance(requests[0], Pace) else ()
    listened = [Request("task_result", {"task": task, "block": True}, group=requests[0].group) for task in tasks]
    for request in listened:
        request.replies = Replies()
    return listened


def _told(requests: list[Request], done: Future[list[Answer]]) -> None:
    if done.exception() is None:
        _tell(requests, done.result())


def _tell(requests: list[Request], answers: list[Answer]) -> None:
    """Answers have come that were no replies to a command, as those to tasks: who wants to know is told."""
    for request, answer in zip(requests, answers):
        if request.replies is not None and answer.whole is not None and not len(request.replies):
            request.replies.add(answer.whole)
