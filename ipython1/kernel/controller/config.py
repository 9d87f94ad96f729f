"""What a controller is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipython1.kernel.config.settings import (
    INTERFACE,
    INTERFACE_CLASSES,
    KEPT_RESULTS,
    KEPT_RESULTS_SIZE,
    KEPT_TASK_RESULTS,
    KEPT_TASK_RESULTS_SIZE,
    PORT,
    REUSE_FURLS,
    SCHEDULER,
)
from ipython1.kernel.patience import Patience
from ipython1.kernel.places import Places
from ipython1.kernel.store.opening import StoreConfig

CERTIFICATE_FILE = "ipcontroller.pem"
READY = "ipcontroller: ready"
"""The line by which a controller says that engines and clients can connect."""


@dataclass(frozen=True)
class ControllerConfig:
    """The configuration of a controller: `places` are where its files lie.

    `interface` is the address to listen on ('' for all), `location` the hosts to be put into the FURLs, separated
    by commas ('' to find them).  `reuse_furls` keeps the FURLs the same from one start to the next.
    `scheduler` is the dotted name of the class that decides on the order of tasks ('' for first in, first out),
    `interface_classes` those of interfaces that there are beside MultiEngine and Task.  `patience` is how long peers are
    awaited whose connections are lost or silent, `store` is where tasks, results and commands are kept.  The others are
    the settings of these names.
    """

    places: Places
    port: int = PORT.default
    interface: str = INTERFACE.default
    location: str = ""
    reuse_furls: bool = REUSE_FURLS.default
    scheduler: str = SCHEDULER.default
    interface_classes: tuple[str, ...] = INTERFACE_CLASSES.default
    kept_results: int = KEPT_RESULTS.default
    kept_results_size: int = KEPT_RESULTS_SIZE.default
    kept_task_results: int = KEPT_TASK_RESULTS.default
    kept_task_results_size: int = KEPT_TASK_RESULTS_SIZE.default
    patience: Patience = Patience()
    store: StoreConfig = field(default_factory=StoreConfig)
