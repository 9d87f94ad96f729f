"""What a controller is told at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ControllerConfig:
    """The configuration of a controller.

    `interface` is the address to listen on ('' for all), `location` the hosts to be put into the FURLs, separated
    by commas ('' to find them).  `reuse_furls` keeps the FURLs the same from one start to the next.
    `scheduler` is the dotted name of the class that decides on the order of tasks ('' for first in, first out),
    `interface_classes` those of interfaces that there are beside MultiEngine and Task.
    """

    ipython_dir: Path
    port: int = 0
    interface: str = ""
    location: str = ""
    reuse_furls: bool = False
    scheduler: str = ""
    interface_classes: tuple[str, ...] = ()
