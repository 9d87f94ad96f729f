"""One engine of an agent: its interpreter and the successors of that, its queue, its history."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from functools import partial
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ipython1.kernel.engine import outcomes
from ipython1.kernel.engine.answers import Answers
from ipython1.kernel.engine.feeder import Feeder
from ipython1.kernel.engine.history import History, Record
from ipython1.kernel.engine.listeners import Listeners
from ipython1.kernel.engine.memories import Left, Memories
from ipython1.kernel.engine.outbox import Outbox
from ipython1.kernel.engine.process import Interpreter, Owner
from ipython1.kernel.engine.queue import Begin, Command, CommandQueue, Feed, Instruction, Refuse
from ipython1.kernel.engine.reports import Outlet, Reports
from ipython1.kernel.error import EngineLost, MemoryLimitExceeded
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message
from ipython1.kernel.messages import CommandId

MAX_STARTS = 5
"""So many interpreters in a row may end before they are ready; then the engine is given up."""
START_DELAY = 0.2
"""Seconds before the second of them is started; doubled each time."""
TAIL = 2000
"""So many of the last bytes of an interpreter's stderr are shown when it could not be started."""


class Fate(Enum):
    """What is to come after the interpreter that ends."""

    SUCCESSOR = "successor"
    GONE = "gone"
    STOPPED = "stopped"


class Host(Outlet, Protocol):
    """What an engine has of its agent."""

    def say(self, text: str) -> None:
        """Tell the person who started the agent."""

    def engine_gone(self, engine: Engine, failed: bool) -> None:
        """The engine is over, for the reason in its `gone`; `failed` unless that was wanted."""


Launch = Callable[[Owner], Interpreter]


class Engine:
    """The engine at one `place` of an agent.

    `id` is what the controller calls it; None while it is not registered.
    """

    log = Logger()

    def __init__(self, place: int, reactor: Any, host: Host, launch: Launch, history: History) -> None:
        self.place = place
        self.id: int | None = None
        self.generation = 0
        self.ready = False
        self.gone: str | None = None
        self.queue = CommandQueue(f"the engine at place {place}")
        self.history = history
        self.interpreter: Interpreter | None = None
        self.outbox = Outbox()
        self._reports = Reports(host, self.outbox)
        self.answers = Answers(reactor, self.queue, history, self._reports.send)
        self.listeners = Listeners(reactor, self.queue, lambda: self.interpreter, self.answers)
        self._reactor = reactor
        self._host = host
        self._launch = launch
        self._offered: int | None = None
        self._properties: dict[str, Any] = {}
        self._fate = Fate.SUCCESSOR
        self._failed_starts = 0
        self._delayed_start: Any = None
        # Of the interpreter, and of the one before until there is another one.
        self._feeder: Feeder
        self._fed_at = 0.0
        self._turn_end: IDelayedCall | None = None
        self._hopeless = False
        # What a command had printed with which the interpreter was lost.
        self._last_words: list[bytes] = []

    @property
    def memories(self) -> Memories:
        """The memory that its agent shares with interpreters, and with clients."""
        return self._host.memories

    @property
    def name(self) -> str:
        """How texts call it."""
        return self.queue.name

    # The interpreter's life.

    def start(self) -> None:
        """Start an interpreter."""
        self._delayed_start = None
        self.generation += 1
        self.interpreter = self._launch(self)
        self._feeder = Feeder(self.interpreter, self.queue, self.memories)
        try:
            self.interpreter.start()
        except OSError as problem:
            self.interpreter = None
            self._start_failed(f"cannot start an interpreter: {problem}", b"")
            return
        if self.interpreter is not None:
            for output in (self.interpreter.stdout, self.interpreter.stderr):
                output.ready, output.heard = self._output_comes, self.listeners.heard

    def interpreter_said(self, message: Message) -> None:
        """See `Owner`."""
        if message.kind == "reply":
            self._replied(message)
        elif message.kind == "properties":
            self._properties = message.fields["properties"]
            if self.id is not None:
                self._reports.send("properties", {"properties": self._properties})
        elif not self.ready and self._fate is Fate.SUCCESSOR:
            self._became_ready()

    def _became_ready(self) -> None:
        assert self.interpreter is not None
        self.interpreter.ready()
        self.ready = True
        self._failed_starts = 0
        for said in (self.interpreter.stdout.take(), self.interpreter.stderr.take()):
            # Nobody's command wrote this.
            if said.strip():
                text = outcomes.decoded(said).rstrip()
                self.log.warn("{name}: while it started: {said}", name=self.name, said=text)
        if self.id is None:
            self.offer()
        else:
            self._open()
            self._reports.send("restarted", {"generation": self.generation, "pid": self.interpreter.pid})
            self.answers.ready()

    def interpreter_ended(self, reason: str) -> None:
        """See `Owner`."""
        ended, self.interpreter = self.interpreter, None
        assert ended is not None
        self._lose(reason, ended)
        was_ready, self.ready = self.ready, False
        stderr = ended.stderr.take()
        if self._fate is not Fate.SUCCESSOR:
            self._over(reason, failed=self._hopeless)
        elif was_ready:
            said = _tail(stderr)
            self._host.say(f"{self.name} lost its interpreter ({reason}); starting another one{said}")
            self.start()
        else:
            self._start_failed(f"the interpreter {reason} while it started", stderr)

    def _start_failed(self, reason: str, stderr: bytes) -> None:
        self._failed_starts += 1
        text = reason + _tail(stderr)
        if self._failed_starts >= MAX_STARTS:
            self._over(f"given up after {self._failed_starts} attempts: {text}", failed=True)
            return
        self.log.warn("{name}: {text}", name=self.name, text=text)
        delay = START_DELAY * 2 ** (self._failed_starts - 1)
        self._delayed_start = self._reactor.callLater(delay, self.start)

    def end(self, fate: Fate, reason: str) -> None:
        """End the interpreter; what comes then is `fate`.  The commands that it holds are lost at once."""
        if self.gone is not None:
            return
        # An engine that is to go does not come back because somebody asks for its restart.
        if self._fate is Fate.SUCCESSOR:
            self._fate = fate
        if self.interpreter is None:
            # Between two attempts to start one.
            if self._fate is not Fate.SUCCESSOR:
                self._over(reason, failed=False)
            return
        if self.ready:
            self.catch_up()
            idle = self.queue.running is None
            self._lose(reason, self.interpreter)
            self.interpreter.end(reason, idle)
        elif self._fate is not Fate.SUCCESSOR:
            self.interpreter.kill(reason)

    def exceeded_memory(self, reason: str) -> None:
        """The interpreter uses too much memory: end it at once, and start another one."""
        if self.interpreter is None:
            return
        if not self._feeder.was_fed and self._fate is Fate.SUCCESSOR:
            reason = f"{reason}, and it has not run anything yet: the limit is too low"
            # Its successor would use as much.
            self._fate = Fate.GONE
            self._hopeless = True
        if self.ready:
            self.catch_up()
            self._lose(reason, self.interpreter, MemoryLimitExceeded)
        self.interpreter.kill(reason)

    def _lose(self, reason: str, interpreter: Interpreter, kind: type[EngineLost] = EngineLost) -> None:
        if self.queue.is_open and self.id is not None and self._fate is Fate.SUCCESSOR:
            # First of all: so that what waits in the controller is dropped on account of this.
            self._reports.send("died", {"generation": self.generation, "reason": reason})
        self.queue.recalled(interpreter.take_back())
        running = self.queue.running
        if running is not None and outcomes.prints(running.verb):
            interpreter.stdout.drain()
            interpreter.stderr.drain()
            self._last_words = [interpreter.stdout.take(), interpreter.stderr.take()]
        if running is not None and running.verb == "execute":
            self._record_loss(running, f"{kind.__name__}: {self.name} lost its interpreter ({reason})")
        self.history.namespace_lost()
        self._properties = {}
        self._carry_out(self.queue.died(reason, kind))
        self._last_words = []
        self.listeners.look()
        self.answers.results()
        self.answers.ended()

    def _over(self, reason: str, failed: bool) -> None:
        if self._delayed_start is not None:
            self._delayed_start.cancel()
            self._delayed_start = None
        self.gone = reason
        if self.id is not None:
            self._reports.send("gone", {"reason": reason})
        self.answers.gone(reason)
        self.listeners.end()
        self._host.engine_gone(self, failed)

    # Registration with the controller.

    def offer(self) -> None:
        """Ask the controller for an id, if there is an interpreter to offer and it was not asked yet."""
        if (
            not self.ready
            or self._offered is not None
            or self.interpreter is None
            or not self._host.connected
        ):
            return
        self._offered = self.generation
        fields: dict[str, Any] = {
            "place": self.place,
            "wanted": self._reports.engine,
            "generation": self.generation,
            "pid": self.interpreter.pid,
            "properties": self._properties,
        }
        commands = self._commands()
        if commands:
            fields["commands"] = commands
        self._host.send(Message("register", fields))

    def _commands(self) -> list[Any]:
        """What an earlier controller asked for, as it is known here: see ``register`` in `ipython1.kernel.messages`."""
        answered = [(one.command, one.began) for one in self.outbox.all()]
        held = [(command, command is self.queue.running) for command in self.queue.held]
        return [
            [list(command.id), command.index or 0, began, command.verb, command.label, command.among]
            for command, began in (*answered, *held)
        ]

    def registered(self, engine_id: int) -> None:
        """The controller gave the engine its id."""
        if engine_id != self._reports.engine:
            self.abandoned()  # by its id the controller would have known what it had asked for
        self.id = self._reports.engine = engine_id
        self.queue.name = f"engine {engine_id}"
        self._reports.answer_again()
        if self.generation != self._offered or not self.ready:
            reason = "it ended before it was registered"
            self._reports.send("died", {"generation": self._offered, "reason": reason})
        if self.ready:
            assert self.interpreter is not None
            self._open()
            if self.generation != self._offered:
                self._reports.send("restarted", {"generation": self.generation, "pid": self.interpreter.pid})

    def abandoned(self) -> None:
        """What was asked of it is nobody's business any more."""
        self._call_back()
        self.queue.abandoned()
        self.outbox.clear()

    def disconnected(self) -> None:
        """The controller is gone.  The interpreter lives on, and what it was asked for, if the controller is outlived."""
        self.id = self._offered = None
        # Another controller does not know who was to take outcomes out of memory: they go with the connection.
        for command in self.queue.held:
            command.answer_in = None
        self._reports.disconnected()
        if not self._host.outlived:
            self.abandoned()
        self.answers.drop()
        self.listeners.end()

    def _open(self) -> None:
        assert self.interpreter is not None
        self.interpreter.send(Message("identity", {"id": self.id}))
        self._carry_out(self.queue.opened(self.generation))

    # Commands for the interpreter.

    def submit(self, command: Command) -> None:
        """A command came."""
        if not command.yields:
            self._call_back()
        self.carry_out(self.queue.submitted(command))

    def cancel(self, ids: Collection[CommandId]) -> None:
        """Those of these commands that have not begun are wanted back."""
        if any(command.id in ids for command in self.queue.ahead):
            self._call_back()
        self.carry_out(self.queue.cancelled(ids))

    def carry_out(self, instructions: list[Instruction]) -> None:
        """Do what the queue says."""
        self._carry_out(instructions)
        # A get_result that waits for a number that now cannot come has to be told.
        self.answers.results()
        if self.queue.running is not None:
            # When all is here that comes together; the interpreter has something to do meanwhile.
            self._at_end_of_turn()

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Feed):
                self._feed(instruction.command, instruction.again)
            elif isinstance(instruction, Begin):
                self._begin(instruction.command)
            elif isinstance(instruction, Refuse):
                bodies: list[Bytes] = [*failure_bodies(instruction.error)]
                # One that was running is lost; the others have not begun.
                began = isinstance(instruction.error, EngineLost)
                printed = self._last_words if began else []
                self._reports.answer(instruction.command, {"ok": False}, bodies, began, printed)
            else:
                self._reports.send("returned", {"id": list(instruction.command.id)})

    def _feed(self, command: Command, again: bool) -> None:
        if not again:
            self._begin(command)
        self._feeder.feed(command)

    def _begin(self, command: Command) -> None:
        self._reports.begun(command)
        self._at_end_of_turn()
        self._fed_at = self._reactor.seconds()
        self._set_capture(True)

    def _at_end_of_turn(self) -> None:
        if self._turn_end is None:
            self._turn_end = self._reactor.callLater(0, self._turn_ends)

    def _turn_ends(self) -> None:
        self._turn_end = None
        self._carry_out(self.queue.go_on())
        self._reports.say_begun()
        self._feeder.feed_ahead()

    def _call_back(self) -> None:
        if self.queue.ahead:
            self._carry_out(self._feeder.call_back())

    def _output_comes(self) -> None:
        """Something was written, and is about to be read: by then it must be clear whose it is."""
        if self.queue.ahead:
            self.catch_up()
            self.queue.feeds_ahead = False

    def catch_up(self) -> None:
        """See what the interpreter does at this moment; it begins with nothing else in this turn of the reactor."""
        if self.queue.ahead and self.interpreter is not None:
            self._call_back()
            self.queue.halt()
            self.interpreter.take_replies()
            self._at_end_of_turn()

    def _set_capture(self, running: bool) -> None:
        if self.interpreter is not None:
            self.interpreter.stdout.running(running)
            self.interpreter.stderr.running(running)

    def _replied(self, message: Message) -> None:
        command = self.queue.running
        assert self.interpreter is not None
        if command is None:
            # It was lost to its client when the end of the interpreter was asked for.
            return
        if message.fields.get("unseen") is not None:
            self.log.warn("{name}: {why}", name=self.name, why=message.fields["unseen"])
            reply = outcomes.unseen(command, self.name, message.fields["unseen"])
            if reply is None:
                self._feeder.feed(command)
                return
            message = reply
        if not outcomes.is_answer(message, command):
            self.interpreter.kill("answered what it was not asked")
            return
        self._feeder.answered(command)
        ok = message.fields["ok"]
        bodies: list[Bytes] = message.bodies  # type: ignore[assignment]  # nothing travels beside the pipe
        number = message.fields.get("number")
        # What was displayed; an execute's result document has that itself.
        shown: list[Any] = [bodies.pop()] if message.fields.get("displays") and bodies else []
        printed: list[Any] = []
        if outcomes.prints(command.verb):
            printed = [self.interpreter.stdout.take(), self.interpreter.stderr.take(), *shown]
        self._heard_all(message.fields.get("quiet", False), any(printed[:2]))
        if command.verb == "execute":
            self.history.add(Record(number or self.history.last_number + 1, bodies[-1], printed[0], printed[1]))
            bodies, printed = ([bodies[0], *printed], []) if ok else (bodies[:2], printed)
        if outcomes.clears(command, ok):
            self.history.clear()
        said = message.fields.get("memory")
        memory = None if said is None else outcomes.opened(said, partial(self._taken, self.generation))
        if self.queue.discarding and isinstance(memory, Left):
            memory.taken()
        elif not self.queue.discarding:
            fields = outcomes.passed_on(message)
            if memory is not None:
                fields, bodies = outcomes.left_in(memory, command, self.name, self.memories, fields, bodies)
            self._reports.answer(command, fields, bodies, True, printed)
        self.carry_out(self.queue.finished(ok))
        if self.queue.running is None:
            self._set_capture(False)
        self.listeners.look()
        self.answers.ended()

    def _heard_all(self, quiet: bool, printed: bool) -> None:
        """What a command has printed is taken."""
        if not quiet:
            # The interpreter begins with nothing that it was given meanwhile.
            self._carry_out(self._feeder.call_back())
        # Whose output is whose could not be told before the reply came: those that print run one at a time.
        self.queue.feeds_ahead = quiet and not printed

    def _taken(self, generation: int, nonce: bytes) -> None:
        """The interpreter need not keep its memory of that nonce any more."""
        if self.interpreter is not None and self.generation == generation:
            self.interpreter.send(Message("taken", {"nonce": nonce}))

    def trim(self) -> None:
        """Have the interpreter give memory that it keeps for the next value back to the system."""
        if self.interpreter is not None and self.ready:
            self.interpreter.send(Message("trim"))

    def _record_loss(self, command: Command, error: str) -> None:
        number = self.history.last_number + 1
        now = self._reactor.seconds()
        self.history.add(outcomes.lost(command, number, self._fed_at, now, error, self._last_words))


def _tail(stderr: bytes) -> str:
    said = outcomes.decoded(stderr[-TAIL:]).strip()
    return f"; it had written:\n{said}" if said else ""
