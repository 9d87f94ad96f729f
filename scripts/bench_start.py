"""How long it takes from the start of a program to the first results of four engines, and to the end of the program.

``python scripts/bench_start.py --against PYTHON`` compares with ipyparallel, which PYTHON has; the runs alternate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OURS = """
import os
from ipython1.kernel import client

with client.Cluster(n={engines}) as cluster:
    mec = cluster.multiengine()
    assert len(mec.execute("import os; os.getpid()")) == {engines}
    print("ready", flush=True)
"""
THEIRS = """
import os
import ipyparallel

with ipyparallel.Cluster(n={engines}, log_level=40) as clients:
    assert len(set(clients[:].apply_sync(os.getpid))) == {engines}
    print("ready", flush=True)
"""


def measure(python: str, source: str) -> tuple[float, float]:
    """Seconds until the program is ready, and until it has ended."""
    top = str(Path(__file__).resolve().parent.parent)
    with tempfile.TemporaryDirectory(prefix="ipython1-bench-") as folder:
        program = Path(folder, "program.py")
        program.write_text(source, encoding="utf-8")
        environment = {**os.environ, "IPYTHONDIR": str(Path(folder, "ipython")), "PYTHONPATH": top}
        begun = time.monotonic()
        with subprocess.Popen(
            [python, str(program)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            if process.stdout.readline().strip() != b"ready":
                raise SystemExit(f"{python} did not get its engines to work")
            ready = time.monotonic() - begun
        if process.returncode:
            raise SystemExit(f"{python} ended with status {process.returncode}")
        return ready, time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="PYTHON", help="a Python that has ipyparallel")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each, of which the medians count (default: 5)")
    parser.add_argument("--engines", type=int, default=4, metavar="N", help="(default: 4)")
    options = parser.parse_args()
    programs = {"ipython1": (sys.executable, OURS)}
    if options.against:
        programs["ipyparallel"] = (options.against, THEIRS)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(options.runs):
        for name, (python, source) in programs.items():
            taken[name].append(measure(python, source.format(engines=options.engines)))
    for name, times in taken.items():
        ready, ended = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:12} ready after {ready:.2f} s, ended after {ended:.2f} s (medians of {len(times)} runs)")


if __name__ == "__main__":
    main()
