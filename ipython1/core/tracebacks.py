"""Tracebacks as IPython shows them: plain text, source lines, and no frame of our own machinery."""

from __future__ import annotations

import os.path
import traceback
from functools import cache
from types import FrameType, TracebackType
from typing import Any

from IPython.core.ultratb import FormattedTB, SyntaxTB

from ipython1.core.text import sendable

_OURS = os.path.dirname(os.path.abspath(__file__))


def trim(error: BaseException) -> None:
    """Leave only the user's frames in the traceback of `error`."""
    # By the base's own methods: the exception may have a __getattribute__ that raises.
    own: Any = BaseException.__traceback__
    BaseException.with_traceback(error, _users_part(own.__get__(error)))


def _users_part(chain: TracebackType | None) -> TracebackType | None:
    """The traceback `chain` without the frames of our machinery, at its start and anywhere else."""
    kept: list[TracebackType] = []
    while chain is not None:
        if not _is_machinery(chain.tb_frame, at_start=not kept):
            kept.append(chain)
        chain = chain.tb_next
    rebuilt: TracebackType | None = None
    for link in reversed(kept):
        rebuilt = TracebackType(rebuilt, link.tb_frame, link.tb_lasti, _line(link))
    return rebuilt


def _line(link: TracebackType) -> int:
    # An interrupt may strike an instruction that belongs to no line, such as the one that enters a function.
    line: int | None = link.tb_lineno
    return link.tb_frame.f_code.co_firstlineno if line is None else line


def _is_machinery(frame: FrameType, at_start: bool) -> bool:
    folder, name = os.path.split(frame.f_code.co_filename)
    if folder == _OURS:
        return True
    return at_start and folder.endswith(os.sep + "asyncio") and name in ("base_events.py", "runners.py")


@cache
def _formatters() -> tuple[Any, Any]:
    return FormattedTB(mode="Context", theme_name="nocolor"), SyntaxTB(theme_name="nocolor")


def format_error(error: BaseException) -> str:
    """The traceback text of `error`, whose traceback holds the user's frames only.

    Nothing that the exception or the objects in its frames do makes this fail, KeyboardInterrupt excepted.
    """
    _try_text(error)
    for attempt in (_as_ipython, _as_python):
        try:
            return sendable(attempt(error))
        except Exception:  # the exception's own methods run here
            continue
    return f"{type(error).__name__}: its traceback cannot be shown"


def _try_text(error: BaseException) -> None:
    """Let an exception whose text takes for ever be interrupted here: IPython's formatters would go on."""
    try:
        str(error)
    except Exception:  # the exception's own method; the formatters cope with that
        return
    except BaseException as interruption:
        # Without its context, which is `error`: that would be formatted, too.
        raise interruption from None


def _as_ipython(error: BaseException) -> str:
    frames, syntax = _formatters()
    if _has_group(error):  # IPython's formatters do not show the members of a group
        return _as_python(error)
    if isinstance(error, SyntaxError):
        lines = syntax.structured_traceback(type(error), error, traceback.extract_tb(error.__traceback__))
        return str(syntax.stb2text(lines)).rstrip("\n")
    lines = frames.structured_traceback(type(error), error, error.__traceback__)
    return str(frames.stb2text(lines)).rstrip("\n")


def _has_group(error: BaseException | None) -> bool:
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, BaseExceptionGroup):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _as_python(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip("\n")
