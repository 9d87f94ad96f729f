"""``ipcluster start``: a controller and engines, supervised, in the foreground or in the background."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipython1.daemon.intensity import Intensity
from ipython1.kernel.error import ClusterError, ClusterRunning, IPythonError
from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipcluster_common import FINE, PROGRAM, exit_status
from ipython1.kernel.scripts.ipcontroller import OLD_OPTIONS
from ipython1.kernel.scripts.options import Gone, positive

if TYPE_CHECKING:
    from ipython1.daemon.detach import Report

LOG_FILE = "ipcluster.log"
OUTPUT_FILE = "ipcluster-output.log"
"""What a cluster in the background writes past its log, if it does."""
_OLD_OPTIONS = (
    *OLD_OPTIONS,
    ("--controller-ip", "use --location, if others do not find this host by its address"),
    ("--controller-port", "use --port"),
    ("--logdir", "logs lie in the folder log of the ipython directory: move it with --ipython-dir"),
    ("--mpi", "user code may import an MPI library itself"),
)


def add_options(parser: argparse.ArgumentParser, launcher: str) -> None:
    """The options of a cluster that is started by the launcher of that name."""
    from ipython1.kernel.launch.launcher import find_launcher

    parser.add_argument("-n", "--num", type=positive, metavar="N", help="how many engines (default: 2)")
    parser.add_argument(
        "--daemonize",
        action="store_true",
        help="go on in the background; the command returns when the cluster is ready, or has failed",
    )
    default = Intensity()
    parser.add_argument(
        "--max-restarts",
        type=_count,
        default=default.restarts,
        metavar="N",
        help="how often the controller, and each host agent, is started again when it has ended unexpectedly, within"
        f" --restart-window (default: {default.restarts})",
    )
    parser.add_argument(
        "--restart-window",
        type=_seconds,
        default=default.seconds,
        metavar="SECONDS",
        help=f"(default: {default.seconds:g})",
    )
    _add_controller_options(parser)
    find_launcher(launcher).add_options(parser)
    for option, instead in _OLD_OPTIONS:
        nargs: Any = "?" if option.startswith("--") else 0
        parser.add_argument(option, action=Gone, nargs=nargs, metavar=instead, help=argparse.SUPPRESS)


def _add_controller_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of the controller (see ipcontroller --help)")
    group.add_argument("--port", metavar="PORT", help="the port it listens on (default: a free one)")
    group.add_argument("--interface", metavar="ADDRESS", help="the address it listens on (default: all)")
    group.add_argument(
        "--location", metavar="HOST", help="the host names or addresses written to the FURL files"
    )
    group.add_argument(
        "-r", "--reuse-furls", action="store_true", help="keep the FURL files valid for the next start"
    )
    group.add_argument("--scheduler", metavar="NAME", help="what decides on the order of tasks")


def _count(text: str) -> int:
    if not text.strip().isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of restarts: 0 or more is needed")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1e9:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


def controller_options(options: argparse.Namespace) -> tuple[str, ...]:
    """What ``ipcontroller`` is told."""
    given = []
    for name in ("port", "interface", "location", "scheduler"):
        value = getattr(options, name)
        if value is not None:
            given.append(f"--{name}={value}")
    if options.reuse_furls:
        given.append("--reuse-furls")
    return tuple(given)


def run(options: argparse.Namespace, places: Places) -> int:
    """Start the cluster; returns when it has ended or, in the background, when it is ready."""
    from ipython1.daemon.cluster import Configuration, running_text
    from ipython1.daemon.clusters import Standing, look
    from ipython1.daemon.detach import detach
    from ipython1.kernel.launch.launcher import find_launcher
    from ipython1.kernel.launch.values import Wanted

    wanted = Wanted(places, options.num, controller_options(options))
    plan = find_launcher(options.launcher).plan(wanted, options)
    if look(places).standing is Standing.RUNNING:
        raise ClusterRunning(running_text(places))
    configuration = Configuration(
        places,
        Intensity(options.max_restarts, options.restart_window),
        keeps_furls=options.reuse_furls,
        daemon=options.daemonize,
    )
    try:
        places.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if options.daemonize:
            return detach(places.log_dir / OUTPUT_FILE, lambda report: _serve(plan, configuration, report))
        return _serve(plan, configuration, None)
    except OSError as problem:
        raise ClusterError(
            f"cannot write a log file in {places.log_dir}: {problem.strerror or problem}; give another folder with"
            " --ipython-dir"
        ) from None


def _serve(plan: Any, configuration: Any, report: Report | None) -> int:
    """Run the cluster until its end; the exit status."""
    from twisted.internet import reactor

    from ipython1.daemon.cluster import Cluster
    from ipython1.kernel.scripts.running import complain, run, say, start_logging

    start_logging(PROGRAM, str(configuration.places.log_dir / LOG_FILE))
    show: Callable[[str], None] = say if report is None else report.say
    ready: Callable[[], None] = (lambda: None) if report is None else (lambda: report.finish(FINE))
    cluster = Cluster(reactor, plan, configuration, show, ready)

    async def serve() -> int:
        try:
            await cluster.run()
        except IPythonError as problem:
            if report is None:
                complain(PROGRAM, str(problem))
            else:
                report.say(f"{PROGRAM}: {problem}")
            return exit_status(problem)
        return FINE

    status = run(PROGRAM, reactor, serve, cluster.stop)
    if report is not None:
        report.finish(status)
    return status
