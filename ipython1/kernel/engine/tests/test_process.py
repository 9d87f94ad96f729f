"""Supervised processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.kernel.engine import engine as engine_module
from ipython1.kernel.engine import process as process_module
from ipython1.kernel.engine.process import Interpreter, Owner, describe_end
from ipython1.kernel.engine.service import Agent
from ipython1.kernel.engine.tests.harness import ENVIRONMENT, launch
from ipython1.kernel.framing import Message


class FakeOwner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[str] = Deferred()

    def interpreter_said(self, message: Message) -> None:
        self.said.append(message)
        if message.kind == "ready":
            self.ready.callback(None)

    def interpreter_ended(self, reason: str) -> None:
        self.ended.callback(reason)


async def open_descriptors() -> int:
    # In a running reactor, which has its own.
    await deferLater(reactor, 0)
    return psutil.Process().num_fds()


class InterpreterTests(TestCase):
    """One process."""

    timeout = 180

    def interpreter(self, *arguments: str, **limits: Any) -> tuple[Interpreter, FakeOwner]:
        owner = FakeOwner()
        interpreter = Interpreter(reactor, owner, arguments or None, ENVIRONMENT, **limits)
        return interpreter, owner

    async def test_life(self) -> None:
        """It says that it is ready, leads a process group, and leaves when it is asked to."""
        before = await open_descriptors()
        interpreter, owner = self.interpreter()
        interpreter.start()
        await owner.ready
        self.assertEqual(owner.said[0].fields["pid"], interpreter.pid)
        self.assertEqual(os.getpgid(interpreter.pid), interpreter.pid)
        interpreter.end("it was asked to", idle=True)
        self.assertEqual(await owner.ended, "it was asked to")
        self.assertTrue(interpreter.ended)
        self.assertEqual(await open_descriptors(), before)

    async def test_unnoticed_end(self) -> None:
        """That it has ended is seen before long, also where the signal that says so has been missed."""
        self.patch(process_module, "GRACE", 0.05)
        interpreter, owner = self.interpreter()
        interpreter.start()
        await owner.ready
        noticed = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGCHLD, noticed)
        interpreter.end("it was asked to", idle=True)
        self.assertEqual(await owner.ended, "it was asked to")

    test_unnoticed_end.timeout = 20  # type: ignore[attr-defined] # of trial's; another signal would end it, too

    async def test_no_descriptor_leaks(self) -> None:
        """Nothing is left open of 200 processes."""
        before = await open_descriptors()
        for _ in range(200):
            interpreter, owner = self.interpreter("/bin/true")
            interpreter.start()
            self.assertEqual(await owner.ended, "exited with status 0")
        self.assertEqual(await open_descriptors(), before)

    async def test_no_such_program(self) -> None:
        """What cannot be started is an OSError, and leaves nothing open."""
        before = await open_descriptors()
        interpreter, _ = self.interpreter("/nonexistent/python")
        self.assertRaises(OSError, interpreter.start)
        self.assertEqual(await open_descriptors(), before)

    async def test_never_ready(self) -> None:
        """One that does not become ready in time is killed."""
        interpreter, owner = self.interpreter("/bin/sh", "-c", "sleep 60", start_timeout=0.1)
        interpreter.start()
        self.assertEqual(await owner.ended, "was not ready within 0.1 s")

    async def test_last_words(self) -> None:
        """What it wrote right before its end is not lost."""
        interpreter, owner = self.interpreter("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
        interpreter.start()
        self.assertEqual(await owner.ended, "exited with status 3")
        self.assertEqual((interpreter.stdout.take(), interpreter.stderr.take()), (b"out\n", b"err\n"))

    async def test_many_interrupts(self) -> None:
        """However often it is interrupted without looking, the agent does not wait for it."""
        script = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(); time.sleep(60)"
        interpreter, owner = self.interpreter(sys.executable, "-u", "-c", script)
        interpreter.start()
        while not interpreter.stdout.take():
            await deferLater(reactor, 0.01)
        for _ in range(10_000):
            interpreter.interrupt(("c", 1))
        interpreter.kill("enough")
        self.assertEqual(await owner.ended, "enough")


class StartFailureTests(TestCase):
    """Interpreters that do not come up."""

    timeout = 180

    async def test_given_up(self) -> None:
        """After five attempts in a row the engine is given up, with what the interpreter had written."""
        self.patch(engine_module, "START_DELAY", 0.001)
        attempts = []

        def broken(owner: Owner) -> Interpreter:
            attempts.append(1)
            return Interpreter(reactor, owner, ["/bin/sh", "-c", "echo no such module >&2; exit 1"])

        agent = Agent(reactor, 1, broken, lambda text: None)
        agent.start()
        await agent.when_over()
        self.assertEqual(len(attempts), 5)
        (failure,) = agent.failures
        self.assertIn("given up after 5 attempts", failure)
        self.assertIn("exited with status 1", failure)
        self.assertIn("no such module", failure)

    async def test_no_such_program(self) -> None:
        """A program that cannot be run is such a failure, too."""
        self.patch(engine_module, "START_DELAY", 0.001)
        agent = Agent(
            reactor, 1, lambda owner: Interpreter(reactor, owner, ["/nonexistent"]), lambda text: None
        )
        agent.start()
        await agent.when_over()
        self.assertIn("cannot start an interpreter", agent.failures[0])

    async def test_stopped_between_attempts(self) -> None:
        """An agent that is stopped between two attempts ends at once."""
        self.patch(engine_module, "START_DELAY", 1000)
        agent = Agent(
            reactor, 1, lambda owner: Interpreter(reactor, owner, ["/nonexistent"]), lambda text: None
        )
        agent.start()
        agent.stop()
        await agent.when_over()
        self.assertEqual(agent.failures, [])

    async def test_stopped_while_starting(self) -> None:
        """Interpreters that are not ready yet are ended, too."""
        agent = Agent(reactor, 2, launch, lambda text: None)
        agent.start()
        agent.stop()
        await agent.when_over()
        self.assertEqual(agent.failures, [])


AGENT = """
from twisted.internet import reactor
from ipython1.kernel.engine.process import Interpreter

class Owner:
    def interpreter_said(self, message):
        print(message.fields["pid"], flush=True)
    def interpreter_ended(self, reason):
        reactor.stop()

interpreter = Interpreter(reactor, Owner())
reactor.callWhenRunning(interpreter.start)
reactor.run()
"""


class OrphanTests(TestCase):
    """Interpreters end with their agent."""

    timeout = 180

    async def test_killed_agent(self) -> None:
        """Also when that is ended by kill -9."""
        script = Path(self.mktemp())
        script.write_text(AGENT)
        agent = _Lines()
        process = reactor.spawnProcess(agent, sys.executable, [sys.executable, str(script)], env=ENVIRONMENT)
        self.addCleanup(agent.end)
        pid = int(await agent.line)
        self.addCleanup(_kill, pid)
        process.signalProcess("KILL")
        await agent.ended
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await deferLater(reactor, 0.01)


class _Lines(ProcessProtocol):
    def __init__(self) -> None:
        self.line: Deferred[bytes] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        if not self.line.called:
            self.line.callback(data)

    def processEnded(self, reason: object) -> None:
        self.ended.callback(None)

    def end(self) -> Deferred[None] | None:
        if self.ended.called:
            return None
        self.transport.signalProcess("KILL")
        return self.ended


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


class DescriptionTests(SynchronousTestCase):
    """How processes end, in words."""

    def test_descriptions(self) -> None:
        """Status, signal by number and name."""
        self.assertEqual(describe_end(ProcessDone(0)), "exited with status 0")
        self.assertEqual(describe_end(ProcessTerminated(exitCode=3)), "exited with status 3")
        self.assertEqual(describe_end(ProcessTerminated(signal=9)), "killed by signal 9, SIGKILL")
        self.assertEqual(describe_end(ProcessTerminated(signal=35)), "killed by signal 35, signal 35")
