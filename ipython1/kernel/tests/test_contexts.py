"""The ``with`` form: which source a block has, and that it does not run here."""

from __future__ import annotations

import runpy
import textwrap
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.contexts import (
    RemoteContextBase,
    RemoteMultiEngine,
    SyncImports,
    remote,
    strip_whitespace,
)
from ipython1.kernel.error import StopLocalExecution


class Recorder(RemoteContextBase):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def execute(self, source: str) -> str:
        self.sent.append(source)
        return f"result {len(self.sent)}"

    def _run_remotely(self, source: str) -> str:
        return self.execute(source)


class WithTests(SynchronousTestCase):
    def sent(self, program: str) -> tuple[list[str], dict[str, Any]]:
        """What the ``with`` blocks of a file send, and its names when it has run."""
        path = self.mktemp() + ".py"
        with open(path, "w") as file:
            file.write(textwrap.dedent(program))
        recorder = Recorder()
        names = runpy.run_path(
            path, {"mec": recorder, "remote": remote, "RemoteMultiEngine": RemoteMultiEngine}
        )
        return recorder.sent, names

    def test_file(self) -> None:
        """Only the block is sent, without remote(), and it does not run here."""
        sent, names = self.sent(
            """
            before = 1
            with mec:
                remote() # not here
                # what follows is sent
                a = 10

                if a:
                    b = 30
            after = 2
            """
        )
        self.assertEqual(sent, ["# what follows is sent\na = 10\n\nif a:\n    b = 30\n"])
        self.assertNotIn("a", names)
        self.assertEqual((names["before"], names["after"]), (1, 2))

    def test_nested(self) -> None:
        """Blocks in functions and in other blocks; strings and decorators stay whole."""
        sent, _ = self.sent(
            '''
            def function():
                for i in range(2):
                    with mec as result:
                        remote()
                        @staticmethod
                        def f(x):
                            return """first
            second
                third"""
                    assert result == f"result {i + 1}"
            function()
            '''
        )
        expected = '@staticmethod\ndef f(x):\n    return """first\nsecond\n    third"""\n'
        self.assertEqual(sent, [expected] * 2)

    def test_one_line(self) -> None:
        sent, _ = self.sent("with mec: remote(); a = 'ä'; b = 2\nwith mec:\n    remote(); c = 1\n    d = 2\n")
        self.assertEqual(sent, ["a = 'ä'; b = 2\n", "c = 1\nd = 2\n"])

    def test_several_contexts(self) -> None:
        """The block belongs to the ``with`` that is being entered."""
        sent, _ = self.sent(
            """
            import contextlib
            with contextlib.nullcontext() as one, mec as two:
                remote()
                inner = 1
            with contextlib.nullcontext():
                with RemoteMultiEngine(
                    mec,
                ) as pr:
                    remote()
                    deep = 2
            assert pr == "result 2"
            """
        )
        self.assertEqual(sent, ["inner = 1\n", "deep = 2\n"])

    def test_empty(self) -> None:
        self.assertEqual(self.sent("with mec:\n    remote()\n")[0], [""])

    def test_without_remote(self) -> None:
        """A block that does not begin with remote() runs nowhere."""
        self.assertRaises(ValueError, self.sent, "with mec:\n    a = 5\n    remote()\n")

    def test_without_source(self) -> None:
        """Where the source is not known, that is said."""
        code = compile("with mec:\n    remote()\n    a = 1\n", "<nowhere>", "exec")
        problem = self.assertRaises(ValueError, exec, code, {"mec": Recorder(), "remote": remote})
        self.assertIn("source", str(problem))

    def test_elsewhere(self) -> None:
        """remote() alone is an error; errors other than its own pass."""
        self.assertRaises(StopLocalExecution, remote)
        self.assertFalse(Recorder().__exit__(ValueError, ValueError(), None))
        self.assertFalse(Recorder().__exit__(None, None, None))


class ImportTests(SynchronousTestCase):
    """``with mec.sync_imports():``"""

    def run_block(self, body: str) -> list[str]:
        """What is executed on the engines for a block."""
        asked: list[str] = []
        path = Path(self.mktemp())
        path.write_text(f"with imports:\n{textwrap.indent(textwrap.dedent(body), '    ')}")
        exec(compile(path.read_text(), str(path), "exec"), {"imports": SyncImports(asked.append)})
        return asked

    def test_imports(self) -> None:
        """What the block imports, however that is written, and nothing else of it."""
        block = "import os.path as p, sys\nfrom math import (\n  pi,\n  e,\n)\nx = 1\nif x:\n    import json\n"
        self.assertEqual(self.run_block(block), ["import os.path as p, sys\nfrom math import pi, e\nimport json"])

    def test_nothing(self) -> None:
        self.assertEqual(self.run_block("x = 1\n"), [])

    def test_failure(self) -> None:
        """What cannot be imported here is not tried there; what is relative means nothing there."""
        self.assertRaises(ImportError, self.run_block, "import no_such_module_anywhere\n")
        problem = self.assertRaises(ValueError, self.run_block, "from . import x\n")
        self.assertIn("give the full name", str(problem))


class StripTests(SynchronousTestCase):
    def test_strip_whitespace(self) -> None:
        self.assertEqual(strip_whitespace("    remote()\n    a = 1\n    b = 2\n"), "a = 1\nb = 2\n")
        self.assertEqual(strip_whitespace("remote()\na = 1"), "a = 1\n")
        self.assertEqual(strip_whitespace("    a = 1\n", require_remote=False), "a = 1\n")
        self.assertRaises(ValueError, strip_whitespace, "    a = 1\n")
