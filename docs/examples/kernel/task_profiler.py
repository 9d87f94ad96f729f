#!/usr/bin/env python
"""How well engines are kept busy: tasks that sleep for random times, and the speed-up over doing it all in a row.

Start a cluster (``ipcluster -n 4``), then run ``python task_profiler.py -n 100 -t 0.01 -T 0.1``.
"""

import argparse
import random
import time

from ipython1.kernel import client


def main():
    parser = argparse.ArgumentParser(description="Measure the speed-up of tasks that sleep.")
    parser.add_argument("-n", type=int, default=100, help="how many tasks (default: 100)")
    parser.add_argument("-t", type=float, default=0.01, help="the shortest time, in seconds (default: 0.01)")
    parser.add_argument("-T", type=float, default=0.1, help="the longest time, in seconds (default: 0.1)")
    options = parser.parse_args()

    engines = len(client.MultiEngineClient())
    tc = client.TaskClient()
    times = [random.uniform(options.t, options.T) for _ in range(options.n)]
    tasks = [client.StringTask(f"import time; time.sleep({seconds})") for seconds in times]
    begun = time.monotonic()
    ids = [tc.run(task) for task in tasks]
    tc.barrier(ids)
    taken = time.monotonic() - begun

    failed = [taskid for taskid in ids if tc.get_task_result(taskid).failure]
    print(f"{options.n} tasks, {len(failed)} failed, on {engines} engines")
    print(f"slept {sum(times):.2f} s in {taken:.2f} s: speed-up {sum(times) / taken:.2f} of {engines}")


if __name__ == "__main__":
    main()
