"""References to what is on the engines: they stand for it among the arguments of calls, and are it where these run."""

from __future__ import annotations

import ast
import builtins
from typing import Any

from ipython1.core import functions

Step = tuple[str, Any]


class Reference:
    """Stands for an engine's own value: ``Reference('a')``, its attributes and items, ``Reference('a').shape[0]``.

    As an argument of a call (or a part of one) it is replaced, on each engine, by what that engine has under the name.
    ``Reference('a.shape[0]')`` is the same; names that begin with an underscore are written so.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a reference is to a name, not to {text!r:.80}")
        try:
            name, steps = _parsed(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError):
            raise ValueError(f"{text!r:.80} is no name, with attributes and items such as .shape[0] behind it") from None
        self._name, self._steps = name, steps

    def _further(self, step: Step) -> Reference:
        found = object.__new__(Reference)
        found._name, found._steps = self._name, (*self._steps, step)
        return found

    def __getattr__(self, name: str) -> Reference:
        # What Python and IPython look for in any object is not meant for the engine's.
        if name.startswith("_"):
            raise AttributeError(name)
        return self._further(("attribute", name))

    def __getitem__(self, key: Any) -> Reference:
        return self._further(("item", key))

    __iter__ = None  # by __getitem__ it would have no end

    def __reduce__(self) -> tuple[Any, ...]:
        return referred, (self._name, self._steps)

    def __repr__(self) -> str:
        chain = (f".{key}" if kind == "attribute" else f"[{key!r}]" for kind, key in self._steps)
        return f"<Reference {self._name}{''.join(chain)}>"


def _parsed(node: ast.expr) -> tuple[str, tuple[Step, ...]]:
    """The name and the steps of an expression; ValueError if it is of another kind."""
    if isinstance(node, ast.Name):
        return node.id, ()
    if isinstance(node, ast.Attribute):
        name, steps = _parsed(node.value)
        return name, (*steps, ("attribute", node.attr))
    if isinstance(node, ast.Subscript):
        name, steps = _parsed(node.value)
        return name, (*steps, ("item", _key(node.slice)))
    raise ValueError


def _key(node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
        return slice(*(None if part is None else ast.literal_eval(part) for part in (node.lower, node.upper, node.step)))
    if isinstance(node, ast.Tuple):
        return tuple(_key(part) for part in node.elts)
    return ast.literal_eval(node)


def referred(name: str, steps: tuple[Step, ...]) -> Any:
    """What the receiving namespace has under that name, and behind it; NameError if it has nothing."""
    namespace = functions.receiving_namespace()
    if name in namespace:
        found = namespace[name]
    elif hasattr(builtins, name):
        found = getattr(builtins, name)
    else:
        raise NameError(f"name {name!r} is not defined", name=name)
    for kind, key in steps:
        found = getattr(found, key) if kind == "attribute" else found[key]
    return found
