"""``ipcontroller``: the controller, to which engines and clients connect."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipython1
from ipython1.config.setting import Setting
from ipython1.kernel.config.settings import (
    CLIENT_KEEPALIVE,
    CONTROLLER_LOG,
    ENGINE_KEEPALIVE,
    GRACE,
    INTERFACE,
    INTERFACE_CLASSES,
    KEPT_RESULTS,
    KEPT_RESULTS_SIZE,
    KEPT_TASK_RESULTS,
    KEPT_TASK_RESULTS_SIZE,
    LOCATION,
    LOG_COUNT,
    LOG_SIZE,
    PORT,
    REUSE_FURLS,
    SCHEDULER,
    STORE,
    STORE_SYNC,
)
from ipython1.kernel.controller.config import ControllerConfig
from ipython1.kernel.patience import Patience
from ipython1.kernel.scripts.options import (
    Gone,
    Parser,
    add_places,
    add_setting,
    configured,
    places_of,
    positive,
)
from ipython1.kernel.store.opening import StoreConfig

if TYPE_CHECKING:
    from ipython1.kernel.scripts.controlling import Controlling

LOG_FILE = "ipcontroller.log"

_PORT = "one port serves engines and clients: use --port"
_INTERFACE = "one port serves engines and clients: use --interface"
_LOCATION = "one location serves engines and clients: use --location"
_FILES = "certificate and FURL files lie in the security folder of the ipython directory: move it with --ipython-dir"
_SECURE = "all connections are encrypted and need a FURL: leave it out"
OLD_OPTIONS = (
    ("--client-port", _PORT),
    ("--engine-port", _PORT),
    ("--client-ip", _INTERFACE),
    ("--engine-ip", _INTERFACE),
    ("--client-location", _LOCATION),
    ("--engine-location", _LOCATION),
    ("--client-cert-file", _FILES),
    ("--engine-cert-file", _FILES),
    ("--task-furl-file", _FILES),
    ("--multiengine-furl-file", _FILES),
    ("--engine-furl-file", _FILES),
    ("--ipythondir", "use --ipython-dir"),
    ("-x", _SECURE),
    ("-y", _SECURE),
)


@dataclass(frozen=True)
class Config:
    """What the command line says; `engines` is how many a host agent beside the controller has, 0 for none."""

    controller: ControllerConfig
    engines: int
    logfile: Path
    log_size: int = LOG_SIZE.default
    log_count: int = LOG_COUNT.default


OPTIONS: Sequence[tuple[Setting[Any], str | None]] = (
    (PORT, "PORT"),
    (INTERFACE, "ADDRESS"),
    (LOCATION, "HOST"),
    (REUSE_FURLS, None),
    (SCHEDULER, "NAME"),
    (INTERFACE_CLASSES, "NAME"),
    (GRACE, "SECONDS"),
    (ENGINE_KEEPALIVE, "SECONDS"),
    (CLIENT_KEEPALIVE, "SECONDS"),
    (STORE, "PATH-OR-URL"),
    (STORE_SYNC, "HOW"),
)
"""Settings with options that ``ipcluster`` has, too, and gives to the controller."""


def parse(argv: Sequence[str] | None = None) -> Config:
    """The configuration that `argv` asks for; exits with status 2 if it is wrong."""
    parser = Parser(
        prog="ipcontroller",
        description="Start a controller, to which engines and clients connect. It writes FURL files for them: who"
        " has the file may connect. Ctrl-C ends it.",
        allow_abbrev=False,
    )
    for setting, metavar in (*OPTIONS, (CONTROLLER_LOG, "FILE")):
        add_setting(parser, setting, metavar)
    parser.add_argument(
        "--engines",
        type=positive,
        default=0,
        metavar="N",
        help="also start N engines on this host (default: none)",
    )
    add_places(parser)
    parser.add_argument("--version", action="version", version=f"ipcontroller {ipython1.__version__}")
    for option, instead in OLD_OPTIONS:
        nargs: Any = "?" if option.startswith("--") else 0
        parser.add_argument(option, action=Gone, nargs=nargs, metavar=instead, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    places = places_of(parser, options)
    settings = configured(parser, options, places)
    hosts = settings[LOCATION]
    controller = ControllerConfig(
        places=places,
        port=settings[PORT],
        interface=settings[INTERFACE],
        location=",".join(hosts),
        reuse_furls=settings[REUSE_FURLS],
        scheduler=settings[SCHEDULER],
        interface_classes=settings[INTERFACE_CLASSES],
        kept_results=settings[KEPT_RESULTS],
        kept_results_size=settings[KEPT_RESULTS_SIZE],
        kept_task_results=settings[KEPT_TASK_RESULTS],
        kept_task_results_size=settings[KEPT_TASK_RESULTS_SIZE],
        patience=Patience(settings[GRACE], settings[ENGINE_KEEPALIVE], settings[CLIENT_KEEPALIVE]),
        store=StoreConfig.of(settings),
    )
    chosen = settings[CONTROLLER_LOG]
    logfile = Path(chosen).expanduser().absolute() if chosen else places.log_dir / LOG_FILE
    return Config(controller, options.engines, logfile, settings[LOG_SIZE], settings[LOG_COUNT])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    config = parse(argv)
    if config.controller.interface_classes or config.controller.scheduler:
        # A module that lies where the command is given can be named, too; it comes last, and hides no other.
        sys.path.append(os.getcwd())
    # Not before the options are known to be right: --help should be quick.
    from twisted.internet import reactor

    from ipython1.kernel.scripts.controlling import Controlling
    from ipython1.kernel.scripts.running import complain, run, say, start_logging

    try:
        config.logfile.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        start_logging("ipcontroller", str(config.logfile), config.log_size, config.log_count)
    except OSError as problem:
        complain(
            "ipcontroller",
            f"cannot write the log file {config.logfile}: {problem.strerror or problem};"
            " choose another one with --logfile, or another folder with --ipython-dir",
        )
        return 1
    controlling: Controlling = Controlling(reactor, config.controller, config.engines, say)
    return run("ipcontroller", reactor, controlling.run, controlling.stop)


if __name__ == "__main__":
    raise SystemExit(main())
