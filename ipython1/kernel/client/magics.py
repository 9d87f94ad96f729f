"""The magics for engines, as an IPython extension: ``%px`` and its relatives.

They act on the client that was made active last (`MultiEngineClient.activate`); those with a suffix, such as ``%px2``,
on the one that was made active with that suffix.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from IPython.core.display_functions import display
from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.magic import Magics, magics_class, no_var_expand
from IPython.lib.pretty import pretty

from ipython1.kernel.client.magic_options import (
    OptionError,
    Options,
    described,
    parse,
    shown_targets,
    targets,
)
from ipython1.kernel.terminal import in_notebook

NO_CLIENT = "No client is active: make one with mec = client.MultiEngineClient(), then call mec.activate({suffix})"
NOT_IPYTHON = "The magics %px, %autopx and %result work in IPython only, which this is not."

PX = ("targets", "block", "noblock", "local", "group-outputs", "name", "progress", "timeout")
CONFIG = ("targets", "block", "noblock", "group-outputs", "progress", "timeout")
RESULT = ("targets", "group-outputs", "timeout")

_MAGIC = re.compile(r"\s*(%%?)(\w+)")

LINE_MAGICS = ("px", "autopx", "result", "pxconfig", "pxinterrupt", "pxdebug")
CELL_MAGICS = ("px", "autopx_input")


class _NoClient(Exception):
    """A magic was used, and there is no client for it."""


@magics_class
class ParallelMagics(Magics):  # type: ignore[misc]
    """The magics of one shell, for one suffix."""

    shell: Any

    def __init__(self, shell: Any, suffix: str = "") -> None:
        super().__init__(shell)
        self.suffix = suffix
        self.active: Any = None
        self.auto = False
        self.group_outputs: str | None = None
        self.progress: float | None = None
        # A transformation that acts must not run while IPython merely looks whether an input is complete.
        self._transform = _AutoParallel(self)

    def register(self) -> None:
        """Make them known to the shell."""
        for kind, names in (("line", LINE_MAGICS), ("cell", CELL_MAGICS)):
            for name in names:
                self.shell.register_magic_function(getattr(self, name), kind, name + self.suffix)

    @contextmanager
    def _usage(self) -> Iterator[None]:
        """Within it, what is wrong with a line is said as IPython says it."""
        try:
            yield
        except OptionError as problem:
            raise UsageError(str(problem)) from None
        except _NoClient:
            print(NO_CLIENT.format(suffix=repr(self.suffix) if self.suffix else ""))

    def _client(self) -> Any:
        if self.active is None:
            raise _NoClient
        return self.active

    @no_var_expand  # names in braces and after dollars are the engines'
    def px(self, line: str, cell: str | None = None) -> Any:
        """Run code on the engines of the active client: ``%px a = 5``, or the lines after ``%%px``."""
        with self._usage():
            client = self._client()
            options, rest = parse(f"px{self.suffix}", line, PX)
            if cell is not None and rest:
                raise OptionError(f"the code for the engines is below %%px{self.suffix}; what is {rest!r:.50}?")
            return self._run(client, options, rest if cell is None else cell.rstrip("\n"))

    def _run(self, client: Any, options: Options, code: str) -> Any:
        chosen = client.targets if options.targets is None else options.targets
        block = bool(client.block) if options.block is None else options.block
        progress = self.progress if options.progress is None else options.progress
        print(f"Parallel execution on engines: {shown_targets(chosen)}")
        at_once = block and progress is None and not options.local
        result = client.execute(code, targets=chosen, block=at_once, timeout=options.limit)
        if options.local and isinstance(self.shell.run_cell(code).error_in_exec, KeyboardInterrupt):
            # Whoever pressed Ctrl-C sees the code as one, wherever it runs.
            result.abort()
        if block and not at_once:
            if progress is not None:
                result.wait_interactive(after=progress)
            result = result.r
        return self._give(result, block, options)

    def _give(self, result: Any, done: bool, options: Options) -> Any:
        """What becomes of the outcome: it is named, shown in groups, or the value of the magic."""
        if options.name is not None:
            self.shell.user_ns[options.name] = result
        group = self.group_outputs if options.group_outputs is None else options.group_outputs
        if done and group is not None:
            result.display_outputs(group, again=False)
            return None
        return result

    def result(self, line: str) -> Any:
        """What the active client's engines gave for command number i, or for the latest: ``%result [i]``."""
        with self._usage():
            client = self._client()
            options, rest = parse(f"result{self.suffix}", line, RESULT)
            try:
                number: int | None = int(rest)
            except ValueError:
                number = None
            found = client.get_result(number, targets=options.targets, block=True, timeout=options.limit)
            if options.group_outputs is None:
                return found
            found.display_outputs(options.group_outputs)
        return None

    def pxconfig(self, line: str) -> None:
        """Choose what ``%px`` does where it does not say, and the active client, too; or show what is chosen."""
        with self._usage():
            client = self._client()
            options, rest = parse(f"pxconfig{self.suffix}", line, CONFIG)
            if rest:
                raise OptionError(f"%pxconfig{self.suffix} takes options, and not {rest!r:.50}")
            if not line.strip():
                self._show_config(client)
            for name in ("targets", "block"):
                if getattr(options, name) is not None:
                    setattr(client, name, getattr(options, name))
            if options.timeout is not None:
                client.timeout = options.timeout or None
            for name in ("group_outputs", "progress"):
                if getattr(options, name) is not None:
                    setattr(self, name, getattr(options, name))

    def _show_config(self, client: Any) -> None:
        print(f"targets: {shown_targets(client.targets)}")
        print(f"block: {bool(client.block)}")
        print(f"group-outputs: {self.group_outputs or 'as a list of results'}")
        print(f"progress: {_after(self.progress)}")
        print(f"timeout: {'none' if client.timeout is None else f'{client.timeout:g} s'}")

    def pxinterrupt(self, line: str) -> None:
        """Raise KeyboardInterrupt in what runs on the engines of the active client: ``%pxinterrupt [targets]``."""
        with self._usage():
            client = self._client()
            chosen = targets(line) if line.strip() else client.targets
            print(f"Interrupting engines: {shown_targets(chosen)}")
            client.interrupt(targets=chosen, block=True)

    def pxdebug(self, line: str) -> None:
        """Look around, on the engine, where the latest exception of an engine was raised: ``%pxdebug [id]``."""
        with self._usage():
            client = self._client()
            try:
                engine = int(line) if line.strip() else None
            except ValueError:
                raise OptionError(f"{line!r:.50} is no engine id") from None
            client.debug(engine)

    def autopx(self, line: str) -> None:
        """Switch to running all input on the engines of the active client, and back."""
        with self._usage():
            if self.auto:
                self.auto = False
                self.shell.input_transformers_cleanup.remove(self._transform)
                print("Auto Parallel Disabled")
            else:
                self._client()
                for other in _all_magics(self.shell):
                    if other.auto:
                        other.autopx("")  # input goes to one client
                self.auto = True
                self.shell.input_transformers_cleanup.append(self._transform)
                print(f"Auto Parallel Enabled\nType %autopx{self.suffix} to disable")

    def autopx_input(self, line: str, cell: str = "") -> None:
        """What becomes of an input while ``%autopx`` is on; not meant to be typed."""
        if self._compiles(cell):
            result = self.active.execute(cell.rstrip("\n"))
            if in_notebook():
                display(result)
            else:
                print(pretty(result))

    def _compiles(self, cell: str) -> bool:
        """Whether an input is Python; if not, what is wrong with it is shown, before it runs anywhere."""
        try:
            source = TransformerManager().transform_cell(cell)
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(source, "<input for the engines>", "exec", flags, dont_inherit=True)
        except SyntaxError:
            self.shell.showsyntaxerror()  # not raised: IPython would show how it came here, too
            return False
        return True


def _after(seconds: float | None) -> str:
    return "none" if seconds is None else f"after {seconds:g} s"


def _document(method: Any, options: Sequence[str]) -> None:
    """Let the help for a magic name its options."""
    method.__doc__ = f"{method.__doc__}\n\n{described(options)}\n"


_document(ParallelMagics.px, PX)
_document(ParallelMagics.result, RESULT)
_document(ParallelMagics.pxconfig, CONFIG)


class _AutoParallel:
    """An input transformation (see IPython's documentation) that sends each input to the engines."""

    has_side_effects = True

    def __init__(self, magics: ParallelMagics) -> None:
        self._magics = magics

    def __call__(self, lines: list[str]) -> list[str]:
        source = "".join(lines)
        suffix = self._magics.suffix
        if source.strip() == f"autopx{suffix}" or self._is_ours(source):
            return lines
        return [f"get_ipython().run_cell_magic('autopx_input{suffix}', '', {source!r})\n"]


    def _is_ours(self, source: str) -> bool:
        """Whether an input is one of these magics, for any client: it runs here."""
        found = _MAGIC.match(source)
        names = CELL_MAGICS if found is not None and found[1] == "%%" else LINE_MAGICS
        suffixes = [magics.suffix for magics in _all_magics(self._magics.shell)]
        return found is not None and found[2] in [name + suffix for name in names for suffix in suffixes]


def _all_magics(shell: Any) -> list[ParallelMagics]:
    """Those of all clients."""
    return [magics for magics in shell.magics_manager.registry.values() if isinstance(magics, ParallelMagics)]


def magics_of(shell: Any, suffix: str = "") -> ParallelMagics:
    """The magics of that suffix, which the shell has from now on."""
    name = f"{ParallelMagics.__name__}{suffix}"
    found = shell.magics_manager.registry.get(name)
    if found is None:
        found = shell.magics_manager.registry[name] = ParallelMagics(shell, suffix)
        found.register()
    magics: ParallelMagics = found
    return magics


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext ipython1``"""
    magics_of(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext ipython1``: input runs here again; the magics stay, and have no client."""
    for magics in _all_magics(shell):
        if magics.auto:
            magics.autopx("")
        magics.active = None


def activate(client: Any, suffix: str = "") -> None:
    """Make `client` the one of the magics of that suffix, in the running IPython; says so if there is none."""
    if not isinstance(suffix, str):
        raise TypeError(f"a suffix is text, not {suffix!r:.50}")
    if suffix and not f"_{suffix}".isidentifier():
        raise ValueError(f"{suffix!r:.50} cannot be at the end of a name, such as %px{suffix:.50}")
    shell = get_ipython()
    if shell is None:
        print(NOT_IPYTHON)
        return
    magics_of(shell, suffix).active = client
