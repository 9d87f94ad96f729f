"""The magics ``%px``, ``%autopx`` and ``%result``, as an IPython extension.

They act on the client that was made active last (`MultiEngineClient.activate`).
"""

from __future__ import annotations

import ast
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

NO_CLIENT = "No client is active: make one with mec = client.MultiEngineClient(), then call mec.activate()"


@magics_class
class ParallelMagics(Magics):  # type: ignore[misc]
    """The magics of one shell."""

    shell: Any

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.active: Any = None
        self.auto = False
        # A transformation that acts must not run while IPython merely looks whether an input is complete.
        self._transform = _AutoParallel(self)

    @no_var_expand  # names in braces and after dollars are the engines'
    @line_cell_magic
    def px(self, line: str, cell: str | None = None) -> Any:
        """Run code on the engines of the active client: ``%px a = 5``, or the lines after ``%%px``."""
        if self.active is None:
            print(NO_CLIENT)
            return None
        print(f"Parallel execution on engines: {self.active.targets}")
        return self.active.execute(line if cell is None else cell)

    @line_magic
    def result(self, line: str) -> Any:
        """What the active client's engines gave for command number i, or for the latest: ``%result [i]``."""
        if self.active is None:
            print(NO_CLIENT)
            return None
        try:
            number: int | None = int(line)
        except ValueError:
            number = None
        return self.active.get_result(number)

    @line_magic
    def autopx(self, line: str) -> None:
        """Switch to running all input on the engines of the active client, and back."""
        if self.auto:
            self.auto = False
            self.shell.input_transformers_cleanup.remove(self._transform)
            print("Auto Parallel Disabled")
        elif self.active is None:
            print(NO_CLIENT)
        else:
            self.auto = True
            self.shell.input_transformers_cleanup.append(self._transform)
            print("Auto Parallel Enabled\nType %autopx to disable")

    @line_cell_magic
    def autopx_input(self, line: str, cell: str = "") -> None:
        """What becomes of an input while ``%autopx`` is on; not meant to be typed."""
        if self._compiles(cell):
            print(repr(self.active.execute(cell.rstrip("\n"))))

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


class _AutoParallel:
    """An input transformation (see IPython's documentation) that sends each input to the engines."""

    has_side_effects = True

    def __init__(self, magics: ParallelMagics) -> None:
        self._magics = magics

    def __call__(self, lines: list[str]) -> list[str]:
        source = "".join(lines)
        if source.strip() in ("%autopx", "autopx"):
            return lines
        return [f"get_ipython().run_cell_magic('autopx_input', '', {source!r})\n"]


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext ipython1``"""
    if "ParallelMagics" not in shell.magics_manager.registry:
        shell.register_magics(ParallelMagics(shell))


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext ipython1``: input runs here again; the magics stay, and have no client."""
    magics = shell.magics_manager.registry.get("ParallelMagics")
    if magics is not None:
        if magics.auto:
            magics.autopx("")
        magics.active = None


def activate(client: Any) -> None:
    """Make `client` the one of the magics of the running IPython; says so if there is none."""
    shell = get_ipython()
    if shell is None:
        print("The magics %px, %autopx and %result work in IPython only, which this is not.")
        return
    load_ipython_extension(shell)
    shell.magics_manager.registry["ParallelMagics"].active = client
