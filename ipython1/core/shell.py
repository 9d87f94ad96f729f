"""IPython's shell on an engine: what runs ``%magics``, ``!commands`` and ``?``, and formats what is displayed.

It shares the interpreter's namespace, and runs no code on its own account: the interpreter compiles and executes.
History file, profile folder, threads, prompts and the replacement of ``__main__`` are off.
"""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.displaypub import DisplayPublisher
from IPython.core.events import EventManager, available_events
from IPython.core.history import HistoryAccessorBase, extract_hist_ranges
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.text import LSString, SList
from traitlets.config import Config

from ipython1.core import display
from ipython1.core.history import command_number

if TYPE_CHECKING:
    from ipython1.core.interpreter import Interpreter


class _CommandNames(CachingCompiler):
    """Lets tracebacks call the commands ``Cell In[3]``."""

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        number = command_number(name)
        if number is not None:
            return "Cell", f"In[{number}]"
        found: tuple[str, str] | None = super().format_code_name(name)
        return found


class _Publisher(DisplayPublisher):
    """``display()``: prints the plain text, as IPython does at a terminal, and keeps all that is rich."""

    interpreter: Interpreter

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *args: Any,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **options: Any,
    ) -> None:
        if "text/plain" in data and not update:
            print(data["text/plain"])
        if set(data) - {"text/plain"}:
            identity = (transient or {}).get("display_id")
            self.interpreter.keep_display(display.bundle(data, metadata), identity, update)

    def clear_output(self, wait: bool = False) -> None:
        """Printed output was sent; what is kept is dropped."""
        self.interpreter.clear_displays()


class _NotKept(dict[int, Any]):
    """Where IPython keeps the output and the errors of each cell, which an engine has sent."""

    def __missing__(self, number: int) -> list[Any]:
        return []

    def __setitem__(self, number: int, value: Any) -> None:
        """Nothing is kept."""


class _CommandHistory(HistoryAccessorBase):
    """What ``%history``, ``%rerun``, ``%macro`` and ``%save`` see: the interpreter's `In` and `Out`."""

    session_number = 0
    enabled = False

    def __init__(self, interpreter: Interpreter) -> None:
        super().__init__()
        self._interpreter = interpreter
        self.outputs = self.exceptions = self.output_hist_reprs = _NotKept()

    def store_inputs(self, line_num: int, source: str, source_raw: str | None = None) -> None:
        """A cell that runs within a command is part of that command."""

    def store_output(self, line_num: int) -> None:
        """As `store_inputs`."""

    @property
    def input_hist_raw(self) -> list[str]:
        return list(self._interpreter.inputs)

    input_hist_parsed = input_hist_raw

    @property
    def output_hist(self) -> dict[int, Any]:
        found: dict[int, Any] = self._interpreter.namespace["_oh"]
        return found

    def get_range(
        self, session: int = 0, start: int = 1, stop: int | None = None, raw: bool = True, output: bool = False
    ) -> Iterator[tuple[int, int, Any]]:
        inputs = self._interpreter.inputs
        numbers = range(len(inputs))[start:stop] if session == 0 else range(0)
        for number in numbers:
            if inputs[number]:
                line = inputs[number]
                yield 0, number, (line, self.output_hist.get(number)) if output else line

    def get_range_by_str(self, rangestr: str, raw: bool = True, output: bool = False) -> Iterator[Any]:
        for session, start, stop in extract_hist_ranges(rangestr):
            yield from self.get_range(session, start, stop, raw, output)

    def get_tail(
        self, n: int | None = 10, raw: bool = True, output: bool = False, include_latest: bool = False
    ) -> list[Any]:
        stop = None if include_latest else -1
        found = list(self.get_range(0, 1, stop, raw, output))
        return found if n is None else found[-n:]

    def search(
        self,
        pattern: str = "*",
        raw: bool = True,
        search_raw: bool = True,
        output: bool = False,
        n: int | None = None,
        unique: bool = False,
    ) -> list[Any]:
        inputs = self._interpreter.inputs
        found = [entry for entry in self.get_range(output=output) if fnmatch.fnmatch(inputs[entry[1]], pattern)]
        if unique:
            found = list({inputs[entry[1]]: entry for entry in found}.values())
        return found if n is None else found[-n:]


class EngineShell(InteractiveShell):
    """The shell of one interpreter."""

    compiler_class = _CommandNames

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        settings = Config()
        settings.InteractiveShell.colors = "nocolor"
        super().__init__(  # type: ignore[no-untyped-call]
            config=settings, user_module=interpreter.module, user_ns=interpreter.namespace
        )
        self.user_ns_hidden = interpreter.hidden
        self.db = {}  # where %cd and %bookmark remember things; IPython would make a folder for it
        self.set_hook("show_in_pager", _print_page, 0)  # type: ignore[no-untyped-call]

    @property
    def execution_count(self) -> int:
        """The number of the running command."""
        return self._interpreter.number

    @execution_count.setter
    def execution_count(self, number: int) -> None:
        """IPython sets it; the interpreter counts."""

    def init_ipython_dir(self, ipython_dir: Any) -> None:
        """No folder is made or read."""

    def init_profile_dir(self, profile_dir: Any) -> None:
        """No folder is made or read."""

    def init_virtualenv(self) -> None:
        """The interpreter was started in the environment that is meant."""

    def init_sys_modules(self) -> None:
        """``__main__`` is the interpreter's business."""

    def init_prompts(self) -> None:
        """Nobody types here."""

    def init_user_ns(self) -> None:
        """The interpreter seeds the namespace."""

    def init_history(self) -> None:
        self.history_manager = _CommandHistory(self._interpreter)

    def init_events(self) -> None:
        self.events = EventManager(self, available_events)

    def init_displayhook(self) -> None:
        kept = {name: self.user_ns[name] for name in ("_", "__", "___") if name in self.user_ns}
        super().init_displayhook()  # type: ignore[no-untyped-call]
        self.user_ns.update(kept)  # IPython's hook, which is not used here, emptied them

    def init_display_pub(self) -> None:
        self.display_pub = _Publisher(parent=self)  # type: ignore[no-untyped-call]
        self.display_pub.interpreter = self._interpreter

    def atexit_operations(self) -> None:
        """Remove temporary files; the namespace is left to Python's own end."""
        self._atexit_once_called = True
        super().atexit_operations()  # type: ignore[no-untyped-call]

    def reset(self, new_session: bool = True, aggressive: bool = False) -> None:
        """``%reset``: empty the namespace.  Numbers, properties and ``__future__`` imports stay."""
        self._interpreter.clear_namespace()

    def run_cell(self, *args: Any, **options: Any) -> Any:
        """Run a cell within the running command, whose error is the command's, too."""
        result = super().run_cell(*args, **options)  # type: ignore[no-untyped-call]
        result.raise_error()
        return result

    @contextmanager
    def _tee(self, channel: str) -> Iterator[None]:
        """Within it, IPython's `run_cell` would keep what is printed; and go on for ever if it is left by an error."""
        yield

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **options: Any) -> None:
        """An error inside a magic is an error of the command, and ends it."""
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        if error is not None:
            raise error

    def showsyntaxerror(self, *args: Any, **options: Any) -> None:
        """As `showtraceback`."""
        self.showtraceback()

    showindentationerror = showsyntaxerror

    def system(self, cmd: str) -> None:
        """``!cmd``: its output goes where the command's own goes, and an interrupt ends the command, too."""
        command = self.var_expand(cmd, depth=1)  # type: ignore[no-untyped-call]
        self.user_ns["_exit_code"] = _run(command).returncode

    system_raw = system_piped = system

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        """``x = !cmd``: its output and errors, as a list of lines or one string."""
        command = self.var_expand(cmd, depth=depth + 1)  # type: ignore[no-untyped-call]
        output = _run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = output.stdout.decode("utf-8", "backslashreplace")
        self.user_ns["_exit_code"] = output.returncode
        return SList(text.splitlines()) if split else LSString(text)

    def enable_gui(self, gui: str | None = None) -> None:
        """``%matplotlib`` asks for an event loop; an engine has none, and keeps figures as data."""

    def listens(self, event: str) -> bool:
        """Whether somebody (an extension, matplotlib) registered for IPython's event of that name."""
        return bool(self.events.callbacks.get(event))


def _run(command: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, shell=True, executable=os.environ.get("SHELL"), check=False, **streams)


def _print_page(shell: EngineShell, data: Any, start: int = 0, screen_lines: int = 0) -> None:
    """A pager for an engine, which has no screen: print it all."""
    text = data["text/plain"] if isinstance(data, dict) else data
    print("\n".join(text.splitlines()[start:]))
