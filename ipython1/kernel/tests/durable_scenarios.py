"""What clients do while the controller is killed, and started again, in `test_durable_cluster`.

Each waits where it says "round": the test kills the controller then.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ipython1.kernel import client

ROUNDS = 3
BURST = 1000


def commands() -> None:
    """Commands that count: each is to run once, in order, on each engine."""
    mec = client.MultiEngineClient()
    mec.execute("n = 0; log = []")
    waiting: list[Any] = []
    for number in range(150):
        waiting.append(mec.execute(f"n += 1; log.append({number})", block=False))
        if number % 50 == 25:
            print("round", flush=True)
        if len(waiting) > 10:
            waiting.pop(0).get_result()
    for each in waiting:
        each.get_result()
    assert mec.pull("n") == [150, 150], mec.pull("n")
    assert mec.pull("log")[0] == list(range(150))


def long_command() -> None:
    """Calls that wait all the time, and values too large for one message."""
    mec = client.MultiEngineClient()
    mec.push({"large": b"x" * 3_000_000})
    print("round", flush=True)
    begun = time.monotonic()
    assert mec.execute("import time; time.sleep(3); n = 5; print('slept')")[1]["stdout"] == "slept\n"
    assert time.monotonic() - begun > 2.5
    print("round", flush=True)
    assert mec.pull("large", targets=0) == [b"x" * 3_000_000]
    mec.push({"large": b"y" * 3_000_000})
    try:
        print("round", flush=True)
        mec.execute("import time; time.sleep(1); 1/0")
    except client.CompositeError as problem:
        assert "ZeroDivisionError" in str(problem), problem
    else:
        raise AssertionError("nothing was raised")
    assert mec.pull(("large", "n"), targets=1) == [[b"y" * 3_000_000, 5]]


def large() -> None:
    """Large values that wait for an engine, and large outcomes, while the controller is killed again and again."""
    mec = client.MultiEngineClient()
    for number in range(ROUNDS):
        busy = mec.execute("import time; time.sleep(2)", block=False)
        values = [bytes([number, place]) * 1_000_000 for place in range(4)]
        pushed = [mec.push({f"v{place}": value}, block=False) for place, value in enumerate(values)]
        pulled = [mec.pull(f"v{place}", block=False) for place in range(4)]
        applied = mec.map(_doubled, values[:2], block=False)
        print("round", flush=True)
        busy.get_result()
        for each in pushed:
            each.get_result()
        assert [each.get_result() for each in pulled] == [[value, value] for value in values]
        assert applied.get_result() == [value * 2 for value in values[:2]]
    if os.environ.get("IPYTHON1_CLIENT_SHARED_MEMORY") != "no":
        assert "memory" in {transfer.way for transfer in mec.transfers()}


def _doubled(value: bytes) -> bytes:
    return value * 2


def ran(path: str, number: int, seconds: float = 0.01) -> int:
    """A task that leaves a trace."""
    import os
    import time

    trace = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(trace, b"%d\n" % number)
    os.close(trace)
    time.sleep(seconds)
    return number * number


def tasks() -> None:
    """Tasks that may run once, tasks that may run again, and tasks that depend on others."""
    tc = client.TaskClient()
    path = os.path.abspath("traces")
    futures = []
    for number in range(300):
        task = client.MapTask(ran, (path, number), retries=number % 2)
        futures.append(tc.submit(task))
        if number % 100 == 50:
            print("round", flush=True)
            futures[-1].result(timeout=60)
    chain = tc.submit(sum, [1, 2])
    for _ in range(20):
        chain = tc.submit(pow, chain, 1)
    assert [future.result(timeout=60) for future in futures] == [number**2 for number in range(300)]
    assert chain.result(timeout=60) == 3
    counts = Counter(map(int, Path(path).read_text().split()))
    assert set(counts) == set(range(300)), counts
    assert all(counts[number] == 1 for number in range(0, 300, 2)), counts
    status = tc.queue_status()
    assert status == {"scheduled": 0, "pending": 0, "succeeded": 321, "failed": 0}, status


def bursts() -> None:
    """Very many tasks that may run once, so that several are on their way in one message when the controller is killed."""
    tc = client.TaskClient()
    path = os.path.abspath("traces")
    count = BURST * ROUNDS
    futures = []
    for number in range(count):
        if number % BURST == BURST // 4:
            print("round", flush=True)
        futures.append(tc.submit(ran, path, number, 0))
        if number % BURST == BURST - 1:
            futures[-BURST].result(timeout=60)
    tc.confirm(timeout=60)
    assert [future.result(timeout=60) for future in futures] == [number**2 for number in range(count)]
    counts = Counter(map(int, Path(path).read_text().split()))
    assert counts == Counter(range(count)), [number for number in range(count) if counts[number] != 1]
    status = tc.queue_status()
    assert status == {"scheduled": 0, "pending": 0, "succeeded": count, "failed": 0}, status


SCENARIOS = {each.__name__: each for each in (commands, long_command, large, tasks, bursts)}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]]()
    print(f"{sys.argv[1]}: done", flush=True)
