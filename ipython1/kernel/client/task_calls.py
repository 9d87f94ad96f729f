"""The calls of a client of the Task interface: to submit a task does not wait, and its outcome comes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ipython1.kernel.client.calls import Calls
from ipython1.kernel.client.pending import PendingResult
from ipython1.kernel.client.reactor import ReactorThread
from ipython1.kernel.client.worker import results_worker
from ipython1.kernel.client_session import Connection
from ipython1.kernel.derive import VerbCall
from ipython1.kernel.error import ClientError
from ipython1.kernel.request import Answer, Request
from ipython1.kernel.result_id import new_result_id
from ipython1.kernel.task_session import TaskConnection, TaskSession
from ipython1.kernel.task_submission import Submit
from ipython1.kernel.taskclient import outcome, outcome_request, watched


class TaskCalls(Calls):
    """The calls of one client."""

    def __init__(self, reactor: ReactorThread, connection: Connection) -> None:
        super().__init__(reactor, connection)
        # Those whose outcomes are to come by themselves.
        self._coming: set[PendingResult] = set()
        reactor.tell_of_the_end(self)

    def submit_task(self, request: Submit, client: Any) -> PendingResult:
        """Submit a task now; its outcome comes later."""
        problem = self._foreign([request])
        if problem is not None:
            raise problem
        self.reactor.check_can_wait("submit")
        session = self._session
        if session is None or session.number([request]) is None:
            # It has to wait, which the verb does.
            pending = self.submit(VerbCall(watched(request), False, "submit"), client)
            pending.taskid = request.task
            return pending
        assert request.task is not None
        pending = PendingResult(client, new_result_id(), f"submit({request.task})")
        pending.taskid = request.task
        self._coming.add(pending)
        session.submit_numbered([request], self.reactor.call_soon, partial(self._came, pending))
        if self.reactor.over:
            # It stopped meanwhile: what was handed over now is perhaps never looked at.
            self.reactor_stopped(self.reactor.over)
        return pending

    def _came(self, pending: PendingResult, answer: Answer | Exception) -> None:
        """The outcome is there; what came is unpickled in the results' thread."""
        if isinstance(answer, Answer):
            pending._came(answer)
        results_worker.call(self._resolve, pending, answer)

    def _resolve(self, pending: PendingResult, answer: Answer | Exception) -> None:
        assert pending.taskid is not None
        try:
            if isinstance(answer, Exception):
                raise answer
            value = outcome(outcome_request(pending.taskid, "submit"), answer)
        except BaseException as raised:  # code of users; it must reach whoever waits, and the thread go on
            pending._settle(error=raised)
        else:
            pending._settle(value)
        self._coming.discard(pending)

    def reactor_stopped(self, reason: str) -> None:
        """See `ReactorThread.tell_of_the_end`: who waits must not wait for ever."""
        for pending in list(self._coming):
            pending._settle(error=ClientError(reason))

    def _foreign(self, requests: Sequence[Request]) -> ValueError | None:
        """What is wrong with the pending results among the arguments of tasks; None if nothing is."""
        for request in requests:
            for owner in request.owners if isinstance(request, Submit) else ():
                if owner._calls.connection is not self.connection:
                    return ValueError(
                        "a pending result of another client was given: if it is of the same controller, give"
                        " ResultOf(pending.taskid) in its place"
                    )
        return None

    def _waited_for(
        self, requests: list[Request], name: str, stopping: bool = False
    ) -> tuple[list[Answer] | BaseException, bool]:
        problem = self._foreign(requests)
        return (problem, False) if problem is not None else super()._waited_for(requests, name, stopping)

    @property
    def _session(self) -> TaskSession | None:
        return self.connection.task_session if isinstance(self.connection, TaskConnection) else None

    def _answers_at_once(self, requests: list[Request]) -> list[Answer] | None:
        session = self._session if requests and isinstance(requests[0], Submit) else None
        submissions = None if session is None else session.number(requests)
        if session is None or submissions is None:
            return None
        return session.submit_numbered(submissions, self.reactor.call_soon)
