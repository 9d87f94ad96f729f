"""The first message of a session, in which the two ends tell each other who they are."""

from __future__ import annotations

import functools
import getpass
import itertools
import os
import platform
import secrets
import socket
from collections.abc import Mapping
from typing import Any

import ipython1
from ipython1.kernel.alive import Process, boot_id
from ipython1.kernel.error import FURLError, IncompatiblePeer, ProtocolError
from ipython1.kernel.messages import PROTOCOL

ROLES = {
    "engine": "register engines",
    "multiengine": "use the MultiEngine interface",
    "task": "use the Task interface",
}
"""What one may do with each FURL of ours."""


def permission(role: str) -> str:
    """What one may do with the FURL of `role`."""
    return ROLES.get(role, f"use the interface {role!r:.50}")


MAX_NAME = 64
"""Characters of the name of a session."""

_attempts = itertools.count(1)


def new_id() -> str:
    """A fresh id of a session or of an incarnation of the controller: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


@functools.cache
def user() -> str:
    """Who runs this process, by name; empty where that is not known."""
    try:
        return getpass.getuser()[:MAX_NAME]
    except (OSError, KeyError):  # a user id without a name
        return ""


def name_problem(name: Any) -> str | None:
    """What is wrong with the name of a session, in words; None if nothing is."""
    if not isinstance(name, str):
        return f"the name of a session is text, not {name!r:.50}"
    if len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        return f"the name of a session has up to {MAX_NAME} printable characters, and no blanks around it, not {name!r:.80}"
    return None


def check_name(name: Any) -> None:
    """Raise unless a user may call a session so: TypeError, ValueError."""
    problem = name_problem(name)
    if not isinstance(name, str):
        raise TypeError(problem)
    if problem or not name:
        raise ValueError(problem or "the name of a session is not empty")


def identity() -> dict[str, Any]:
    """What both ends of a session say of themselves."""
    return {
        "protocol": PROTOCOL,
        "version": ipython1.__version__,
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "pid": os.getpid(),
    }


def hello(
    role: str, session: str, ticket: str = "", received: int = 0, name: str = ""
) -> dict[str, Any]:
    """What the dialing end says first.

    With the `ticket` that it got when the session was opened, it takes that up again, and has `received` messages
    of it; without, it opens a new one.  A process numbers its attempts: one that it has given up may still arrive,
    after a later one, and must not take the session away from that.  `name` is what the user calls the session.
    """
    said = {"role": role, "session": session, "ticket": ticket, "received": received, "attempt": next(_attempts)}
    if role == "engine":
        # So that the controller, or another agent here, can tell one that has ended from one that cannot be reached.
        process = Process.this()
        said |= {"namespace": process.namespace, "created": process.created}
    return {**identity(), **said, "name": name, "user": user()}


def welcome(
    incarnation: str, ticket: str, received: int, grace: float, silence: float, house: str = ""
) -> dict[str, Any]:
    """What the controller answers.

    `received` is how many messages of the session it has; `grace` and `silence` are what both ends go by
    (see `ipython1.kernel.patience`).  `house` is the identity of the store in which it keeps what is asked of it; empty
    if that ends with the controller.
    """
    said = {"incarnation": incarnation, "ticket": ticket, "received": received, "house": house}
    return {**identity(), **said, "grace": float(grace), "silence": float(silence)}


_WANTED: Mapping[str, type] = {
    "protocol": int,
    "version": str,
    "python": str,
    "host": str,
    "boot_id": str,
    "pid": int,
}
_DIALER: Mapping[str, type] = {
    **_WANTED,
    "role": str,
    "session": str,
    "ticket": str,
    "received": int,
    "attempt": int,
    "name": str,
    "user": str,
}
_CONTROLLER: Mapping[str, type] = {
    **_WANTED,
    "incarnation": str,
    "ticket": str,
    "received": int,
    "grace": float,
    "silence": float,
    "house": str,
}


def check_hello(said: Any, role: str) -> None:
    """Raise unless `said` is the hello of a compatible peer that wants `role`."""
    _check_identity(said, _DIALER)
    if not 0 < len(said["session"]) <= 64:
        raise ProtocolError("the session id of a hello has the wrong length")
    problem = name_problem(said["name"])
    if problem:
        raise ProtocolError(problem)
    if said["role"] != role:
        raise FURLError(
            f"this FURL lets one {permission(role)}, but was used to {permission(said['role'])}: use the other FURL file"
        )


def check_welcome(said: Any) -> None:
    """Raise unless `said` is the answer of a compatible controller."""
    _check_identity(said, _CONTROLLER)


def _check_identity(said: Any, wanted: Mapping[str, type]) -> None:
    # The protocol number comes first: a peer of another version may say the rest in another form.
    if not isinstance(said, dict) or type(said.get("protocol")) is not int:
        raise ProtocolError("a hello without a protocol number")
    if said["protocol"] != PROTOCOL:
        raise IncompatiblePeer(
            f"the other end is ipython1 {said.get('version')!s:.20} (protocol {said['protocol']}), this end is"
            f" ipython1 {ipython1.__version__} (protocol {PROTOCOL}): install the same version at both ends"
        )
    for name, kind in wanted.items():
        if type(said.get(name)) is not kind:
            raise ProtocolError(f"field {name} of a hello is {type(said.get(name)).__name__}, not {kind.__name__}")
