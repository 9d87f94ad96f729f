"""An interpreter process as the host agent sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import ipython1
from ipython1.core.serialize import Serialized, join
from ipython1.kernel import framing
from ipython1.kernel.framing import Message

# Nothing here takes a second; a machine under load may take its time.
PATIENCE = 60


class InterpreterProcess:
    """A real process at the other end of real sockets; `close` ends it."""

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.control, their_control = socket.socketpair()
        self.sock.settimeout(PATIENCE)
        their_tickets, self.tickets = os.pipe()
        os.set_blocking(their_tickets, False)
        descriptors = [theirs.fileno(), their_control.fileno(), their_tickets]
        self.process = subprocess.Popen(
            command_line(*descriptors),
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment(),
        )
        theirs.close()
        their_control.close()
        self._unread_tickets = their_tickets
        self.number = 0
        self.others: list[Message] = []
        self.ready = framing.receive(self.sock)

    def close(self) -> None:
        """End it, however it is."""
        self.process.kill()
        self.process.wait()
        self.sock.close()
        self.control.close()
        os.close(self.tickets)
        os.close(self._unread_tickets)
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()

    def leave(self) -> tuple[int, str, str]:
        """Close its socket; its exit status, and all it wrote to its descriptors 1 and 2."""
        self.sock.close()
        output, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output.decode(), errors.decode()

    def send(
        self,
        verb: str,
        args: dict[str, Any] | None = None,
        values: list[Serialized] | None = None,
        bodies: list[Any] | None = None,
    ) -> int:
        """Send a command; its number."""
        self.number += 1
        fields: dict[str, Any] = {"id": ["session", self.number], "verb": verb, "args": args or {}}
        if values is not None:
            fields["values"], bodies = join(values)
        framing.send(self.sock, Message("command", fields, bodies or []))
        return self.number

    def reply(self) -> Message | None:
        """The next reply; other messages go to `others`."""
        while True:
            message = framing.receive(self.sock)
            if message is None or message.kind == "reply":
                return message
            self.others.append(message)

    def ask(self, verb: str, *args: Any, **options: Any) -> Message:
        """Send a command and wait for its reply."""
        number = self.send(verb, *args, **options)
        reply = self.reply()
        assert reply is not None, f"the interpreter ended: {self.process.wait()}"
        assert reply.fields["id"] == ["session", number]
        return reply

    def start(self, source: str) -> int:
        """Send code to execute; the command's number."""
        return self.send("execute", bodies=[source.encode()])

    def execute(self, source: str) -> dict[str, Any]:
        """Execute code: its result document, with the error document as 'error' if it failed."""
        self.start(source)
        return self.result()

    def result(self) -> dict[str, Any]:
        """The next reply, that of an execute, as `execute` gives it."""
        reply = self.reply()
        assert reply is not None, f"the interpreter ended: {self.process.wait()}"
        document: dict[str, Any] = framing.unpack(reply.bodies[-1])
        assert document["number"] == reply.fields["number"]
        if not reply.fields["ok"]:
            document["error"] = framing.unpack(reply.bodies[0])
        return document

    def value(self, expression: str) -> str:
        """The repr of an expression's value."""
        result = self.execute(expression)
        assert "error" not in result, result
        shown: str = result["display"]["repr"]
        return shown

    def interrupt(self, number: int | None) -> None:
        """Interrupt the command with that number, as the agent does."""
        framing.send(self.control, Message("interrupt", {"id": None if number is None else ["session", number]}))
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for(self, word: str) -> None:
        """Wait until it prints a line with `word`."""
        for line in self.process.stdout:
            if word.encode() in line:
                return
        raise AssertionError(f"it ended without saying {word!r}")


def command_line(sock: int, control: int, tickets: int) -> list[str]:
    """How the interpreter process is started."""
    named = {"--socket": sock, "--control": control, "--tickets": tickets}
    options = [word for name, descriptor in named.items() for word in (name, str(descriptor))]
    return [sys.executable, "-m", "ipython1.core.process", *options]


def environment() -> dict[str, str]:
    """Where the tests run is not where ipython1 is; and no variable does what the process has to do itself."""
    root = str(Path(ipython1.__file__).resolve().parents[1])
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}
