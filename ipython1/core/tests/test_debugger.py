"""The debugger that is given one line at a time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.interpreter import Interpreter
from ipython1.kernel.error import NothingToDebug

FAILS = "def f(x):\n    y = x - 1\n    return 1 / y\nf(1)"


class DebuggerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.interpreter = Interpreter()

    def fail_with(self, source: str) -> None:
        run = self.interpreter.execute(source)
        self.interpreter.last_error = run.error

    def open(self, source: str = FAILS) -> str:
        """What a debugger says first, when that has failed."""
        self.fail_with(source)
        said = self.interpreter.debug("mine", "nocolor")
        self.assertFalse(said["over"])
        output: str = said["output"]
        return output

    def say(self, line: str) -> str:
        assert self.interpreter.debugger is not None
        return self.interpreter.debugger.line(line).rstrip("\n")

    def test_frames(self) -> None:
        """It begins where the exception was raised, and can be moved; values are shown, changed and printed."""
        self.assertIn("----> 3     return 1 / y", self.open())
        self.assertEqual(self.say("p x, y"), "(1, 0)")
        self.assertEqual(self.say("print('printed')"), "printed")
        self.assertIn("----> 4 f(1)", self.say("up"))
        self.assertEqual(self.say("new = 5"), "")
        self.assertEqual(self.interpreter.namespace["new"], 5)

    def test_mistakes(self) -> None:
        """Whatever a line does, it is told, and the next one can come."""
        self.open()
        self.assertEqual(self.say("1 / 0"), "*** ZeroDivisionError: division by zero")
        self.assertEqual(self.say("x y"), "*** SyntaxError: invalid syntax")
        self.assertIn("***", self.say("run"))
        self.assertEqual(self.say("raise SystemExit"), "*** SystemExit")
        self.assertEqual(self.say("p y"), "0")

    def test_over(self) -> None:
        """Lines that end it, or would have code run on, end it."""
        for line in ("q", "c", "n", "s"):
            self.open()
            self.say(line)
            assert self.interpreter.debugger is not None
            self.assertTrue(self.interpreter.debugger.over, line)

    def test_nothing(self) -> None:
        """There must be an exception with frames; a reset lets go of it."""
        self.assertRaises(NothingToDebug, self.interpreter.debug, "mine", "nocolor")
        self.fail_with("a = = 1")
        self.assertRaises(NothingToDebug, self.interpreter.debug, "mine", "nocolor")
        self.open()
        self.interpreter.reset()
        self.assertIsNone(self.interpreter.debugger)
        self.assertRaises(NothingToDebug, self.interpreter.debug, "mine", "nocolor")

    def test_theme(self) -> None:
        """Colours are those that are asked for; a theme that is unknown is none."""
        self.fail_with(FAILS)
        self.assertIn("\x1b", self.interpreter.debug("mine", "linux")["output"])
        self.assertNotIn("\x1b", self.interpreter.debug("mine", "nocolor")["output"])
        self.assertIn("return 1 / y", self.interpreter.debug("mine", "no such theme")["output"])
