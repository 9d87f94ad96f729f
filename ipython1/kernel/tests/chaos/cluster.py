"""The processes of a run: started, kept running, and ended by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

import ipython1
from ipython1.kernel.controller.config import READY
from ipython1.kernel.furl import read_furl, secret, tub_and_location, write_private
from ipython1.kernel.places import FURL_FILES
from ipython1.kernel.redial import LONGEST_DELAY
from ipython1.kernel.tests.chaos.plan import WATCH, Plan
from ipython1.kernel.tests.chaos.proxy import Proxy

PACKAGE = "ipython1.kernel.tests.chaos"
INTERPRETER = "ipython1.core.process"
"""By this module the interpreters are known among the children of agents."""
READY_WITHIN = 90.0
END_WITHIN = 10.0
STACKS_WITHIN = 2.0
SHOW_STACKS = ("-X", "faulthandler")
"""On SIGABRT a process writes where its threads are, and ends."""
FOUND_WITHIN = LONGEST_DELAY + 1.0
"""Seconds after which those have dialed again that are not slower than the controller is at its start."""


class NotStarted(Exception):
    """A process of the run did not start; the text says where it said why."""


class Process(ProcessProtocol):
    """A process that belongs to the run; what it writes goes to a file `NAME.out`.

    `ended` is called when it has ended and nobody has asked it to.
    """

    def __init__(self, plan: Plan, name: str, arguments: list[str], ended: Callable[[Process], None]) -> None:
        self.name = name
        self.pid = 0
        self.status: int | None = None
        self._ended = ended
        self._said = ""
        self._waiting: list[tuple[str, Deferred[bool]]] = []
        self._over: list[Deferred[None]] = []
        self._output = plan.path(f"{name}.out").open("ab")
        source = str(Path(ipython1.__file__).parent.parent)
        environment = {**os.environ, "IPYTHONDIR": plan.folder, "PYTHONPATH": source}
        started: Any = reactor
        self._process = started.spawnProcess(
            self,
            sys.executable,
            [sys.executable, *SHOW_STACKS, "-m", *arguments],
            env=environment,
            path=plan.folder,
        )
        self.pid = self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.status is None

    def signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess(number)

    def said(self, text: str) -> Deferred[bool]:
        """Fires when it has written that; with False if it ended before."""
        waiter: Deferred[bool] = Deferred()
        self._waiting.append((text, waiter))
        self._look()
        return waiter

    def over(self) -> Deferred[None]:
        """Fires when it has ended."""
        waiter: Deferred[None] = Deferred()
        self._over.append(waiter)
        self._look()
        return waiter

    def _look(self) -> None:
        due = [each for each in self._waiting if each[0] in self._said or not self.runs]
        self._waiting = [each for each in self._waiting if each not in due]
        for text, waiter in due:
            waiter.callback(text in self._said)
        if not self.runs:
            over, self._over = self._over, []
            for ended in over:
                ended.callback(None)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._output.write(data)
        self._output.flush()
        # What is waited for is said in the beginning.
        if len(self._said) < 10_000:
            self._said += data.decode("utf-8", "replace")
            self._look()

    def processEnded(self, reason: Failure) -> None:
        killed_by = getattr(reason.value, "signal", None)
        self.status = -killed_by if killed_by else (getattr(reason.value, "exitCode", 0) or 0)
        self._output.close()
        self._look()
        self._ended(self)


class Cluster:
    """Controller, agents and clients, each agent and client behind a proxy of its own."""

    def __init__(self, plan: Plan, tell: Callable[..., Any]) -> None:
        self._plan = plan
        self._tell = tell
        self._processes: list[Process] = []
        self._interpreters: dict[int, psutil.Process] = {}
        self._incarnations: dict[int, int] = {}
        self._restarting: dict[str, Any] = {}
        self._delays: dict[str, float] = {}
        self.closing = False
        self.controller: Process | None = None
        self.agents: dict[int, Process] = {}
        self.clients: dict[int, Process] = {}
        self.proxies: dict[str, Proxy] = {}
        self.start_time = 0.0
        """Seconds that the controller took to start, and to be ready, at most."""
        self._ready_at: float | None = None

    # -- starting ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Controller and agents; returns when all engines are registered."""
        self.start_controller()
        assert self.controller is not None
        await self._ready(self.controller, READY)
        for number in range(self._plan.agents):
            await self._add_proxy(f"agent-{number}", ("engine",))
            self.start_agent(number)
        for agent in list(self.agents.values()):
            await self._ready(agent, "registered")

    async def _ready(self, process: Process, text: str) -> None:
        said = process.said(text)
        said.addTimeout(READY_WITHIN, reactor, lambda *_: False)
        if not await said:
            raise NotStarted(f"{process.name} did not start; what it said is in {process.name}.out")

    async def start_clients(self) -> None:
        """All clients, and the one that watches; returns when each of them works."""
        for number in range(self._plan.clients):
            await self._add_proxy(f"client-{number}", ("multiengine", "task"))
            self.start_client(number)
        logs = [self._plan.path(f"client-{number}.0.jsonl") for number in range(self._plan.clients)]
        logs.append(self._plan.path(WATCH))
        self.ask("watch")
        if not await within(READY_WITHIN, lambda: all(log.exists() and log.stat().st_size for log in logs)):
            raise NotStarted("a client did not start; what it said is in client-NUMBER.out")

    async def _add_proxy(self, name: str, roles: tuple[str, ...]) -> None:
        furls = {role: read_furl(self._furl_file(role), role) for role in roles}
        proxy = self.proxies[name] = Proxy(int(tub_and_location(furls[roles[0]])[1].rpartition(":")[2]))
        await proxy.start()
        for role, furl in furls.items():
            tub, _ = tub_and_location(furl)
            led = f"pb://{tub}@tcp:127.0.0.1:{proxy.port}/{secret(furl)}"
            write_private(self._plan.path(f"{name}-{role}.furl"), led + "\n")

    def _furl_file(self, role: str) -> str:
        return str(self._plan.path("security") / FURL_FILES[role])

    def _start(self, name: str, *arguments: str, ended: Callable[[Process], None] | None = None) -> Process:
        process = Process(self._plan, name, list(arguments), ended or (lambda _: None))
        self._processes.append(process)
        self._tell("process", name=name, pid=process.pid)
        return process

    def _command(self, name: str, command: str, *arguments: str, ended: Callable[[Process], None]) -> Process:
        if self._plan.broken:
            return self._start(name, f"{PACKAGE}.broken", self._plan.broken, command, *arguments, ended=ended)
        return self._start(name, "ipython1.kernel.scripts.child", command, *arguments, ended=ended)

    def start_controller(self) -> None:
        """Start the controller, which has the FURLs of its predecessor."""
        plan = self._plan
        self.controller = self._command(
            "controller",
            "ipcontroller",
            "--interface",
            "127.0.0.1",
            "--location",
            "127.0.0.1",
            "--reuse-furls",
            "--grace",
            str(plan.grace),
            "--engine-keepalive",
            str(plan.silence),
            "--client-keepalive",
            str(plan.silence),
            ended=self._controller_ended,
        )
        self.controller.said(READY).addCallback(self._controller_ready, time.monotonic())

    def _controller_ready(self, is_ready: bool, started: float) -> None:
        if is_ready:
            self._ready_at = time.monotonic()
            self.start_time = max(self.start_time, self._ready_at - started)

    def _controller_ended(self, process: Process) -> None:
        self._ready_at = None
        self._again(process, self.start_controller)

    @property
    def settled(self) -> bool:
        """Whether the controller has been there for as long as everybody needs to find it again."""
        return (
            self._ready_at is not None and time.monotonic() - self._ready_at > FOUND_WITHIN + self.start_time
        )

    def start_agent(self, number: int) -> None:
        """Start an agent."""
        name = f"agent-{number}"
        furl_file = str(self._plan.path(f"{name}-engine.furl"))
        self.agents[number] = self._command(
            name,
            "ipengine",
            "-n",
            str(self._plan.engines),
            "--furl-file",
            furl_file,
            ended=lambda process: self._again(process, lambda: self.start_agent(number)),
        )

    def start_client(self, number: int) -> None:
        """Start a client, in the place of the one that was there: one in three has MultiEngine commands, the others tasks."""
        role, kind = ("commands", "multiengine") if number % 3 == 1 else ("tasks", "task")
        name = f"{number}.{self._incarnations.get(number, 0)}"
        self._incarnations[number] = self._incarnations.get(number, 0) + 1
        self.clients[number] = self._start(
            f"client-{number}",
            f"{PACKAGE}.load",
            self._plan.folder,
            role,
            name,
            str(self._plan.path(f"client-{number}-{kind}.furl")),
            ended=lambda process: self._again(process, lambda: self.start_client(number)),
        )

    def ask(self, role: str) -> Process:
        """Start a client to which no faults happen."""
        return self._start(role, f"{PACKAGE}.load", self._plan.folder, role, role, self._furl_file("task"))

    # -- keeping it running --------------------------------------------------------------------------

    def restart_after(self, process: Process, seconds: float) -> None:
        """What is about to be killed is to be started again after so long."""
        self._delays[process.name] = seconds

    def _again(self, process: Process, start: Callable[[], None]) -> None:
        self._tell("ended", name=process.name, pid=process.pid, status=process.status)
        if self.closing or (self._plan.is_over and process.name.startswith("client")):
            return

        def restart() -> None:
            del self._restarting[process.name]
            if not self.closing:
                start()

        wait = self._delays.pop(process.name, 0.2)
        clock: Any = reactor
        self._restarting[process.name] = clock.callLater(wait, restart)

    def interpreters(self, agent: Process) -> list[psutil.Process]:
        """Those of an agent, in the order of their places; they are remembered, to be ended with the run."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(agent.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if INTERPRETER in child.cmdline():
                        found.append(child)
                        self._interpreters[child.pid] = child
        return sorted(found, key=lambda child: child.pid)

    # -- ending --------------------------------------------------------------------------------------

    async def end(self) -> Mapping[str, int]:
        """End all processes; those that did not end by themselves, by their names."""
        self.closing = True
        for call in self._restarting.values():
            call.cancel()
        self._restarting.clear()
        running = [process for process in self._processes if process.runs]
        for agent in self.agents.values():
            if agent.runs:
                self.interpreters(agent)
        for interpreter in self._interpreters.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                interpreter.resume()
        for process in running:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        await within(END_WITHIN, lambda: not any(process.runs for process in running))
        left = {process.name: process.pid for process in running if process.runs}
        for process in running:
            # What hangs says where.
            process.signal(signal.SIGABRT)
        await within(STACKS_WITHIN, lambda: not any(process.runs for process in running))
        for process in running:
            process.signal(signal.SIGKILL)
            await process.over()
        for interpreter in self._interpreters.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                # It knows by the time of its start whether the id is another process's by now.
                if interpreter.is_running() and interpreter.status() != psutil.STATUS_ZOMBIE:
                    interpreter.kill()
                    left[f"interpreter {interpreter.pid}"] = interpreter.pid
        for proxy in self.proxies.values():
            await proxy.stop()
        return left


async def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Return when the condition holds, or after so long; whether it does."""
    clock: Any = reactor
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await deferLater(clock, 0.05, lambda: None)
    return True
