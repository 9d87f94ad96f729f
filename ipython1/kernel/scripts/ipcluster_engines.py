"""``ipcluster engines`` and ``ipcluster restart``: changing a cluster while it runs."""

from __future__ import annotations

import argparse

from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipcluster_common import FINE, Subcommand, ask
from ipython1.kernel.scripts.options import positive

START_WITHIN = 24 * 3600.0
"""Seconds in which engines have to be there; the cluster itself notices if they do not come."""
END_WITHIN = 60.0


def _add_engines_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action")
    add = actions.add_parser("add", help="start more engines", allow_abbrev=False)
    add.add_argument("n", type=positive, metavar="N", help="how many")
    add.add_argument("--host", metavar="HOST", help="on which host (default: as the launcher decides)")
    remove = actions.add_parser("remove", help="end engines for good", allow_abbrev=False)
    remove.add_argument("ids", type=_engine, nargs="+", metavar="ID", help="the id of an engine")


def _engine(text: str) -> int:
    if not text.strip().isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no id of an engine: ids are 0, 1, 2 …")
    return int(text)


def _engines(options: argparse.Namespace, places: Places) -> int:
    if options.action == "add":
        added = ask(places, "add_engines", START_WITHIN, n=options.n, host=options.host)
        print(f"{_named(added['engines'])} came, of {added['agent']}")
    elif options.action == "remove":
        ask(places, "remove_engines", END_WITHIN, ids=options.ids)
        print(f"{_named(options.ids)} ended")
    else:
        from ipython1.kernel.scripts.ipcluster_status import STATUS_WITHIN

        ids = [engine["id"] for engine in ask(places, "status", STATUS_WITHIN)["engines"]]
        print(" ".join(map(str, ids)))
    return FINE


def _add_restart_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", type=_engine, metavar="ID", help="the interpreter of this engine alone, under the same id"
    )


def _restart(options: argparse.Namespace, places: Places) -> int:
    if options.engine is not None:
        ask(places, "restart_engine", END_WITHIN, id=options.engine)
        print(f"engine {options.engine} has a new interpreter")
        return FINE
    engines = ask(places, "restart", START_WITHIN)["engines"]
    print(f"cluster {places.cluster_id!r} runs again, with {_named(engines)}")
    return FINE


def _named(ids: list[int]) -> str:
    return f"{'engine' if len(ids) == 1 else 'engines'} {', '.join(map(str, ids))}"


ENGINES = Subcommand("show, add or remove engines while the cluster runs", _add_engines_options, _engines)
RESTART = Subcommand("start the controller and all engines again, or one engine", _add_restart_options, _restart)
