"""``ipcluster status``, ``list`` and ``logs``: how clusters are, and what they have logged."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipcluster_common import FINE, NOT_RUNNING, Subcommand, as_plain, show

STATUS_WITHIN = 10.0
"""Seconds in which a cluster has to say how it is."""


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs, as documented")


def _status(options: argparse.Namespace, places: Places) -> int:
    from ipython1.daemon.clusters import Standing, look
    from ipython1.daemon.control import ask

    found = look(places)
    running = found.standing is Standing.RUNNING
    plain = as_plain(found, ask(found.control(), "status", timeout=STATUS_WITHIN) if running else None)
    if options.json:
        show(json.dumps(plain, indent=1))
    elif running:
        from ipython1.kernel.scripts.ipcluster_view import console, show_status

        show_status(plain, console())
    else:
        show(found.text())
        for label, process in found.orphans():
            show(f"  {label} (pid {process.pid}) still runs; it ends by itself in a few seconds, or with clean")
    return FINE if running else NOT_RUNNING


def _list(options: argparse.Namespace, places: Places) -> int:
    from ipython1.daemon.clusters import look_for_all

    clusters = [as_plain(found) for found in look_for_all(places.ipython_dir)]
    if options.json:
        show(json.dumps(clusters, indent=1))
    elif clusters:
        from ipython1.kernel.scripts.ipcluster_view import console, show_list

        show_list(clusters, console())
    else:
        show(f"no clusters run in {places.ipython_dir}")
    return FINE


def _add_logs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive", metavar="FILE", help="put the log files into this .tar.gz file instead of showing them"
    )


def _logs(options: argparse.Namespace, places: Places) -> int:
    from ipython1.daemon.logs import archive, merged
    from ipython1.daemon.state import STATE_FILE

    if options.archive:
        file = Path(options.archive).expanduser()
        count = archive(places.log_dir, [places.state_dir / STATE_FILE], file)
        print(f"{count} files are in {file}")
        return FINE
    shown = 0
    for entry in merged(places.log_dir):
        print(entry)
        shown += 1
    if not shown:
        print(f"there are no logs in {places.log_dir}")
    return FINE


STATUS = Subcommand("show how the cluster is", _add_json, _status)
LIST = Subcommand("show the clusters that there are", _add_json, _list)
LOGS = Subcommand("show the logs of all processes of the cluster, in the order of time", _add_logs_options, _logs)
