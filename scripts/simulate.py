"""Runs very many engine sessions against one real controller, and measures how it bears them.

Started by ``sh scripts/simulate``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from ipython1.kernel import client
from private_cluster import NotStarted, exit_status, private_cluster
from soak import resident

CONTROLLER = ("ipcontroller", "--interface", "127.0.0.1", "--store", "memory")
BETWEEN = 0.05
"""Seconds between two looks at how long the controller takes to answer."""
SEVERAL = 5


class Delay:
    """Asks the controller now and then for something small, over a connection of its own: how late its event loop is."""

    def __init__(self) -> None:
        self._program = subprocess.Popen(
            [sys.executable, __file__, "--ask"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._program.stdout is not None
        self._program.stdout.readline()

    def took(self) -> tuple[float, float]:
        """The median and the greatest of the delays so far (s); the end of it."""
        said, _ = self._program.communicate()
        delays = [float(line) for line in said.split()]
        return statistics.median(delays), max(delays)


def ask() -> None:
    """The program of `Delay`: writes how long each answer took, until the end of standard input."""
    mec = client.MultiEngineClient()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    while True:
        start = time.perf_counter()
        mec.get_ids()
        print(time.perf_counter() - start, flush=True)
        if ended.wait(BETWEEN):
            return


@contextmanager
def sessions(count: int, processes: int) -> Iterator[None]:
    """So many engine sessions, from a few processes, in the block."""
    furl_file = Path(os.environ["IPYTHONDIR"], "security", "ipcontroller-engine.furl")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])}
    started = []
    with ExitStack() as stack:
        for place in range(processes):
            part = count // processes + (place < count % processes)
            command = [sys.executable, "-m", "simulation.engines", str(part), str(furl_file)]
            program = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.callback(program.wait)
            assert program.stdin is not None
            stack.callback(program.stdin.close)
            started.append(program)
        for program in started:
            assert program.stdout is not None
            if not program.stdout.readline().startswith("open"):
                raise NotStarted("the sessions were not opened")
        yield


def timed(call: Callable[[], object]) -> float:
    """The median of the seconds of several calls."""
    times = []
    for _ in range(SEVERAL):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def same(item: int) -> int:
    """A task."""
    return item


def simulate(count: int, processes: int, tasks: int) -> dict[str, float]:
    """What was measured with so many engines."""
    with private_cluster(*CONTROLLER, engines=0) as controller:
        process = psutil.Process(controller.pid)
        mec, tc = client.MultiEngineClient(), client.TaskClient()
        before, start = resident(controller.pid), time.perf_counter()
        used = process.cpu_times()
        with sessions(count, processes):
            while len(mec.get_ids()) < count:
                time.sleep(0.1)
            seconds = time.perf_counter() - start
            now = process.cpu_times()
            figures = {
                "engines": count,
                "registered in (s)": seconds,
                "controller's processor for each (ms)": 1000 * (now.user + now.system - used.user - used.system) / count,
                "memory for each (kB)": (resident(controller.pid) - before) / count,
                "execute on all (s)": timed(lambda: mec.execute("a=5", targets="all", block=True)),
                "the same, for each (ms)": 0.0,
                "execute on one (ms)": 1000 * timed(lambda: mec.execute("a=5", targets=count - 1, block=True)),
            }
            figures["the same, for each (ms)"] = 1000 * figures["execute on all (s)"] / count
            delay, start = Delay(), time.perf_counter()
            tc.map(same, range(tasks), chunksize=1)
            figures["tasks (/s)"] = tasks / (time.perf_counter() - start)
            median, longest = delay.took()
            figures["delay meanwhile, median (ms)"] = 1000 * median
            figures["delay meanwhile, longest (ms)"] = 1000 * longest
            idle, start = process.cpu_times(), time.perf_counter()
            time.sleep(2)
            now = process.cpu_times()
            figures["processor when idle (%)"] = 50 * (now.user + now.system - idle.user - idle.system)
        tc.disconnect()
        mec.disconnect()
        return figures


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description="How does one controller bear very many engines?"
    )
    parser.add_argument("engines", nargs="*", type=int, metavar="N", help="how many (default: 10 100 1000 5000)")
    parser.add_argument("--processes", type=int, default=4, metavar="N", help="that hold them (default: 4)")
    parser.add_argument("--tasks", type=int, default=5000, metavar="N", help="that are run (default: 5000)")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask()
        return 0
    # Each session is a connection, of the controller and of one of the processes.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    columns = []
    for count in options.engines or (10, 100, 1000, 5000):
        columns.append(simulate(count, options.processes, options.tasks))
        print(f"{count} engines: done", file=sys.stderr)
    table = Table()
    for name in ["", *(f"{column['engines']:.0f}" for column in columns)]:
        table.add_column(name, justify="right" if name else "left")
    for name in list(columns[0])[1:]:
        table.add_row(name, *(f"{column[name]:,.1f}" for column in columns))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("scripts/simulate", main))
