"""What a client does while `ipython1.kernel.tests.test_outage_cluster` cuts, silences and stops what it talks with.

Run as ``python -m ipython1.kernel.tests.outage_scenarios NAME FURL``; it says what the test is to act upon, and at its end
``NAME: done``.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from typing import Any

from ipython1.kernel import client

LARGE = 3_000_000
"""Bytes: several pieces of a stream."""
ROUNDS = 60
ENDURED = 8.0
"""Seconds."""


def say(text: str) -> None:
    print(text, flush=True)


def work(furl: str) -> None:
    """Commands, prints, large values both ways; each command is to run once, in order, and give its own result."""
    mec = client.MultiEngineClient(furl)
    mec.execute("log = []")
    say("begun")
    for number in range(ROUNDS):
        [first, *_] = mec.execute(f"log.append({number}); print({number})")
        assert first["stdout"] == f"{number}\n", first
        if number % 20 == 0:
            large = bytes([number]) * (LARGE + number)
            mec.push({"large": large})
            assert mec.pull("large") == [large] * len(mec), number
            mec.execute(f"print('x' * {LARGE})")
        if number % 10 == 0:
            pending = [mec.execute(f"log.append(({number}, {each}))", block=False) for each in range(20)]
            for result in pending:
                result.get_result()
    expected: list[Any] = []
    for number in range(ROUNDS):
        expected.append(number)
        expected += [(number, each) for each in range(20 if number % 10 == 0 else 0)]
    assert mec.pull("log") == [expected] * len(mec)
    assert mec.get_ids() == [0, 1]


def tasks(furl: str) -> None:
    """Tasks that may run once do so, and their results arrive."""
    tc = client.TaskClient(furl)
    say("begun")
    ids = [tc.run(client.MapTask(lambda n: (n, b"x" * 100_000), (number,))) for number in range(100)]
    for number, task in enumerate(ids):
        assert tc.get_task_result(task, block=True)[0] == number


def sleep(furl: str) -> None:
    """A command that takes two seconds, and one behind it."""
    mec = client.MultiEngineClient(furl)
    mec.execute("import time; kept = 1")
    pending = mec.execute("time.sleep(2); kept += 1; print('slept')", block=False)
    behind = mec.execute("kept += 1", block=False)
    say("sleeping")
    assert [result["stdout"] for result in pending.r] == ["slept\n"] * len(mec)
    behind.get_result()
    say("woken")
    assert mec.pull("kept") == [3] * len(mec)


def away(furl: str) -> None:
    """A call that is made while there is no connection waits, until its own timeout, and says what for."""
    mec = client.MultiEngineClient(furl)
    say("begun")
    while "dialed again" not in repr(mec):
        time.sleep(0.01)
    pending = mec.execute("a = 1", block=False)
    try:
        pending.result(0.2)
    except TimeoutError as problem:
        assert "was lost, and the controller is dialed again" in str(problem), problem
    else:
        raise AssertionError("it did not wait")
    say("waits")
    assert mec.pull("a") == [1] * len(mec)


def lost(furl: str) -> None:
    """A call that waits for what does not come back fails, and says why."""
    mec = client.MultiEngineClient(furl)
    pending = mec.execute("import time; time.sleep(100)", block=False)
    while mec.queue_status()[0][1]["pending"] == "None":
        time.sleep(0.01)
    say("waits")
    try:
        pending.get_result()
    except (client.ConnectionError, client.CompositeError) as problem:
        say(f"failed: {problem}")


def status(furl: str) -> None:
    """An engine that is away is shown as away; what is submitted to it waits, and runs when it is back."""
    mec = client.MultiEngineClient(furl)
    say("begun")
    while "away" not in mec.queue_status()[0][1]:
        time.sleep(0.01)
    pending = mec.execute("back = 1", block=False)
    status = dict(mec.queue_status())[0]
    assert status["queue"] == ["execute('back = 1')"], status
    assert "the connection was lost" in status["away"], status
    say("away")
    pending.get_result()
    assert "away" not in mec.queue_status()[0][1]


def endure(furl: str) -> None:
    """Maps and futures; each task is to run once, and its result to come, whatever becomes of the controller."""
    tc = client.TaskClient(furl)
    ran = tempfile.mkstemp()[1]
    blob = bytes(10_000)

    def work(number: int, blob: bytes = blob) -> int:
        import time

        with open(ran, "a") as log:
            log.write(f"{number}\n")
        time.sleep(0.002)
        return number * 2

    results = tc.imap(work, itertools.count(), max_outstanding=50)
    assert [next(results) for _ in range(20)] == list(range(0, 40, 2))
    say("begun")
    ends = time.monotonic() + ENDURED
    number = 20
    while time.monotonic() < ends:
        pending = [tc.submit(work, -100 * number - each) for each in range(50)]
        for _ in range(50):
            assert next(results) == 2 * number, number
            number += 1
        assert [each.r for each in pending] == [-2 * (100 * (number - 50) + each) for each in range(50)]
        large = tc.submit(lambda n: bytes(n), LARGE)
        assert tc.map(abs, range(-100, 0), chunksize=7) == list(range(100, 0, -1))
        assert len(large.r) == LARGE
    results.close()
    with open(ran) as log:
        lines = log.read().split()
    assert len(set(lines)) == len(lines), [line for line in lines if lines.count(line) > 1]
    say(f"{number} of {len(lines)}")


def endure_commands(furl: str) -> None:
    """Commands; each is to run once, in order, whatever becomes of the controller."""
    mec = client.MultiEngineClient(furl)
    mec.execute("import time; log = []")
    say("begun")
    ends = time.monotonic() + ENDURED
    number = 0
    while time.monotonic() < ends:
        pending = [
            mec.execute(f"log.append({number + each}); print({number + each}); time.sleep(.002)", block=False)
            for each in range(20)
        ]
        for result in pending:
            assert [r["stdout"] for r in result.r] == [f"{number}\n"] * len(mec), number
            number += 1
    assert mec.pull("log") == [list(range(number))] * len(mec)
    assert mec.get_ids() == [0, 1]
    say(f"{number} commands")


def evening(furl: str) -> None:
    """Tasks that are left to themselves."""
    tc = client.TaskClient(furl, name="night-run")

    def square(number: int) -> int:
        import time

        time.sleep(0.1)
        return number * number

    for number in range(40):
        tc.run(client.MapTask(square, (number,)))
    tc.run(client.StringTask("1/0"))
    tc.confirm()


def morning(furl: str) -> None:
    """What came of them; somebody else's do not count."""
    assert client.TaskClient(furl, name="day").submit(abs, -1).r == 1
    tc = client.TaskClient(furl, name="night-run")
    *results, failed = tc.results(block=True, timeout=60)
    assert [result.value for result in results] == [number * number for number in range(40)], results
    assert isinstance(failed.failure.value, ZeroDivisionError)
    assert [row["id"] for row in tc.history(name="night-run", state="failed")] == [failed.taskid]
    assert client.get_result(results[7].taskid, furl) == 49
    assert tc.resubmit(results[7].taskid, block=True) == 49
    assert len(tc.results()) == 42


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
    say(f"{sys.argv[1]}: done")
