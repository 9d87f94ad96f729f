"""``ipcluster stop`` and ``ipcluster clean``: the end of a cluster, and of what one has left behind."""

from __future__ import annotations

import argparse
import time

from ipython1.kernel.error import CallTimeout
from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipcluster_common import FINE, Subcommand, ask

STOP_WITHIN = 60.0
_LOOK = 0.05  # seconds between two looks


def _no_options(parser: argparse.ArgumentParser) -> None:
    """None beside those of all."""


def _stop(options: argparse.Namespace, places: Places) -> int:
    from ipython1.daemon.control import TIMEOUT
    from ipython1.daemon.state import StateFolder

    ask(places, "stop", TIMEOUT)
    folder = StateFolder(places.state_dir)
    deadline = time.monotonic() + STOP_WITHIN
    # When it gives its lock back, nothing of it is left.
    while folder.is_locked():
        if time.monotonic() > deadline:
            raise CallTimeout(f"cluster {places.cluster_id!r} has not ended within {STOP_WITHIN:g} s")
        time.sleep(_LOOK)
    print(f"cluster {places.cluster_id!r} is stopped")
    return FINE


def _clean(options: argparse.Namespace, places: Places) -> int:
    from ipython1.daemon.clusters import clean

    done = clean(places)
    for line in done or [f"there is nothing to clean up of cluster {places.cluster_id!r}"]:
        print(line)
    return FINE


STOP = Subcommand("stop the cluster", _no_options, _stop)
CLEAN = Subcommand("remove what a cluster that was killed has left behind", _no_options, _clean)
