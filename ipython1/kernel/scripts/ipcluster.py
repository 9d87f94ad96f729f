"""``ipcluster``: a controller and engines with one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ipython1
from ipython1.kernel.furl import find_ipython_dir
from ipython1.kernel.scripts.ipengine import positive

DEFAULT = "local"
"""What is meant when no kind of cluster is named."""


@dataclass(frozen=True)
class Config:
    """What the command line says."""

    num: int
    ipython_dir: Path
    controller: tuple[str, ...]


def parse(argv: Sequence[str]) -> Config:
    """The configuration that `argv` asks for; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="ipcluster",
        description="Start a controller and engines, and stop all of them with Ctrl-C. Without a kind of cluster,"
        f" {DEFAULT} is meant: ipcluster -n 4.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ipcluster {ipython1.__version__}")
    kinds = parser.add_subparsers(title="kinds of clusters", metavar="KIND", required=True, dest="kind")
    _add_local(kinds)
    arguments = list(argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, DEFAULT)
    options = parser.parse_args(arguments)
    return Config(
        num=options.num,
        ipython_dir=find_ipython_dir(options.ipython_dir),
        controller=_controller_options(options),
    )


def _add_local(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "a controller and engines on this host"
    local = kinds.add_parser("local", help=text, description=f"Start {text}.", allow_abbrev=False)
    local.add_argument(
        "-n", "--num", type=positive, default=2, metavar="N", help="how many engines (default: 2)"
    )
    local.add_argument(
        "--ipython-dir", metavar="DIR", help="the ipython directory (default: $IPYTHONDIR, else ~/.ipython)"
    )
    group = local.add_argument_group("options of the controller (see ipcontroller --help)")
    group.add_argument("--port", metavar="PORT", help="the port it listens on (default: a free one)")
    group.add_argument("--interface", metavar="ADDRESS", help="the address it listens on (default: all)")
    group.add_argument(
        "--location", metavar="HOST", help="the host names or addresses written to the FURL files"
    )
    group.add_argument(
        "-r", "--reuse-furls", action="store_true", help="keep the FURL files valid for the next start"
    )
    group.add_argument("--scheduler", metavar="NAME", help="what decides on the order of tasks")
    group.add_argument(
        "--interface-class",
        action="append",
        default=[],
        metavar="NAME",
        help="an interface of your own to be published; may be given several times",
    )


def _controller_options(options: argparse.Namespace) -> tuple[str, ...]:
    given = []
    for name in ("port", "interface", "location", "scheduler"):
        value = getattr(options, name)
        if value is not None:
            given.append(f"--{name}={value}")
    given += [f"--interface-class={name}" for name in options.interface_class]
    if options.reuse_furls:
        given.append("--reuse-furls")
    return tuple(given)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    config = parse(sys.argv[1:] if argv is None else argv)
    # Not before the options are known to be right: --help should be quick.
    from twisted.internet import reactor

    from ipython1.kernel.scripts.cluster import Cluster, Settings
    from ipython1.kernel.scripts.running import run, say, start_logging

    start_logging("ipcluster", None)
    cluster = Cluster(reactor, Settings(config.num, config.ipython_dir, config.controller), say)
    return run("ipcluster", reactor, cluster.run, cluster.stop)


if __name__ == "__main__":
    raise SystemExit(main())
