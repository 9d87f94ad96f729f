"""A client's end of its session with the controller: commands out, replies matched to them."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.config.setting import Configuration
from ipython1.kernel.config.settings import CONNECT_TIMEOUT, SHARED_MEMORY, SHARED_MEMORY_FROM
from ipython1.kernel.error import CallTimeout, ConnectionError, KernelError, ProtocolError
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Message
from ipython1.kernel.furl import read_furl
from ipython1.kernel.hello import new_id
from ipython1.kernel.keeping import in_place
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.reopen import may_reopen, reopened
from ipython1.kernel.request import Answer, Request
from ipython1.kernel.session import MAX_KEPT, MAX_KEPT_BYTES
from ipython1.kernel.shared_memory.memory import open_bodies
from ipython1.kernel.shared_memory.pool import Pool
from ipython1.kernel.shared_memory.system import Unavailable
from ipython1.kernel.unanswered import Call, Unanswered
from ipython1.kernel.ways import Ways

STOPPED_WITHIN = 0.7
"""Seconds after Ctrl-C in which commands have to end, before it is said that they do not: a user is not to wait longer."""
TOLD_WITHIN = 5.0
"""So many seconds later the controller has to have said it."""


class ClientSession:
    """Numbers commands, and fires each one's Deferred when all its replies are there.

    It outlasts the controller, if that has a store: see `reopen`.
    """

    log = Logger()

    def __init__(self) -> None:
        self.id = new_id()
        self.link: Link | None = None
        self.alive = True
        self.away: str | None = None
        """Why there is no connection at the moment; None while there is one."""
        self.reopen: Callable[[Link], Coroutine[Any, Any, Link]] | None = None
        """Opens another link, for one that is over because the controller was started again."""
        self.hosts_changed: Callable[[], None] = lambda: None
        """Called when it is not known any more where the engines are."""
        self._reopening: Deferred[Link] | None = None
        self._bytes_waiting = 0
        self._number = 0
        self._calls = Unanswered()

    def call(self, request: Request, hold: str | None = None) -> Deferred[Answer]:
        """Send a command; fires with the answer, which may say that it failed.

        Fails with ConnectionError if the session ends before, ProtocolError if the command cannot be sent.
        """
        self._number += 1
        request.command = (self.id, self._number)
        call = Call(request, hold)
        self._calls.add(self._number, call)
        if self._reopening is None:
            self._transmit(self._number, call)
        else:
            self._wait_for_link(self._number, call)
        return call.done

    def call_all(self, requests: Sequence[Request], hold: str | None = None) -> list[Deferred[Answer]]:
        """Send commands, one after the other; see `call`."""
        return [self.call(request, hold) for request in requests]

    def _transmit(self, number: int, call: Call) -> None:
        assert self.link is not None
        request = call.request
        if call.sequence and request.traffic is not None:
            request.traffic.again()
        try:
            call.sequence = self.link.send(request.message((self.id, number), call.hold, again=call.sequence > 0))
        except ConnectionError as problem:
            self._end(number, ConnectionError(f"{request.name} cannot be sent: {problem}"))
        except (ProtocolError, TypeError, ValueError, OverflowError) as problem:
            # What cannot be encoded: this command's fault, not the session's.
            self._end(number, ProtocolError(f"{request.name} cannot be sent: {problem}"))

    def _wait_for_link(self, number: int, call: Call) -> None:
        """The call is to be sent when there is a controller again, if there is room for it."""
        self._bytes_waiting += call.request.size
        if len(self._calls) > MAX_KEPT or self._bytes_waiting > MAX_KEPT_BYTES:
            text = f"{self.away}, and {len(self._calls) - 1} commands wait for it already: no more are taken"
            self._end(number, ConnectionError(f"{call.request.name} cannot be sent: {text}"))

    def message_received(self, message: Message) -> None:
        """See `ipython1.kernel.peer.Receiver`."""
        if message.kind == "refused":
            self._refused(message)
        elif message.kind == "hosts_changed":
            self.hosts_changed()
        elif message.fields.get("memory") is not None:
            if self._reopening is None:  # else it is asked again, as below
                # What was printed may be large, too, and does not lie there.
                whole = self._collected(message) if message.streams() else succeed(message)
                # What has to be copied is copied in another thread, as that takes its time.
                taken = whole.addCallback(self._taken)
                taken.addCallbacks(self._replied, self._stream_broke, errbackArgs=(message,))
        elif message.streams():
            if self._reopening is not None:
                return  # It overtook the link itself, and will be sent again: what it answers is asked again.
            collected = self._collected(message)
            collected.addCallbacks(self._replied, self._stream_broke, errbackArgs=(message,))
        else:
            self._replied(message)

    def _collected(self, message: Message) -> Deferred[Message]:
        """Fires with a reply whose streams have come, or fails."""
        assert self.link is not None
        call = self._calls.get(message.fields["id"][1])
        message.traffic = None if call is None else call.request.traffic
        return self.link.collect(message)

    def _taken(self, message: Message) -> Deferred[Message]:
        """Fires with a reply whose values lie in memory of an agent, with them; the agent is told so."""
        take = maybeDeferred if message.fields["memory"].get("sealed") else deferToThread
        return take(_with_values, message).addCallback(self._tell_taken)

    def _tell_taken(self, message: Message) -> Message:
        if self.link is not None:
            index = message.fields.get("index") or 0
            self.link.send(Message("taken", {"id": message.fields["id"], "index": index}))
        return message

    def _refused(self, message: Message) -> None:
        command_id, text = message.fields.get("id"), message.fields["error"]
        self.log.warn("the controller refused a message: {text}", text=text)
        if command_id is not None:
            self._end(command_id[1], ProtocolError(f"the controller refused the command: {text}"))

    def _stream_broke(self, failure: Failure, message: Message) -> None:
        problem = failure.value
        if self.comes_back:
            return
        if isinstance(problem, KernelError):
            self._end(message.fields["id"][1], problem)
        else:
            self._end(message.fields["id"][1], ConnectionError(f"a large value did not arrive: {problem}"))

    def _replied(self, message: Message) -> None:
        session, number = message.fields["id"]
        call = self._calls.get(number)
        if session != self.id or call is None:
            return
        if call.request.replies is not None:
            call.request.replies.add(message)
        index, of = message.fields.get("index"), message.fields.get("of")
        if index is not None:
            call.replies[index] = message
        if index is None or (of is not None and len(call.replies) >= of):
            replies = [call.replies[place] for place in sorted(call.replies)]
            self._end(number, Answer(replies, message if index is None else None))

    def _end(self, number: int, result: Answer | Exception) -> None:
        call = self._calls.pop(number, result if isinstance(result, Answer) else None)
        if call is not None:
            call.request.over()
            if isinstance(result, Answer):
                call.done.callback(result)
            else:
                call.done.errback(Failure(result))

    # -- the link ----------------------------------------------------------------------------------------

    def opened(self, link: Link) -> None:
        """It has a link from now on."""
        self.link = link
        link.keep_in(in_place)
        self.hosts_changed()
        self._calls.durable = self.reopen is not None and bool(link.peer.get("house"))

    def link_away(self, reason: str) -> None:
        """See `ipython1.kernel.peer.Receiver`.  Calls that wait go on waiting, and new ones wait with them."""
        self.away = reason

    def link_back(self) -> None:
        """See `ipython1.kernel.peer.Receiver`."""
        self.away = None

    def link_lost(self, reason: str) -> None:
        """See `ipython1.kernel.peer.Receiver`."""
        if self._reopening is not None:
            return  # That was another link, which is looked at when it is ours.
        if self.comes_back:
            assert self.reopen is not None and self.link is not None
            self.away = reason
            self._bytes_waiting = 0
            self._reopening = Deferred.fromCoroutine(self.reopen(self.link))
            self._reopening.addCallbacks(self._reopened, self._not_reopened, errbackArgs=(reason,))
        else:
            self._over(reason)

    @property
    def comes_back(self) -> bool:
        """Whether the link is over, and there is to be another one for what it was to carry."""
        return self.alive and self.reopen is not None and self.link is not None and may_reopen(self.link)

    def _reopened(self, link: Link) -> None:
        self._reopening = None
        self.away = None
        self.opened(link)
        if link.ending is not None:
            self.link_lost("the connection was lost again")
        else:
            self._send_again()

    def _send_again(self) -> None:
        """Ask the controller, which is another one, what the last one has not answered."""
        for number, call in self._calls.to_send_again():
            self._transmit(number, call)

    def _not_reopened(self, failure: Failure, reason: str) -> None:
        if not self.alive:
            return
        if not failure.check(KernelError):
            self.log.failure("while a session was being opened again", failure)
        self._reopening = None
        self._over(f"{reason}; {failure.getErrorMessage()}")

    def _over(self, reason: str) -> None:
        """The session is over: calls that wait fail."""
        self.alive = False
        for number in self._calls.numbers():
            call = self._calls.get(number)
            if call is None:
                continue
            delivered = call.sequence > 0 and self.link is not None and self.link.acknowledged(call.sequence)
            known = (
                "it had reached the controller, and may have been carried out"
                if delivered
                else "it is not known to have reached the controller"
            )
            self._end(
                number, ConnectionError(f"{reason}, while {call.request.name} was not answered: {known}")
            )

    def close(self, reason: str) -> None:
        """End the session; calls that wait fail."""
        reopening, self._reopening = self._reopening, None
        if reopening is not None:
            self._over(reason)
            reopening.cancel()
        elif self.alive and self.link is not None:
            self.link.close(reason)


def _with_values(message: Message) -> Message:
    """A reply whose values lie in memory, with them; or one that says why they cannot be had."""
    fields = message.fields
    try:
        return Message("reply", fields, open_bodies(fields["memory"], message.bodies))
    except (Unavailable, ProtocolError) as problem:
        error = ConnectionError(f"a large value did not arrive from engine {fields.get('engine')}: {problem}")
    said = {name: fields.get(name) for name in ("id", "engine", "index", "of")}
    return Message("reply", {**said, "ok": False}, list(failure_bodies(error)))


class Dial(Protocol):
    """`ipython1.kernel.dial.dial`, or what stands for it in tests."""

    def __call__(
        self,
        furl: str,
        role: str,
        receiver: Receiver,
        *,
        reactor: IReactorTime,
        timeout: float,
        session: str,
        again: Callable[[], str],
        name: str,
    ) -> Awaitable[Link]: ...


class Connection:
    """A client's way to its controller: a session, opened when there is none.

    `furl_or_file` is read each time, as a controller that was started anew writes a new FURL.  `role` is the
    interface that it leads to, and `new_session` makes the sessions.  The controller has `timeout` seconds to answer.
    `name` is what the user calls its sessions.  To be used in the reactor's thread.
    """

    def __init__(
        self,
        furl_or_file: str | os.PathLike[str],
        reactor: Any,
        dial: Dial,
        role: str = "multiengine",
        new_session: Callable[[], ClientSession] = ClientSession,
        timeout: float = CONNECT_TIMEOUT.default,
        name: str = "",
        ways: Ways | None = None,
    ) -> None:
        self.ways = Ways() if ways is None else ways
        """How large values go."""
        self.furl_or_file = furl_or_file
        self.name = name
        self._role = role
        self._new_session = new_session
        self._reactor = reactor
        self._dial = dial
        self._timeout = timeout
        self._session: ClientSession | None = None
        self._waiting: list[Deferred[ClientSession]] = []
        self._over = ""

    @property
    def away(self) -> str | None:
        """Why calls wait for a connection, in words; None if they do not."""
        return None if self._session is None or not self._session.alive else self._session.away

    @property
    def waits_for(self) -> str:
        """What is to be added to the text of a call that was not done in time: '' if that was not for a connection."""
        return "" if self.away is None else f": {self.away}, and the controller is dialed again"

    @property
    def peer(self) -> Mapping[str, Any] | None:
        """What the controller said of itself; None while there is no session."""
        if self._session is None or not self._session.alive or self._session.link is None:
            return None
        return self._session.link.peer

    async def connect(self) -> ClientSession:
        """The session, which is opened if there is none.

        Raises what `ipython1.kernel.furl.read_furl` and `ipython1.kernel.dial.dial` raise, ConnectionError after `end`.
        """
        if self._session is not None and self._session.alive:
            return self._session
        if self._over:
            raise ConnectionError(self._over)
        # One dials, and all that come meanwhile wait with it, so that their commands keep their order.
        waiter: Deferred[ClientSession] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._open()).addBoth(self._opened)
        return await waiter

    async def _open(self) -> ClientSession:
        furl = self._furl()
        session = self._new_session()
        session.reopen = partial(self._reopen, session)
        session.hosts_changed = self.ways.hosts_changed
        session.opened(await self._dialed(furl, session))
        return session

    def _dialed(self, furl: str, session: ClientSession) -> Awaitable[Link]:
        return self._dial(
            furl,
            self._role,
            session,
            reactor=self._reactor,
            timeout=self._timeout,
            session=session.id,
            again=self._furl,
            name=self.name,
        )

    async def _reopen(self, session: ClientSession, link: Link) -> Link:
        async def dial() -> Link:
            return await self._dialed(self._furl(), session)

        return await reopened(link, dial, self._reactor)

    def _furl(self) -> str:
        return read_furl(self.furl_or_file, self._role)

    def _opened(self, outcome: ClientSession | Failure) -> None:
        if isinstance(outcome, ClientSession):
            if self._over:
                outcome.close(self._over)
                outcome = Failure(ConnectionError(self._over))
            else:
                self._session = outcome
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(outcome)  # type: ignore[arg-type] # a Failure fires it as one

    def perform(self, requests: Sequence[Request], hold: str | None = None) -> Deferred[list[Answer]]:
        """Send commands together; fires with their answers, when all of them are there.

        Fails with what `connect` and `ClientSession.call` do.
        """
        session = self._session
        if session is None or not session.alive:
            return Deferred.fromCoroutine(self._connect_and_perform(requests, hold))
        return self._performed(session, requests, hold)

    async def _connect_and_perform(self, requests: Sequence[Request], hold: str | None) -> list[Answer]:
        return await self._performed(await self.connect(), requests, hold)

    def _performed(
        self, session: ClientSession, requests: Sequence[Request], hold: str | None
    ) -> Deferred[list[Answer]]:
        if len(requests) == 1:
            # Most calls are single ones: they take the shortest way.
            return self._limited(requests[0], session.call(requests[0], hold)).addCallback(_alone)
        answers = session.call_all(requests, hold)
        calls = [self._limited(request, answer) for request, answer in zip(requests, answers, strict=True)]
        return Deferred.fromCoroutine(self._all(calls))

    async def _all(self, calls: list[Deferred[Answer]]) -> list[Answer]:
        done = await DeferredList(calls, consumeErrors=True)
        for succeeded, outcome in done:
            if not succeeded:
                raise outcome.value  # type: ignore[attr-defined]
        return [outcome for _, outcome in done]

    def _limited(self, request: Request, answer: Deferred[Answer]) -> Deferred[Answer]:
        if request.timeout is None or request.timeout == math.inf:
            return answer
        goes_on = "; what runs of it on the engines goes on until interrupt() stops it" if request.runs else ""
        return limited(
            answer, request.timeout, self._reactor, request.name, lambda: self.waits_for or goes_on
        )

    async def interrupt(self, requests: Sequence[Request]) -> list[int]:
        """Have engines stop what they do for these commands, or drop it; the ids of those that go on all the same.

        Fails with CallTimeout if the controller does not answer soon.
        """
        stops = [
            Request(
                "interrupt",
                {"only": list(request.command), "within": STOPPED_WITHIN},
                request.targets,
                timeout=STOPPED_WITHIN + TOLD_WITHIN,
            )
            for request in requests
            if request.runs and request.command is not None
        ]
        if not stops:
            return []
        replies = [reply for answer in await self.perform(stops) for reply in answer.replies]
        return sorted({reply.fields["engine"] for reply in replies if reply.fields.get("result") is False})

    def disconnect(self, reason: str) -> None:
        """End the session, if there is one; the next call opens another."""
        session, self._session = self._session, None
        if session is not None:
            session.close(reason)

    def end(self, reason: str) -> None:
        """End the session at once; from now on every call fails, saying `reason`."""
        self._over = reason
        Connection.disconnect(self, reason)


def _alone(answer: Answer) -> list[Answer]:
    return [answer]


def role_connection(
    role: str,
    furl_or_file: str | os.PathLike[str],
    reactor: Any,
    dial: Dial,
    settings: Configuration,
    name: str = "",
) -> Connection:
    """A way to the interface `role`, as the configuration wants it."""
    ways = Ways(settings[SHARED_MEMORY], settings[SHARED_MEMORY_FROM], Pool(reactor.callLater))
    return Connection(furl_or_file, reactor, dial, role, timeout=settings[CONNECT_TIMEOUT], name=name, ways=ways)


multiengine_connection = partial(role_connection, "multiengine")
"""A way to the MultiEngine interface."""


def limited(
    answer: Deferred[Answer],
    seconds: float,
    reactor: IReactorTime,
    what: str,
    waits_for: Callable[[], str] = str,
) -> Deferred[Answer]:
    """Fires with `answer`, or fails with CallTimeout, naming `what`, if that takes too long.

    `answer` itself goes on: it may be what others wait for, too.  `waits_for` is `Connection.waits_for`.
    """
    outer: Deferred[Answer] = Deferred()

    def too_late() -> None:
        outer.errback(Failure(CallTimeout(f"{what} was not done within {seconds:g} s{waits_for()}")))

    call = reactor.callLater(seconds, too_late)

    def arrived(outcome: Any) -> None:
        if call.active():
            call.cancel()
            outer.callback(outcome)

    answer.addBoth(arrived)
    return outer
