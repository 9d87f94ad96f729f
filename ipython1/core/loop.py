"""The command loop of an interpreter process.

User code may leave behind signal handlers that raise (an alarm's, say), and these may strike any line of the
loop.  So it consists of steps that can be taken again, and a command's code is begun only once.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from ipython1.core import stdio, verbs
from ipython1.core.channel import Receiver, Sending
from ipython1.core.interpreter import Execution, Interpreter
from ipython1.core.interrupts import Interrupts, interruptible
from ipython1.core.remote_error import describe
from ipython1.core.tracebacks import format_error
from ipython1.kernel import engineservice, framing
from ipython1.kernel.framing import Message

_Result = TypeVar("_Result")


class _Work:
    """A command, and how far it has come."""

    def __init__(self, message: Message) -> None:
        self.identity = message.fields["id"]
        self.command = verbs.Command(
            message.fields["verb"], message.fields["args"], message.fields.get("values", ()), message.bodies
        )
        self.begun = False
        self.reply: verbs.Reply | None = None
        self.error: BaseException | None = None


class Loop:
    """Serves one interpreter to the host agent."""

    def __init__(self, commands: socket.socket, control: socket.socket) -> None:
        self._commands = commands
        self._receiver = Receiver(commands)
        self._interrupts = Interrupts(control)
        self._interpreter = Interpreter()
        self._pid = os.getpid()
        sys.modules["__main__"] = self._interpreter.module
        _ = self._interpreter.shell  # made now, so that IPython.get_ipython() finds it from the first command on
        engineservice.register(self._interpreter)
        os.register_at_fork(after_in_child=self._let_go)

    def _let_go(self) -> None:
        """A forked child must not take the engine's messages, nor seem to be the engine."""
        self._commands.close()
        self._interrupts.close()

    def run(self, facts: dict[str, Any]) -> None:
        """Tell the agent that this process is ready, with `facts`; serve until the agent closes its end."""
        self._interrupts.install()
        self._send(Message("ready", facts))
        while (message := self._insist(self._receiver.receive)) is not None:
            if message.kind == "identity":
                self._interpreter.id = message.fields["id"]
            elif message.kind == "command":
                self._serve(message)

    def _insist(self, step: Callable[[], _Result]) -> _Result | None:
        """Take a step again until no stray exception strikes it; None if the agent is gone."""
        while True:
            try:
                return step()
            except MemoryError:  # no way on: the message cannot be taken
                raise
            except BaseException as stray:  # raised by a signal handler of the user's
                if isinstance(stray, OSError) and stray.errno is not None:
                    return None

    def _send(self, message: Message) -> None:
        self._insist(Sending(self._commands, message).finish)

    def _serve(self, message: Message) -> None:
        work = _Work(message)
        self._interrupts.current = work.identity
        self._insist(self._interrupts.install)
        self._insist(lambda: self._perform(work))
        if os.getpid() != self._pid:
            self._leave_as_child(work)
        self._insist(stdio.flush)
        reply = self._insist(lambda: self._reply(work))
        changes = self._interpreter.properties.take_changes()
        if changes is not None:
            self._send(Message("properties", {"properties": changes}))
        if reply is not None:
            self._send(reply)

    def _perform(self, work: _Work) -> None:
        if work.begun:  # a stray exception struck when it had ended
            return
        try:
            work.begun = True
            work.reply = self._run(work)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too are errors of the command
            work.error = error

    @interruptible
    def _run(self, work: _Work) -> verbs.Reply:
        self._interrupts.raise_if_early()
        return verbs.perform(self._interpreter, work.command)

    def _reply(self, work: _Work) -> Message:
        if work.reply is not None and work.reply.error is None:
            return Message("reply", {"id": work.identity, "ok": True, **work.reply.fields}, work.reply.bodies)
        try:
            return self._failure(work)
        except BaseException as error:  # an interrupt, while the exception was being described
            work.reply, work.error = None, error
            raise

    @interruptible
    def _failure(self, work: _Work) -> Message:
        fields: dict[str, Any] = {"id": work.identity, "ok": False}
        reply = work.reply or self._unfinished(work)
        error = reply.error or work.error or RuntimeError("the command was cut off by a signal's handler")
        fields.update(reply.fields)
        described = describe(error, reply.fields.get("number"), reply.traceback)
        return Message("reply", fields, [*described, *reply.bodies])

    def _unfinished(self, work: _Work) -> verbs.Reply:
        """The reply of a verb that raised."""
        if work.command.verb != "execute":
            return verbs.Reply()
        run = self._interpreter.running
        if run is None:  # it did not come as far as running
            run = Execution(self._interpreter.number, "", "", time.time())
        run.completed = time.time()
        run.traceback = "" if work.error is None else format_error(work.error)
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
