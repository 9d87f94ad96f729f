"""Errors as data: the bodies of a reply that says that something failed.

They are an *error document* (plain data, read by `ipython1.core.remote_error`) and the pickled exception, which
may be empty and is opened by clients alone.
"""

from __future__ import annotations

import pickle

from ipython1.kernel.framing import pack


def failure_bodies(exception: Exception, traceback: str = "") -> list[bytes]:
    """The bodies for an error that the controller or an agent reports itself.

    It may be of a class that users wrote, whose methods may raise anything.
    """
    kind = type(exception)
    document = {
        "class": kind.__qualname__,
        "module": kind.__module__,
        "bases": [[base.__module__, base.__qualname__] for base in kind.__mro__[1:-1]],
        "text": _text(exception),
        "traceback": traceback,
        "number": None,
    }
    return [pack(document), _pickled(exception)]


def _text(exception: Exception) -> str:
    try:
        return str(exception)
    except Exception as problem:  # the exception's own method
        return f"<its text cannot be shown: {type(problem).__name__}>"


def _pickled(exception: Exception) -> bytes:
    try:
        return pickle.dumps(exception, 5)
    except Exception:  # the exception's own methods, or what it holds
        return b""
