"""One interpreter process, supervised: started, spoken to, listened to, interrupted, ended, and seen to end.

Its end is seen by waiting for the process, never by end of file: children that user code forks inherit the
descriptors, and would keep a dead engine alive.  The interpreter leads a process group; what is left of the group
when the interpreter has ended is killed (who wants a child to outlive the engine gives it a session of its own).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.process import reapAllProcesses
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from ipython1.core.interrupts import WAKE
from ipython1.kernel import messages
from ipython1.kernel.config.settings import OUTPUT_LIMIT, START_TIMEOUT
from ipython1.kernel.engine.channel import Channel
from ipython1.kernel.engine.output import Capture
from ipython1.kernel.engine.queue import Ticket
from ipython1.kernel.engine.tickets import Tickets
from ipython1.kernel.framing import Message, encode
from ipython1.kernel.messages import CommandId, NoneType, Types

EXITED = "exited with status "
"""How the text begins that says how a process ended which ended by itself."""

MODULE = "ipython1.core.process"
GRACE = 2.0
"""Seconds after which an interpreter that was asked to end is killed."""
WAKE_AFTER = 0.1
"""Seconds after an interrupt, in which it is heeded as a rule, `WAKE` is sent; another command may run by then."""
MAX_INTERRUPTS = 64
"""So many interrupts of one command are named on the control socket; for more, the signal alone is sent."""

FROM_INTERPRETER: Mapping[str, Mapping[str, Types]] = {
    "ready": {"pid": (int,), "python": (str,)},
    "properties": {"properties": (dict,)},
    "reply": {
        "id": (list,),
        "ok": (bool,),
        "number": (int, NoneType),
        "values": (list, NoneType),
        "result": (bool, NoneType),
        "displays": (bool, NoneType),
        "memory": (dict, NoneType),
        "took": (float, NoneType),
        # All that was written has been read: the next command that was sent ahead may have begun.
        "quiet": (bool, NoneType),
        # It was not begun, as bodies lie in memory that the interpreter does not see: why.
        "unseen": (str, NoneType),
    },
}


class Owner(Protocol):
    """Takes what an interpreter says, and its end."""

    def interpreter_said(self, message: Message) -> None:
        """A message came; the output that was written before it is in the interpreter's `stdout` and `stderr`."""

    def interpreter_ended(self, reason: str) -> None:
        """The process is gone; `reason` says how.  Called once; nothing comes after it."""


class Interpreter(ProcessProtocol):
    """A process of ``python -m ipython1.core.process``.

    It has `start_timeout` seconds to become ready.  Of what a command writes, `output_limit` bytes are kept.

    `arguments` is the command line to be used instead, without the descriptors (for tests).
    """

    stdout: Capture
    stderr: Capture

    def __init__(
        self,
        reactor: Any,
        owner: Owner,
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        start_timeout: float = START_TIMEOUT.default,
        output_limit: int = OUTPUT_LIMIT.default,
    ) -> None:
        self._reactor = reactor
        self._owner = owner
        self._arguments = list(arguments or (sys.executable, "-m", MODULE))
        self._environment = dict(environment) if environment is not None else None
        self._start_timeout = start_timeout
        self._output_limit = output_limit
        self._deadline: IDelayedCall | None = None
        self._waking: IDelayedCall | None = None
        self._reason: str | None = None
        self._interrupted: tuple[CommandId | None, int] = (None, 0)
        self._ours = contextlib.ExitStack()
        self.pid = 0
        self.ended = False

    def start(self) -> None:
        """Start the process; OSError if that cannot be done.

        One that ends at once may be reported before this returns.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            empty = os.open(os.devnull, os.O_RDONLY)
            theirs.callback(os.close, empty)
            self.stdout, stdout = self._pipe(ours, theirs)
            self.stderr, stderr = self._pipe(ours, theirs)
            messages_end, their_messages = _pair(theirs)
            self._channel = Channel(self._reactor, messages_end, self._messages_received, self._channel_lost)
            ours.callback(self._channel.close)
            self._control, their_control = _pair(theirs)
            ours.callback(self._control.close)
            self._control.setblocking(False)
            self._tickets = Tickets()
            ours.callback(self._tickets.close)
            self._spawn([empty, stdout, stderr, their_messages, their_control, self._tickets.theirs])
            self._ours = ours.pop_all()
        if self.ended:
            self._ours.close()
        else:
            self._end_within(self._start_timeout, f"was not ready within {self._start_timeout:g} s")

    def _pipe(self, ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[Capture, int]:
        read, write = os.pipe()
        theirs.callback(os.close, write)
        capture = Capture(self._reactor, read, self._output_limit)
        ours.callback(capture.close)
        return capture, write

    def _spawn(self, descriptors: list[int]) -> None:
        arguments = [*self._arguments, "--socket", "3", "--control", "4", "--tickets", "5"]
        self._reactor.spawnProcess(
            self,
            arguments[0],
            arguments,
            env=self._environment,
            childFDs=dict(enumerate(descriptors)),
        )

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.pid = self.transport.pid

    def ready(self) -> None:
        """It has said that it is ready: no more limit on its start."""
        self._cancel_deadline()

    def send(self, message: Message) -> None:
        """Send it a message; a command only if it has no other."""
        self._channel.send([message])

    def run_next(self, commands: list[Message]) -> list[Ticket]:
        """Have it run these when it has done what it has to do, unless they are taken back; the tickets that they get."""
        tickets = self._tickets.give(len(commands))
        for command, ticket in zip(commands, tickets, strict=True):
            command.fields["ticket"] = ticket
        self._channel.send(commands)
        return tickets

    def take_back(self) -> set[Ticket]:
        """Take back all that was to run next, and has not begun; the tickets of that."""
        return self._tickets.take_back()

    def take_replies(self) -> None:
        """Take what it has said by now, which may be on its way through the reactor."""
        self._channel.drain()

    def interrupt(self, command_id: CommandId) -> None:
        """Raise KeyboardInterrupt in that command, and in no other; the children of user code get SIGINT."""
        if self.ended:
            return
        named, times = self._interrupted
        times = times + 1 if named == command_id else 1
        self._interrupted = (command_id, times)
        # While it does not look (code that holds the GIL), the socket must not fill up.
        if times <= MAX_INTERRUPTS:
            frame = b"".join(encode(Message("interrupt", {"id": list(command_id)})))
            with contextlib.suppress(OSError):  # it is about to be seen that it has ended
                self._control.send(frame)
        self._signal_group(signal.SIGINT)
        if self._waking is None or not self._waking.active():
            self._waking = self._reactor.callLater(WAKE_AFTER, self.signal, WAKE)
        else:
            self._waking.reset(WAKE_AFTER)

    def signal(self, number: int) -> None:
        """Send a signal to the interpreter alone."""
        if not self.ended:
            os.kill(self.pid, number)

    def end(self, reason: str, idle: bool) -> None:
        """End it: one that is idle is asked to leave, else SIGTERM; SIGKILL when it has not ended in time."""
        if self.ended:
            return
        self._reason = self._reason or reason
        if idle:
            self._channel.finish()
        else:
            self._signal_group(signal.SIGTERM)
        self._end_within(GRACE, reason)

    def kill(self, reason: str) -> None:
        """End it at once."""
        self._reason = self._reason or reason
        self._signal_group(signal.SIGKILL)
        if not self.ended:
            self._cancel_deadline()
            self._deadline = self._reactor.callLater(GRACE, self._look)

    def _look(self) -> None:
        """See whether it has ended, though the system's signal that says so has not been noticed."""
        reapAllProcesses()
        if not self.ended:
            self._deadline = self._reactor.callLater(GRACE, self._look)

    def _end_within(self, seconds: float, reason: str) -> None:
        self._cancel_deadline()
        self._deadline = self._reactor.callLater(seconds, self.kill, reason)

    def _cancel_deadline(self) -> None:
        _cancel(self._deadline)
        self._deadline = None

    def _signal_group(self, number: int) -> None:
        if self.ended:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Until it has made a group of its own, it is in that of the agent.
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def _messages_received(self, received: list[Message]) -> None:
        for message in received:
            problem = messages.check(message.kind, message.fields, FROM_INTERPRETER)
            if problem:
                self.kill(f"sent a malformed message: {problem}")
                return
            if message.kind == "reply" and not message.fields.get("quiet"):
                # What was written before the reply is in the pipes by now, and belongs to what it answers.
                self.stdout.drain()
                self.stderr.drain()
                self._tickets.next_round()
            self._owner.interpreter_said(message)

    def _channel_lost(self, reason: str) -> None:
        # As a rule this is the end of the process, which is about to be reported with its status. But user code may
        # close any descriptor, or write to it; then the interpreter is of no use any more.
        if not self.ended:
            self._end_within(GRACE, reason)

    def processExited(self, reason: Failure) -> None:
        self._cancel_deadline()
        _cancel(self._waking)
        # The process itself is gone, and what it had written before is complete: what it has said of earlier commands,
        # then the output of the last one.
        self._channel.drain()
        self.stdout.drain()
        self.stderr.drain()
        self.ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._ours.close()
        how = describe_end(reason.value)
        self._owner.interpreter_ended(self._reason or how)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()


def _pair(theirs: contextlib.ExitStack) -> tuple[socket.socket, int]:
    agent_end, interpreter_end = socket.socketpair()
    theirs.callback(interpreter_end.close)
    return agent_end, interpreter_end.fileno()


def describe_end(status: BaseException | None) -> str:
    """How a process ended, in words, from what Twisted reports."""
    if not isinstance(status, ProcessTerminated):
        return f"{EXITED}0"
    return describe_status(status.exitCode if status.signal is None else -status.signal)


def describe_status(status: int) -> str:
    """How a process ended, in words; the negative number of a signal if it was one."""
    if status < 0:
        return f"killed by signal {-status}, {signal_name(-status)}"
    return f"{EXITED}{status}"


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
