"""The queue of one engine: what waits, what was sent ahead to its agent, and what runs.

Plain state: each method is an event and returns the instructions that follow from it, to be carried out in order.

Commands run first in, first out, and a few are sent ahead, so that the engine never waits for the network.  Those whose
verb yields (tasks) let all others pass, those that were sent ahead too.  A command
whose streams are still on their way to the agent holds up the later ones of its own client, and nobody else's.
When a command fails, those of the same client that wait behind it are dropped; no other client notices.  The agent
does the same with what was sent ahead: each command carries how many had failed when it was submitted (`failures`),
and the agent drops those that were submitted before it failed one more.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from ipython1.kernel.error import ConnectionError, EngineLost, IPythonError, ProtocolError, QueueCleared
from ipython1.kernel.framing import Bytes, Message, StreamRef
from ipython1.kernel.messages import CommandId
from ipython1.kernel.verbs import VERBS

if TYPE_CHECKING:
    from ipython1.kernel.peer import Link

SEND_AHEAD = 8
"""So many commands wait at the agent behind the one that runs."""
TASKS_AHEAD = 128
"""So many, if they are commands that yield: whoever submits them sees to it that it is no more work than is wanted there."""
MAX_UNFINISHED = 100_000
"""So many commands without an outcome an engine has at most; more are not taken."""


class Owner(Protocol):
    """Who submitted an entry, and is told its outcome: by exactly one of these, once."""

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """The engine's agent replied; large bodies of `reply` are streams of `link`, to be taken at once."""

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """The entry came to no reply: it was dropped, or its engine was lost."""


class NoOwner:
    """The owner of an entry whose outcome nobody waits for."""

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `Owner`."""

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `Owner`."""


class EntryState(Enum):
    """How far an entry has come."""

    WAITING = "waiting"
    SENT = "sent"
    STARTED = "started"
    ENDED = "ended"


@dataclass(eq=False)
class Entry:
    """A verb for one engine.

    `client` is whose order and whose failures it shares.  `index` is for the owner.  `among` are the engines that the client
    meant, as runs, if it did not name them.  `missing` is how many of its
    streams are not yet complete at the agent.  `memory` is where bodies lie that are empty here, `answer_in` which agents may
    leave the outcome in memory.  `began` is called when the engine begins with it, with how many seconds ago that
    was, if its outcome has come, too.  The rest below is kept by the queue; `sent` is whether the agent may have it.
    """

    id: CommandId
    client: str
    verb: str
    args: dict[str, Any]
    label: str
    owner: Owner
    index: int = 0
    among: list[int] | None = None
    values: list[Any] | None = None
    bodies: list[Bytes | StreamRef] = field(default_factory=list)
    missing: int = 0
    memory: dict[str, Any] | None = None
    answer_in: list[Any] | None = None
    began: Callable[[float | None], None] | None = None

    state: EntryState = EntryState.WAITING
    failures: int = 0
    position: int = 0
    yields: bool = field(init=False)
    sent: bool = False
    taken_back: QueueCleared | None = None

    def __post_init__(self) -> None:
        verb = VERBS.get(self.verb)
        self.yields = verb is not None and verb.yields

    @property
    def turn(self) -> tuple[bool, int]:
        """What entries are sorted by, as they are to run."""
        return self.yields, self.position


@dataclass(frozen=True)
class Send:
    """Send the entry to the agent, for this generation of the engine."""

    entry: Entry
    generation: int


@dataclass(frozen=True)
class Cancel:
    """Ask the agent to give back those of these entries that have not started."""

    entries: list[Entry]


@dataclass(frozen=True)
class Answer:
    """The reply that has come is the entry's outcome."""

    entry: Entry


@dataclass(frozen=True)
class Fail:
    """The error is the entry's outcome; if it was never `sent`, the streams meant for it are to be released."""

    entry: Entry
    error: IPythonError
    sent: bool


Instruction = Send | Cancel | Answer | Fail


@dataclass
class _Line:
    """What one client has on this engine; it goes as soon as there is nothing in it that must be remembered."""

    waiting: deque[Entry] = field(default_factory=deque)
    unfinished: int = 0
    failures: int = 0
    departed: bool = False


class EngineQueue:
    """The commands of one engine."""

    def __init__(
        self, engine: int, generation: int, send_ahead: int = SEND_AHEAD, tasks_ahead: int = TASKS_AHEAD
    ) -> None:
        self._engine = engine
        self._generation = generation
        self._send_ahead = send_ahead
        self._tasks_ahead = tasks_ahead
        self._ready = True
        self._away = False
        self._positions = 0
        self._unfinished = 0
        # In the order in which they are to run; the first one runs, or is the next to run.
        self._sent: list[Entry] = []
        self._lines: dict[str, _Line] = {}
        # Turn and client of each line whose first entry may be sent. An entry that was dropped meanwhile is found
        # out when its turn comes.
        self._eligible: list[tuple[tuple[bool, int], str]] = []

    def __len__(self) -> int:
        """How many entries have no outcome yet."""
        return self._unfinished

    @property
    def has_commands(self) -> bool:
        """Whether others than tasks run, or are to run before these."""
        return any(not entry.yields for entry in self._sent)

    @property
    def remembers(self) -> int:
        """Of how many clients something is kept."""
        return len(self._lines)

    def status(self) -> tuple[list[str], str | None]:
        """The labels of what waits, in the order of submission, and of what runs (None if nothing does)."""
        waiting = sorted(self._waiting(), key=lambda entry: entry.turn)
        queued = [entry.label for entry in [*self._sent[1:], *waiting] if entry.taken_back is None]
        return queued, self._sent[0].label if self._sent else None

    # What clients do.

    def submit(self, entry: Entry) -> list[Instruction]:
        """Put an entry at the end, if there is room."""
        if self._unfinished >= MAX_UNFINISHED:
            entry.state = EntryState.ENDED
            text = (
                f"{entry.label} was not taken into the queue of engine {self._engine}: {self._unfinished} commands"
                " are there already; wait for some of them"
            )
            return [Fail(entry, QueueCleared(text), sent=False)]
        line = self._enter(entry)
        line.waiting.append(entry)
        if len(line.waiting) == 1:
            self._offer(entry.client, line)
        return self._pump()

    def stream_arrived(self, entry: Entry) -> list[Instruction]:
        """One more of the entry's streams is complete at the agent."""
        entry.missing -= 1
        if entry.state is EntryState.WAITING:
            line = self._lines[entry.client]
            if line.waiting[0] is entry:
                self._offer(entry.client, line)
        return self._pump()

    def stream_broken(self, entry: Entry, reason: str) -> list[Instruction]:
        """One of the entry's streams will not be complete: the entry fails, and what its client has behind it."""
        if entry.state is not EntryState.WAITING:
            return []
        line = self._lines[entry.client]
        behind = []
        while line.waiting[-1] is not entry:
            behind.append(line.waiting.pop())
        line.waiting.pop()
        error = ConnectionError(f"{entry.label} did not reach engine {self._engine}: {reason}")
        failed = self._fail(entry, error)
        return [failed, *self._drop(reversed(behind), f"{entry.label} failed"), *self._pump()]

    def unsendable(self, entry: Entry, reason: str) -> list[Instruction]:
        """An entry that was to be sent makes no message: it fails, and what its client has behind it."""
        self._sent.remove(entry)
        line = self._lines[entry.client]
        behind, line.waiting = line.waiting, deque()
        error = ProtocolError(f"{entry.label} cannot be sent to engine {self._engine}: {reason}")
        failed = self._fail(entry, error, sent=False)
        return [failed, *self._drop(behind, f"{entry.label} failed"), *self._pump()]

    def clear(self, reason: str) -> list[Instruction]:
        """Drop all that has not begun to run; what was sent ahead is asked back."""
        dropped: list[Instruction] = [*self._drop(self._take_waiting(), reason)]
        asked_back = [
            entry for entry in self._sent[1:] if entry.state is EntryState.SENT and not entry.taken_back
        ]
        for entry in asked_back:
            entry.taken_back = self._cleared(entry, reason)
        return [*dropped, Cancel(asked_back)] if asked_back else dropped

    def withdraw(self, entry: Entry, reason: str) -> list[Instruction]:
        """Drop one that has not begun to run; if it was sent ahead, it is asked back."""
        if entry.state is EntryState.WAITING:
            line = self._lines[entry.client]
            was_first = line.waiting[0] is entry
            line.waiting.remove(entry)
            if was_first:
                self._offer(entry.client, line)
            return [self._fail(entry, self._cleared(entry, reason)), *self._pump()]
        if entry.state is not EntryState.SENT or entry.taken_back:
            return []
        entry.taken_back = self._cleared(entry, reason)
        return [Cancel([entry])]

    def client_left(self, client: str) -> None:
        """The client is gone: what it has submitted goes on, and then nothing is remembered of it."""
        line = self._lines.get(client)
        if line is not None:
            line.departed = True
            self._tidy(client, line)

    # What the agent says.

    def is_sent(self, command: CommandId) -> bool:
        """Whether a command is at the agent, and not known to have begun."""
        return any(entry.id == command and entry.state is EntryState.SENT for entry in self._sent)

    def started(self, command: CommandId) -> Entry:
        """A command began to run: which one; ProtocolError if it was not sent."""
        entry = self._find(command, EntryState.SENT)
        entry.state = EntryState.STARTED
        self._sent.remove(entry)
        self._sent.insert(0, entry)
        return entry

    def replied(self, command: CommandId, ok: bool) -> list[Instruction]:
        """The outcome of a command came; ProtocolError if it was not sent.

        A command that failed without having started was dropped by the agent, which is no failure of its own.
        """
        entry = self._find(command, EntryState.STARTED, EntryState.SENT)
        line = self._lines[entry.client]
        dropped: list[Instruction] = []
        if not ok and entry.state is EntryState.STARTED:
            line.failures += 1
            behind, line.waiting = line.waiting, deque()
            dropped = [*self._drop(behind, f"{entry.label} failed")]
        self._sent.remove(entry)
        self._end(entry)
        return [*dropped, Answer(entry), *self._pump()]

    def returned(self, command: CommandId) -> list[Instruction]:
        """The agent gave a command back that was asked back; ProtocolError if it was not."""
        entry = next((entry for entry in self._sent if entry.id == command and entry.taken_back), None)
        if entry is None or entry.taken_back is None:
            raise ProtocolError(f"engine {self._engine} gave back a command that was not asked back")
        self._sent.remove(entry)
        entry.sent = False
        return [self._fail(entry, entry.taken_back, sent=True), *self._pump()]

    def died(self, reason: str) -> list[Instruction]:
        """The interpreter ended: what waits is dropped, what is submitted from now on waits for its successor.

        The agent replies for everything that was sent to it.
        """
        self._ready = False
        return [*self._drop(self._take_waiting(), reason)]

    def restarted(self, generation: int) -> list[Instruction]:
        """The successor is ready."""
        self._generation = generation
        self._ready = True
        return self._pump()

    def away(self) -> None:
        """The agent cannot be reached: nothing is sent to it until it is back."""
        self._away = True

    def back(self) -> list[Instruction]:
        """The agent can be reached again, and has missed nothing."""
        self._away = False
        return self._pump()

    def sent_before(self, entry: Entry) -> None:
        """An earlier controller has sent this entry; whether it came the agent will say (see `reclaimed`)."""
        self._enter(entry)
        entry.state, entry.sent = EntryState.SENT, True
        self._sent.append(entry)

    def find(self, command: CommandId, index: int) -> Entry | None:
        """What was sent to the agent under that id, for that target of the call."""
        return next((entry for entry in self._sent if (entry.id, entry.index) == (command, index)), None)

    def entries(self, command: CommandId) -> list[Entry]:
        """What there is of a command, without an outcome; its client is the session in its id."""
        line = self._lines.get(command[0])
        waiting = [] if line is None else [entry for entry in line.waiting if entry.id == command]
        return [entry for entry in self._sent if entry.id == command] + waiting

    def reclaimed(self, generation: int, held: Sequence[tuple[Entry, bool]]) -> list[Instruction]:
        """The agent is there, after an earlier controller has ended, and has these entries, in its order.

        With each comes whether it has begun.  Those that are not known here are entered; those that were sent and
        have not come are given back to their owners.
        """
        known = {entry for entry, _ in held}
        missing = [entry for entry in self._sent if entry not in known]
        for entry, began in held:
            if entry not in self._sent:
                self._enter(entry)
            entry.state, entry.sent = EntryState.STARTED if began else EntryState.SENT, True
        self._sent = [entry for entry, _ in held]
        self._generation = generation
        self._ready, self._away = True, False
        for entry in missing:
            entry.sent = False
        reason = "it had not come when the controller ended"
        returned = [self._fail(entry, entry.taken_back or self._cleared(entry, reason)) for entry in missing]
        return [*returned, *self._pump()]

    def _enter(self, entry: Entry) -> _Line:
        self._unfinished += 1
        line = self._lines.setdefault(entry.client, _Line())
        line.unfinished += 1
        self._positions += 1
        entry.position = self._positions
        entry.failures = line.failures
        return line

    def stop(self, reason: str) -> list[Instruction]:
        """The engine is being killed: drop what waits, send nothing more."""
        self._ready = False
        return self.clear(reason)

    def close(self, reason: str) -> list[Instruction]:
        """The engine is gone, and no more comes from its agent: everything ends now."""
        self._ready = False
        ended: list[Instruction] = []
        sent, self._sent = self._sent, []
        for position, entry in enumerate(sent):
            if position == 0:
                text = f"engine {self._engine} was lost while it ran {entry.label}: {reason}"
                ended.append(self._fail(entry, EngineLost(text), sent=True))
            else:
                ended.append(self._fail(entry, entry.taken_back or self._cleared(entry, reason), sent=True))
        ended.extend(self._drop(self._take_waiting(), reason))
        self._lines.clear()
        return ended

    # How it is done.

    def _offer(self, client: str, line: _Line) -> None:
        """The line has a new first entry, or its first entry is complete now: let it take part if it may."""
        if line.waiting and not line.waiting[0].missing:
            heapq.heappush(self._eligible, (line.waiting[0].turn, client))

    def _pump(self) -> list[Instruction]:
        sends: list[Instruction] = []
        while self._ready and not self._away:
            entry = self._next()
            if entry is None:
                break
            entry.state, entry.sent = EntryState.SENT, True
            # Before those sent ahead that let it pass; the first one may have begun, though we do not know it yet.
            place = len(self._sent)
            while place > 1 and self._sent[place - 1].state is EntryState.SENT and self._sent[place - 1].turn > entry.turn:
                place -= 1
            self._sent.insert(place, entry)
            sends.append(Send(entry, self._generation))
        return sends

    def _next(self) -> Entry | None:
        """The next entry to be sent, if there is room for it."""
        while self._eligible:
            turn, client = self._eligible[0]
            line = self._lines.get(client)
            if line is not None and line.waiting and line.waiting[0].turn == turn:
                entry = line.waiting[0]
                if not self._has_room(entry):
                    return None
                heapq.heappop(self._eligible)
                line.waiting.popleft()
                self._offer(client, line)
                return entry
            heapq.heappop(self._eligible)
        return None

    def _has_room(self, entry: Entry) -> bool:
        """Whether one more may be at the agent; what yields takes no room from the others."""
        if entry.yields:
            return len(self._sent) <= self._tasks_ahead
        return sum(not sent.yields for sent in self._sent) <= self._send_ahead

    def _waiting(self) -> Iterable[Entry]:
        return (entry for line in self._lines.values() for entry in line.waiting)

    def _take_waiting(self) -> list[Entry]:
        taken = sorted(self._waiting(), key=lambda entry: entry.turn)
        for line in self._lines.values():
            line.waiting.clear()
        self._eligible.clear()
        return taken

    def _drop(self, entries: Iterable[Entry], reason: str) -> list[Fail]:
        return [self._fail(entry, self._cleared(entry, reason)) for entry in list(entries)]

    def _cleared(self, entry: Entry, reason: str) -> QueueCleared:
        return QueueCleared(f"{entry.label} was dropped from the queue of engine {self._engine}: {reason}")

    def _fail(self, entry: Entry, error: IPythonError, sent: bool = False) -> Fail:
        self._end(entry)
        return Fail(entry, error, sent)

    def _end(self, entry: Entry) -> None:
        entry.state = EntryState.ENDED
        self._unfinished -= 1
        line = self._lines[entry.client]
        line.unfinished -= 1
        self._tidy(entry.client, line)

    def _tidy(self, client: str, line: _Line) -> None:
        if not line.unfinished and (line.departed or not line.failures):
            del self._lines[client]

    def _find(self, command: CommandId, *states: EntryState) -> Entry:
        # A call that names an engine twice sends it two commands of one id, in this order.
        for state in states:
            for entry in self._sent:
                if entry.id == command and entry.state is state:
                    return entry
        raise ProtocolError(f"engine {self._engine} spoke of a command that was not sent to it")
