"""What is to be started, and how far it is.

A launch is one of the commands (``ipcontroller``, ``ipengine``) with its arguments, to be started once.  What is
started may be one process or several, here or elsewhere, or a job that waits in a queue for hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ipython1.kernel.places import Places

How = Literal["starting", "running", "stopping", "ended"]
Files = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Launch:
    """One command to be started.

    `command` is its name and its arguments.  `host` is '' for this one.  `environment` is added to what the command
    would have without.  `label` is what the command is called where its state and its output are shown.

    `files` are pairs of a path here and a path there: they are copied before the command starts.  A path there that
    is relative lies in a folder which is made for this launch, private, and removed with it; an argument of `command`
    that is exactly this path is replaced by the whole path.  `fetch` are pairs of a path there and a path here: they
    are copied as soon as the command has written the line `ready`, before that line is shown.
    """

    command: tuple[str, ...]
    host: str = ""
    label: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Files = ()
    fetch: Files = ()
    ready: str = ""

    @property
    def name(self) -> str:
        """The label; without one, the command's name."""
        return self.label or self.command[0]


@dataclass(frozen=True)
class LaunchState:
    """How far a launch is.

    `pid` and `created` (seconds since 1970) tell the process from others on `host`, also after its id was given to
    another one; `job` is the id of a batch job.  `reason` says how it ended, to complete "it has ended (...)", and
    `succeeded` whether that is how it should have ended; both are None before.
    """

    state: How = "starting"
    host: str = ""
    pid: int | None = None
    created: float | None = None
    job: str | None = None
    reason: str | None = None
    succeeded: bool | None = None


@dataclass(frozen=True)
class Wanted:
    """What a cluster is to consist of, as far as that is the same for all ways to start it.

    `num` is how many engines; None if that was not said, and then `usual` where nothing else says.  `controller` and `engine` are options for ``ipcontroller``
    and ``ipengine``, without those that say where files are.
    """

    places: Places
    num: int | None = None
    controller: Sequence[str] = ()
    engine: Sequence[str] = ()
    usual: int = 2


@dataclass(frozen=True)
class Share:
    """So many engines, which one host agent has, on `host`; '' is this host."""

    host: str
    engines: int


def local_path(path: str) -> Path:
    """A path of `Launch.files` or `Launch.fetch` on this host."""
    return Path(path).expanduser()
