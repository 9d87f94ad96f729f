"""What a client does while `ipython1.kernel.tests.test_outage_cluster` cuts, silences and stops what it talks with.

Run as ``python -m ipython1.kernel.tests.outage_scenarios NAME FURL``; it says what the test is to act upon, and at its end
``NAME: done``.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from ipython1.kernel import client

LARGE = 3_000_000
"""Bytes: several pieces of a stream."""
ROUNDS = 60


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


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
    say(f"{sys.argv[1]}: done")
