"""Source to code: plain Python, with the ``__future__`` imports of earlier commands in force."""

from __future__ import annotations
import __future__

import ast
import re
from functools import reduce
from operator import or_
from types import CodeType
from typing import NamedTuple

_FEATURES = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


class Program(NamedTuple):
    """The code of a command: what runs, and the expression at the end, if there is one whose value is wanted."""

    body: CodeType | None
    last: CodeType | None


class Compiler:
    """Compiles the commands of one interpreter."""

    def __init__(self) -> None:
        self._flags = 0

    def reset(self) -> None:
        """Forget the ``__future__`` imports."""
        self._flags = 0

    def compile(self, source: str, filename: str) -> Program:
        """The code of `source`; SyntaxError, ValueError and whatever else compiling raises."""
        flags = self._flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        last_node = tree.body[-1] if tree.body else None
        if not isinstance(last_node, ast.Expr) or _is_silenced(source, last_node):
            body = compile(tree, filename, "exec", flags, dont_inherit=True)
            self._flags |= body.co_flags & _FEATURES
            return Program(body, None)
        del tree.body[-1]
        body = None
        if tree.body:
            body = compile(tree, filename, "exec", flags, dont_inherit=True)
            flags |= body.co_flags & _FEATURES
        last = compile(ast.Expression(last_node.value), filename, "eval", flags, dont_inherit=True)
        self._flags |= flags & _FEATURES
        return Program(body, last)


def _is_silenced(source: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last expression: then IPython does not show its value.

    What follows an expression can be closing parentheses, comments and a semicolon, so no tokenizer is needed.
    """
    if ";" not in source or last.end_lineno is None or last.end_col_offset is None:
        return False
    lines = re.split("\r\n|\r|\n", source)[last.end_lineno - 1 :]
    lines[0] = lines[0].encode()[last.end_col_offset :].decode()
    return any(";" in line.partition("#")[0] for line in lines)
