"""Carrying out verbs for threads of users: each request goes through the reactor, all else runs in their threads."""

from __future__ import annotations

import weakref
from typing import Any

from ipython1.kernel.client.pending import PendingResult
from ipython1.kernel.client.reactor import ReactorThread
from ipython1.kernel.client.worker import results_worker
from ipython1.kernel.client_session import Connection
from ipython1.kernel.derive import VerbCall
from ipython1.kernel.error import InvalidDeferredID, InvalidEngineID, KernelError, NoEnginesRegistered
from ipython1.kernel.request import Answer, Finished, Request, Steps, advance
from ipython1.kernel.result_id import new_result_id


class Calls:
    """The calls of one client; may be used from several threads."""

    def __init__(self, reactor: ReactorThread, connection: Connection) -> None:
        self.reactor = reactor
        self.connection = connection
        self._unfetched: weakref.WeakValueDictionary[str, PendingResult] = weakref.WeakValueDictionary()

    def run(self, call: VerbCall) -> Any:
        """Carry out a call, here and now; its value, or what it raises."""
        steps = self.connection.ways.carried(call.steps)
        try:
            requests = advance(steps, None)
            while True:
                requests = advance(steps, self._answers(requests, call.name))
        except Finished as end:
            return end.value
        except KernelError as problem:
            # What an engine or the controller said: our own frames below are of no interest to anybody. This is the
            # frame in which %debug starts, and its `e` is what one looks at there.
            e = problem.with_traceback(None)
            raise e from problem.__cause__

    def _answers(self, requests: list[Request], name: str) -> list[Answer] | Exception:
        self.reactor.check_can_wait(name)
        at_once = self._answers_at_once(requests)
        if at_once is not None:
            return at_once
        try:
            return self.reactor.wait(self.reactor.submit(self.connection.perform, requests), name)
        except Exception as problem:  # whatever it is, the verb may have something to say to it
            return problem

    def _answers_at_once(self, requests: list[Request]) -> list[Answer] | None:
        """Answers for which nobody has to be asked; None if there are none."""
        return None

    def submit(self, call: VerbCall, client: Any) -> PendingResult:
        """Submit a call now, so that it is in the queues when this returns; its outcome comes later.

        Errors of the arguments are raised here; what is wrong with the targets is known when the result is fetched.
        """
        pending = PendingResult(client, new_result_id(), f"{call.name}")
        self._unfetched[pending.result_id] = pending
        steps = self.connection.ways.carried(call.steps)
        try:
            requests = advance(steps, None)
            while all(request.quick for request in requests):
                requests = advance(steps, self._answers(requests, call.name))
            self._perform_later(steps, requests, pending)
        except Finished as end:
            pending._settle(end.value)
        except (InvalidEngineID, NoEnginesRegistered) as problem:
            pending._settle(error=problem)
        return pending

    def _perform_later(self, steps: Steps[Any], requests: list[Request], pending: PendingResult) -> None:
        for request in requests:
            request.own_memory()
        if len(requests) == 1:
            pending._name = requests[0].name

        def done(answers: Any, problem: BaseException | None) -> None:
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
        self._unfetched.pop(pending.result_id, None)

    def flush(self) -> None:
        """Forget the results that were not fetched."""
        for pending in list(self._unfetched.values()):
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
