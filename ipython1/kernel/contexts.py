"""``with mec:`` runs a block of code on the engines instead of here.

The first statement of the block is ``client.remote()``, and what follows it is sent as source text::

    with mec:
        client.remote()
        a = 10
        b = 30
        c = a + b

The source is found as tracebacks find it (linecache), so this works in files, in IPython at any depth of nesting, but
not where Python keeps no source: its own plain prompt before version 3.13.
"""

from __future__ import annotations

import ast
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from ipython1.kernel.error import StopLocalExecution


def remote() -> None:
    """First statement of the block of ``with mec:``; ends the local run of the block, which runs on the engines."""
    raise StopLocalExecution(
        "remote() is for the first line of a block 'with mec:', and was called elsewhere"
    )


class RemoteContextBase:
    """A context manager whose block is given as source text to `_run_remotely`."""

    def _run_remotely(self, source: str) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        """Runs the block, whose frame is the caller's, and gives what that returned."""
        return self._run_remotely(block_source(sys._getframe(1)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return isinstance(error, StopLocalExecution)


class RemoteMultiEngine(RemoteContextBase):
    """``with RemoteMultiEngine(mec) as pr:`` also gives what ``mec.execute`` returned."""

    def __init__(self, multiengine: Any) -> None:
        self.multiengine = multiengine

    def _run_remotely(self, source: str) -> Any:
        return self.multiengine.execute(source)


class SyncImports:
    """A context manager: what its block imports is given to `execute`, too, as source text, when it was imported here."""

    def __init__(self, execute: Callable[[str], Any]) -> None:
        self._execute = execute
        self._imports = ""

    def __enter__(self) -> None:
        _, statement = _block(sys._getframe(1))
        nodes = [node for part in statement.body for node in ast.walk(part)]
        found = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        if any(isinstance(node, ast.ImportFrom) and node.level for node in found):
            raise ValueError("an import that is relative to this module means nothing on the engines: give the full name")
        self._imports = "\n".join(map(ast.unparse, found))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._imports:
            self._execute(self._imports)


def block_source(frame: FrameType) -> str:
    """The source of the ``with`` block that `frame` is entering, without its ``remote()``.

    ValueError if it cannot be found, or does not begin with ``remote()``.
    """
    source, statement = _block(frame)
    return _remote_part(source, statement.body)


def _block(frame: FrameType) -> tuple[str, ast.With]:
    """The ``with`` statement that `frame` is entering, and the source that it is a part of; ValueError if not found."""
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    if not lines:
        raise ValueError(
            f"the source of this 'with' block is not known ({frame.f_code.co_filename}): use IPython or a file, or"
            " give the code to execute() as text"
        )
    source = "".join(lines)
    try:
        return source, _find_with(ast.parse(source), frame.f_lineno)
    except SyntaxError as problem:
        raise ValueError(
            f"the file of this 'with' block was changed since it was loaded: {problem}"
        ) from problem


def _find_with(tree: ast.AST, line: int) -> ast.With:
    """The innermost ``with`` one of whose context expressions is on `line`."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(
            item.context_expr.lineno <= line <= (item.context_expr.end_lineno or 0) for item in node.items
        )
    ]
    if not found:
        raise ValueError(
            f"there is no 'with' in line {line} of the source: was the file changed since it was loaded?"
        )
    return max(found, key=lambda node: (node.lineno, node.col_offset))


def strip_whitespace(source: str, require_remote: bool = True) -> str:
    """The text of a block without its indentation, and without the ``remote()`` that must begin it.

    Text within strings stays as it is.  ValueError if `require_remote` and it does not begin with ``remote()``.
    """
    # As the body of something, indented text is Python.
    indented = "if True:\n" + source if source[:1] in " \t" else "if True:\n" + textwrap.indent(source, " ")
    statement = ast.parse(indented).body[0]
    assert isinstance(statement, ast.If)
    if require_remote:
        return _remote_part(indented, statement.body)
    return _dedented(indented.splitlines(keepends=True), statement.body, statement.body[0].lineno)


def _remote_part(source: str, body: list[ast.stmt]) -> str:
    if not _is_remote_call(body[0]):
        raise ValueError(
            "a block 'with mec:' begins with client.remote() (ipython1.kernel.client) on its first line"
        )
    if len(body) == 1:
        return ""
    lines = source.splitlines(keepends=True)
    first = body[0]
    assert first.end_lineno is not None
    if body[1].lineno == first.end_lineno:
        # remote(); a = 5
        row = first.end_lineno - 1
        lines[row] = " " * first.col_offset + lines[row].encode()[body[1].col_offset :].decode()
        return _dedented(lines, body[1:], first.end_lineno)
    return _dedented(lines, body[1:], first.end_lineno + 1)


def _is_remote_call(statement: ast.stmt) -> bool:
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    called = statement.value.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return name == "remote"


def _dedented(lines: list[str], body: list[ast.stmt], start: int) -> str:
    """Lines `start` to the end of `body`, without the indentation of `body`."""
    end = body[-1].end_lineno
    indent = lines[_first_line(body[0]) - 1]
    width = len(indent) - len(indent.lstrip())
    within = set(_lines_within_strings(body))
    kept = [
        line if number in within else line[min(width, len(line) - len(line.lstrip(" \t"))) :]
        for number, line in enumerate(lines[start - 1 : end], start)
    ]
    text = "".join(kept)
    return text if text.endswith("\n") else text + "\n"


def _first_line(statement: ast.stmt) -> int:
    return min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])


def _lines_within_strings(body: list[ast.stmt]) -> Iterator[int]:
    """The lines that begin within a string: their leading blanks are part of it."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                yield from range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
