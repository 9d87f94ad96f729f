"""The verbs of an interface that users wrote, as its clients have them: made of what the controller declares."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ipython1.core.serialize import Serialized, serialize
from ipython1.kernel.declared import DESCRIBE, KINDS, VALUE, Argument, Declaration, from_plain
from ipython1.kernel.derive import VerbCall
from ipython1.kernel.label import label
from ipython1.kernel.request import Request, Steps, ask_controller, plain_value, whole_result


class _Shown:
    """A default as the controller's code has it, which may be anything."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class InterfaceVerbs:
    """The verbs of one interface, by name."""

    def __init__(self, role: str, declarations: Mapping[str, Declaration]) -> None:
        self._role = role
        self._declarations = declarations
        self._signatures = {name: _signature(one) for name, one in declarations.items()}

    def names(self) -> list[str]:
        """Their names."""
        return sorted(self._declarations)

    def method(self, name: str, carry_out: Callable[..., Any]) -> Callable[..., Any]:
        """A function that calls ``carry_out(name, args, kwargs)``, with the verb's signature and docstring.

        AttributeError if there is no such verb.
        """
        self._check(name)

        def method(*args: Any, **kwargs: Any) -> Any:
            return carry_out(name, args, kwargs)

        method.__name__ = method.__qualname__ = name
        method.__doc__ = self._declarations[name].doc
        method.__signature__ = self._signatures[name]  # type: ignore[attr-defined]
        return method

    def call(self, name: str, args: Any, kwargs: Any, timeout: float | None) -> VerbCall:
        """A call of a verb; TypeError if its arguments are not those that it takes."""
        self._check(name)
        try:
            given = self._signatures[name].bind(*args, **kwargs).arguments
        except TypeError as problem:
            raise TypeError(f"{name}() of the interface {self._role}: {problem}") from None
        declaration = self._declarations[name]
        values: list[Serialized] = []
        sent: dict[str, Any] = {}
        for argument, value in given.items():
            if argument in declaration.values and value is not None:
                sent[argument] = len(values)
                values.append(serialize(value, argument, carry_code=True))
            else:
                sent[argument] = list(value) if isinstance(value, tuple) else value
        wrong = declaration.verb.check(sent)
        if wrong is not None:
            raise TypeError(wrong)
        request = Request(name, sent, label=label(name, *given.values()), timeout=timeout)
        if declaration.values:
            request.values = values
        return VerbCall(_outcome(request), True, name)

    def _check(self, name: str) -> None:
        if name not in self._declarations:
            known = ", ".join(self.names()) or "none"
            raise AttributeError(f"the interface {self._role} has no verb {name!r}; its verbs: {known}")


def describe(role: str) -> VerbCall:
    """The call that asks for the verbs of an interface: gives `InterfaceVerbs`."""
    return VerbCall(_described(role), True, DESCRIBE.name)


def _described(role: str) -> Steps[InterfaceVerbs]:
    declared = yield from ask_controller(Request(DESCRIBE.name))
    declarations = [from_plain(plain) for plain in declared]
    return InterfaceVerbs(role, {declaration.name: declaration for declaration in declarations})


def _outcome(request: Request) -> Steps[Any]:
    (answer,) = yield [request]
    result = whole_result(request, answer)
    if answer.whole is None or answer.whole.fields.get("values") is None:
        return result
    (value,) = plain_value(answer.whole)
    return value.load()


def _signature(declaration: Declaration) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(
                argument.name,
                kind,
                default=inspect.Parameter.empty if argument.required else _Shown(argument.default),
                annotation=_hint(argument),
            )
            for argument in declaration.arguments
        ]
    )


def _hint(argument: Argument) -> Any:
    if "any" in argument.kinds or VALUE in argument.kinds:
        return Any
    return functools.reduce(operator.or_, [KINDS[kind][-1] for kind in argument.kinds])
