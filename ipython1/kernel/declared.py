"""The verbs of interfaces that users write, as a controller declares them to clients.

A declaration is read from the signature of the method that carries the verb out.  The controller checks commands
against it, and tells it to clients, which make their methods of it: so a verb is described in one place.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ipython1.kernel.error import ProtocolError
from ipython1.kernel.verbs import NoneType, Route, Verb

DESCRIBE = Verb("describe", Route.CONTROLLER)
"""Asks an interface for its declarations, as plain data."""

VALUE = "value"
"""The kind of an argument that is any value of the client's, which the controller does not open."""
KINDS: Mapping[str, tuple[type, ...]] = {
    "None": (NoneType,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bytes": (bytes,),
    "list": (list,),
    "dict": (dict,),
    "any": (object,),
    # A number: that of the value among those that came with the command.
    VALUE: (int,),
}
"""What an argument can be, and how that looks in a message."""
_NAMES: Mapping[Any, str] = {
    **{types_[-1]: kind for kind, types_ in KINDS.items() if kind not in ("any", VALUE)},
    Any: "any",
    None: "None",
}


@dataclass(frozen=True)
class Argument:
    """An argument of a verb; `default` is what people are shown for one that may be left out."""

    name: str
    kinds: tuple[str, ...]
    required: bool = True
    default: str = ""

    @property
    def types(self) -> tuple[type, ...]:
        """What it may be in a message."""
        return tuple(kind for name in self.kinds for kind in KINDS[name])


@dataclass(frozen=True)
class Declaration:
    """A verb: its name, its docstring, and its arguments."""

    name: str
    doc: str
    arguments: tuple[Argument, ...]

    @property
    def values(self) -> frozenset[str]:
        """The arguments that are values."""
        return frozenset(argument.name for argument in self.arguments if VALUE in argument.kinds)

    @property
    def verb(self) -> Verb:
        """What commands are checked against."""
        return Verb(
            self.name,
            Route.CONTROLLER,
            {argument.name: argument.types for argument in self.arguments},
            values=bool(self.values),
            optional=frozenset(argument.name for argument in self.arguments if not argument.required),
        )

    def plain(self) -> list[Any]:
        """As it is sent."""
        arguments = [[one.name, list(one.kinds), one.required, one.default] for one in self.arguments]
        return [self.name, self.doc, arguments]


def from_plain(plain: Any) -> Declaration:
    """What `Declaration.plain` made; ProtocolError if it is something else."""
    try:
        name, doc, arguments = plain
        made = tuple(Argument(one, tuple(kinds), required, default) for one, kinds, required, default in arguments)
        declaration = Declaration(name, doc, made)
        declaration.verb  # noqa: B018 # raises KeyError for a kind that is none
    except (TypeError, ValueError, KeyError) as problem:
        raise ProtocolError(f"the controller declares a verb in a way that is not known here ({problem!r})") from None
    return declaration


def declaration(method: Callable[..., Any], value: type) -> Declaration:
    """The verb that `method` carries out; `value` is the class that stands for values there.

    TypeError if its arguments cannot be sent.
    """
    try:
        hints = typing.get_type_hints(method)
    except NameError as problem:
        raise TypeError(f"the hints of {method.__name__} name what is not there: {problem}") from None
    parameters = list(inspect.signature(method).parameters.values())[1:]  # without self
    arguments = tuple(_argument(method.__name__, parameter, hints, value) for parameter in parameters)
    return Declaration(method.__name__, inspect.getdoc(method) or "", arguments)


def _argument(
    method: str, parameter: inspect.Parameter, hints: Mapping[str, Any], value: type
) -> Argument:
    name = parameter.name
    if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
        raise TypeError(f"argument {name} of {method}: a verb takes neither *args nor arguments of one kind alone")
    if name not in hints:
        raise TypeError(f"argument {name} of {method} has no type hint, by which what comes could be checked")
    kinds = _kinds(hints[name], value)
    if kinds is None:
        known = ", ".join(kind for kind in KINDS if kind not in ("any", VALUE))
        raise TypeError(
            f"argument {name} of {method} is hinted {hints[name]}: it must be one or more (|) of {known},"
            f" typing.Any or {value.__name__}"
        )
    if parameter.default is parameter.empty:
        return Argument(name, kinds)
    return Argument(name, kinds, False, repr(parameter.default)[:80])


def _kinds(hint: Any, value: type) -> tuple[str, ...] | None:
    """The kinds that a hint means; None if there is one that cannot be sent."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_kinds(part, value) for part in typing.get_args(hint)]
        if any(part is None for part in parts):
            return None
        kinds = tuple(dict.fromkeys(kind for part in parts if part is not None for kind in part))
        # A value comes as a number, which could not be told from a number.
        return None if VALUE in kinds and set(kinds) - {VALUE, "None"} else kinds
    hint = typing.get_origin(hint) or hint
    if hint is value:
        return (VALUE,)
    try:
        return (_NAMES[hint],)
    except (KeyError, TypeError):
        return None
