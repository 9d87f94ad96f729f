"""One persistent Python namespace that executes code as IPython does, and knows no network."""

from __future__ import annotations

import builtins
import inspect
import os
import sys
import time
import types
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from ipython1.core.compiler import Compiler, Program
from ipython1.core.display import Bundle, show
from ipython1.core.history import Inputs, Outputs, Sources
from ipython1.core.properties import Properties
from ipython1.core.serialize import Serialized
from ipython1.core.text import encodable
from ipython1.core.tracebacks import format_error, trim
from ipython1.kernel.error import NothingToDebug
from ipython1.kernel.shared import Recent

if TYPE_CHECKING:
    import asyncio

    from ipython1.core.debugger import Debugger
    from ipython1.core.shell import EngineShell


@dataclass
class Execution:
    """What came of one command; `error` is the exception that ended it, if one did."""

    number: int
    raw: str
    translated: str
    started: float
    completed: float = 0.0
    display: dict[str, str] | None = None
    mime: list[Bundle] = field(default_factory=list)
    out: int | None = None
    """Which of them are the forms of its value."""
    error: BaseException | None = None
    traceback: str | None = None

    def document(self) -> dict[str, Any]:
        """The result as plain data."""
        plain: dict[str, Any] = {
            "input": {"translated": encodable(self.translated), "raw": encodable(self.raw)},
            "number": self.number,
        }
        if self.display is not None:
            plain["display"] = self.display
        if self.mime:
            plain["mime"] = self.mime
        if self.out is not None:
            plain["out"] = self.out
        plain["started"] = self.started
        plain["completed"] = self.completed
        if self.traceback is not None:
            plain["traceback"] = self.traceback
        return plain


class Interpreter:
    """A namespace, the commands that were executed in it, and an engine's properties.

    `module`
        the module whose ``__dict__`` is the namespace; whoever gives the interpreter a process of its own makes it
        ``sys.modules['__main__']``.
    `running`
        the command that is being executed, or whose execution was left by an exception (an interrupt that struck
        while its error was described).
    `last_error`
        what ended the latest command that failed, with its frames, for a `debugger` to look at; until the next one.
    `number`
        of the latest command: 1 for the first one, and for the first one after a reset.
    """

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__", None)
        self.namespace: dict[str, Any] = self.module.__dict__
        # The names that we put into the namespace, and what we put there; keys() leaves them out.
        self.hidden: dict[str, Any] = {}
        self.properties = Properties()
        # Functions of tasks, as they came; each task gets one of its own. They outlive the namespace.
        self.functions: Recent[Serialized] = Recent()
        self.inputs = Inputs()
        self.number = 0
        self.last_error: BaseException | None = None
        self.debugger: Debugger | None = None
        self.running: Execution | None = None
        self._id: int | None = None
        self._compiler = Compiler()
        self._sources = Sources()
        self._outputs = Outputs(self.namespace)
        self._displays: dict[str, Bundle] = {}
        self._applied: list[Bundle] | None = None
        self._shell: EngineShell | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.clear_namespace()

    @property
    def id(self) -> int | None:
        """The engine's id; set, it is the namespace's `id`, too."""
        return self._id

    @id.setter
    def id(self, number: int | None) -> None:
        self._id = self.namespace["id"] = number

    @property
    def shell(self) -> EngineShell:
        """IPython's shell, made when it is first needed; ``get_ipython()`` gives it everywhere from then on."""
        if self._shell is None:
            from ipython1.core.shell import EngineShell

            EngineShell.clear_instance()
            self._shell = EngineShell.instance(self)
        return self._shell

    # The namespace.

    def clear_namespace(self) -> None:
        """Make the namespace as new."""
        self.namespace.clear()
        self.hidden.clear()
        self.hidden.update(
            {
                "__name__": "__main__",
                "__doc__": None,
                "__package__": None,
                "__loader__": None,
                "__spec__": None,
                "__builtins__": builtins,
                "__builtin__": builtins,
                "__IP": self,
                "In": self.inputs,
                "_ih": self.inputs,
                "_dh": [os.getcwd()],
                "get_ipython": lambda: self.shell,
                "display": self._display,
                "exit": _exit,
                "quit": _exit,
                **self._outputs.seed(),
            }
        )
        self.namespace.update(self.hidden)
        self.namespace["id"] = self._id
        self.namespace["mpi"] = None

    def reset(self) -> None:
        """Start anew: namespace, numbering, properties, ``__future__`` imports.  Modules stay loaded."""
        self.inputs = Inputs()
        self.number = 0
        self._compiler.reset()
        self.properties.clear()
        self.last_error = self.debugger = None  # what their frames hold is to go, too
        self.clear_namespace()

    def clear_for_task(self) -> None:
        """Start anew, but for the properties: they tell which tasks the engine is fit for."""
        kept = dict(self.properties)
        self.reset()
        if kept:
            self.properties.update(kept)

    def keys(self) -> list[str]:
        """The user's names, and `id` and `mpi`, sorted."""
        return sorted(name for name, value in self.namespace.items() if self._is_users(name, value))

    def _is_users(self, name: Any, value: Any) -> bool:
        if not isinstance(name, str) or name in _ALWAYS_HIDDEN:
            return False
        return name not in self.hidden or self.hidden[name] is not value

    def push(self, values: dict[Any, Any]) -> None:
        """Put values into the namespace, under any hashable names."""
        self.namespace.update(values)

    def pull(self, names: Any) -> list[Any]:
        """The values of several names: TypeError if they are no str, NameError for one that is undefined."""
        if not isinstance(names, (list, tuple)):
            raise TypeError(f"names are given as a str or a list or tuple of str, not {type(names).__name__}")
        return [self._value(name) for name in names]

    def _value(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r}")
        try:
            return self.namespace[name]
        except KeyError:
            raise NameError(f"name {name!r} is not defined", name=name) from None

    # Commands.

    def count(self, text: str) -> None:
        """Give the next number to a command that is no source text; `In` has `text` for it."""
        self.number += 1
        self.inputs.append(text)

    def execute(self, source: str) -> Execution:
        """Run a block of code, up to its first error.

        Every exception, SystemExit and KeyboardInterrupt too, is the command's and ends up in what is returned.
        """
        self.count(source)
        run = self.running = Execution(self.number, source, source, time.time())
        self._displays = {}
        try:
            self._run(run)
        except BaseException as error:  # SystemExit and KeyboardInterrupt are errors of the command
            self._fail(run, error)
        run.completed = time.time()
        self.running = None
        return run

    def _run(self, run: Execution) -> None:
        self.namespace.pop("__warningregistry__", None)  # a warning shows again in each command
        filename = self._sources.add(run.number, run.raw)
        shell = self._shell
        if shell is not None and (shell.listens("pre_execute") or shell.listens("pre_run_cell")):
            shell.events.trigger("pre_execute")
            shell.events.trigger("pre_run_cell", _cell(run))
        try:
            program = self._compile(run, filename)
            if program.body is not None:
                self._execute(program.body)
            if program.last is not None:
                self._show(run, self._execute(program.last))
        finally:
            self._after(run)

    def _after(self, run: Execution) -> None:
        """Let those know who asked IPython to: matplotlib shows its figures then."""
        shell = self._shell  # may have been made by the command
        if shell is not None and (shell.listens("post_execute") or shell.listens("post_run_cell")):
            shell.events.trigger("post_execute")
            result = SimpleNamespace(info=_cell(run), execution_count=run.number, result=None, success=True)
            shell.events.trigger("post_run_cell", result)

    def _compile(self, run: Execution, filename: str) -> Program:
        """Plain Python at once; only what is no Python goes through IPython's transformations."""
        try:
            program = self._compiler.compile(run.raw, filename)
            if program.body is not None or not self._is_magic(run.raw):
                return program
            problem = None
        except SyntaxError as error:
            problem = error
        try:
            translated: str = self.shell.transform_cell(run.raw)  # type: ignore[no-untyped-call]
        except SyntaxError as error:  # IPython's tokenizer, which does not know what the command is called
            raise problem or error from None
        if problem is not None and translated.strip("\n") == run.raw.strip("\n"):
            raise problem
        # The transformation ends its text with a new line, which nobody typed.
        run.translated = translated if run.raw.endswith("\n") else translated.removesuffix("\n")
        self._sources.replace(filename, translated)
        return self._compiler.compile(translated, filename)

    def _is_magic(self, expression: str) -> bool:
        """Whether an expression is one of IPython's commands without a ``%``: ``cd /tmp`` is Python, too."""
        word = expression.split(None, 1)[0]
        if not word.isidentifier() or word in self.namespace or hasattr(builtins, word):
            return False
        return self.shell.find_line_magic(word) is not None  # type: ignore[no-untyped-call]

    def _execute(self, code: CodeType) -> Any:
        value = eval(code, self.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            return self._await(value)
        return value

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a command that has ``await`` at its top level.  The loop stays, with the tasks left in it."""
        import asyncio  # a quarter of the interpreter's memory, and most engines never await

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        except BaseException:  # an interrupt strikes the loop, not the task
            if not task.done():
                task.cancel()
                self._loop.run_until_complete(asyncio.wait([task]))
            raise

    def _show(self, run: Execution, value: Any) -> None:
        if value is None:
            return
        run.display, rich = show(value, self.shell.display_formatter)
        if rich is not None:
            run.out = len(run.mime)
            run.mime.append(rich)
        self._outputs.add(run.number, value)

    def _fail(self, run: Execution, error: BaseException) -> None:
        run.error = error
        trim(error)
        _ = self.shell  # by which IPython's formatter calls the commands
        run.traceback = format_error(error)

    # What has failed.

    def debug(self, session: str, theme: str) -> dict[str, Any]:
        """Begin to look at the latest exception, in the place of whoever does; what the debugger says first."""
        if self.last_error is None:
            raise NothingToDebug("nothing has failed here since the engine was started or reset")
        from ipython1.core.debugger import Debugger  # most engines never need one

        self.debugger = Debugger(self.last_error, session, theme)
        return {"output": self.debugger.begin(), "over": False}

    def end_debugger(self, session: str) -> None:
        """The debugger of that session, if there is one, is not needed any more."""
        if self.debugger is not None and self.debugger.session == session:
            self.debugger = None

    # Displays.

    def _display(self, *objects: Any, **options: Any) -> Any:
        """IPython's ``display``."""
        from IPython.display import display as ipython_display

        _ = self.shell  # without a shell, IPython only prints
        return ipython_display(*objects, **options)

    @contextmanager
    def displaying(self) -> Iterator[list[Bundle]]:
        """Within it, what is displayed by a function that is applied is put into the list that it gives."""
        self._applied, self._displays = [], {}
        try:
            yield self._applied
        finally:
            self._applied = None

    def keep_display(self, rich: Bundle, identity: str | None, update: bool) -> None:
        """Keep MIME data with the running command; one with an `identity` can be updated."""
        kept = self._applied if self.running is None else self.running.mime
        if kept is None:
            return
        if identity is not None and update and identity in self._displays:
            self._displays[identity].update(rich)
            return
        kept.append(rich)
        if identity is not None:
            self._displays[identity] = rich

    def clear_displays(self) -> None:
        """Drop the MIME data that the running command displayed so far."""
        if self.running is not None:
            self.running.mime.clear()
            self.running.out = None
        elif self._applied is not None:
            self._applied.clear()


# What changes under us, and what Python itself puts into a module's namespace.
_ALWAYS_HIDDEN = {"_", "__", "___", "_dh", "_exit_code", "__annotations__", "__doc__", "__warningregistry__"}


def _cell(run: Execution) -> SimpleNamespace:
    """What IPython tells its listeners about a command."""
    return SimpleNamespace(
        raw_cell=run.raw,
        transformed_cell=run.translated,
        store_history=True,
        silent=False,
        shell_futures=True,
        cell_id=None,
        cell_meta=None,
    )


def _exit(code: object = None) -> None:
    """``exit`` and ``quit``: as ``sys.exit``, an error of the command."""
    sys.exit(code)  # type: ignore[arg-type]
