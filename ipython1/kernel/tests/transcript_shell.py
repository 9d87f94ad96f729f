"""The program that types the cells of a transcript in a real IPython; started by `ipython1.kernel.tests.transcript`.

It reads the cells from standard input and writes what IPython prints, and a line with the marker and ``ok`` or
``raised`` after each cell.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from typing import Any

from IPython.terminal.interactiveshell import TerminalInteractiveShell
from traitlets.config import Config

from ipython1.kernel import client_session
from ipython1.kernel.client import interrupted


class TypedLines:
    """Stands in for the terminal: gives the lines that a transcript shows as typed, and echoes them."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.lines: list[str] = []

    def readline(self) -> str:
        if not self.lines:
            return ""
        line = self.lines.pop(0) + "\n"
        sys.stdout.write(line)
        return line

    def isatty(self) -> bool:
        return False


def make_shell(ipython_dir: str) -> TerminalInteractiveShell:
    """An IPython like the one at a terminal, without colours, and with its history in memory."""
    config = Config()
    config.TerminalInteractiveShell.simple_prompt = True
    config.TerminalInteractiveShell.colors = "nocolor"
    config.TerminalInteractiveShell.banner1 = ""
    config.HistoryManager.hist_file = ":memory:"
    shell: TerminalInteractiveShell = TerminalInteractiveShell.instance(
        config=config, ipython_dir=ipython_dir
    )
    return shell


def main() -> None:
    request = json.load(sys.stdin)
    os.dup2(1, 2)  # So that both keep their order.
    typed = TypedLines()
    sys.stdin = typed
    # IPython's own files go elsewhere than those of the clients, which look in $IPYTHONDIR.
    with tempfile.TemporaryDirectory() as ipython_dir:
        shell = make_shell(ipython_dir)
        for cell in request["cells"]:
            raised = type_cell(shell, typed, cell)
            sys.stderr.flush()
            sys.stdout.write(f"\n{request['marker']} {'raised' if raised else 'ok'}\n")
            sys.stdout.flush()


def type_cell(shell: TerminalInteractiveShell, typed: TypedLines, cell: dict[str, Any]) -> bool:
    """Run one cell under its number; tell whether it raised."""
    typed.lines = list(cell["typed"])
    # Transcripts leave numbers out; `In` is a list that is indexed by them.
    for inputs in (shell.history_manager.input_hist_parsed, shell.history_manager.input_hist_raw):
        inputs.extend([""] * (cell["number"] - len(inputs)))
    shell.execution_count = cell["number"]
    if cell["interrupted"]:
        threading.Thread(target=interrupt, args=[shell.user_ns["mec"]]).start()
    result = shell.run_cell(cell["source"], store_history=True)
    return not result.success


def interrupt(mec: Any) -> None:
    """Press Ctrl-C as soon as each engine is at work, and let these take their time, on a machine that is busy."""
    client_session.STOPPED_WITHIN = interrupted.SOON = 60.0
    while any(status["pending"] == "None" for _, status in mec.queue_status(targets="all", block=True)):
        pass  # asking takes its time
    print("^C")
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
