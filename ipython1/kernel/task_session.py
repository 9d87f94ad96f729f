"""A client's end of a session with the Task interface.

Submitting does not wait: ids are leased from the controller in blocks, and each submission is answered here as soon as
it was sent.  The controller confirms it later; what was not confirmed is known, and can be waited for.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.python.failure import Failure

from ipython1.config.setting import Configuration
from ipython1.kernel.client_session import ClientSession, Connection, Dial, limited
from ipython1.kernel.coming import (
    Coming,
    Done,
    exception_of,
    fire,
    is_full,
    is_refusal,
    own_answer,
    refused_of,
)
from ipython1.kernel.config.settings import CONFIRM_TIMEOUT, CONNECT_TIMEOUT
from ipython1.kernel.error import ConnectionError
from ipython1.kernel.framing import Message
from ipython1.kernel.request import Answer, Request
from ipython1.kernel.shared import Recent
from ipython1.kernel.task_submission import Group, SharedFunction, Submit
from ipython1.kernel.together import Together, outcomes_in
from ipython1.kernel.unanswered import Call

LEASE = 2000
"""So many ids are leased at a time."""
UNCONFIRMED = 2000
"""While so many submissions are not confirmed, further ones wait."""
WATCHED = 1000
"""After so many tasks a controller that was started again is asked at a time."""
REFUSED = 1000
"""Of so many refused submissions it is remembered why."""

sessions: WeakSet[TaskSession] = WeakSet()
"""Those of this process; only to be touched in the reactor's thread."""


_REMADE = ("keep_function", "watch_tasks")
"""The commands that a session makes of its own accord, and makes anew for a controller that was started again."""


@dataclass
class Confirm(Request):
    """Answered here, when all that was submitted is confirmed: its result is the tasks that were refused since the
    last time."""


@dataclass
class Forget(Request):
    """The command to forget tasks of which nobody else knows; answered here, at once, with nothing."""


@dataclass
class SubmitTogether(Request):
    """The command that submits several tasks; the session sends the `functions` before it."""

    functions: Sequence[SharedFunction] = ()


@dataclass
class Pace(Request):
    """Answered here, when no more than `limit` of the tasks of `group` are left.

    Its result is whether all of the tasks `first` have ended, which are those that are next to be asked for.
    """

    group: Group = field(default_factory=lambda: Group(0))
    limit: int = 0
    first: Sequence[int] = ()


class TaskSession(ClientSession):
    """Numbers tasks, knows which are not confirmed, and keeps the outcomes that somebody waits for.

    Who leaves waits `leave_within` seconds at most for confirmations.
    """

    def __init__(self, leave_within: float = CONFIRM_TIMEOUT.default) -> None:
        super().__init__()
        self.leave_within = leave_within
        self._lease: deque[int] = deque()
        self._leasing: Coming | None = None
        self._given: list[range] = []
        # Submissions that wait for an id.
        self._outgoing: deque[tuple[Submit, Deferred[Answer]]] = deque()
        # Those that other threads have given an id, with who is to be told their outcome, and whether the reactor has
        # been told of them.
        self._numbered: deque[tuple[Submit, Done | None]] = deque()
        self._told = False
        # Those that leave together, when no more are there.
        self._leaving = Together()
        self._leaving_functions: dict[str, SharedFunction] = {}
        self._confirmation = Coming()
        # What has left and is not confirmed, by task: when it will be, which is the same for all of a message.
        self._unconfirmed: dict[int, Coming] = {}
        # Those of them whose callers themselves will be told what came of it.
        self._awaited: set[int] = set()
        self._refusals: dict[int, Answer | Exception] = {}
        self._untold: list[int] = []
        self._watched: dict[int, Coming] = {}
        # Those of them of which a controller that was started again has not been asked.
        self._asks: deque[int] = deque()
        # Whether the controller took no more tasks, the last time that it was asked to.
        self._full = False
        # The functions that the controller keeps for this session.
        self._functions: Recent[bool] = Recent()
        sessions.add(self)

    @property
    def lost(self) -> int:
        """How many submissions the controller has not confirmed, or has refused without anybody being told."""
        return len(self._unconfirmed) + len(self._outgoing) + len(self._numbered) + len(self._untold)

    def call(self, request: Request, hold: str | None = None) -> Deferred[Answer]:
        """See `ClientSession.call`.  A `Submit` is answered with the task's id, before it is confirmed."""
        if isinstance(request, Submit):
            (answered,) = self.call_all([request])
            return answered
        self._leave()
        if isinstance(request, Confirm):
            return self.all_confirmed()
        if isinstance(request, Pace):
            return self._pace(request)
        number = request.args.get("task")
        if request.verb == "task_result" and request.args["block"] and number in self._watched:
            return self._watch(request.args["task"])
        # The controller must know a task before it is asked for it.
        if request.verb == "task_history" and self._unconfirmed:
            return Deferred.fromCoroutine(self._call_with_all(request))
        named = [number, *(request.args.get("tasks") or ())]
        late = [self._unconfirmed[each] for each in named if each in self._unconfirmed]
        if late:
            return Deferred.fromCoroutine(self._call_later(request, late))
        if request.verb in ("task_result", "why") and number in self._refusals:
            return self._tell_refusal(request.args["task"])
        if request.verb == "clear_tasks":
            self._forget_given()
        called = super().call(request, hold)
        if isinstance(request, Forget):
            called.addErrback(lambda _: None)  # What nobody forgets now, the controller does when it has too much.
            return succeed(own_answer(None))
        return called

    def call_all(self, requests: Sequence[Request], hold: str | None = None) -> list[Deferred[Answer]]:
        """See `ClientSession.call_all`.  Tasks that are submitted by several leave together."""
        answers = []
        for request in requests:
            if isinstance(request, Submit):
                answers.append(self._submit(request))
            else:
                self._send_waiting()
                answers.append(self.call(request, hold))
        self._send_waiting()
        return answers

    async def _call_with_all(self, request: Request) -> Answer:
        """Send a command when all that was submitted until now is confirmed."""
        until_now = [confirmation.wait() for confirmation in set(self._unconfirmed.values())]
        await DeferredList(until_now, consumeErrors=True)
        if not self.alive:
            raise ConnectionError(f"the connection was lost before {request.name} was sent")
        return await super().call(request)

    async def _call_later(self, request: Request, late: list[Coming]) -> Answer:
        await DeferredList([submission.wait() for submission in late], consumeErrors=True)
        if not self.alive:
            raise ConnectionError(f"the connection was lost before {request.name} was sent")
        return await self.call(request)

    def _watch(self, number: int) -> Deferred[Answer]:
        """Fires with the outcome of a task that is watched; it is kept until it was asked for once."""
        watched = self._watched[number]
        if watched.outcome is not None:
            del self._watched[number]
        return watched.wait()

    def _tell_refusal(self, number: int) -> Deferred[Answer]:
        if number in self._untold:
            self._untold.remove(number)
        refused = Coming()
        refused.settle(self._refusals[number])
        return refused.wait()

    # -- submitting --------------------------------------------------------------------------------------

    def _submit(self, request: Submit) -> Deferred[Answer]:
        # The call returns before it is sent: what is the caller's own memory may change until then.
        request.own_memory()
        answered: Deferred[Answer] = Deferred()
        self._outgoing.append((request, answered))
        return answered

    def number(self, requests: Sequence[Request]) -> Sequence[Submit] | None:
        """The same submissions, which have ids now, for a thread that is not the reactor's; None if it has to wait.

        To wait for the reactor for each of them would cost more than all the rest.
        """
        if not self.alive or self._full or len(self._unconfirmed) > UNCONFIRMED or len(self._lease) < len(requests):
            return None
        submissions: list[Submit] = []
        for request in requests:
            if not isinstance(request, Submit) or request.confirm or request.depends_on:
                return None
            submissions.append(request)
        numbers = [number for _ in submissions if (number := self._take_id()) is not None]
        if len(numbers) < len(submissions):  # Other threads were faster; a few ids are lost.
            return None
        for number, request in zip(numbers, submissions):
            request.task = number
        return submissions

    def submit_numbered(
        self, submissions: Sequence[Submit], call_soon: Callable[..., None], done: Done | None = None
    ) -> list[Answer]:
        """Have the reactor send submissions that have ids, by `call_soon`; the answers to them.

        `done` is told their outcomes, in the reactor's thread.
        """
        for request in submissions:
            request.own_memory()
            self._numbered.append((request, done))
        if not self._told:
            # Once for many: to wake the reactor costs more than to number a task.
            self._told = True
            call_soon(self._send_numbered)
        return [own_answer(request.task) for request in submissions]

    def _send_numbered(self) -> None:
        # Before they are taken: what comes now is among them, or makes this be called again.
        self._told = False
        for _ in range(len(self._numbered)):
            request, done = self._numbered.popleft()
            self._add(request)
            if done is not None:
                assert request.task is not None
                self._watched[request.task].then(done)
        self._leave()
        if len(self._lease) < LEASE // 2:
            # So that others need not wait for ids.
            self._lease_more()

    def _take_id(self) -> int | None:
        """The next id of the lease; None if there is none.  Threads may do so at the same time."""
        try:
            return self._lease.popleft()
        except IndexError:
            return None

    def _send_waiting(self) -> None:
        """Send what waits, as far as there are ids."""
        answers = []
        while self._outgoing and (number := self._take_id()) is not None:
            request, answered = self._outgoing.popleft()
            request.task = number
            if self._must_wait(request):
                self._awaited.add(number)
                self._add(request).wait().addCallback(self._answer_to, number).chainDeferred(answered)
            else:
                self._add(request)
                answers.append((answered, number))
        self._leave()
        if self._outgoing:
            self._lease_more()
        for answered, number in answers:
            answered.callback(own_answer(number))

    def _must_wait(self, request: Submit) -> bool:
        """Whether there are the tasks that it depends on, and room, only the controller knows; or it must keep up with us."""
        if request.confirm or self._full or not self.alive or len(self._unconfirmed) >= UNCONFIRMED:
            return True
        return not all(map(self._is_known, request.depends_on))

    def _lease_more(self) -> None:
        if self._leasing is None:
            self._leasing = Coming()
            super().call(Request("lease_tasks", {"count": LEASE})).addBoth(self._leased, self._leasing)

    def _leased(self, outcome: Answer | Failure, leasing: Coming) -> None:
        self._leasing = None
        result = exception_of(outcome) if isinstance(outcome, Failure) else outcome
        if is_refusal(result):
            outgoing, self._outgoing = self._outgoing, deque()
            for _, answered in outgoing:
                fire(answered, result)
        else:
            first, count = result.whole.fields["result"]  # type: ignore[union-attr]
            if self._given and self._given[-1].stop == first:
                self._given.append(range(self._given.pop().start, first + count))
            else:
                self._given.append(range(first, first + count))
            self._lease.extend(range(first, first + count))
            self._send_waiting()
        leasing.settle(result)

    def _add(self, request: Submit) -> Coming:
        """A submission that has an id is to leave, with those that come next; its confirmation."""
        number, values = request.task, request.values or ()
        assert number is not None
        if request.watch:
            self._watched[number] = Coming(request.group, request.items)
        if request.group is not None:
            request.group.begun()
        if request.verb == "resubmit":
            self._leave()
            confirmation = self._confirmation
            self._depart(Request(request.verb, {**request.args, "task": number}, label=request.label), [number])
            return confirmation
        if not self._leaving.takes(request.form, values):
            self._leave()
        self._leaving.add(number, request.form, values)
        self._leaving_functions.update((function.digest, function) for function in request.functions)
        confirmation = self._unconfirmed[number] = self._confirmation
        return confirmation

    def _leave(self) -> None:
        """Send the submissions that are to leave."""
        leaving, functions = self._leaving, self._leaving_functions
        if leaving.tasks:
            self._leaving, self._leaving_functions = Together(), {}
            name = f"the submission of {len(leaving.tasks)} tasks"
            request = SubmitTogether("submit", leaving.args, bodies=leaving.bodies, label=name, functions=[*functions.values()])
            self._depart(request, leaving.tasks)

    def _depart(self, request: Request, tasks: list[int]) -> None:
        """Send the submission of these tasks."""
        confirmation, self._confirmation = self._confirmation, Coming()
        self._unconfirmed.update(dict.fromkeys(tasks, confirmation))
        if not self.alive:
            lost = Failure(ConnectionError("the connection was lost before the task was sent"))
            self._confirmed(lost, tasks, confirmation)
            return
        if isinstance(request, SubmitTogether):
            for function in request.functions:
                self._send_function(function)
        super().call(request).addBoth(self._confirmed, tasks, confirmation)

    def _send_function(self, function: SharedFunction) -> None:
        """Send a function that tasks name, unless the controller has it."""
        if self._reopening is None and self.alive and self._functions.get(function.digest) is None:
            gone = self._functions.add(function.digest, True, function.value.size)
            args = {"digest": function.digest, "drop": gone}
            # What goes wrong with it, the tasks that name it will tell.
            super().call(Request("keep_function", args, values=[function.value])).addBoth(lambda _: None)

    def _forget_given(self) -> None:
        """Tasks of this client are about to be cleared: which are left, only the controller knows from now on."""
        if not self._lease:
            self._given = []
            return
        first = self._lease[0]
        self._given = [range(max(first, block.start), block.stop) for block in self._given if block.stop > first]

    def _is_known(self, number: int) -> bool:
        """Whether this client was given that id for a task, and has cleared nothing since."""
        if number in self._lease:
            return False
        return any(number in block for block in self._given)

    def _confirmed(self, outcome: Answer | Failure, tasks: list[int], confirmation: Coming) -> None:
        """The controller said which of these tasks it has; or it never will."""
        refused = refused_of(exception_of(outcome) if isinstance(outcome, Failure) else outcome, tasks)
        self._full = any(map(is_full, refused.values()))
        for number in tasks:
            del self._unconfirmed[number]
        for number, why in refused.items():
            self._refuse(number, why)
        self._awaited.difference_update(tasks)
        confirmation.settle(own_answer(None))

    def _refuse(self, number: int, why: Answer | Exception) -> None:
        """The controller does not have that task."""
        told = number in self._awaited
        self._refusals[number] = why
        if number not in self._watched and not told:
            self._untold.append(number)
        while len(self._refusals) > REFUSED:
            del self._refusals[next(iter(self._refusals))]
        self._settle_watched(number, why)
        if told:
            self._watched.pop(number, None)  # Nobody will ask.

    def _answer_to(self, _: Answer, number: int) -> Answer:
        """The answer to a submission of which is known what came of it: what the controller said, or the task's id."""
        refused = self._refusals.get(number)
        if isinstance(refused, Exception):
            raise refused
        return refused or own_answer(number)

    def all_confirmed(self) -> Deferred[Answer]:
        """Fires when nothing is left to be confirmed; see `Confirm`."""
        waiting = [confirmation.wait() for confirmation in set(self._unconfirmed.values())]
        if self._leasing is not None:
            waiting.append(self._leasing.wait())
        if not waiting:
            refused, self._untold = self._untold, []
            return succeed(own_answer(refused))
        return Deferred.fromCoroutine(self._confirm_again(waiting))

    async def _confirm_again(self, waiting: list[Deferred[Answer]]) -> Answer:
        await DeferredList(waiting, consumeErrors=True)
        return await self.all_confirmed()

    # -- outcomes ----------------------------------------------------------------------------------------

    def message_received(self, message: Message) -> None:
        """See `ipython1.kernel.peer.Receiver`."""
        if message.kind != "tasks_done":
            super().message_received(message)
            return
        tasks = [fields["task"] for fields in message.fields["tasks"] if fields["task"] in self._watched]
        if not tasks:
            return  # Nobody waits for them; large values are refused by not being collected.
        if message.streams():
            if self._reopening is not None:
                return  # It overtook the link itself; it will be asked for.
            assert self.link is not None
            self.link.collect(message).addCallbacks(self._done, self._broke, errbackArgs=(tasks,))
        else:
            self._done(message)

    def _broke(self, failure: Failure, tasks: list[int]) -> None:
        if not self.comes_back:
            for number in tasks:
                self._settle_watched(number, exception_of(failure))

    def _done(self, message: Message) -> None:
        for said, bodies in outcomes_in(message):
            if said["task"] in self._watched:
                record = said["record"]
                fields = {
                    "ok": said["ok"],
                    "index": None,
                    "of": 0,
                    "engine": record.get("engine"),
                    "result": record,
                    "values": said.get("values"),
                    "output": said.get("output"),
                }
                self._settle_watched(said["task"], Answer([], Message("reply", fields, bodies)))

    def _settle_watched(self, number: int, outcome: Answer | Exception) -> None:
        watched = self._watched.get(number)
        if watched is not None and watched.outcome is None and watched.settle(outcome):
            del self._watched[number]

    def _pace(self, request: Pace) -> Deferred[Answer]:
        paced: Deferred[Answer] = Deferred()

        def reached() -> None:
            watched = [self._watched[number] for number in request.first if number in self._watched]
            paced.callback(own_answer(all(each.outcome is not None for each in watched)))

        request.group.when(request.limit, reached)
        return paced

    # -- the link ----------------------------------------------------------------------------------------

    def _send_again(self) -> None:
        # Under new numbers, as functions must come before the submissions that name them. What is submitted is known
        # by the task's id.
        self._functions = Recent()
        for call in self._calls.renumbered():
            if call.request.verb in _REMADE:
                continue
            if isinstance(call.request, SubmitTogether):
                for function in call.request.functions:
                    self._send_function(function)
            self._send_renumbered(call)
        # Of those that are not confirmed, the controller tells when they are submitted again.
        self._asks = deque(
            number
            for number, watched in self._watched.items()
            if watched.outcome is None and number not in self._unconfirmed
        )
        self._ask_next()

    def _send_renumbered(self, call: Call) -> None:
        self._number += 1
        self._calls.add(self._number, call)
        self._transmit(self._number, call)

    def _ask_next(self) -> None:
        """Have the controller watch the next tasks for us, and tell of those that have ended meanwhile."""
        asked = [self._asks.popleft() for _ in range(min(WATCHED, len(self._asks)))]
        if asked:
            # If this is not answered, all that is watched is asked for again, or lost.
            super().call(Request("watch_tasks", {"tasks": asked})).addCallbacks(
                self._watches, lambda _: None, callbackArgs=(asked,)
            )

    def _watches(self, answer: Answer, asked: list[int]) -> None:
        if is_refusal(answer):
            for number in asked:
                self._settle_watched(number, answer)
        else:
            for number in answer.whole.fields["result"]:  # type: ignore[union-attr]
                text = "the controller was restarted, and does not know the task: its result was cleared meanwhile"
                self._settle_watched(number, ConnectionError(f"task {number}: {text}"))
        self._ask_next()

    def _over(self, reason: str) -> None:
        super()._over(reason)
        lost = ConnectionError(f"{reason}, before the outcome of the task was known")
        for number in list(self._watched):
            self._settle_watched(number, lost)


class TaskConnection(Connection):
    """A client's way to the Task interface of its controller."""

    def __init__(
        self,
        furl_or_file: str | os.PathLike[str],
        reactor: Any,
        dial: Dial,
        *,
        timeout: float = CONNECT_TIMEOUT.default,
        leave_within: float = CONFIRM_TIMEOUT.default,
        name: str = "",
    ) -> None:
        new_session = partial(TaskSession, leave_within)
        super().__init__(furl_or_file, reactor, dial, "task", new_session, timeout, name)

    @property
    def task_session(self) -> TaskSession | None:
        """The session, if there is one."""
        return self._session if isinstance(self._session, TaskSession) else None

    def disconnect(self, reason: str) -> None:
        """End the session, if there is one, when all that was submitted is confirmed; or after its time for that."""
        session, self._session = self._session, None
        if isinstance(session, TaskSession) and session.alive:
            confirmed = limited(session.call(Confirm("spin")), session.leave_within, self._reactor, "leaving")
            confirmed.addBoth(lambda _: session.close(reason))


def task_connection(
    furl_or_file: str | os.PathLike[str], reactor: Any, dial: Dial, settings: Configuration, name: str = ""
) -> TaskConnection:
    """A way to the Task interface, as the configuration wants it."""
    timeout, leave_within = settings[CONNECT_TIMEOUT], settings[CONFIRM_TIMEOUT]
    return TaskConnection(furl_or_file, reactor, dial, timeout=timeout, leave_within=leave_within, name=name)
