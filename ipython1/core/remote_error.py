"""Errors as data: an exception is described where it was raised, and made anew where it is wanted."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ipython1.core.functions import find
from ipython1.core.text import sendable
from ipython1.core.tracebacks import format_error, trim
from ipython1.kernel import framing
from ipython1.kernel.error import UnpickleableException

_TEXT_LIMIT = 100_000
# An exception may hold anything. One that is larger than this arrives with its text alone.
_PICKLE_LIMIT = 16 << 20


def describe(
    error: BaseException, number: int | None = None, traceback: str | None = None
) -> tuple[bytes, bytes]:
    """`error` as an error document and, where it can be pickled, a pickle (else ``b''``).

    `number` is that of the command which raised it.  `traceback` is made from the error's own if it is None.
    Whatever the exception's own methods do, this raises nothing but KeyboardInterrupt.
    """
    if traceback is None:
        trim(error)
        traceback = format_error(error)
    kind = type(error)
    document = {
        "class": sendable(kind.__name__),
        "module": sendable(str(kind.__module__)),
        "qualname": sendable(kind.__qualname__),
        "bases": [[sendable(str(base.__module__)), sendable(base.__qualname__)] for base in kind.__mro__[1:-1]],
        "text": sendable(_text(error), _TEXT_LIMIT),
        "traceback": traceback,
        "number": number,
    }
    return framing.pack(document), _pickled(error)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # the exception's own method
        return f"<its text cannot be shown: {type(problem).__name__}>"


def _pickled(error: BaseException) -> bytes:
    try:
        pickled = pickle.dumps(error, 5)
    except Exception:  # the exception's own methods, or what it holds
        return b""
    return pickled if len(pickled) <= _PICKLE_LIMIT else b""


def rebuild(
    document: Any, pickled: Any, engine: int | None, method: str, args: Sequence[Any] = ()
) -> BaseException:
    """The exception that `describe` described, ready to be raised.

    It is the original where it can be unpickled; else one of its class, with its text; else one of a stand-in
    class of the same name, which inherits from the nearest base that can be imported.  It carries
    `_ipython_engine_info` and `_ipython_traceback_text`.  Garbage gives an UnpickleableException.
    """
    facts = _Facts(document)
    info = {"engineid": engine, "method": method, "args": list(args)}
    for attempt in (_original, _without_init, _stand_in):
        try:
            error = attempt(facts, pickled)
            str(error)
            _attach(error, info, facts.traceback)
        except BaseException:  # what unpickling or the class's own methods raise, SystemExit too
            continue
        return error
    fallback = UnpickleableException(f"{facts.name}: {facts.text}")
    _attach(fallback, info, facts.traceback)
    return fallback


def _attach(error: BaseException, info: dict[str, Any], traceback: str) -> None:
    # Past a __setattr__ of the exception's own (a frozen dataclass refuses).
    object.__setattr__(error, "_ipython_engine_info", info)
    object.__setattr__(error, "_ipython_traceback_text", traceback)


class _Facts:
    """An error document's content, whatever was in it."""

    def __init__(self, document: Any) -> None:
        try:
            plain = framing.unpack(document)
        except Exception:  # garbage of any kind, even of the wrong type
            plain = None
        known = plain if isinstance(plain, dict) else {}
        self.name = _str(known.get("class")) or "UnpickleableException"
        self.module = _str(known.get("module"))
        self.qualname = _str(known.get("qualname")) or self.name
        self.text = _str(known.get("text"))
        self.traceback = _str(known.get("traceback"))
        self.known = bool(known)
        bases = known.get("bases")
        self.bases = [
            (_str(base[0]), _str(base[1]))
            for base in (bases if isinstance(bases, list) else [])
            if isinstance(base, list) and len(base) == 2
        ]


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _original(facts: _Facts, pickled: Any) -> BaseException:
    error = pickle.loads(pickled)
    if not isinstance(error, BaseException) or (facts.known and type(error).__name__ != facts.name):
        raise TypeError("the pickle is not of that exception")
    return error


def _without_init(facts: _Facts, _pickled: Any) -> BaseException:
    """An instance of the class itself, whose __init__ wants arguments that were not pickled."""
    error = _instance(_exception_class(facts.module, facts.qualname), facts.text)
    if str(error) != facts.text:
        raise TypeError("the class makes its text of what its instances are initialized with")
    return error


def _stand_in(facts: _Facts, _pickled: Any) -> BaseException:
    for module, qualname in [(facts.module, facts.qualname), *facts.bases]:
        try:
            base: Any = _exception_class(module, qualname)
            return _instance(_stand_in_class(facts.module, facts.qualname, base), facts.text)
        except Exception:  # what importing the base or subclassing it raises: the next one is as good
            continue
    raise TypeError("no base that can be imported")


def _exception_class(module: str, qualname: str) -> type[BaseException]:
    found = find(module, qualname)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise TypeError(f"{module}.{qualname} is no exception")
    return found


# Cached, so that two errors of one class are caught by one except clause.
@lru_cache(maxsize=1000)
def _stand_in_class(module: str, qualname: str, base: Any) -> type[BaseException]:
    body = {"__module__": module, "__qualname__": qualname, "__str__": _stand_in_text}
    return type(qualname.rpartition(".")[2], (base,), body)


def _stand_in_text(error: BaseException) -> str:
    return str(error.args[0]) if error.args else ""


def _instance(kind: type[BaseException], text: str) -> BaseException:
    """An instance of `kind` with `text`, made without calling its __init__."""
    maker: Any = next(base for base in kind.__mro__ if base.__module__ == "builtins").__new__
    try:
        error = maker(kind, text)
    except TypeError:  # a group wants members
        error = maker(kind, text, [UnpickleableException(text)])
    if not isinstance(error, BaseException):
        raise TypeError("no exception")
    return error
