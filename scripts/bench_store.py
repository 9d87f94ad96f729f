"""Measures the controller's store on this host, and prints what it finds.

Started by ``sh scripts/bench_store``.  The figures are this host's: compare them with those of another version on the
same host.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from ipython1.kernel import client
from private_cluster import exit_status, private_cluster
from soak import resident

CONTROLLER = ("ipcontroller", "--interface", "127.0.0.1")
STORES = ("memory", "sqlite")
"""What ``--store`` is told."""


def submitted(count: int) -> float:
    """Submit so many tasks, for which there is no engine; the seconds until the last one is confirmed."""
    tc = client.TaskClient()
    try:
        start = time.monotonic()
        for number in range(count):
            tc.run(client.StringTask("b = a", push={"a": number}, pull="b"))
        tc.confirm()
        return time.monotonic() - start
    finally:
        tc.disconnect()


def submit(scale: float) -> None:
    """tasks submitted and confirmed per second, with the store in memory and in SQLite, by turns"""
    count, rates = int(20_000 * scale), {store: [] for store in STORES}
    for _ in range(5):
        for store in STORES:
            with private_cluster(*CONTROLLER, "--store", store, engines=0):
                rates[store].append(count / submitted(count))
    memory, sqlite = (statistics.median(rates[store]) for store in STORES)
    print(f"submitted and confirmed, {count} tasks, median of 5: memory {memory:.0f}/s, SQLite {sqlite:.0f}/s")
    ratios = [one / other for one, other in zip(rates["sqlite"], rates["memory"], strict=True)]
    print(f"SQLite / memory: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def restart(scale: float) -> None:
    """seconds from the start of a controller, after kill -9 of the one before, until it answers, with a long queue"""
    count = int(100_000 * scale)
    with private_cluster(*CONTROLLER, engines=0) as before:
        submitted(count)
        before.kill()
        before.wait()
        start = time.monotonic()
        command = [sys.executable, "-m", "ipython1.kernel.scripts.child", *CONTROLLER]
        after = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert after.stdout is not None
        for line in after.stdout:
            if line.startswith("ipcontroller: ready"):
                break
        ready = time.monotonic() - start
        status = client.TaskClient().queue_status()
        took = time.monotonic() - start
        assert status["scheduled"] == count, status
        print(f"restart with {count} tasks: ready after {ready:.2f} s, has answered after {took:.2f} s, {resident(after.pid) // 1024} MB")
        after.communicate()


def main() -> int:
    parts = {"submit": submit, "restart": restart}
    listed = "\n".join(f"  {name:10}{part.__doc__}" for name, part in parts.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench_store",
        description=f"What is measured:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", help="only these (default: all)", metavar="PART")
    parser.add_argument("--scale", type=float, default=1.0, help="the part of the full size")
    options = parser.parse_args()
    unknown = set(options.parts) - set(parts)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}: {', '.join(parts)}")
    for name in options.parts or parts:
        parts[name](options.scale)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("scripts/bench_store", main))
