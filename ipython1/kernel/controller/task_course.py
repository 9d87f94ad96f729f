"""The course of tasks that were taken: the scheduler's instructions are carried out on the engines' queues."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.queue import Entry, NoOwner
from ipython1.kernel.controller.registry import EngineState
from ipython1.kernel.controller.scheduler import Scheduler
from ipython1.kernel.controller.task_entries import DependEntry, TaskEntry, attempt_id
from ipython1.kernel.controller.task_functions import TaskFunctions
from ipython1.kernel.controller.task_journal import TaskJournal
from ipython1.kernel.controller.task_live import LiveTask
from ipython1.kernel.controller.task_output import TaskOutput
from ipython1.kernel.controller.task_store import TaskResult, TaskStore
from ipython1.kernel.controller.task_values import (
    NO_PROGRESS,
    AskDepend,
    Finish,
    Instruction,
    Measure,
    Outcome,
    Progress,
    Send,
    State,
    Stop,
    StopDepend,
    TakeBack,
    TaskSpec,
)
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message
from ipython1.kernel.hello import new_id
from ipython1.kernel.messages import CommandId

_TOLD = ("ok", "values", "number", "output")
LOOK_EACH = 20e-6
"""Seconds for each engine between two looks at what all of them do: that takes about a tenth of it."""
_SIGNALS = {Measure.TERMINATE: signal.SIGTERM, Measure.KILL: signal.SIGKILL}


class TaskCourse:
    """All tasks, from when they were stored to what they come to.

    `live` are those that have not ended, which came with so many `bytes`; `results` is what the others came to, as far as
    that is in memory.  `ended` is told each that ends.
    """

    log = Logger()

    def __init__(
        self,
        engines: Engines,
        scheduler: Scheduler,
        results: TaskStore,
        journal: TaskJournal,
        ended: Callable[[int, LiveTask], None],
    ) -> None:
        self.scheduler = scheduler
        self.results = results
        self.journal = journal
        self.functions = TaskFunctions()
        self.live: dict[int, LiveTask] = {}
        self.bytes = 0
        self._engines = engines
        self._clock = engines.clock
        self._ended = ended
        self._incarnation = new_id()[:16]
        self._asked = 0
        # The commands by which engines are asked for depend functions.
        self._asks: dict[tuple[int, str], CommandId] = {}
        # Attempts that do not leave before their assignment is stored.
        self._departing: set[tuple[int, int]] = set()
        self._entries: dict[tuple[int, int], Entry] = {}
        self._waiting: dict[int, list[Callable[[], None]]] = {}
        self._takers: dict[int, list[int]] = {}
        self._instructions: deque[tuple[Instruction, Message | None]] = deque()
        self._busy = False
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._last_occupied: set[int] = set()
        self._occupied_until = 0.0
        self.output = TaskOutput(engines, self._where, lambda: journal.origin)
        observers = engines.observers
        observers.on_register_engine_do(self._joined, True)
        observers.on_unregister_engine_do(self._left, True)
        observers.on_change_engine_do(self._changed, True)

    def take(self, spec: TaskSpec, live: LiveTask, progress: Progress = NO_PROGRESS) -> None:
        """A task is here, for good, and has come so far."""
        task = spec.id
        self.live[task] = live
        self.bytes += live.size
        for other in spec.needs:
            result = self.results.get(other)
            if result is None:
                self._takers.setdefault(other, []).append(task)
            else:
                live.inputs[other] = result
        self.do(self.scheduler.submitted(spec, self.now(), progress))

    def remember(self, task: int, result: TaskResult, outcome: Outcome) -> None:
        """A task that has ended before came to that."""
        if task not in self.scheduler.tasks:
            self.scheduler.ended_before(task, result.label, outcome, result.record["engine"])
        self.forget(self.results.add(task, result))

    def when_ended(self, task: int, function: Callable[[], None]) -> None:
        """Call `function` when a task that has not ended has."""
        self._waiting.setdefault(task, []).append(function)

    def forget(self, tasks: Sequence[int]) -> None:
        """Know no more of these tasks, which have ended; the store may."""
        self.scheduler.cleared(tasks)
        for task in tasks:
            self.results.remove(task)

    # After a restart.

    def ended_before(self, ended: Iterable[tuple[int, str]]) -> None:
        """These tasks have ended so; what they came to is stored."""
        for task, outcome in ended:
            self.scheduler.ended_before(task, "a task of earlier", Outcome(outcome))
            self.forget(self.results.add(task, None))

    def sent_before(self, task: int, attempt: int, engine: int, began: float | None) -> None:
        """A task that waits was sent to an engine as that attempt, which may have begun.

        If the engine is not awaited, it was lost.
        """
        self.scheduler.sent_before(task, attempt, engine, self.now())
        if began is not None:
            self.live[task].started = began
            self.do(self.scheduler.started(task, attempt, self.now()))
        if engine in self._engines.awaited:
            self._engines.sent_before(engine, self._task_entry(task, attempt, {}, began=began is not None))
        else:
            reason = "it was gone when the controller was started again"
            self.attempt_ended(task, attempt, "lost", None, reason)

    # Engines.

    def _joined(self, engine: int) -> None:
        properties = self._engines.registry[engine].properties
        self.do(self.scheduler.engine_joined(engine, properties, self.now()))

    def _left(self, engine: int) -> None:
        self.functions.interpreter_ended(engine)
        self.do(self.scheduler.engine_left(engine, self.now()))

    def _changed(self, engine: int) -> None:
        record = self._engines.registry[engine]
        if record.state is not EngineState.READY:
            self.functions.interpreter_ended(engine)
        if not record.takes_work:
            self.do(self.scheduler.engine_paused(engine, self.now()))
        elif not self.scheduler.workers[engine].ready:
            self.do(self.scheduler.engine_came_back(engine, self.now()))
        self.do(self.scheduler.properties_changed(engine, record.properties, self.now()))

    def attempt_began(self, task: int, attempt: int, ago: float | None) -> None:
        """See `task_entries.Fate`."""
        live, known = self.live.get(task), self.scheduler.tasks.get(task)
        running = False
        # That one runs which was sent by an earlier controller may be known already.
        if live is not None and known is not None and known.state is State.SENT:
            live.started = time.time() - (ago or 0.0)
            running = ago is None
            function, engine = live.work[live.step].function, self.scheduler.tasks[task].engine
            if function is not None and engine is not None:
                self.functions.arrived(engine, function)
        if ago is not None:
            # What it came to comes next: that says it to the scheduler, and is what is stored.
            return
        if live is not None and running:
            self.journal.began(task, attempt, live.started or 0.0)
        self.do(self.scheduler.started(task, attempt, self.now()))
        if running:
            self.output.began(task)

    def _where(self, task: int) -> tuple[int, int] | None:
        """The engine where a task runs, and the number of the attempt."""
        live, known = self.live.get(task), self.scheduler.tasks.get(task)
        if live is None or known is None or known.state is not State.RUNNING or known.engine is None:
            return None
        return (known.engine, live.attempts) if known.engine in self._engines.registry else None

    def attempt_ended(self, task: int, attempt: int, how: str, reply: Message | None, reason: str) -> None:
        """See `task_entries.Fate`."""
        live = self.live.get(task)
        if how == "missed" and live is not None and reply is not None:
            function = live.work[live.step].function
            if function is not None:
                self.functions.missed(reply.fields["engine"], function)
        entry = self._entries.pop((task, attempt), None)
        if entry is not None and reply is not None and not reply.fields["ok"]:
            self._engines.forget(reply.fields["engine"], entry.client)
        if how == "lost":
            instructions = self.scheduler.lost(task, attempt, reason, self.now())
        elif how == "succeeded" and reply is not None:
            instructions = self.scheduler.succeeded(task, attempt, self.now(), reply.fields.get("took"))
        else:
            event: Callable[[int, int, float], list[Instruction]] = getattr(self.scheduler, how)
            instructions = event(task, attempt, self.now())
        known = self.scheduler.tasks.get(task)
        if known is not None and known.outcome is None:
            # Before it is sent again, which may be among the instructions.
            self.journal.waits(task, self.scheduler.progress(task))
        self.do(instructions, reply)

    # Instructions.

    def now(self) -> float:
        """The time, as the scheduler is told it."""
        return self._clock.seconds()

    def do(self, instructions: list[Instruction], reply: Message | None = None) -> None:
        """Carry out what the scheduler said; `reply` is what came to make it say so.

        What follows from one instruction is carried out after those that were said before.
        """
        self._instructions.extend((instruction, reply) for instruction in instructions)
        if self._busy:
            return
        self._busy = True
        try:
            while self._instructions:
                instruction, came = self._instructions.popleft()
                if isinstance(instruction, Finish):
                    self._finish(instruction, came)
                else:
                    self._instruct(instruction)
        finally:
            self._busy = False
        self._set_timer()

    def _instruct(self, instruction: Send | TakeBack | AskDepend | Stop | StopDepend) -> None:
        if isinstance(instruction, Send):
            self._send(instruction)
        elif isinstance(instruction, TakeBack):
            attempt = instruction.task, instruction.attempt
            entry = self._entries.get(attempt)
            if attempt in self._departing:
                # It is back when it would have left: who sends it again at once might go on doing so for ever.
                self._departing.remove(attempt)
            elif entry is not None:
                self._engines.withdraw(instruction.engine, entry, "it is to run elsewhere, or not at all")
        elif isinstance(instruction, AskDepend):
            self._ask(instruction)
        elif isinstance(instruction, Stop):
            command = attempt_id(self.journal.origin, instruction.task, instruction.attempt)
            self._stop(instruction.measure, instruction.engine, command, f"task {instruction.task}")
        else:
            asked = self._asks.get((instruction.engine, instruction.depend))
            if asked is not None:
                self._stop(instruction.measure, instruction.engine, asked, "a depend function")

    def _send(self, send: Send) -> None:
        live = self.live[send.task]
        live.step, live.attempts = send.step, send.attempt
        function = live.work[send.step].function
        with_function = function is not None and not self.functions.has(send.engine, function)
        args, headers, bodies = live.values(send.step, with_function)
        entry = self._task_entry(send.task, send.attempt, args, headers, bodies)
        self.journal.assigned(send)
        # It leaves when that is stored: a controller that does not know of this attempt would make another one.
        self._departing.add((send.task, send.attempt))
        self.journal.settled().addCallback(lambda _: self._depart(send, entry))

    def _depart(self, send: Send, entry: Entry) -> None:
        if (send.task, send.attempt) in self._departing:
            self._departing.remove((send.task, send.attempt))
            self._leave(send, entry)
        else:
            self.attempt_ended(send.task, send.attempt, "returned", None, "")

    def _leave(self, send: Send, entry: Entry) -> None:
        if send.engine in self._engines.registry:
            self._engines.submit(send.engine, entry)
        else:
            self.attempt_ended(send.task, send.attempt, "returned", None, "")

    def _task_entry(
        self,
        task: int,
        attempt: int,
        args: dict[str, Any],
        headers: list[Any] | None = None,
        bodies: Sequence[Bytes] = (),
        began: bool = False,
    ) -> Entry:
        """The queue entry of an attempt."""
        live = self.live[task]
        owner = TaskEntry(self, task, attempt, began)
        command = attempt_id(self.journal.origin, task, attempt)
        entry = self._entries[task, attempt] = Entry(
            command,
            command[0],
            "task",
            args,
            f"task {task}: {live.label}",
            owner,
            values=headers,
            bodies=list(bodies),
            began=owner.began,
        )
        return entry

    def _ask(self, ask: AskDepend) -> None:
        live = self.live.get(ask.task)
        self._asked += 1
        engine, depend = ask.engine, ask.depend

        def began(ago: float | None) -> None:
            owner.began()
            self.do(self.scheduler.depend_began(engine, depend, self.now()))

        def answered(fit: bool, text: str, fatal: bool) -> None:
            self._asks.pop((engine, depend), None)
            self._engines.forget(engine, command[0])
            self.do(self.scheduler.depend_answered(engine, depend, fit, text, self.now(), fatal))

        def unanswered() -> None:
            self._asks.pop((engine, depend), None)
            self.do(self.scheduler.depend_unanswered(engine, depend, self.now()))

        command = (f"{self._incarnation}:depend:{self._asked}", 1)
        function = None if live is None else live.work[ask.step].depend
        if function is None or engine not in self._engines.registry:
            unanswered()
            return
        owner = DependEntry(answered, unanswered)
        self._asks[engine, depend] = command
        entry = Entry(
            command,
            command[0],
            "depend",
            {},
            f"depend of task {ask.task}",
            owner,
            values=function.headers,
            bodies=list(function.bodies),
            began=began,
        )
        self._engines.submit(engine, entry)

    def _stop(self, measure: Measure, engine: int, command: CommandId, what: str) -> None:
        if engine not in self._engines.registry:
            return
        args: dict[str, Any] = {"only": list(command)}
        verb = "interrupt"
        if measure is not Measure.INTERRUPT:
            verb = "signal"
            args["signal"] = int(_SIGNALS[measure])
        self.log.info("{verb} for {what}", verb=measure.value, what=what)
        self._asked += 1
        session = f"{self._incarnation}:stop:{self._asked}"
        entry = Entry((session, 1), session, verb, args, f"{verb} of {what}", NoOwner())
        self._engines.ask(engine, entry)

    def _finish(self, finish: Finish, reply: Message | None) -> None:
        live = self.live.pop(finish.task)
        self.bytes -= live.size
        args = live.work[live.step].args
        record = {
            "task": finish.task,
            "engine": finish.engine,
            "submitted": live.submitted,
            "started": live.started,
            "completed": time.time(),
            "attempts": live.attempts,
            "kind": args["kind"],
            "pull": args["pull"],
            "label": live.label,
        }
        fields: dict[str, Any] = {"ok": False}
        bodies: Sequence[Bytes] = []
        if finish.error is not None:
            bodies = failure_bodies(finish.error)
        else:
            assert reply is not None
            fields = {name: reply.fields[name] for name in _TOLD if name in reply.fields}
            bodies = reply.bodies  # type: ignore[assignment] # the streams have been collected
        result = TaskResult(record, fields, bodies)
        for taker in self._takers.pop(finish.task, ()):
            if taker in self.live:
                self.live[taker].inputs[finish.task] = result
        self.journal.ended(finish.task, finish.outcome, result)
        self.forget(self.results.add(finish.task, result))
        self._ended(finish.task, live)
        self.output.ended(finish.task)
        for function in self._waiting.pop(finish.task, ()):
            function()

    # Time.

    def _set_timer(self) -> None:
        at = self.scheduler.next_tick
        running = self._timer is not None and self._timer.active()
        if at is None or (running and self._timer_at <= at):
            return
        if running and self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.callLater(max(0.0, at - self.now()), self.tick)

    def tick(self) -> list[Instruction]:
        """Let the scheduler look at the time; what it says to that."""
        instructions = self.scheduler.tick(self.now(), self._occupied())
        self.do(instructions)
        return instructions

    def _occupied(self) -> set[int]:
        """The engines that do something else, too; where there are many, as they were when it was last looked at."""
        now = self.now()
        if now >= self._occupied_until:
            workers = self.scheduler.workers
            self._last_occupied = {engine for engine in workers if self._engines[engine].queue.has_commands}
            self._occupied_until = now + len(workers) * LOOK_EACH
        return self._last_occupied
