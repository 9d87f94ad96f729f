"""The process on another host that starts a command there, watches it, and ends it when nobody watches any more.

The login over ssh runs this (see `ipython1.kernel.launch.ssh_command`).  Its standard input is a lifeline: the first
line says what to start, and then orders come, one a line.  At the end of the input, or when nothing has come for too
long, the command is ended: that is how it is seen that ssh, the one who started it, or the network is gone.  An empty
line is a sign of life.

What it has to tell goes to the standard output among what the command writes there: each message begins a line, with a
token that the first line of the input has named, so that neither the command nor a login shell can write one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ipython1.kernel.launch.processes import created

PROTOCOL = 1
REQUEST_TIME = 60.0
"""Seconds that the first line may take."""
GRACE = 10.0
"""Seconds that the command has for ending when the lifeline is gone."""
LARGEST = 2048
"""Bytes of a file that can be fetched: messages of that size are never torn by what the command writes."""

ENDED, STOP = b"e", b"s"
"""What wakes the guard: the command has ended, or the guard itself is asked to end."""


class Refused(Exception):
    """What was asked for cannot be done; the text says why."""


class Orders:
    """The lines of the standard input."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.at_end = False
        self._lines: deque[str] = deque()
        self._rest = b""

    def read(self) -> None:
        """Read what has come; waits if nothing has."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except ConnectionError:  # it is a socket, with some servers
            data = b""
        self.at_end = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(line.decode("utf-8") for line in lines)

    def take(self) -> Iterator[str]:
        """The lines that were read and not taken yet."""
        while self._lines:
            yield self._lines.popleft()


class Guard:
    """Does what `request` says, and what the lines after it say, until the command has ended."""

    def __init__(self, request: Mapping[str, Any], orders: Orders) -> None:
        self._request = request
        self._orders = orders
        self._silence = float(request["silence"])
        self._heard = time.monotonic()
        self._deadline: float | None = None
        self._folder: str | None = None
        self._wakeup, self._wake = os.pipe()
        self._child: subprocess.Popen[bytes]

    def run(self) -> int:
        """The exit status of the command; 1 if it could not be started."""
        try:
            command = self._prepare()
            self._start(command)
        except (OSError, Refused) as problem:
            self._tell("failed", why=_text(problem))
            return 1
        else:
            self._watch()
            status = self._child.wait()
            self._tell("ended", status=status, left=self._left())
            return status if status >= 0 else 1
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _prepare(self) -> list[str]:
        """Write the files; the command, with the paths that they have."""
        if self._request["protocol"] != PROTOCOL:
            raise Refused("the ipython1 there is of another version than the one here: install the same")
        whole: dict[str, str] = {}
        for name, content in self._request["files"]:
            path = os.path.expanduser(name)
            if not os.path.isabs(path):
                self._folder = self._folder or tempfile.mkdtemp(prefix="ipython1-")
                path = whole[name] = os.path.join(self._folder, name)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            write_private(path, base64.b64decode(content))
        return [whole.get(argument, argument) for argument in self._request["command"]]

    def _start(self, command: list[str]) -> None:
        arguments = [sys.executable, "-m", "ipython1.kernel.scripts.child", *command]
        environment = {**os.environ, **self._request["environment"]}
        # Its own lifeline is a pipe from us, so that kill -9 of the guard ends it as well.
        self._child = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        threading.Thread(target=self._wait, daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: os.write(self._wake, STOP))
        self._tell("started", pid=self._child.pid, created=created(self._child.pid))

    def _wait(self) -> None:
        self._child.wait()
        os.write(self._wake, ENDED)

    def _watch(self) -> None:
        """Obey, until the command has ended."""
        for line in self._orders.take():
            self._obey(line)
        with selectors.DefaultSelector() as selector:
            selector.register(self._wakeup, selectors.EVENT_READ)
            selector.register(self._orders.descriptor, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(self._timeout())}
                if self._wakeup in ready:
                    if ENDED in os.read(self._wakeup, 100):
                        return
                    self._stop(GRACE)
                if self._orders.descriptor in ready:
                    self._heard = time.monotonic()
                    self._orders.read()
                    for line in self._orders.take():
                        self._obey(line)
                    if self._orders.at_end:
                        selector.unregister(self._orders.descriptor)
                        self._stop(GRACE)
                self._look_at_clock()

    def _timeout(self) -> float:
        end = self._heard + self._silence if self._deadline is None else self._deadline
        return max(0.0, end - time.monotonic())

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._signal_all(signal.SIGKILL)
            self._deadline = now + 1.0
        elif self._deadline is None and now >= self._heard + self._silence:
            self._stop(GRACE)

    def _obey(self, line: str) -> None:
        order, _, argument = line.partition(" ")
        if order == "stop":
            self._stop(float(argument))
        elif order == "signal":
            self._signal(int(argument))
        elif order == "fetch":
            for name in json.loads(argument):
                self._tell("file", name=name, **_content(name))

    def _stop(self, grace: float) -> None:
        if self._deadline is None and grace > 0:
            self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def _signal(self, number: int) -> None:
        self._child.send_signal(number)

    def _signal_all(self, number: int) -> None:
        """To the command's session too: it makes one of its own as soon as it runs."""
        self._child.send_signal(number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    def _left(self) -> list[str]:
        return [name for name in self._request["fetch"] if os.path.exists(os.path.expanduser(name))]

    def _tell(self, event: str, **fields: Any) -> None:
        text = json.dumps({"event": event, **fields})
        # It begins a line, whatever the command has written last, and is written as a whole.
        with contextlib.suppress(OSError):  # nobody reads it any more, which is about to be seen
            os.write(1, f"\n{self._request['token']} {text}\n".encode())


def write_private(path: str, content: bytes) -> None:
    """Write a file that its owner alone can read, as a whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".ipython1-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _content(name: str) -> dict[str, str]:
    try:
        content = Path(name).expanduser().read_bytes()
        if len(content) > LARGEST:
            raise Refused(f"{name} is too large to be copied")
    except (OSError, Refused) as problem:
        return {"why": _text(problem)}
    return {"content": base64.b64encode(content).decode("ascii")}


def _text(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return f"{problem.filename or 'a file'}: {problem.strerror or problem}"
    return str(problem)


def _first_line(orders: Orders) -> str:
    """The first line; '' if it does not come."""
    end = time.monotonic() + REQUEST_TIME
    with selectors.DefaultSelector() as selector:
        selector.register(orders.descriptor, selectors.EVENT_READ)
        while not orders.at_end and selector.select(max(0.0, end - time.monotonic())):
            orders.read()
            for line in orders.take():
                return line
    return ""


def main() -> int:
    """Be the guard; the exit status."""
    orders = Orders(0)
    request = _first_line(orders)
    return Guard(json.loads(request), orders).run() if request else 1
