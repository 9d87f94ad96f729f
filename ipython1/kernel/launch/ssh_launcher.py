"""One command on another host: a login over ssh, with a guard at the other end (`ipython1.kernel.launch.guard`)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from ipython1.kernel.engine.process import describe_status
from ipython1.kernel.error import LaunchError, SecurityError
from ipython1.kernel.furl import remove, write_private
from ipython1.kernel.launch import ssh_errors
from ipython1.kernel.launch.base import Told
from ipython1.kernel.launch.guard import PROTOCOL
from ipython1.kernel.launch.launcher import ILauncher
from ipython1.kernel.launch.lines import Lines
from ipython1.kernel.launch.ssh_command import SshSettings, ssh_arguments
from ipython1.kernel.launch.values import Launch, local_path

ANSWER = 5.0
"""Seconds, beyond those that the command has for ending, after which the connection is given up."""
SAID = 20
"""So many of the last lines that ssh wrote are remembered."""
# In a session of its own: Ctrl-C at the terminal is for us, who end the parts one after the other.
_APART = "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[2:])"


@implementer(ILauncher)
class SshLauncher(Told, ProcessProtocol):
    """Starts `launch` on its host."""

    def __init__(self, reactor: Any, launch: Launch, settings: SshSettings) -> None:
        super().__init__(launch)
        self._reactor = reactor
        self._settings = settings
        self._lines = {1: Lines(), 2: Lines()}
        self._said: deque[str] = deque(maxlen=SAID)
        self._token = f"ipython1-{secrets.token_hex(8)}"
        self._process: Any = None
        self._alive = LoopingCall(self._order, "")
        self._alive.clock = reactor
        self._timers: list[Any] = []
        self._started: Deferred[None] | None = None
        self._refused: str | None = None
        self._reason: str | None = None
        self._outcome: Mapping[str, Any] | None = None
        self._held_back: list[str] | None = None
        self._unfetched: dict[str, str] = {}

    # The contract.

    def start(self) -> Deferred[None]:
        """Log in and start the command there."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        if self.has_ended:
            raise LaunchError(f"{self.launch.name} was stopped before it was started")
        try:
            program = self._find_program()
            request = self._request()
            self._spawn(program)
        except LaunchError:
            self._change(state="ended", reason="it could not be started", succeeded=False)
            raise
        self._started = Deferred()
        self._order(request)
        limit = self._settings.connect_timeout + self._settings.start_timeout
        deadline = self._later(limit, self._is_late)
        await self._started
        deadline.cancel()
        self._alive.start(self._settings.silence / 4, now=False)

    def stop(self, grace: float) -> Deferred[None]:
        """Have the guard end it; if the guard does not answer, end the connection, which ends it too."""
        if self._process is None:
            self._change(state="ended", reason="it was not started", succeeded=False)
        if self.has_ended:
            return succeed(None)
        if self._started is not None and not self._started.called:
            # Nobody waits for the login any more; what it may have started ends with the connection.
            self._refused = f"{self.launch.name} on {self.launch.host} was stopped before it was started"
            self._kill()
            return self.when_ended()
        self._change(state="stopping")
        self._order(f"stop {grace}")
        self._later(grace + ANSWER, self._give_up)
        return self.when_ended()

    def signal(self, number: int) -> Deferred[None]:
        """Send a signal to the process there."""
        self._order(f"signal {int(number)}")
        return succeed(None)

    # The process here.

    @property
    def ssh_pid(self) -> int:
        """The process of ssh; valid until the end."""
        pid: int = self._process.pid
        return pid

    def _find_program(self) -> str:
        program = shutil.which(os.path.expanduser(self._settings.program))
        if program is None:
            raise LaunchError(ssh_errors.no_program(self._settings.program))
        return os.path.abspath(program)

    def _request(self) -> str:
        try:
            files = [
                (there, base64.b64encode(local_path(here).read_bytes()).decode("ascii"))
                for here, there in self.launch.files
            ]
        except OSError as problem:
            raise LaunchError(
                f"{problem.filename} cannot be copied to {self.launch.host}: {problem.strerror}"
            ) from problem
        request = {
            "protocol": PROTOCOL,
            "token": self._token,
            "command": self.launch.command,
            "environment": dict(self.launch.environment),
            "files": files,
            "fetch": [there for there, _ in self.launch.fetch],
            "silence": self._settings.silence,
        }
        return json.dumps(request)

    def _spawn(self, program: str) -> None:
        command = ssh_arguments(self._settings, self.launch.host)
        arguments = [sys.executable, "-I", "-S", "-c", _APART, program, *command]
        try:
            self._process = self._reactor.spawnProcess(self, arguments[0], arguments, env=None)
        except OSError as problem:
            raise LaunchError(
                f"the system does not let ssh to {self.launch.host} be started ({problem.strerror or problem}):"
                " are there too many processes or open files, or too little memory?"
            ) from problem

    def _order(self, line: str) -> None:
        if self._process is not None and not self.has_ended:
            self._process.write(line.encode() + b"\n")

    def _kill(self) -> None:
        # With what it has started for the way to the host (ProxyCommand), which would keep its pipes open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessExitedAlready):  # its end is about to be reported
            self._process.signalProcess("KILL")

    def _later(self, seconds: float, call: Any) -> _Timer:
        timer = _Timer(self._reactor.callLater(seconds, call))
        self._timers.append(timer)
        return timer

    def _is_late(self) -> None:
        self._refused = ssh_errors.too_late(self._settings, self.launch.host)
        self._kill()

    def _give_up(self) -> None:
        self._reason = f"{self.launch.host} has not answered; what runs there ends by itself"
        self._kill()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._take(childFD, self._lines[childFD].add(data))

    def _take(self, descriptor: int, lines: list[str]) -> None:
        for line in lines:
            if descriptor == 2:
                # The command's own errors come with its output: this is ssh, the login shell, or the guard.
                if line:
                    self._said.append(line)
            elif line.startswith(self._token):
                self._told(json.loads(line[len(self._token) :]))
            elif self._state.state != "starting":
                self._output(line)
            # What a login shell writes before the command runs is none of ours.

    def processEnded(self, reason: Failure) -> None:
        for descriptor, lines in self._lines.items():
            self._take(descriptor, lines.finish())
        for timer in self._timers:
            timer.cancel()
        if self._alive.running:
            self._alive.stop()
        status = reason.value.exitCode if isinstance(reason.value, ProcessTerminated) else 0
        if self._started is not None and not self._started.called:
            self._change(state="ended", reason="it could not be started", succeeded=False)
            text = self._refused or ssh_errors.explain(self._settings, self.launch.host, status, self._said)
            self._started.errback(LaunchError(text))
            return
        self._release()
        self._change(state="ended", **self._end(status))

    def _end(self, status: int | None) -> dict[str, Any]:
        if self._outcome is None:
            lost = self._reason or ssh_errors.lost(self.launch.host, status, self._said)
            return {"reason": lost, "succeeded": False}
        self._remove_copies(self._outcome["left"])
        ended = self._outcome["status"]
        reason = self._reason or describe_status(ended)
        return {"reason": reason, "succeeded": ended == 0 and self._reason is None}

    # What the guard says.

    def _told(self, message: Mapping[str, Any]) -> None:
        event = message["event"]
        if event == "started":
            self._change(state="running", pid=message["pid"], created=message["created"])
            if self._started is not None and not self._started.called:
                self._started.callback(None)
        elif event == "failed":
            self._refused = f"{self.launch.name} cannot be started on {self.launch.host}: {message['why']}"
        elif event == "file":
            self._fetched(message)
        elif event == "ended":
            self._outcome = message

    # Output, and the files that are to be here before a line of it is shown.

    def _output(self, line: str) -> None:
        if self._held_back is not None:
            self._held_back.append(line)
        elif self.launch.fetch and line == self.launch.ready:
            self._held_back = [line]
            self._unfetched = dict(self.launch.fetch)
            self._order(f"fetch {json.dumps(list(self._unfetched))}")
        else:
            self._say(line)

    def _fetched(self, message: Mapping[str, Any]) -> None:
        here = self._unfetched.pop(message["name"], None)
        if here is None:
            return
        try:
            if "why" in message:
                raise SecurityError(message["why"])
            path = local_path(here)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, base64.b64decode(message["content"]).decode("ascii"))
        except (SecurityError, OSError, ValueError) as problem:
            self._reason = f"{message['name']} of {self.launch.host} could not be copied: {problem}"
            self._unfetched = {}
            self._held_back = []
            self.stop(ANSWER)
            return
        if not self._unfetched:
            self._release()

    def _release(self) -> None:
        held_back, self._held_back = self._held_back, None
        for line in held_back or ():
            self._say(line)

    def _remove_copies(self, left: list[str]) -> None:
        """What the command has taken with it there is of no use here."""
        for there, here in self.launch.fetch:
            if there not in left:
                remove(Path(local_path(here)))


class _Timer:
    """A delayed call that may be cancelled at any time."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()
