"""Errors as data: the bodies of a reply that says that something failed.

They are an *error document* (plain data, read by `ipython1.core.remote_error`) and the pickled exception, which
may be empty and is opened by clients alone.
"""

from __future__ import annotations

import pickle

from ipython1.kernel.framing import pack


def failure_bodies(exception: Exception) -> list[bytes]:
    """The bodies for an error that the controller or an agent reports itself: one of our own, or a built-in one."""
    kind = type(exception)
    document = {
        "class": kind.__qualname__,
        "module": kind.__module__,
        "bases": [[base.__module__, base.__qualname__] for base in kind.__mro__[1:-1]],
        "text": str(exception),
        "traceback": "",
        "number": None,
    }
    return [pack(document), pickle.dumps(exception, 5)]
