"""A controller with engines that are dicts, for tests of clients: it answers their messages as a real one would."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.core.functions import EngineName
from ipython1.core.remote_error import describe
from ipython1.core.serialize import Serialized, join, serialize, split
from ipython1.kernel import messages
from ipython1.kernel.error import (
    ConnectionError,
    InvalidDeferredID,
    InvalidEngineID,
    NoEnginesRegistered,
    ResultNotCompleted,
)
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Message, pack
from ipython1.kernel.hello import identity
from ipython1.kernel.keeping import Keeping
from ipython1.kernel.peer import Ending, Receiver
from ipython1.kernel.targets import pick
from ipython1.kernel.verbs import verbs_of

FURL = "pb://" + "a" * 32 + "@127.0.0.1:1/secret"

Outcome = tuple[dict[str, Any], Sequence[Any]]


class FakeCluster:
    """`dial` opens sessions with it.  Commands are carried out at once, or, while `held_back`, by `go_on`."""

    def __init__(self, reactor: Any, engines: int = 4) -> None:
        self.reactor = reactor
        self.namespaces: dict[int, dict[str, Any]] = {engine: {"id": engine} for engine in range(engines)}
        self.histories: dict[int, list[list[Any]]] = {engine: [] for engine in range(engines)}
        self.received: list[Message] = []
        self.links: list[FakeLink] = []
        self.names: list[str] = []
        self.house = ""
        self.unreachable = False
        self.held_back = False
        self._later: list[tuple[FakeLink, Message]] = []
        self.pending: dict[str, list[Message] | None] = {}
        self.answers: dict[str, Callable[[int, Message], Outcome]] = {
            "execute": self._execute,
            "push": self._push,
            "push_function": self._push,
            "pull": self._pull,
            "pull_function": self._pull,
            "apply": self._apply,
            "keys": lambda engine, message: ({}, [pack(sorted(self.namespaces[engine]))]),
            "get_result": self._get_result,
            "reset": self._reset,
            "output": lambda engine, message: ({"result": None}, []),
            "interrupt": lambda engine, message: ({"result": True}, []),
            "queue_status": lambda engine, message: (
                {"result": [engine, {"queue": [], "pending": "None"}]},
                [],
            ),
        }

    @property
    def verbs(self) -> list[str]:
        """The verbs of the commands that came, in order."""
        return [message.fields["verb"] for message in self.received]

    async def dial(
        self,
        furl: str,
        role: str,
        receiver: Receiver,
        *,
        reactor: Any,
        timeout: float,
        session: str,
        again: Callable[[], str],
        name: str = "",
    ) -> FakeLink:
        """Stands for `ipython1.kernel.dial.dial`."""
        if furl != FURL or self.unreachable:
            raise ConnectionError("nobody there")
        self.names.append(name)
        link = FakeLink(self, receiver)
        self.links.append(link)
        return link

    def restart(self) -> None:
        """Be killed and started again: what was asked is not known any more, what was done has been done."""
        self._later.clear()
        for link in [link for link in self.links if not link.closed]:
            link.lose("the controller was restarted", Ending.UNKNOWN)

    def take(self, link: FakeLink, message: Message) -> None:
        """A message came from a client."""
        problem = messages.check(message.kind, message.fields, messages.FROM_CLIENT)
        problem = problem or messages.check_command(message.fields, len(message.bodies), verbs_of("multiengine"))
        if problem:
            raise AssertionError(problem)
        self.received.append(message)
        if self.held_back and message.fields["verb"] not in ("get_ids", "engine_hosts", "get_pending", "clear_pending"):
            self._later.append((link, message))
            hold = message.fields.get("hold")
            if hold:
                self.pending[hold] = None
                link.reply(message, {"ok": True, "index": None, "of": 0}, [])
        else:
            self._carry_out(link, message)

    def go_on(self) -> None:
        """Carry out what waited, the latest first: nothing may depend on the order of replies."""
        self.held_back = False
        later, self._later = self._later, []
        for link, message in reversed(later):
            self._carry_out(link, message)

    def _carry_out(self, link: FakeLink, message: Message) -> None:
        replies = self._replies(message)
        hold = message.fields.get("hold")
        if hold is not None:
            if hold not in self.pending:
                link.reply(message, {"ok": True, "index": None, "of": 0}, [])
            self.pending[hold] = replies
            return
        for reply in reversed(replies):
            link.reply(message, reply.fields, reply.bodies)

    def _replies(self, message: Message) -> list[Message]:
        verb = message.fields["verb"]
        try:
            if verb == "get_ids":
                return [_whole(sorted(self.namespaces))]
            if verb == "engine_hosts":
                return [_whole([["elsewhere", "", "", 1, 0.0, sorted(self.namespaces)]])]
            if verb in ("clear_pending", "kill_controller"):
                self.pending.clear()
                return [_whole(None)]
            if verb == "get_pending":
                return self._get_pending(message.fields["args"])
            targets = self._targets(message.fields["targets"])
        except Exception as problem:  # as a controller: said to the client
            return [Message("reply", {"ok": False, "index": None, "of": 0}, failure_bodies(problem))]  # type: ignore[arg-type]
        if not targets:
            return [_whole(None)]
        return [self._reply(message, engine, index, len(targets)) for index, engine in enumerate(targets)]

    def _targets(self, targets: Any) -> list[int]:
        ids = sorted(self.namespaces)
        if not isinstance(targets, list) and not ids:
            raise NoEnginesRegistered
        chosen = pick(ids, targets)
        for engine in chosen:
            if engine not in self.namespaces:
                raise InvalidEngineID(f"Engine with id {engine} is not registered")
        return chosen

    def _get_pending(self, args: dict[str, Any]) -> list[Message]:
        if args["result_id"] not in self.pending:
            raise InvalidDeferredID(args["result_id"])
        replies = self.pending[args["result_id"]]
        if replies is None:
            raise ResultNotCompleted(args["result_id"])
        del self.pending[args["result_id"]]
        return replies

    def _reply(self, message: Message, engine: int, index: int, of: int) -> Message:
        place = {"engine": engine, "index": index, "of": of}
        try:
            fields, bodies = self.answers.get(message.fields["verb"], _nothing)(engine, message)
        except Exception as problem:  # as an interpreter: described
            return Message("reply", {"ok": False, **place}, list(describe(problem, None, "the traceback")))
        return Message("reply", {"ok": True, **place, **fields}, list(bodies))

    # -- verbs -------------------------------------------------------------------------------------------

    def _execute(self, engine: int, message: Message) -> Outcome:
        source = bytes(message.bodies[0]).decode()  # type: ignore[arg-type]
        number = len(self.histories[engine]) + 1
        document: dict[str, Any] = {"input": {"translated": source, "raw": source}, "number": number}
        stdout = io.StringIO()
        self.histories[engine].append([pack(document), b"", b""])
        with contextlib.redirect_stdout(stdout):
            exec(source, self.namespaces[engine])
        bodies = [pack(document), stdout.getvalue().encode(), b""]
        self.histories[engine][-1] = bodies
        return {"number": number}, bodies

    def _get_result(self, engine: int, message: Message) -> Outcome:
        number = message.fields["args"].get("number")
        history = self.histories[engine]
        place = len(history) if number is None else number
        if not 1 <= place <= len(history):
            raise IndexError(f"index {number} out of range")
        return {}, history[place - 1]

    def _push(self, engine: int, message: Message) -> Outcome:
        values = _values(message)
        names = message.fields["args"]["names"]
        self.namespaces[engine].update({name: value.load() for name, value in zip(names, values)})
        return {}, []

    def _pull(self, engine: int, message: Message) -> Outcome:
        namespace = self.namespaces[engine]
        names = message.fields["args"]["names"]
        for name in names:
            if name not in namespace:
                raise NameError(f"name {name!r} is not defined")
        return _with_values([serialize(namespace[name]) for name in names])

    def _apply(self, engine: int, message: Message) -> Outcome:
        namespace = self.namespaces[engine]
        function, (args, kwargs) = [value.load() for value in _values(message)]
        args = [each.resolve(namespace) if isinstance(each, EngineName) else each for each in args]
        return _with_values([serialize(function(*args, **kwargs))])

    def _reset(self, engine: int, message: Message) -> Outcome:
        self.namespaces[engine].clear()
        return {}, []


class FakeLink:
    """A client's link to a `FakeCluster`; see `ipython1.kernel.peer.Link`."""

    def __init__(self, cluster: FakeCluster, receiver: Receiver) -> None:
        self.cluster = cluster
        self.receiver = receiver
        self.peer = {**identity(), "house": cluster.house, "grace": 60.0}
        self.ending: Ending | None = None
        self.closed = ""
        self.delivered = 10**9
        self._sent = 0

    def send(self, message: Message) -> int:
        self._sent += 1
        self.cluster.reactor.callLater(0, self._deliver, message)
        return self._sent

    def _deliver(self, message: Message) -> None:
        if not self.closed:
            self.cluster.take(self, message)

    def reply(self, message: Message, fields: dict[str, Any], bodies: Sequence[Any]) -> None:
        reply = Message("reply", {**fields, "id": message.fields["id"]}, list(bodies))
        problem = messages.check(reply.kind, reply.fields, messages.TO_CLIENT)
        if problem:
            raise AssertionError(problem)
        if not self.closed:
            self.receiver.message_received(reply)

    def acknowledged(self, sequence: int) -> bool:
        return sequence <= self.delivered

    def collect(self, message: Message) -> Deferred[Message]:
        raise NotImplementedError

    def keep_in(self, new_keeping: Callable[[int, int], Keeping]) -> None:
        pass

    def lose(self, reason: str, ending: Ending = Ending.CLOSED) -> None:
        """The connection is lost."""
        self.closed = reason
        self.ending = ending
        self.receiver.link_lost(reason)

    def close(self, reason: str) -> None:
        self.lose(reason)


def _nothing(engine: int, message: Message) -> Outcome:
    return {}, []


def _whole(result: Any) -> Message:
    return Message("reply", {"ok": True, "index": None, "of": 0, "result": result})


def _values(message: Message) -> list[Serialized]:
    return split(message.fields["values"], message.bodies)


def _with_values(values: list[Serialized]) -> Outcome:
    headers, bodies = join(values)
    return {"values": headers}, bodies
