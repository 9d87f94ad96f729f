"""``ipcluster start``: a controller and engines, supervised, in the foreground or in the background."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ipython1.config.setting import DEFAULT, Configuration, Setting
from ipython1.daemon.intensity import Intensity
from ipython1.kernel.config.settings import (
    ENGINES,
    LOG_COUNT,
    LOG_SIZE,
    MAX_RESTARTS,
    MEMORY_LIMIT,
    RESTART_WINDOW,
    REUSE_FURLS,
)
from ipython1.kernel.error import ClusterError, ClusterRunning, ConfigError, IPythonError
from ipython1.kernel.places import DEFAULT_CLUSTER, Places
from ipython1.kernel.scripts.ipcluster_common import FINE, PROGRAM, exit_status
from ipython1.kernel.scripts.ipcontroller import OLD_OPTIONS
from ipython1.kernel.scripts.ipcontroller import OPTIONS as CONTROLLER_OPTIONS
from ipython1.kernel.scripts.options import Gone, add_setting, configured

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


_PASSED_ON: Mapping[str, Sequence[tuple[Setting[Any], str | None]]] = {
    "controller": CONTROLLER_OPTIONS,
    "engine": ((MEMORY_LIMIT, "SIZE"),),
}
"""Settings that concern other commands: their options are theirs, and given to them."""


def add_options(parser: argparse.ArgumentParser, launcher: str) -> None:
    """The options of a cluster that is started by the launcher of that name."""
    from ipython1.kernel.launch.launcher import find_launcher

    add_setting(parser, ENGINES, "N")
    parser.add_argument(
        "--daemonize",
        action="store_true",
        help="go on in the background; the command returns when the cluster is ready, or has failed",
    )
    parser.add_argument(
        "--report",
        type=int,
        metavar="FD",
        help="for programs: write what is said until the cluster is ready, and how that went, to this descriptor,"
        " which stays open until the end of the cluster",
    )
    parser.add_argument(
        "--temporary",
        action="store_true",
        help="for programs: a cluster with a name that is not used again, whose logs are removed with it",
    )
    add_setting(parser, MAX_RESTARTS, "N")
    add_setting(parser, RESTART_WINDOW, "SECONDS")
    for section, settings in _PASSED_ON.items():
        group = parser.add_argument_group(f"options of ip{section}")
        for setting, metavar in settings:
            add_setting(group, setting, metavar)
    find_launcher(launcher).add_options(parser)
    for option, instead in _OLD_OPTIONS:
        nargs: Any = "?" if option.startswith("--") else 0
        parser.add_argument(option, action=Gone, nargs=nargs, metavar=instead, help=argparse.SUPPRESS)


def passed_on(section: str, settings: Configuration) -> tuple[str, ...]:
    """The options that tell ``ipcontroller`` or ``ipengine``, which may run elsewhere, what is set here."""
    given = []
    for setting, _ in _PASSED_ON[section]:
        if settings.origin(setting) == DEFAULT:
            continue
        value = settings[setting]
        option = setting.option[-1]
        if isinstance(value, bool):
            given.append(option if value else f"--no-{option.removeprefix('--')}")
        else:
            given.append(f"{option}={setting.text(value)}")
    return tuple(given)


def run(options: argparse.Namespace, places: Places) -> int:
    """Start the cluster; returns when it has ended or, in the background, when it is ready."""
    from ipython1.daemon.cluster import Configuration as ClusterConfiguration
    from ipython1.daemon.cluster import running_text
    from ipython1.daemon.clusters import Standing, look
    from ipython1.daemon.detach import detach
    from ipython1.kernel.launch.launcher import find_launcher
    from ipython1.kernel.launch.values import Wanted
    from ipython1.kernel.scripts.running import check_folder, start_logging

    check_folder()
    if options.temporary and places.cluster_id == DEFAULT_CLUSTER:
        raise ConfigError("--temporary is for a cluster with a name of its own: give it one with --cluster-id")
    settings = configured(options.parser, options, places)
    wanted = Wanted(
        places,
        getattr(options, ENGINES.name),
        passed_on("controller", settings),
        passed_on("engine", settings),
        usual=settings[ENGINES],
    )
    plan = find_launcher(options.launcher).plan(wanted, options)
    if look(places).standing is Standing.RUNNING:
        raise ClusterRunning(running_text(places))
    configuration = ClusterConfiguration(
        places,
        Intensity(settings[MAX_RESTARTS], settings[RESTART_WINDOW]),
        keeps_furls=settings[REUSE_FURLS],
        daemon=options.daemonize,
        temporary=options.temporary,
    )
    log = partial(
        start_logging, PROGRAM, str(places.log_dir / LOG_FILE), size=settings[LOG_SIZE], count=settings[LOG_COUNT]
    )
    try:
        places.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if options.daemonize:
            return detach(places.log_dir / OUTPUT_FILE, lambda report: _serve(plan, configuration, log, report))
        return _serve(plan, configuration, log, _reported(options.report))
    except OSError as problem:
        raise ClusterError(
            f"cannot write a log file in {places.log_dir}: {problem.strerror or problem}; give another folder with"
            " --ipython-dir"
        ) from None


def _reported(descriptor: int | None) -> Report | None:
    from ipython1.daemon.detach import Report

    if descriptor is None:
        return None
    os.set_inheritable(descriptor, False)
    # The report is closed when it is finished. The descriptor is not: at its end the cluster has ended.
    return Report(os.dup(descriptor))


def _serve(plan: Any, configuration: Any, log: Callable[[], None], report: Report | None) -> int:
    """Run the cluster until its end; the exit status."""
    from twisted.internet import reactor

    from ipython1.daemon.cluster import Cluster
    from ipython1.kernel.scripts.running import complain, run, say

    log()
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
                report.complain(f"{PROGRAM}: {problem}")
            return exit_status(problem)
        return FINE

    status = run(PROGRAM, reactor, serve, cluster.stop)
    if report is not None:
        report.finish(status)
    return status
