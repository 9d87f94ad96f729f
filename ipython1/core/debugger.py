"""A debugger for what has failed, which is given one line at a time and says what it prints.

It looks at frames that have ended, and runs nothing between two lines: so nobody is kept waiting by it, and a user who
goes away in the middle leaves nothing behind that would have to be stopped.
"""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Callable
from typing import Any

from IPython.core.debugger import Pdb
from IPython.utils.PyColorize import theme_table

from ipython1.kernel.error import NothingToDebug


class Debugger:
    """Looks at the frames of `error`; `session` is whose it is, and `theme` names the colours of IPython's that it has.

    NothingToDebug if there are no frames, as of a SyntaxError.
    """

    def __init__(self, error: BaseException, session: str, theme: str) -> None:
        if error.__traceback__ is None:
            raise NothingToDebug(f"{type(error).__name__} was not raised by code that ran: there are no frames to look at")
        self.session = session
        self.over = False
        self._output = io.StringIO()
        pdb: Any = Pdb(stdin=io.StringIO(), stdout=self._output, readrc=False, nosigint=True)
        if theme.lower() in theme_table:  # the client's IPython may have others
            pdb.set_theme_name(theme.lower())
        pdb.reset()
        pdb.setup(None, error.__traceback__)
        self._pdb = pdb

    def begin(self) -> str:
        """Where it is at first."""
        return self._said(lambda: self._pdb.print_stack_entry(self._pdb.stack[self._pdb.curindex]))

    def line(self, text: str) -> str:
        """What it says to a line; it is `over` after those that end a debugger, or have code go on."""
        return self._said(lambda: self._obey(text))

    def _obey(self, text: str) -> None:
        line = self._pdb.precmd(text)
        self.over = bool(self._pdb.postcmd(self._pdb.onecmd(line), line))

    def _said(self, action: Callable[[], None]) -> str:
        with contextlib.redirect_stdout(self._output):
            try:
                action()
            except (Exception, SystemExit) as problem:  # code of users, and commands that are for running code alone
                self._output.write(f"*** {traceback.format_exception_only(problem)[-1]}")
        said = self._output.getvalue()
        self._output.seek(0)
        self._output.truncate()
        return said
