"""From the arguments of `Cluster` to the command line of ``ipcluster start``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from ipython1.kernel.error import ConfigError

_RESERVED = {
    "daemonize": "use keep=True",
    "num": "use n",
    "report": "it is for the object itself",
    "temporary": "clusters without a name of their own are",
}


def new_name() -> str:
    """A name for a cluster that no other one has."""
    return f"python-{secrets.token_hex(4)}"


def start_options(n: int | None, launcher: str | None, options: Mapping[str, Any]) -> list[str]:
    """What ``ipcluster start`` is told: options by their names, ``ssh_config='f'`` for ``--ssh-config=f``."""
    if n is not None and type(n) is not int:
        raise ConfigError(f"n is how many engines, not {n!r:.80}")
    named: dict[str, Any] = {"launcher": launcher, "num": n}
    for name, value in options.items():
        if name in _RESERVED:
            raise ConfigError(f"there is no option {name!r}: {_RESERVED[name]}")
        named[name] = value
    return [argument for name, value in named.items() for argument in _option(f"--{name.replace('_', '-')}", value)]


def _option(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [name if value else f"--no-{name.removeprefix('--')}"]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [f"{name}={_text(name, each)}" for each in value]
    return [f"{name}={_text(name, value)}"]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float | os.PathLike) or isinstance(value, bool):
        raise ConfigError(f"{name}: {value!r:.80} is neither text, a number, a path, nor a list of these")
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
