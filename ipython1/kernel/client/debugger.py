"""The debugger of an engine at the client's prompt: lines go there, and what it says to them is printed here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ipython1.kernel.client.calls import Calls
from ipython1.kernel.derive import VerbCall
from ipython1.kernel.error import (
    CallInterrupted,
    ClientError,
    CompositeError,
    Failures,
    NothingToDebug,
    StillRunning,
    engine_info,
)
from ipython1.kernel.label import label
from ipython1.kernel.request import Request, ask
from ipython1.kernel.result_id import new_result_id
from ipython1.kernel.terminal import at_terminal, running_shell

PROMPT = "ipdb> "


def failed_engine() -> int:
    """The engine of the exception that Python or IPython showed last; ClientError if that came from none."""
    error = getattr(sys, "last_value", None)
    candidates = [entry[1] for entry in error.elist] if isinstance(error, Failures) else [error]
    for candidate in candidates:
        info = None if candidate is None else engine_info(candidate)
        if info is not None and isinstance(info["engineid"], int):
            return int(info["engineid"])
    raise ClientError("no error of an engine was shown here: say which engine, as in mec.debug(0)")


def debug(calls: Calls, engine: int, read: Callable[[str], str] = input) -> None:
    """Have the user look around on an engine until there is no more input, Ctrl-C, or ``q``."""
    remote = _Remote(calls, engine)
    reply = remote.ask("open")
    print(f"The debugger looks at engine {engine}; q leaves it.")
    _print(reply)
    try:
        while not reply["over"]:
            try:
                line = read(PROMPT)
            except (EOFError, KeyboardInterrupt):
                print()
                return
            try:
                reply = remote.ask("line", line)
            except CallInterrupted:
                print("*** KeyboardInterrupt")
            else:
                _print(reply)
    finally:
        remote.leave()


def _print(reply: dict[str, Any]) -> None:
    output = reply["output"]
    print(output, end="" if output.endswith("\n") or not output else "\n")


class _Remote:
    """The debugger of one engine."""

    def __init__(self, calls: Calls, engine: int) -> None:
        self._calls = calls
        self._engine = engine
        self._session = new_result_id()
        shell = running_shell()
        self._theme = str(shell.colors) if shell is not None and at_terminal() else "nocolor"
        self._there = False

    def ask(self, action: str, line: str = "") -> dict[str, Any]:
        """What it says."""
        args = {"action": action, "line": line, "session": self._session, "theme": self._theme}
        what = label("debug", line) if action == "line" else label("debug")
        steps = ask([Request("debug", args, [self._engine], label=what)], "debug")
        try:
            (reply,) = self._calls.run(VerbCall(steps, True, "debug"))
        except StillRunning:
            self._there = False  # it would not be left before that has ended
            raise
        except CompositeError as problem:
            self._there = False
            if isinstance(problem.elist[0][1], NothingToDebug):
                problem.raise_exception()
            raise
        self._there = action != "close"
        found: dict[str, Any] = reply
        return found

    def leave(self) -> None:
        """Let go of the frames, if the debugger is still there."""
        if self._there:
            self.ask("close")
