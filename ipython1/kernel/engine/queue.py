"""The commands that one engine holds: the one that its interpreter runs, and those that wait for it.

A plain state machine: each event returns what is to be done, in order (`Feed`, `Begin`, `Refuse`, `Return`).  The
interpreter is fed one command at a time, so that whatever waits can still be taken back or dropped.  Those whose verb yields
(tasks) run when there are no others that could.

*Ahead.*  Beside what runs, the interpreter may have some tasks that are next, each with a ticket (see
`ipython1.core.tickets`).  Before anything else is done with what waits, they are to be called back: `recalled` is told which
of them the interpreter has not begun with, and these wait as if they had never been there.

*Failures.*  A command that fails takes with it the waiting ones of the same client on this engine, and those that
the client had submitted before it could know.  So the failures are counted per client, a command says how many its
client's controller knew of when it was submitted, and one that knew of fewer is refused.  Other clients' commands
are never touched.  A command that was refused never started, so its refusal is no failure.

*Streams.*  A command whose large bodies are still coming keeps its place: later ones of the same client wait for it,
other clients' commands pass.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import attrgetter
from typing import Any

from ipython1.kernel.error import ConnectionError, EngineLost, IPythonError, QueueCleared
from ipython1.kernel.framing import Bytes
from ipython1.kernel.messages import CommandId
from ipython1.kernel.shared_memory.memory import Memory
from ipython1.kernel.verbs import VERBS

Ticket = tuple[int, int]
"""A round and a number."""
SEEN = 4096
"""So many ids of past commands are remembered, to recognise repeats."""
AHEAD = 64
"""So many tasks are given to the interpreter beside the one that runs."""
AHEAD_BYTES = 64 << 10
"""They have so many bytes together, but for the first: one that is taken back is sent twice."""
CLIENTS = 4096
"""The failures of so many clients are remembered; those of the clients that failed longest ago are forgotten first."""


@dataclass(eq=False)
class Command:
    """A command for the interpreter.

    `index` and `among` are as in `ipython1.kernel.messages`.
    `memories` are where bodies lie that are empty here; values from `answer_in` bytes on may be left
    in memory for the client; None if it takes none there.
    """

    id: CommandId
    verb: str
    label: str
    generation: int = 1
    failures: int | None = None
    index: int | None = None
    among: list[int] | None = None
    args: dict[str, Any] = field(default_factory=dict)
    values: list[Any] | None = None
    bodies: list[Bytes] = field(default_factory=list)
    complete: bool = True
    memories: Sequence[Memory] = ()
    answer_in: int | None = None
    ticket: Ticket | None = None
    discarded: bool = False
    """Whether nobody waits for its outcome any more, though it runs."""
    yields: bool = field(init=False)

    def __post_init__(self) -> None:
        verb = VERBS.get(self.verb)
        self.yields = verb is not None and verb.yields

    @property
    def client(self) -> str:
        """The session id of the client where the command was born."""
        return self.id[0]

    @property
    def size(self) -> int:
        """How many bytes its bodies have, but for those in memory."""
        return sum(memoryview(body).nbytes for body in self.bodies)

    def take_in(self) -> None:
        """Have all bodies here, also for an interpreter that does not see the memory; Unavailable."""
        for memory in self.memories:
            self.bodies = memory.bodies(self.bodies)
        self.memories = ()


@dataclass(frozen=True)
class Feed:
    """Give the command to the interpreter: it runs now.  If it is `again`, it was said before that it does."""

    command: Command
    again: bool = False


@dataclass(frozen=True)
class Begin:
    """The command, which the interpreter has, is the one that runs now."""

    command: Command


@dataclass(frozen=True)
class Refuse:
    """Answer the command with `error`."""

    command: Command
    error: IPythonError


@dataclass(frozen=True)
class Return:
    """Say that the command was taken back."""

    command: Command


Instruction = Feed | Begin | Refuse | Return


class Stage(Enum):
    """How far a command has come."""

    UNKNOWN = "unknown"  # it has not been here, or so long ago that it was forgotten
    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


class CommandQueue:
    """The queue of one engine; `name` is what its texts call the engine."""

    def __init__(self, name: str = "the engine") -> None:
        self.name = name
        self.generation = 0
        self.running: Command | None = None
        self.feeds_ahead = True
        """Whether the interpreter is to have more than what runs."""
        self._open = self._halted = False
        self._ahead: deque[Command] = deque()
        self._waiting: list[Command] = []
        self._seen: OrderedDict[tuple[CommandId, int], None] = OrderedDict()
        self._failures: OrderedDict[str, tuple[int, str]] = OrderedDict()

    @property
    def discarding(self) -> bool:
        """Whether nobody waits for the outcome of the running command any more."""
        return self.running is not None and self.running.discarded

    @property
    def is_open(self) -> bool:
        """Whether there is an interpreter that takes commands."""
        return self._open

    @property
    def busy(self) -> bool:
        """Whether a command runs or waits."""
        return self.running is not None or bool(self._waiting)

    def opened(self, generation: int) -> list[Instruction]:
        """The interpreter of that generation takes commands."""
        self.generation = generation
        self._open, self._halted = True, False
        return self._feed()

    def halt(self) -> None:
        """Until `go_on`, nothing is fed, whatever happens."""
        self._halted = True

    def go_on(self) -> list[Instruction]:
        """What is next may be fed."""
        self._halted = False
        return self._feed()

    @property
    def held(self) -> list[Command]:
        """What runs, if somebody waits for its outcome, and what waits."""
        has = [] if self.running is None else [self.running, *self._ahead]
        return [*(command for command in has if not command.discarded), *self._waiting]

    @property
    def ahead(self) -> Collection[Command]:
        """What the interpreter has, beside what runs."""
        return self._ahead

    def stage(self, command: list[Any], index: int | None) -> Stage:
        """How far the command of that id has come, the `index`-th of its call."""

        def is_meant(other: Command) -> bool:
            return list(other.id) == command and (None in (index, other.index) or other.index == index)

        if self.running is not None and is_meant(self.running):
            return Stage.RUNNING
        if any(map(is_meant, self._ahead)) or any(map(is_meant, self._waiting)):
            return Stage.WAITING
        been = ((command[0], command[1]), index or 0) in self._seen
        return Stage.OVER if been else Stage.UNKNOWN

    def submitted(self, command: Command) -> list[Instruction]:
        """A command came.  A repeat of one that is here has no effect; of one that was, none but an answer."""
        if self._is_repeat(command):
            return self._repeated(command)
        error = self._refusal(command)
        if error is not None:
            return [Refuse(command, error)]
        self._waiting.append(command)
        return self._feed()

    def completed(
        self, command: Command, bodies: list[Bytes], memories: Sequence[Memory] = ()
    ) -> list[Instruction]:
        """The streams of a command have come, or the memory in which its bodies lie was found."""
        command.bodies, command.memories = bodies, memories
        command.complete = True
        return self._feed()

    def broken(self, command: Command, reason: str) -> list[Instruction]:
        """A stream of a command broke off."""
        if command not in self._waiting:
            return []
        self._waiting.remove(command)
        error = ConnectionError(f"{self.name} did not get all of {command.label}: {reason}")
        return [Refuse(command, error), *self._feed()]

    def never_came(self, command: Command) -> list[Instruction]:
        """A stream of a command broke off, and the whole command is going to come again: forget it."""
        self._seen.pop((command.id, command.index or 0), None)
        if command not in self._waiting:
            return []
        self._waiting.remove(command)
        return self._feed()

    def finished(self, ok: bool) -> list[Instruction]:
        """The running command has an outcome, which was passed on."""
        command, self.running = self.running, None
        if command is None:
            return []
        instructions: list[Instruction] = []
        if not ok and not command.discarded:
            instructions += self._failed(command)
        if self._ahead:
            self.running = self._ahead.popleft()
            return [*instructions, Begin(self.running)]
        return instructions + self._feed()

    def next_ahead(self) -> list[Command]:
        """The tasks that the interpreter is given to run next; from now on they count as given."""
        if self.running is None or not self.feeds_ahead or len(self._ahead) > AHEAD / 2:
            return []
        if self.running.memories:  # it may have to be given once more, and nothing is to be in between
            return []
        if not all(command.yields for command in self._waiting):
            return []
        clients = {self.running.client, *(command.client for command in self._ahead)}
        size = sum(command.size for command in self._ahead)
        given: list[Command] = []
        for command in self._waiting:
            # Of the commands of one client one may fail, and the others are not to begin then.
            if not command.complete or command.memories or command.client in clients:
                break
            size += command.size
            if len(self._ahead) == AHEAD or (self._ahead and size > AHEAD_BYTES):
                break
            clients.add(command.client)
            given.append(command)
            self._ahead.append(command)
        del self._waiting[: len(given)]
        return given

    def recalled(self, unread: Collection[Ticket]) -> list[Instruction]:
        """What the interpreter has beside what runs was called back: those of these tickets it has not begun with."""
        back = [command for command in self._ahead if command.ticket in unread]
        self._ahead = deque(command for command in self._ahead if command.ticket not in unread)
        self._waiting[:0] = back
        if self.running is not None and self.running.ticket in unread:
            return [Feed(self.running, again=True)]
        return []

    def cancelled(self, ids: Iterable[CommandId]) -> list[Instruction]:
        """Those of these commands that have not started are wanted back."""
        wanted = set(ids)
        taken = [command for command in self._waiting if command.id in wanted]
        self._waiting = [command for command in self._waiting if command.id not in wanted]
        # One whose streams were still coming may have held up others.
        return [*map(Return, taken), *self._feed()]

    def died(self, reason: str, kind: type[EngineLost] = EngineLost) -> list[Instruction]:
        """The interpreter ended: what it has begun with is lost, with an error of class `kind`, and what waits was meant
        for a namespace that is gone.
        """
        self._open = False
        instructions: list[Instruction] = []
        begun = [] if self.running is None else [self.running, *self._ahead]
        self.running, self._ahead = None, deque()
        for command in begun:
            if not command.discarded:
                text = f"{self.name} lost its interpreter ({reason}) while it ran {command.label}"
                instructions.append(Refuse(command, kind(text)))
                instructions += self._failed(command)
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            text = f"{other.label} was dropped: {self.name} lost its interpreter ({reason})"
            instructions.append(Refuse(other, QueueCleared(text)))
        return instructions

    def abandoned(self) -> None:
        """The controller is gone, and with it everyone who waited for an outcome."""
        self._waiting.clear()
        self._failures.clear()
        if self.running is not None:
            for command in (self.running, *self._ahead):
                command.discarded = True

    def _is_repeat(self, command: Command) -> bool:
        # The same command may be for the same engine twice (targets=[0, 0]); the place among the targets tells the
        # two apart, and without it nothing can be told.
        if command.index is None:
            return False
        key = (command.id, command.index)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        return False

    def _repeated(self, command: Command) -> list[Instruction]:
        if any(other.id == command.id for other in self.held):
            return []
        text = f"{command.label} came to {self.name} before, and what it came to is not known any more"
        return [Refuse(command, ConnectionError(text))]

    def _refusal(self, command: Command) -> QueueCleared | None:
        if command.generation != self.generation or not self._open:
            return QueueCleared(
                f"{command.label} was dropped: {self.name} has lost its interpreter meanwhile"
            )
        count, label = self._failures.get(command.client, (0, ""))
        if command.failures is not None and command.failures < count:
            return QueueCleared(f"{command.label} was dropped: {label} failed before it on {self.name}")
        return None

    def _failed(self, command: Command) -> list[Instruction]:
        count, _ = self._failures.pop(command.client, (0, ""))
        self._failures[command.client] = (count + 1, command.label)
        if len(self._failures) > CLIENTS:
            self._failures.popitem(last=False)
        waiting, self._waiting = self._waiting, []
        instructions: list[Instruction] = []
        for other in waiting:
            error = self._refusal(other) if self._open else None
            if error is None:
                self._waiting.append(other)
            else:
                instructions.append(Refuse(other, error))
        return instructions

    def _feed(self) -> list[Instruction]:
        if not self._open or self._halted or self.running is not None:
            return []
        held_up = set()
        # The sort is stable: within each of the two kinds they stay in order.
        for command in sorted(self._waiting, key=attrgetter("yields")):
            if command.complete and command.client not in held_up:
                self._waiting.remove(command)
                self.running = command
                return [Feed(command)]
            held_up.add(command.client)
        return []
