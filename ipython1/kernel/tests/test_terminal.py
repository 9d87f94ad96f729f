"""Colours, at a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import re
import sys

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.interpreter import Interpreter
from ipython1.kernel import terminal
from ipython1.kernel.error import CompositeError

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TracebackTests(SynchronousTestCase):
    def printed(self, stream: io.StringIO, source: str) -> str:
        """What print_tracebacks writes to `stream`, of the error of some code."""
        run = Interpreter().execute(source)
        run.error._ipython_traceback_text = run.traceback
        run.error._ipython_engine_info = {"engineid": 1, "method": "execute", "args": []}
        self.patch(terminal, "running_shell", lambda: None)  # the engine's, which has no colours
        self.patch(os, "environ", {"TERM": "xterm"})
        self.patch(sys, "stdout", stream)
        CompositeError("failed", [(type(run.error), run.error, None)]).print_tracebacks()
        return stream.getvalue()

    def test_plain(self) -> None:
        """Into a pipe, a traceback goes as it came."""
        self.assertEqual(
            self.printed(io.StringIO(), "a = = 1"),
            "[1:execute]:\n  Cell In[1], line 1\n    a = = 1\n        ^\nSyntaxError: invalid syntax\n\n",
        )

    def test_coloured(self) -> None:
        """At a terminal there are colours, and nothing else is different."""
        for source in ("1/0", "a = = 1", "def f():\n    'é'  # ok\n    import json; json.loads('{')\nf()"):
            painted = self.printed(Terminal(), source)
            self.assertRegex(painted, r"\x1b\[\d+m(\w+Error|----> )")
            self.assertEqual(ESCAPES.sub("", painted), self.printed(io.StringIO(), source))

    def test_refused(self) -> None:
        """NO_COLOR is heeded."""
        stream = Terminal()
        self.patch(os, "environ", {"TERM": "xterm", "NO_COLOR": "1"})
        self.patch(sys, "stdout", stream)
        CompositeError("failed", [(ValueError, ValueError(), None)]).print_tracebacks()
        self.assertEqual(stream.getvalue(), "[Engine Exception]\nNo traceback available\n\n")
