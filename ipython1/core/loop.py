"""The command loop of an interpreter process.

User code may leave behind signal handlers that raise (an alarm's, say), and these may strike any line of the
loop.  So it consists of steps that can be taken again, and a command's code is begun only once.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import traceback
from typing import Any

from ipython1.core import stdio, verbs
from ipython1.core.channel import Receiver, Sending
from ipython1.core.interpreter import Execution, Interpreter
from ipython1.core.interrupts import Interrupts, interruptible
from ipython1.core.remote_error import describe
from ipython1.core.tickets import Tickets, unread
from ipython1.core.tracebacks import format_error, trim
from ipython1.kernel import engineservice, framing
from ipython1.kernel.error import ConnectionError
from ipython1.kernel.framing import Message
from ipython1.kernel.shared_memory.memory import Memory, without
from ipython1.kernel.shared_memory.pool import Pool
from ipython1.kernel.shared_memory.reference import Reference
from ipython1.kernel.shared_memory.system import Unavailable

# How many exceptions in a row may strike the loop's own jumps. In a trial with an alarm every 0.3 ms, one in
# two hundred strays was followed by another that soon.
_DEPTH = 6
_ATTEMPTS = 20
# The ticket of a command that came without one.
_NEEDS_NONE = (0, 0)
# The verbs whose code users may want to look at when it has failed. Tasks are not among them: what their frames hold
# may be large, and would be kept by every engine.
_LOOKED_AT = ("execute", "apply")


class _Work:
    """A message of the agent's, and how far it has come."""

    def __init__(self, message: Message, round_: int) -> None:
        self.message = message
        self.round = round_
        self.identity = message.fields.get("id")
        self.ticket = message.fields.get("ticket", _NEEDS_NONE)
        self.begun = False
        self.began = self.ended = time.monotonic()
        self.reply: verbs.Reply | None = None
        self.error: BaseException | None = None
        self.attempts = 0
        self.outgoing: list[Sending] | None = None
        self.memory: Memory | None = None
        self.finished = False


class Loop:
    """Serves one interpreter to the host agent."""

    def __init__(self, commands: socket.socket, control: socket.socket, tickets: Tickets) -> None:
        self._commands = commands
        self._receiver = Receiver(commands)
        self._tickets = tickets
        self._interrupts = Interrupts(control)
        self._interpreter = Interpreter()
        self._pid = os.getpid()
        self._work: _Work | None = None
        # Where values of replies lie, until the agent says that they were taken.
        self._left: dict[bytes, Memory] = {}
        self._pool = Pool()
        self._told_properties = self._interpreter.properties.version
        self._agent_gone = False
        self._stray: BaseException | None = None
        self._last_stray: BaseException | None = None
        self._no_way_on: BaseException | None = None
        sys.modules["__main__"] = self._interpreter.module
        _ = self._interpreter.shell  # made now, so that IPython.get_ipython() finds it from the first command on
        engineservice.register(self._interpreter)
        os.register_at_fork(after_in_child=self._let_go)

    def _let_go(self) -> None:
        """A forked child must not take the engine's messages, nor seem to be the engine."""
        self._commands.close()
        self._interrupts.close()
        self._tickets.close()

    def run(self, facts: dict[str, Any]) -> None:
        """Tell the agent that this process is ready, with `facts`; serve until the agent closes its end."""
        self._interrupts.install()
        Sending(self._commands, Message("ready", facts)).finish()
        self._step_on(_DEPTH)
        if self._no_way_on is not None:
            raise self._no_way_on

    def _step_on(self, depth: int) -> None:
        """Take steps until the agent is gone, whatever is raised meanwhile.

        A second stray exception may strike as soon as the first one is caught, at the jump back into the loop.
        Then the same loop one level up goes on; a third one would have to strike there at once, and so on.
        """
        while not self._agent_gone:
            try:
                if depth:
                    self._step_on(depth - 1)
                else:
                    self._step()
            except BaseException as stray:  # of a signal handler of the user's
                self._stray = stray  # no call, since an exception could strike it

    def _step(self) -> None:
        """Go on with the current message, or take the next one.  Each line may be the last, and be run again."""
        if self._stray is not None:
            self._check_stray(self._stray)
            self._last_stray, self._stray = self._stray, None
        if self._work is None:
            message = self._receiver.receive()
            if message is None:
                self._agent_gone = True
            else:
                self._work = _Work(message, self._tickets.round)
        elif not self._work.finished:
            self._serve(self._work)
        else:
            self._receiver.advance()
            self._work = self._last_stray = None  # the frames that it holds may hold anything

    def _check_stray(self, stray: BaseException) -> None:
        """See whether what was caught is no signal handler's, but the loop's own."""
        if isinstance(stray, MemoryError):  # a message that cannot be taken
            self._no_way_on = stray
            self._agent_gone = True
        elif isinstance(stray, OSError) and stray.errno is not None:  # of the socket
            self._agent_gone = True

    def _serve(self, work: _Work) -> None:
        if work.message.kind == "identity":
            self._interpreter.id = work.message.fields["id"]
        elif work.message.kind == "taken":
            taken = self._left.pop(work.message.fields["nonce"], None)
            if taken is not None:
                taken.close()
        elif work.message.kind == "trim":
            self._pool.trim()
        elif work.message.kind == "command" and self._tickets.may_begin(work.ticket):
            self._interrupts.current = work.identity
            self._interrupts.install()
            self._perform(work)
            if os.getpid() != self._pid:
                self._leave_as_child(work)
            stdio.flush()
            self._answer(work)
        work.finished = True

    def _answer(self, work: _Work) -> None:
        """Send the reply, and before it the properties if they changed."""
        version = self._interpreter.properties.version
        if work.outgoing is None:
            self._count_attempt(work)
            messages = [self._reply(work)]
            messages[0].fields["took"] = work.ended - work.began
            if unread(1) or unread(2):
                # Nothing begins before the agent has read it: what is written later belongs to another command.
                self._tickets.round = work.round + 1
            else:
                # An attempt before may have found something, of which the agent was not told.
                self._tickets.round = work.round
                messages[0].fields["quiet"] = True
            if version != self._told_properties:
                messages.insert(0, Message("properties", {"properties": dict(self._interpreter.properties)}))
            work.outgoing = [Sending(self._commands, message) for message in messages]
            if work.memory is not None:
                self._left[work.memory.reference.nonce] = work.memory
            self._told_properties = version
        for sending in work.outgoing:
            sending.finish()

    def _count_attempt(self, work: _Work) -> None:
        """Stray exceptions do not strike the making of one reply for ever: then it cannot be made."""
        work.attempts += 1
        if work.attempts > _ATTEMPTS and work.error is None:
            work.reply = None
            work.error = self._last_stray or RuntimeError("the reply could not be made")

    def _perform(self, work: _Work) -> None:
        if work.begun:  # a stray exception struck when it had ended
            return
        try:
            work.begun = True
            work.reply = self._run(work)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too are errors of the command
            work.error = error
        work.ended = time.monotonic()

    @interruptible
    def _run(self, work: _Work) -> verbs.Reply:
        self._interrupts.raise_if_early()
        fields = work.message.fields
        try:
            memories = [Memory.open(Reference.of(said)) for said in fields.get("memories", ())]
        except Unavailable as problem:
            return verbs.Reply({"unseen": str(problem)})
        bodies = _taken(memories, work.message.bodies)
        command = verbs.Command(fields["verb"], fields["args"], fields.get("values", ()), bodies)
        return verbs.perform(self._interpreter, command)

    def _reply(self, work: _Work) -> Message:
        if work.reply is not None and work.reply.error is None:
            return self._success(work, work.reply)
        try:
            return self._failure(work)
        except BaseException as error:  # an interrupt, while the exception was being described
            work.reply, work.error = None, error
            raise

    def _success(self, work: _Work, reply: verbs.Reply) -> Message:
        fields: dict[str, Any] = {"id": work.identity, "ok": True, **reply.fields}
        # What was displayed is for the agent, and goes through the socket.
        values = len(reply.bodies) - bool(reply.fields.get("displays"))
        bodies, displayed = reply.bodies[:values], reply.bodies[values:]
        least = work.message.fields.get("answer_in")
        if least is not None and "values" in fields and sum(memoryview(body).nbytes for body in bodies) >= least:
            # Without it they go through the socket.
            with contextlib.suppress(Unavailable):
                work.memory = self._pool.with_bodies(bodies)
                fields["memory"] = work.memory.reference.to_plain()
                bodies = without(bodies, work.memory.reference)
        return Message("reply", fields, [*bodies, *displayed])

    @interruptible
    def _failure(self, work: _Work) -> Message:
        fields: dict[str, Any] = {"id": work.identity, "ok": False}
        reply = work.reply or self._unfinished(work)
        error = reply.error or work.error or RuntimeError("the command was cut off by a signal's handler")
        fields.update(reply.fields)
        described = describe(error, reply.fields.get("number"), reply.traceback)
        if work.message.fields["verb"] in _LOOKED_AT:
            self._interpreter.last_error = error
        return Message("reply", fields, [*described, *reply.bodies])

    def _unfinished(self, work: _Work) -> verbs.Reply:
        """The reply of a verb that raised."""
        if work.message.fields["verb"] != "execute":
            return verbs.Reply()
        run = self._interpreter.running
        if run is None:  # it did not come as far as running
            run = Execution(self._interpreter.number, "", "", time.time())
        run.completed = time.time()
        if work.error is not None:
            trim(work.error)
            run.traceback = format_error(work.error)
        return verbs.Reply({"number": run.number}, [framing.pack(run.document())], traceback=run.traceback)

    def _leave_as_child(self, work: _Work) -> None:
        """A child that user code forked, and that came back here: the engine's commands are not its own."""
        error = work.error if work.reply is None else work.reply.error
        status = 0
        if isinstance(error, SystemExit):
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            traceback.print_exception(error)
            status = 1
        stdio.flush()
        os._exit(status)


def _taken(memories: list[Memory], bodies: list[Any]) -> list[Any]:
    """The bodies, with those that lie there; these are this process's own, and the memory is let go of."""
    try:
        for memory in memories:
            bodies = memory.bodies(bodies)
    except Unavailable as problem:
        raise ConnectionError(f"a large value did not arrive: {problem}") from None
    finally:
        for memory in memories:
            memory.close()
    return bodies
