"""What the subcommands of ``ipcluster`` have in common: exit statuses, and finding the cluster that is meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipython1.kernel.error import ClusterRunning, ConfigError, NoSuchCluster
from ipython1.kernel.places import Places
from ipython1.kernel.terminal import silence

if TYPE_CHECKING:
    from ipython1.daemon.clusters import Found

PROGRAM = "ipcluster"
FINE = 0
FAILED = 1
WRONG = 2
NOT_RUNNING = 11
RUNNING = 10


@dataclass(frozen=True)
class Subcommand:
    """One subcommand: adds its options, and does its work; `run` gives the exit status, or raises an error of ours."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Places], int]


def exit_status(problem: Exception) -> int:
    """The exit status of a command that ends with this error."""
    if isinstance(problem, NoSuchCluster):
        return NOT_RUNNING
    if isinstance(problem, ClusterRunning):
        return RUNNING
    return WRONG if isinstance(problem, ConfigError) else FAILED


def show(text: str) -> None:
    """Write to standard output, unless nobody reads it any more: then there is nothing wrong with the command."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        silence(sys.stdout)


def ask(places: Places, verb: str, timeout: float, **args: Any) -> Any:
    """Ask the running cluster; NoSuchCluster if there is none."""
    from ipython1.daemon import control
    from ipython1.daemon.clusters import look

    return control.ask(look(places).control(), verb, args, timeout)


def as_plain(found: Found, status: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A cluster for ``--json``: the documented schema; `status` is what a running one has answered."""
    from dataclasses import asdict

    plain: dict[str, Any] = dict(status or (asdict(found.state) if found.state is not None else {}))
    plain.setdefault("engines", [])
    return {
        "name": found.places.cluster_id,
        "standing": found.standing.value,
        "ipython_dir": str(found.places.ipython_dir),
        "security_dir": str(found.places.security_dir),
        "log_dir": str(found.places.log_dir),
        **plain,
    }
