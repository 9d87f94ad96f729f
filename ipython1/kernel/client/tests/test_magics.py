"""The magics, in an IPython without a cluster."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.client import magics


class Recorder:
    targets: Any = "all"
    block: Any = True
    timeout: float | None = None

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.options: dict[str, Any] = {}

    def execute(self, source: str, **options: Any) -> str:
        self.calls.append(source)
        self.options = options
        if source == "fail":
            raise ValueError("as asked")
        return "the result"

    def get_result(self, number: int | None, **options: Any) -> str:
        self.calls.append(number)
        self.options = options
        return "the result"

    def interrupt(self, **options: Any) -> None:
        self.calls.append("interrupt")
        self.options = options


class MagicTests(SynchronousTestCase):
    def setUp(self) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        self.shell = InteractiveShell(config=config, ipython_dir=self.mktemp())
        magics.load_ipython_extension(self.shell)
        self.magics = self.shell.magics_manager.registry["ParallelMagics"]
        self.client = self.magics.active = Recorder()

    def type(self, cell: str) -> str:
        """What is printed when `cell` is typed."""
        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.shell.run_cell(cell, store_history=False)
        return output.getvalue()

    def test_px(self) -> None:
        """The line, or all of a cell, is executed; the result is the cell's."""
        printed = self.type("%px a = 5")
        self.assertEqual(printed.splitlines()[0], "Parallel execution on engines: all")
        self.assertIn("'the result'", printed)
        self.client.targets = [0, 2]
        self.assertIn("engines: [0, 2]", self.type("%%px\nb = 1\nc = 2\n"))
        self.assertEqual(self.client.calls, ["a = 5", "b = 1\nc = 2"])

    def test_px_as_typed(self) -> None:
        """IPython puts no values of its own into the code: braces are Python's, of dicts, sets and f-strings."""
        self.shell.user_ns["name"] = "local"
        for code in ("print(f'{name}')", "x = {name}", "print($name)"):
            self.type(f"%px {code}")
            self.assertEqual(self.client.calls.pop(), code)

    def test_result(self) -> None:
        for line in ("%result", "%result 3", "%result all"):
            self.type(line)
        self.assertEqual(self.client.calls, [None, 3, None])

    def test_autopx(self) -> None:
        """While it is on, all input goes to the engines, IPython's own syntax too; errors leave it on."""
        self.assertEqual(self.type("%autopx"), "Auto Parallel Enabled\nType %autopx to disable\n")
        self.assertEqual(self.type("x = 1"), "'the result'\n")
        self.type("for i in range(2):\n    print(i)\n")
        self.type("!ls")
        self.assertIn("ValueError: as asked", self.type("fail"))
        self.assertIn("SyntaxError", self.type("a = = 1"))
        self.assertEqual(self.client.calls, ["x = 1", "for i in range(2):\n    print(i)", "!ls", "fail"])
        self.assertEqual(self.type("%autopx"), "Auto Parallel Disabled\n")
        self.type("y = 1")
        self.assertEqual(self.shell.user_ns["y"], 1)
        self.assertNotIn("x", self.shell.user_ns)

    def test_autopx_syntax_error(self) -> None:
        """It is shown here, as IPython shows its own, and nothing is sent."""
        self.type("%autopx")
        shown = self.type("a = = 1").splitlines()
        self.assertEqual(shown[1:4], ["    a = = 1", "        ^", "SyntaxError: invalid syntax"])
        self.assertIn("'return' outside function", self.type("x = 1\nreturn x"))
        self.assertEqual(self.client.calls, [])

    def test_autopx_await(self) -> None:
        """An engine takes an await at the top level of an input."""
        self.type("%autopx")
        self.type("await f()")
        self.assertEqual(self.client.calls, ["await f()"])

    def test_incomplete_input(self) -> None:
        """Whether an input is complete is judged by what was typed, and nothing is sent meanwhile."""
        self.type("%autopx")
        self.assertEqual(self.shell.check_complete("for i in range(2):")[0], "incomplete")
        self.assertEqual(self.client.calls, [])

    def test_no_client(self) -> None:
        """Without an active client there is a notice, and no exception."""
        self.magics.active = None
        for line in ("%px a = 5", "%result", "%autopx"):
            self.assertIn("No client is active", self.type(line))

    def test_unload(self) -> None:
        self.type("%autopx")
        self.type("%autopx")
        self.type("%autopx")
        with contextlib.redirect_stdout(io.StringIO()):
            magics.unload_ipython_extension(self.shell)
        self.type("z = 3")
        self.assertEqual(self.shell.user_ns["z"], 3)

    def test_outside(self) -> None:
        """Outside IPython, that is said."""
        self.patch(magics, "get_ipython", lambda: None)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            magics.activate(self.client)
        self.assertIn("IPython only", output.getvalue())
