"""Measures tasks on a cluster of this host, and prints what it finds.

Started by ``sh scripts/bench_tasks``.  The figures are this host's: compare them with those of another version on the
same host.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import sys
import time
from collections.abc import Sequence

from ipython1.kernel import client
from private_cluster import exit_status, private_cluster
from soak import resident

ENGINES = 4
LONG, SHORT = 5.0, 0.01
"""Seconds that the tasks of `makespan` take: one of them, and the rest."""


def same(item: int) -> int:
    return item


def when(item: int) -> float:
    import time

    return time.monotonic()


def sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


class Bench:
    """What is measured; each method prints its figures.  `scale` is the part of the full size."""

    def __init__(self, controller: int, scale: float) -> None:
        self._tc = client.TaskClient()
        self._controller = controller
        self._scale = scale

    def loop(self) -> None:
        """run in a loop, barrier, and the results one by one"""
        count = self._count(10_000)
        start = time.monotonic()
        ids = [self._tc.run(client.MapTask(same, (number,))) for number in range(count)]
        submitted = time.monotonic()
        self._tc.barrier(ids)
        done = time.monotonic()
        results = [self._tc.get_task_result(task) for task in ids]
        fetched = time.monotonic()
        _check(results, list(range(count)))
        print(f"run:             {count / (submitted - start):8.0f} tasks/s submitted")
        print(f"run and barrier: {count / (done - start):8.0f} tasks/s done")
        print(f"get_task_result: {count / (fetched - done):8.0f} /s")
        self._tc.clear()

    def map(self) -> None:
        """map with chunks of one item, and with its own; the rate of the first and the last tenth"""
        count = self._count(100_000)
        for chunksize in (1, None):
            start = time.monotonic()
            results = self._tc.map(same, range(count), chunksize=chunksize)
            seconds = time.monotonic() - start
            _check(results, list(range(count)))
            ended = sorted(self._tc.map(when, range(count), chunksize=chunksize))
            tenth = count // 10
            first, last = ended[tenth] - ended[0], ended[-1] - ended[-1 - tenth]
            print(
                f"map, chunksize={chunksize}: {count / seconds:8.0f} items/s; first tenth {tenth / first:.0f},"
                f" last tenth {tenth / last:.0f}; {self._sizes()}",
                flush=True,
            )

    def imap(self) -> None:
        """imap over very many items: rate and memory at each tenth"""
        count = self._count(1_000_000)
        part = max(1, count // 10)
        print(f"imap: at the start {self._sizes()}")
        start = time.monotonic()
        for number, result in enumerate(self._tc.imap(same, range(count)), 1):
            _check(result, number - 1)
            if number % part == 0:
                now = time.monotonic()
                print(f"imap: {number:>8}: {part / (now - start):6.0f} items/s; {self._sizes()}", flush=True)
                start = now

    def makespan(self) -> None:
        """a long task among very many short ones: how near to the ideal, and to greedy list scheduling"""
        count = self._count(1_000)
        place = random.Random(7).randrange(count // 2, count)
        for where in (0, place):
            durations = [SHORT] * count
            durations[where] = LONG
            start = time.monotonic()
            self._tc.map(sleep, durations, chunksize=1)
            took = time.monotonic() - start
            greedy = list_scheduling(durations, ENGINES)
            ideal = max(LONG, sum(durations) / ENGINES)
            print(
                f"makespan, the long one at {where}: {took:.2f} s; {took / ideal:.3f} of the ideal,"
                f" {took / greedy:.3f} of list scheduling",
                flush=True,
            )

    def _count(self, full: int) -> int:
        return max(20, int(full * self._scale))

    def _sizes(self) -> str:
        own, controller = resident(os.getpid()), resident(self._controller)
        return f"client {own / 1024:.0f} MB, controller {controller / 1024:.0f} MB"


def list_scheduling(durations: Sequence[float], workers: int) -> float:
    """When all is done if each worker that is free takes the next in order."""
    free = [0.0] * workers
    for duration in durations:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def _check(found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{expected!r:.80} was to come, and {found!r:.80} came")


def main() -> int:
    parts = {name: method for name, method in vars(Bench).items() if not name.startswith("_")}
    told = "; ".join(f"{name}: {method.__doc__}" for name, method in parts.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench_tasks", description="How fast do tasks go, and where?", epilog=told
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)} (default: all of them)")
    parser.add_argument("--scale", type=float, default=1.0, help="the part of the full size (default: 1)")
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in parts]
    if unknown:
        parser.error(f"there is no part {unknown[0]}: {', '.join(parts)}")
    with private_cluster("ipcontroller", "--engines", str(ENGINES), engines=ENGINES) as controller:
        bench = Bench(controller.pid, options.scale)
        for name in options.parts or parts:
            getattr(bench, name)()
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("scripts/bench_tasks", main))
