"""What is shown: in colours at a terminal, plain in a pipe, a file or a test, and nowhere when nobody reads it any more."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TextIO, TypeVar, cast

M = TypeVar("M", bound=Callable[..., Any])

_COLOURS = {"green": "\x1b[0;32m", "blue": "\x1b[0;34m", "red": "\x1b[0;31m"}
_NORMAL = "\x1b[0m"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_TESTS = os.sep + "tests" + os.sep
_SHELL = (os.path.join("IPython", "core", "interactiveshell.py"), os.path.join("IPython", "core", "magic.py"))


def at_terminal() -> bool:
    """Whether standard output is a terminal that is to have colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    shell = running_shell()
    return shell is None or _has_colours(shell)


def running_shell() -> Any:
    """The IPython that one is in; None if one is in none."""
    module = sys.modules.get("IPython.core.getipython")
    return None if module is None else module.get_ipython()


def _has_colours(shell: Any) -> bool:
    return str(getattr(shell, "colors", "")).lower() != "nocolor"


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


def shown_traceback(error: BaseException, lines: Sequence[tuple[str, str]] = ()) -> list[str]:
    """`error` as the IPython that one is in shows it, but for frames of ours and of its own.

    `lines` are those of its text that begin with a label, each as label and text.
    """
    shell = running_shell()
    frames = _users_frames(error.__traceback__)
    if frames is None:
        parts = shell.InteractiveTB.get_exception_only(type(error), error)
    else:
        parts = shell.InteractiveTB.structured_traceback(type(error), error, frames, tb_offset=0)
    if not _has_colours(shell):
        return list(parts)
    shown = "\n".join(parts)
    for label, text in lines:
        name, colon, rest = text.partition(":")
        shown = shown.replace(label + text, paint("green", label) + paint("red", name) + colon + rest, 1)
    return shown.split("\n")


def show_briefly(error: BaseException) -> None:
    """Have the IPython that one is in, if there is one, show `error` without frames of ours, whatever it is."""
    if running_shell() is not None and not hasattr(error, "_render_traceback_"):
        error._render_traceback_ = functools.partial(shown_traceback, error)  # type: ignore[attr-defined]


def shown_briefly(method: M) -> M:
    """A decorator: what the method raises is shown by `show_briefly`."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as problem:  # whatever it is, it is raised on
            show_briefly(problem)
            raise

    return cast(M, call)


def _users_frames(chain: TracebackType | None) -> TracebackType | None:
    """The traceback `chain` without the frames of ipython1 and of the IPython that called them."""
    kept: list[TracebackType] = []
    while chain is not None:
        name = chain.tb_frame.f_code.co_filename
        ours = name.startswith(_PACKAGE) and _TESTS not in name
        if not ours and not name.endswith(_SHELL):
            kept.append(chain)
        chain = chain.tb_next
    rebuilt: TracebackType | None = None
    for link in reversed(kept):
        rebuilt = TracebackType(rebuilt, link.tb_frame, link.tb_lasti, link.tb_lineno or 0)
    return rebuilt
