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
from ipython1.kernel.config.settings import CONFIRM_TIMEOUT, CONNECT_TIMEOUT
from ipython1.kernel.error import ConnectionError, KernelError, TaskQueueFull
from ipython1.kernel.framing import Message, unpack
from ipython1.kernel.request import Answer, Request
from ipython1.kernel.shared import Recent
from ipython1.kernel.task_submission import Group, SharedFunction, Submit
from ipython1.kernel.unanswered import Call

LEASE = 1000
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
class Pace(Request):
    """Answered here, when no more than `limit` of the tasks of `group` are left.

    Its result is whether all of the tasks `first` have ended, which are those that are next to be asked for.
    """

    group: Group = field(default_factory=lambda: Group(0))
    limit: int = 0
    first: Sequence[int] = ()


class _Outcome:
    """The outcome of something that one may wait for."""

    def __init__(self, group: Group | None = None, items: int = 1) -> None:
        self.group = group
        self.items = items
        self.outcome: Answer | Exception | None = None
        self.told = False
        """Whether the caller itself will be told what came of it."""
        self._waiting: list[Deferred[Answer]] = []

    def settle(self, outcome: Answer | Exception) -> bool:
        """It is there; tells whether somebody waited."""
        self.outcome = outcome
        if self.group is not None:
            self.group.ended(self.items)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            _fire(waiter, outcome)
        return bool(waiting)

    def wait(self) -> Deferred[Answer]:
        """Fires when it is there."""
        waiter: Deferred[Answer] = Deferred()
        if self.outcome is None:
            self._waiting.append(waiter)
        else:
            _fire(waiter, self.outcome)
        return waiter


def _fire(waiter: Deferred[Answer], outcome: Answer | Exception) -> None:
    if isinstance(outcome, Answer):
        waiter.callback(outcome)
    else:
        waiter.errback(Failure(outcome))


def _answer(result: Any) -> Answer:
    return Answer([], Message("reply", {"ok": True, "index": None, "of": 0, "result": result}))


class TaskSession(ClientSession):
    """Numbers tasks, knows which are not confirmed, and keeps the outcomes that somebody waits for.

    Who leaves waits `leave_within` seconds at most for confirmations.
    """

    def __init__(self, leave_within: float = CONFIRM_TIMEOUT.default) -> None:
        super().__init__()
        self.leave_within = leave_within
        self._lease: deque[int] = deque()
        self._leasing: _Outcome | None = None
        self._given: list[range] = []
        # Submissions that wait for an id.
        self._outgoing: deque[tuple[Submit, Deferred[Answer]]] = deque()
        # Those that other threads have given an id, and whether the reactor has been told of them.
        self._numbered: deque[tuple[int, Submit]] = deque()
        self._told = False
        self._unconfirmed: dict[int, _Outcome] = {}
        self._refusals: dict[int, Answer | Exception] = {}
        self._untold: list[int] = []
        self._watched: dict[int, _Outcome] = {}
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
        return len(self._unconfirmed) + len(self._outgoing) + len(self._untold)

    def call(self, request: Request, hold: str | None = None) -> Deferred[Answer]:
        """See `ClientSession.call`.  A `Submit` is answered with the task's id, before it is confirmed."""
        if isinstance(request, Submit):
            return self._submit(request)
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
        return super().call(request, hold)

    async def _call_with_all(self, request: Request) -> Answer:
        """Send a command when all that was submitted until now is confirmed."""
        until_now = [submission.wait() for submission in self._unconfirmed.values()]
        await DeferredList(until_now, consumeErrors=True)
        if not self.alive:
            raise ConnectionError(f"the connection was lost before {request.name} was sent")
        return await super().call(request)

    async def _call_later(self, request: Request, late: list[_Outcome]) -> Answer:
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
        refused = _Outcome()
        refused.settle(self._refusals[number])
        return refused.wait()

    # -- submitting --------------------------------------------------------------------------------------

    def _submit(self, request: Submit) -> Deferred[Answer]:
        # The call returns before it is sent: what is the caller's own memory may change until then.
        request.own_memory()
        answered: Deferred[Answer] = Deferred()
        self._outgoing.append((request, answered))
        self._send_waiting()
        return answered

    def submit_now(self, requests: Sequence[Request], call_soon: Callable[..., None]) -> list[Answer] | None:
        """The answers to submissions, for a thread that is not the reactor's, at once; None if it has to wait.

        They are sent by `call_soon`.  To wait for the reactor for each of them would cost more than all the rest.
        """
        if not self.alive or self._full or len(self._unconfirmed) > UNCONFIRMED:
            return None
        submissions = [
            request
            for request in requests
            if isinstance(request, Submit) and not request.confirm and not request.depends_on()
        ]
        if len(submissions) < len(requests) or len(self._lease) < len(requests):
            return None
        numbers = [number for _ in submissions if (number := self._take_id()) is not None]
        if len(numbers) < len(submissions):  # Other threads were faster; a few ids are lost.
            return None
        for number, request in zip(numbers, submissions):
            request.args["task"] = number
            request.own_memory()
            self._numbered.append((number, request))
        if not self._told:
            # Once for many: to wake the reactor costs more than to number a task.
            self._told = True
            call_soon(self._send_numbered)
        return [_answer(number) for number in numbers]

    def _send_numbered(self) -> None:
        # Before they are taken: what comes now is among them, or makes this be called again.
        self._told = False
        while self._numbered:
            self._send(*self._numbered.popleft(), None)

    def _take_id(self) -> int | None:
        """The next id of the lease; None if there is none.  Threads may do so at the same time."""
        try:
            return self._lease.popleft()
        except IndexError:
            return None

    def _send_waiting(self) -> None:
        while self._outgoing and (number := self._take_id()) is not None:
            self._send(number, *self._outgoing.popleft())
        if self._outgoing and self._leasing is None:
            self._leasing = _Outcome()
            super().call(Request("lease_tasks", {"count": LEASE})).addBoth(self._leased, self._leasing)

    def _leased(self, outcome: Answer | Failure, leasing: _Outcome) -> None:
        self._leasing = None
        result = _exception(outcome) if isinstance(outcome, Failure) else outcome
        if _is_refusal(result):
            outgoing, self._outgoing = self._outgoing, deque()
            for _, answered in outgoing:
                _fire(answered, result)
        else:
            first, count = result.whole.fields["result"]  # type: ignore[union-attr]
            if self._given and self._given[-1].stop == first:
                self._given.append(range(self._given.pop().start, first + count))
            else:
                self._given.append(range(first, first + count))
            self._lease.extend(range(first, first + count))
            self._send_waiting()
        leasing.settle(result)

    def _send(self, number: int, request: Submit, answered: Deferred[Answer] | None) -> None:
        foreign = [each for each in request.depends_on() if not self._is_known(each)]
        request.args["task"] = number
        for function in request.functions:
            self._send_function(function)
        submission = self._unconfirmed[number] = _Outcome()
        if request.watch:
            self._watched[number] = _Outcome(request.group, request.items)
        if request.group is not None:
            request.group.begun()
        if self.alive:
            super().call(request).addBoth(self._confirmed, number)
        else:
            self._confirmed(
                Failure(ConnectionError("the connection was lost before the task was sent")), number
            )
        if answered is None:
            return
        if (
            request.confirm
            or foreign
            or self._full
            or submission.outcome is not None
            or len(self._unconfirmed) > UNCONFIRMED
        ):
            # Whether there are these tasks, and room, only the controller knows; and it must keep up with us.
            submission.told = True
            submission.wait().addCallback(_numbered, number).chainDeferred(answered)
        else:
            answered.callback(_answer(number))

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

    def _confirmed(self, outcome: Answer | Failure, number: int) -> None:
        """The controller said whether it has the task; or it never will."""
        submission = self._unconfirmed.pop(number)
        result = _exception(outcome) if isinstance(outcome, Failure) else outcome
        self._full = _is_refusal(result) and _is_full(result)
        if _is_refusal(result):
            self._refusals[number] = result
            if number not in self._watched and not submission.told:
                self._untold.append(number)
            while len(self._refusals) > REFUSED:
                del self._refusals[next(iter(self._refusals))]
            self._settle_watched(number, result)
            if submission.told:
                self._watched.pop(number, None)  # Nobody will ask.
        submission.settle(result)

    def all_confirmed(self) -> Deferred[Answer]:
        """Fires when nothing is left to be confirmed; see `Confirm`."""
        waiting = [submission.wait() for submission in self._unconfirmed.values()]
        if self._leasing is not None:
            waiting.append(self._leasing.wait())
        if not waiting:
            refused, self._untold = self._untold, []
            return succeed(_answer(refused))
        return Deferred.fromCoroutine(self._confirm_again(waiting))

    async def _confirm_again(self, waiting: list[Deferred[Answer]]) -> Answer:
        await DeferredList(waiting, consumeErrors=True)
        return await self.all_confirmed()

    # -- outcomes ----------------------------------------------------------------------------------------

    def message_received(self, message: Message) -> None:
        """See `ipython1.kernel.peer.Receiver`."""
        if message.kind != "task_done":
            super().message_received(message)
            return
        number = message.fields["task"]
        if number not in self._watched:
            return  # Nobody waits for it; large values are refused by not being collected.
        if message.streams():
            if self._reopening is not None:
                return  # It overtook the link itself; it will be asked for.
            assert self.link is not None
            collected = self.link.collect(message)
            collected.addCallbacks(self._done, self._broke, errbackArgs=(number,))
        else:
            self._done(message)

    def _broke(self, failure: Failure, number: int) -> None:
        if not self.comes_back:
            self._settle_watched(number, _exception(failure))

    def _done(self, message: Message) -> None:
        record = message.fields["record"]
        fields = {
            "ok": message.fields["ok"],
            "index": None,
            "of": 0,
            "engine": record.get("engine"),
            "result": record,
            "values": message.fields.get("values"),
            "output": message.fields.get("output"),
        }
        outcome = Answer([], Message("reply", fields, message.bodies))
        self._settle_watched(message.fields["task"], outcome)

    def _settle_watched(self, number: int, outcome: Answer | Exception) -> None:
        watched = self._watched.get(number)
        if watched is not None and watched.outcome is None and watched.settle(outcome):
            del self._watched[number]

    def _pace(self, request: Pace) -> Deferred[Answer]:
        paced: Deferred[Answer] = Deferred()

        def reached() -> None:
            watched = [self._watched[number] for number in request.first if number in self._watched]
            paced.callback(_answer(all(each.outcome is not None for each in watched)))

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
            if isinstance(call.request, Submit):
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
        if _is_refusal(answer):
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


def _is_refusal(outcome: Answer | Exception) -> bool:
    return isinstance(outcome, Exception) or outcome.whole is None or not outcome.whole.fields["ok"]


def _is_full(outcome: Answer | Exception) -> bool:
    if isinstance(outcome, Exception) or outcome.whole is None:
        return False
    document = unpack(outcome.whole.bodies[0])  # type: ignore[arg-type] # an error document; it has no streams
    return document.get("class") == TaskQueueFull.__name__


def _numbered(answer: Answer, number: int) -> Answer:
    """The answer to a submission: the controller's if it says no, else the task's id."""
    return answer if _is_refusal(answer) else _answer(number)


def _exception(failure: Failure) -> Exception:
    problem = failure.value
    return problem if isinstance(problem, Exception) else KernelError(str(problem))


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

    def submit_now(self, requests: Sequence[Request], call_soon: Callable[..., None]) -> list[Answer] | None:
        """See `TaskSession.submit_now`."""
        session = self._session
        return session.submit_now(requests, call_soon) if isinstance(session, TaskSession) else None

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
