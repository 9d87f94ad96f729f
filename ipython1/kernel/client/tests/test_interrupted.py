"""What is raised when Ctrl-C was pressed, by what the engines say then."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.client import interrupted
from ipython1.kernel.client.reactor import ReactorThread
from ipython1.kernel.error import CallInterrupted, CallTimeout, StillRunning
from ipython1.kernel.request import Request


class Asked:
    """Calls whose engines answer so, when they are asked to stop."""

    def __init__(self, answer: Any) -> None:
        self.reactor: Any = self
        self.connection: Any = self
        self.interrupt = None
        self._answer: Future[list[int]] = Future()
        if isinstance(answer, BaseException):
            self._answer.set_exception(answer)
        else:
            self._answer.set_result(answer)

    def submit(self, function: Any, requests: Any) -> Future[list[int]]:
        return self._answer


class StoppedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(interrupted, "OUTCOME_WITHIN", 0.01)
        self.outcome: Future[Any] = Future()

    def stop(self, answer: Any, verb: str = "execute") -> Any:
        asked: Any = Asked(answer)
        return interrupted.stopped(asked, [Request(verb, label="it")], self.outcome)

    def test_outcome(self) -> None:
        """What came of it is given or raised, if it comes soon; what is large may not."""
        text = str(self.assertRaises(CallInterrupted, self.stop, []))
        self.assertIn("it was interrupted; what came of it, which may be large, is not waited for", text)
        self.outcome.set_exception(TimeoutError("of the user's own code"))
        self.assertIn("own code", str(self.assertRaises(TimeoutError, self.stop, [])))
        self.outcome = Future()
        self.outcome.set_result(5)
        self.assertEqual(self.stop([]), 5)

    def test_goes_on(self) -> None:
        """Engines that go on are named; those that cannot be asked may."""
        text = str(self.assertRaises(StillRunning, self.stop, [1, 3]))
        self.assertIn("it still runs on engines 1, 3: ", text)
        self.assertIn("mec.restart([1, 3]) ends it", text)
        text = str(self.assertRaises(StillRunning, self.stop, CallTimeout("no answer")))
        self.assertEqual(text, "it is not waited for any more, and may go on: no answer")
        text = str(self.assertRaises(StillRunning, self.stop, KeyboardInterrupt()))
        self.assertEqual(text, "it is not waited for any more, and may go on")

    def test_nothing_runs(self) -> None:
        """What no interpreter runs is not waited for."""
        text = str(self.assertRaises(CallInterrupted, self.stop, [], "wait_tasks"))
        self.assertEqual(text, "it is not waited for any more")


class Struck:
    """A reactor that Ctrl-C strikes while it is first told something."""

    def __init__(self) -> None:
        self.told = 0

    def callFromThread(self, function: Any) -> None:
        self.told += 1
        if self.told == 1:
            raise KeyboardInterrupt
        function()


class HandOverTests(SynchronousTestCase):
    def test_struck(self) -> None:
        """Ctrl-C in the middle of telling the reactor does not keep it from being told what comes next."""
        thread, reactor, called = ReactorThread(), Struck(), list[int]()
        self.assertRaises(KeyboardInterrupt, thread._hand_over, reactor, called.append, 1)
        thread._hand_over(reactor, called.append, 2)
        self.assertEqual(called, [1, 2])
