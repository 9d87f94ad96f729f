"""Sends very many executes through a controller, fetches each result, and watches the controller's memory.

Started by ``sh scripts/soak``.  Prints a table of the resident memory of the controller as the commands go through
it, and judges: after the first fifth, in which caches and the allocator's pools fill, it must not grow by more than
`BOUND`.  Exit status 0 if it is flat, 1 if it grows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from ipython1.kernel import client
from private_cluster import exit_status, private_cluster

ENGINES = 2
BOUND = 2048
"""kB that the controller may grow by: 25 bytes for each command after that, at 100,000: less than to remember its number."""
AT_ONCE = 50
"""Commands that are under way at the same time; a queue is a place where memory could stay, too."""
SAMPLES = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Does the controller's memory grow?")
    parser.add_argument("--executes", type=int, default=100_000, help="how many commands (default: 100000)")
    parser.add_argument("--bound", type=int, default=BOUND, help=f"kB it may grow by (default: {BOUND})")
    options = parser.parse_args()
    with private_cluster("ipcontroller", "--engines", str(ENGINES), engines=ENGINES) as controller:
        sizes = soak(controller.pid, options.executes)
    grown = sizes[-1] - sizes[len(sizes) // 5]
    flat = grown <= options.bound
    print(
        f"The controller's memory {'is flat' if flat else 'GROWS'}: {grown:+} kB after the first fifth,"
        f" {options.bound} kB are allowed."
    )
    return 0 if flat else 1


def soak(pid: int, executes: int) -> list[int]:
    """The controller's resident memory in kB, before and after each of so many parts of the work."""
    mec = client.MultiEngineClient()
    sizes = [resident(pid)]
    print(f"{'executes':>10}  {'controller':>13}  {'per second':>10}", flush=True)
    print(f"{0:>10}  {sizes[0]:>10} kB", flush=True)
    done = 0
    for part in range(1, SAMPLES + 1):
        start, before = time.monotonic(), done
        upto = executes * part // SAMPLES
        while done < upto:
            done += fetch(mec, min(AT_ONCE, upto - done), done)
        sizes.append(resident(pid))
        rate = (done - before) / (time.monotonic() - start)
        print(f"{done:>10}  {sizes[-1]:>10} kB  {rate:>10.0f}", flush=True)
    return sizes


def fetch(mec: client.MultiEngineClient, count: int, first: int) -> int:
    """Execute so many commands, on the engines in turn, and fetch and check their results."""
    pending = [
        mec.execute(f"a={number}; print(a)", targets=number % ENGINES, block=False)
        for number in range(first, first + count)
    ]
    for number, result in enumerate(pending, first):
        (document,) = result.r
        if document["stdout"] != f"{number}\n":
            raise AssertionError(f"the result of command {number} is {document}")
    return count


def resident(pid: int) -> int:
    """The resident memory of a process in kB."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        return next(
            int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS")
        )
    return int(subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(exit_status("scripts/soak", main))
