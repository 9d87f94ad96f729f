"""The sessions of clients, whatever interface they use: what is checked of each command before that sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.logger import Logger

from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Message
from ipython1.kernel.label import cut
from ipython1.kernel.messages import check_command
from ipython1.kernel.peer import Link
from ipython1.kernel.shared_memory.reference import Reference
from ipython1.kernel.verbs import Verb

MAX_REFUSED = 100
"""A client of which so many commands were refused or repeated is not worth more."""


class Commands(Protocol):
    """An interface, as its clients' sessions use it."""

    @property
    def verbs(self) -> Mapping[str, Verb]:
        """What its clients may ask for."""

    def command(self, client: ClientSession, message: Message) -> None:
        """A sound command came."""

    def client_left(self, client: ClientSession) -> None:
        """The session is over."""


class ClientSession:
    """One client, as long as its session lasts."""

    log = Logger()

    def __init__(self, interface: Commands, hello: Mapping[str, Any], link: Link) -> None:
        self.hello = hello
        """What the client said of itself."""
        self.key: str = hello["session"]
        self.name: str = hello.get("name", "")
        self.link = link
        self.lost = False
        self._interface = interface
        self._name = f"the client on {hello['host']} (pid {hello['pid']})"
        self._last = 0
        self._sent = 0
        self._bad = 0
        # The outcomes that lie in memory, by the number of the command and the index of its target: what is to be done
        # when the client has taken them.
        self._in_memory: dict[tuple[int, int], Callable[[], None]] = {}
        self.log.info("{name} connected, version {version}", name=self._name, version=hello["version"])

    @property
    def who(self) -> str:
        """What people are told of it."""
        return f"{self._name}, {self.name!r}" if self.name else self._name

    def send(self, message: Message) -> None:
        """Send a message, if the client is still there."""
        if not self.lost:
            self._sent = self.link.send(message)

    @property
    def heard_all(self) -> bool:
        """Whether the client is known to have all that was sent to it, or is gone."""
        return self.lost or self.link.acknowledged(self._sent)

    def message_received(self, message: Message) -> None:
        """See `Receiver`."""
        fields = message.fields
        session, number = fields["id"]
        if message.kind == "taken":
            taken = self._in_memory.pop((number, fields["index"]), None)
            if taken is not None:
                taken()
            return
        if session == self.key and number <= self._last:
            self._refused(f"command {number} was repeated")
            return
        problem = self._problem(message)
        if session == self.key:
            self._last = number
        if problem is None:
            fields["label"] = cut(fields["label"] or fields["verb"])
            self._interface.command(self, message)
        else:
            self.send(Message("refused", {"id": fields["id"], "error": problem}))
            self._refused(problem)

    def leave_in_memory(self, outcome: tuple[int, int], nonce: bytes, agent: Link) -> None:
        """An outcome lies in memory of an agent, which is to keep it until the client has taken it, or is gone."""
        secure = agent.hold()

        def taken() -> None:
            agent.send(Message("taken", {"nonce": nonce}))
            secure()

        self._in_memory[outcome] = taken

    def _refused(self, problem: str) -> None:
        self.log.warn("refused a command of {name}: {problem}", name=self._name, problem=problem)
        self._bad += 1
        if self._bad >= MAX_REFUSED:
            self.link.close(f"protocol error: {self._bad} unsound commands, the last one: {problem}")

    def _problem(self, message: Message) -> str | None:
        if message.fields["id"][0] != self.key:
            return "the command's id is of another session"
        problem = check_command(message.fields, len(message.bodies), self._interface.verbs)
        return problem or _memory_problem(message.fields.get("memory"))

    def link_away(self, reason: str) -> None:
        """See `Receiver`.  What is sent to it meanwhile is kept."""
        self.log.info("{name} is away: {reason}", name=self._name, reason=reason)

    def link_back(self) -> None:
        """See `Receiver`."""
        self.log.info("{name} is back", name=self._name)

    def link_lost(self, reason: str) -> None:
        """See `Receiver`."""
        self.lost = True
        self.log.info("{name} left: {reason}", name=self._name, reason=reason)
        in_memory, self._in_memory = self._in_memory, {}
        for taken in in_memory.values():
            taken()
        self._interface.client_left(self)


def _memory_problem(said: Any) -> str | None:
    try:
        if said is not None:
            Reference.of(said)
    except ProtocolError as problem:
        return str(problem)
    return None
