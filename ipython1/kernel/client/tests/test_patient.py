"""Waiting without end, which Ctrl-C ends."""

from __future__ import annotations

import dis
import queue
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.client import patient
from ipython1.kernel.client.patient import SafeFuture, outcome, settled, taken
from ipython1.kernel.engine.tests.harness import ENVIRONMENT

# The signal goes to another thread: no call in which the first one waits is ended by it, as if it had come right before.
_UNNOTICED = """
import os, queue, signal, threading, time
from concurrent.futures import Future
from ipython1.kernel.client import patient
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
def strike():
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
for wait in (
    lambda: patient.settled([Future()]),
    lambda: patient.outcome(Future()),
    lambda: patient.taken(queue.SimpleQueue()),
):
    threading.Thread(target=strike).start()
    try:
        wait()
    except KeyboardInterrupt:
        print("heeded", flush=True)
"""


class Strike:
    """Within it, KeyboardInterrupt is raised where Python looks for signals for that time; `where`, if it does as often.

    That is at the beginning of functions, after calls, and when it jumps back.
    """

    def __init__(self, step: int) -> None:
        self.left = step
        self.where = ""
        self.before: dict[FrameType, int] = {}

    def __enter__(self) -> None:
        sys.settrace(self.trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is Strike.__exit__.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "call":
            looks = True
        elif event == "opcode":
            name = dis.opname[frame.f_code.co_code[self.before.get(frame, frame.f_lasti)]]
            looks = name.startswith("CALL") or name == "JUMP_BACKWARD"
            self.before[frame] = frame.f_lasti
        else:
            looks = False
        self.left -= looks
        if looks and not self.left:
            self.where = f"{event} in {frame.f_code.co_qualname}, line {frame.f_lineno}"
            sys.settrace(None)
            raise KeyboardInterrupt
        return self.trace


class PatientTests(SynchronousTestCase):
    timeout = 60

    def done(self, value: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(value)
        return future

    def test_done(self) -> None:
        """What is there is not waited for."""
        self.assertTrue(settled([]))
        self.assertTrue(settled([self.done(1), self.done(2)], 0))
        self.assertEqual(outcome(self.done(3)), 3)
        failed: Future[Any] = Future()
        failed.set_exception(KeyError("x"))
        self.assertRaises(KeyError, outcome, failed)
        items: queue.SimpleQueue[int] = queue.SimpleQueue()
        items.put(4)
        self.assertEqual(taken(items, 0), 4)

    def test_not_done(self) -> None:
        """Waiting ends when it is to end."""
        self.patch(patient, "TICK", 0.001)
        self.patch(patient, "TOGETHER", 2)
        for timeout in (0, 0.01):
            self.assertFalse(settled([self.done(1), Future(), self.done(1), Future()], timeout))
            self.assertRaises(TimeoutError, outcome, Future(), timeout)
            self.assertRaises(queue.Empty, taken, queue.SimpleQueue(), timeout)

    def test_many(self) -> None:
        """All of them are waited for, in whatever order they come."""
        self.patch(patient, "TOGETHER", 3)
        futures: list[SafeFuture[int]] = [SafeFuture() for _ in range(10)]

        def finish() -> None:
            for number in (9, 1, 0, 5, 2, 3, 4, 6, 8, 7):
                if number % 3:
                    futures[number].set_result(number)
                elif number:
                    futures[number].set_exception(KeyError(number))
                else:
                    futures[number].cancel()
                    futures[number].set_running_or_notify_cancel()

        threading.Timer(0.01, finish).start()
        self.assertTrue(settled(futures))
        self.assertTrue(all(future.done() for future in futures))
        self.assertFalse(any(future._waiters for future in futures))

    def test_nothing_left(self) -> None:
        """Who waits no more has left nothing behind, however often."""
        future: SafeFuture[int] = SafeFuture()
        for _ in range(10):
            settled([future], 0.0001)
        self.assertEqual(future._waiters, [])

    def test_condition(self) -> None:
        """A future's own ways of waiting work as ever, in several threads."""
        future: SafeFuture[int] = SafeFuture()
        self.assertRaises(TimeoutError, future.result, 0.001)
        self.assertRaises(TimeoutError, future.exception, 0)
        self.assertFalse(future._condition._waiting)
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(future.result, 50) for _ in range(3)]
            future.set_result(7)
            self.assertEqual([each.result(50) for each in waiting], [7, 7, 7])
            self.assertEqual(list(as_completed([future])), [future])

    def test_struck_anywhere(self) -> None:
        """Wherever KeyboardInterrupt is raised while it is waited for a future, others can finish it."""
        step = 0
        while True:
            step += 1
            future: SafeFuture[int] = SafeFuture()
            struck = Strike(step)
            try:
                with struck:
                    settled([future], 0)
                    settled([future], 0.01)
            except KeyboardInterrupt:
                pass
            finisher = threading.Thread(target=future.set_result, args=(5,), daemon=True)
            finisher.start()
            finisher.join(20)
            self.assertFalse(finisher.is_alive(), f"at step {step}: {struck.where}")
            self.assertEqual(future.result(0), 5)
            if not struck.where:
                break
        self.assertGreater(step, 30)  # fewer where the time is over before it is waited

    def test_unnoticed_signal(self) -> None:
        """A signal that ends no waiting is heeded before long."""
        command = [sys.executable, "-c", _UNNOTICED]
        said = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=50, check=True)
        self.assertEqual(said.stdout, "heeded\n" * 3)
