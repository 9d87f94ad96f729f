"""Measures ipython1 and others at the same work, by turns, and shows what came of it.

Started by ``sh scripts/bench``, which makes the virtual environments of the others.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import goals, report, works
from benchmarks.run import Kind, Results, Worker, end, measure

STREAM = {"IPYTHON1_CLIENT_SHARED_MEMORY": "no"}
KINDS = (
    Kind("ipython1", "ipython1", "ipython1_", "Ipython1"),
    Kind("ipython1-memory", "ipython1", "ipython1_", "Ipython1", {"store": "memory"}, works=("tasks", "map", "apply", "cpu", "memory")),
    Kind("ipython1-stream", "ipython1", "ipython1_", "Ipython1", {}, STREAM, ("push", "pull", "broadcast")),
    Kind("relay", "ipython1", "relay", "Relay"),
    Kind("ipyparallel", "peers", "ipyparallel_", "Ipyparallel"),
    Kind("dask", "peers", "dask_", "Dask"),
    Kind("dask-tls", "peers", "dask_", "Dask", {"tls": True}),
    Kind("processpool", "ipython1", "pools", "ProcessPool"),
    Kind("loky", "peers", "pools", "Loky"),
    Kind("ray", "ray", "ray_", "Ray"),
)
DISTRIBUTIONS = {"ipyparallel": "ipyparallel", "dask": "distributed", "loky": "joblib", "ray": "ray"}
SHOW_VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
ENGINES = 4


def groups(quick: bool) -> dict[str, tuple[int, list[works.Work]]]:
    """What is measured together, and with how many engines."""
    if quick:
        return {
            "calls": (ENGINES, works.calls(50)),
            "tasks": (ENGINES, works.tasks(1000, 10_000, (100, 1000))),
            "transfers": (ENGINES, works.transfers((100 * works.MB,), (4,))),
            "clusters": (ENGINES, works.clusters(ENGINES)[:1]),
        }
    sizes = tuple(works.KB * 10**power for power in range(7))
    return {
        "calls": (ENGINES, works.calls(500)),
        "tasks": (ENGINES, works.tasks(10_000, 100_000)),
        "durations": (ENGINES, works.durations(ENGINES, 1.0)),
        "transfers": (ENGINES, works.transfers(sizes, (2, 4))),
        "eight": (8, works.transfers((100 * works.MB,), (8,))[2:]),
        "clusters": (ENGINES, works.clusters(ENGINES)),
        "controller": (ENGINES, works.controller(100_000)),
        "registration": (ENGINES, works.registration((8, 32, 128))),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="How fast is ipython1, and how fast are others?")
    names = ", ".join(groups(False))
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{names} (default: all of them)")
    parser.add_argument("--quick", action="store_true", help="less of each, and not all: about two minutes")
    parser.add_argument("--turns", type=int, metavar="N", help="how often each does each work (default: 5, quick: 2)")
    parser.add_argument("--systems", metavar="NAMES", help="only these, with commas between them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--rst", type=Path, metavar="FILE", help="write the tables there, for the documents")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw a picture (PNG or SVG) there")
    parser.add_argument("--with-ray", action="store_true", help="Ray, too, where it can be installed")
    # Set by the shell script, which has seen to that one, too: which Python has what.
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    offered = groups(options.quick)
    unknown = [part for part in options.parts if part not in offered]
    if unknown:
        parser.error(f"there is no part {unknown[0]}: {', '.join(offered)}")
    known = [kind.name for kind in KINDS]
    options.systems = options.systems.split(",") if options.systems else known
    unknown = [system for system in options.systems if system not in known]
    if unknown:
        parser.error(f"there is no system {unknown[0]}: {', '.join(known)}")
    return options


def main() -> int:
    options = arguments()
    # As Ctrl-C: the systems are stopped, and what was measured is shown.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pythons = {"ipython1": Path(sys.executable)}
    pythons.update((name, Path(path)) for name, _, path in (each.partition("=") for each in options.python))
    kinds = [kind for kind in KINDS if kind.name in options.systems and kind.python in pythons]
    console = Console(width=None if sys.stdout.isatty() else 160)
    results = Results()
    log = Path(tempfile.mkstemp(prefix="ipython1-bench-", suffix=".log")[1])
    workers = [Worker(kind, pythons[kind.python], log) for kind in kinds]
    interrupted = False
    try:
        for part, (engines, listed) in groups(options.quick).items():
            if not options.parts or part in options.parts:
                turns = options.turns or (2 if options.quick else 5)
                measure(workers, listed, engines, turns, results, lambda title: print(title, file=sys.stderr))
    except KeyboardInterrupt:
        interrupted = True
        print("\nscripts/bench: interrupted; this is what had been measured", file=sys.stderr)
    finally:
        end(workers)
    show(results, [kind.name for kind in kinds], console)
    versions = {kind.name: version(kind, pythons) for kind in kinds if kind.name in DISTRIBUTIONS}
    if options.json:
        options.json.write_text(report.to_json(results, versions), encoding="utf-8")
    if options.rst:
        told = report.to_rst(results, [kind.name for kind in kinds], [goals.TITLES, *goals.rows(results)], versions)
        options.rst.write_text(told, encoding="utf-8")
    if options.picture:
        report.picture(results, [kind.name for kind in kinds], options.picture)
    print(f"What the systems said is in {log}.", file=sys.stderr)
    if interrupted:
        return 130
    return 1 if any(problem.startswith("ipython1") for problem in results.problems) else 0


def show(results: Results, systems: list[str], console: Console) -> None:
    """Print what came of it."""
    report.table(results, systems, console)
    goals.table(results, console)
    where = report.machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    for problem in results.problems:
        print(f"problem: {problem}")


def version(kind: Kind, pythons: dict[str, Path]) -> str:
    """The release of a system that was measured."""
    command = [str(pythons[kind.python]), "-c", SHOW_VERSION, DISTRIBUTIONS[kind.name]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
