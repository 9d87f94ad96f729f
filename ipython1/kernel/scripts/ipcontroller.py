"""``ipcontroller``: the controller, to which engines and clients connect."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipython1
from ipython1.kernel.controller.config import ControllerConfig
from ipython1.kernel.furl import find_ipython_dir
from ipython1.kernel.scripts.ipengine import Gone, positive

if TYPE_CHECKING:
    from ipython1.kernel.scripts.controlling import Controlling

LOG_FILE = "ipcontroller.log"

_PORT = "one port serves engines and clients: use --port"
_INTERFACE = "one port serves engines and clients: use --interface"
_LOCATION = "one location serves engines and clients: use --location"
_FILES = "certificate and FURL files lie in the security folder of the ipython directory: move it with --ipython-dir"
_SECURE = "all connections are encrypted and need a FURL: leave it out"
_OLD_OPTIONS = (
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


def parse(argv: Sequence[str] | None = None) -> Config:
    """The configuration that `argv` asks for; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="ipcontroller",
        description="Start a controller, to which engines and clients connect. It writes FURL files for them: who"
        " has the file may connect. Ctrl-C ends it.",
        allow_abbrev=False,
    )
    parser.add_argument("--port", type=_port, default=0, help="the port to listen on (default: a free one)")
    parser.add_argument(
        "--interface",
        default="",
        metavar="ADDRESS",
        help="the address to listen on (default: all of this host)",
    )
    parser.add_argument(
        "--location",
        type=_hosts,
        metavar="HOST",
        help="where engines and clients find this host: names or addresses, separated by commas, for the FURLs"
        " (default: the address by which this host reaches others, and 127.0.0.1)",
    )
    parser.add_argument(
        "-r",
        "--reuse-furls",
        action="store_true",
        help="use the port, certificate and FURLs of the last time, and leave them for the next: FURL files that"
        " were copied stay valid",
    )
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="NAME",
        help="what decides on the order of tasks, by the dotted name of its class (default: first in, first out)",
    )
    parser.add_argument(
        "--interface-class",
        action="append",
        default=[],
        metavar="NAME",
        help="also publish an interface of your own, by the dotted name of its class; may be given several times",
    )
    parser.add_argument(
        "--engines",
        type=positive,
        default=0,
        metavar="N",
        help="also start N engines on this host (default: none)",
    )
    parser.add_argument(
        "--ipython-dir", metavar="DIR", help="the ipython directory (default: $IPYTHONDIR, else ~/.ipython)"
    )
    parser.add_argument(
        "-l",
        "--logfile",
        metavar="FILE",
        help=f"log to this file (default: log/{LOG_FILE} in the ipython directory)",
    )
    parser.add_argument("--version", action="version", version=f"ipcontroller {ipython1.__version__}")
    for option, instead in _OLD_OPTIONS:
        nargs: Any = "?" if option.startswith("--") else 0
        parser.add_argument(option, action=Gone, nargs=nargs, metavar=instead, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    folder = find_ipython_dir(options.ipython_dir)
    logfile = Path(options.logfile).expanduser().absolute() if options.logfile else folder / "log" / LOG_FILE
    controller = ControllerConfig(
        ipython_dir=folder,
        port=options.port,
        interface=options.interface.strip(),
        location=options.location or "",
        reuse_furls=options.reuse_furls,
        scheduler=options.scheduler,
        interface_classes=tuple(options.interface_class),
    )
    return Config(controller, options.engines, logfile)


def _port(text: str) -> int:
    port = int(text) if text.strip().isdigit() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port: a number from 1 to 65535, or 0 for a free one"
        )
    return port


def _hosts(text: str) -> str:
    hosts = [host.strip() for host in text.split(",")]
    for host in hosts:
        if not re.fullmatch(r"[\w.-]+|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?", host):
            raise argparse.ArgumentTypeError(
                f"{host!r} is no host name or address (the port is said by --port)"
            )
    return ",".join(hosts)


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
        start_logging("ipcontroller", str(config.logfile))
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
