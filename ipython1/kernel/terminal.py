"""What is shown: in colours at a terminal, plain in a pipe, a file or a test, and nowhere when nobody reads it any more."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_COLOURS = {"green": "\x1b[0;32m", "blue": "\x1b[0;34m", "red": "\x1b[0;31m"}
_NORMAL = "\x1b[0m"


def at_terminal() -> bool:
    """Whether standard output is a terminal that is to have colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout is not None and sys.stdout.isatty()


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter, whose front-end shows rich output."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def prompt_number() -> int | None:
    """The number of the input that runs in the IPython that this is; None if it is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "execution_count", None)


def is_watched() -> bool:
    """Whether a person sees at once what is printed: at a terminal, or in a notebook."""
    return in_notebook() or (sys.stdout is not None and sys.stdout.isatty())


def silence(stream: TextIO) -> None:
    """Have what is written to this stream go nowhere, now that nobody reads it: not at the end of the process, either."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def paint(colour: str, text: str) -> str:
    """`text` in a colour."""
    return f"{_COLOURS[colour]}{text}{_NORMAL}"


def paint_traceback(text: str) -> str:
    """An engine's traceback in the colours of its parts."""
    # Not for those who never see one, such as engines and the controller.
    from IPython.lib.lexers import IPythonTracebackLexer
    from pygments import highlight
    from pygments.formatters import TerminalFormatter

    # The lexer knows a last line only by its end.
    painted: str = highlight(text + "\n", IPythonTracebackLexer(stripnl=False), TerminalFormatter())
    return painted.removesuffix("\n")
