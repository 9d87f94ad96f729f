"""What large values go through on one host: each function is run in a process of its own by `test_cluster`.

``python -m ipython1.kernel.shared_memory.tests.scenarios NAME`` runs one against the cluster of ``$IPYTHONDIR``.  Values are
large from 100,000 bytes on (see `test_cluster`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy

from ipython1.kernel import client

LEAST = 100_000


def values() -> None:
    """Values of all kinds arrive as they were, and are one's own."""
    mec = client.MultiEngineClient()
    for value in _values():
        mec.push({"value": value}, targets=0)
        [back] = mec.pull("value", targets=0)
        assert pickle.dumps(back) == pickle.dumps(value), type(value)
        [back] = mec.pull("value", targets=0)
        if isinstance(back, numpy.ndarray) and back.size:
            assert back.flags.writeable
            back[:] = 0
    large = numpy.arange(1_000_000.0)
    mec.push({"large": large})
    mec.execute("large[:] = id; import numpy; more = numpy.ones(3)", targets=1)
    assert (large == numpy.arange(1_000_000.0)).all()
    for engine, expected in enumerate([large, numpy.ones(1_000_000), large]):
        [back] = mec.pull("large", targets=engine)
        assert (back == expected).all(), engine
    assert {transfer.way for transfer in mec.transfers()} == {"memory"}, mec.transfers()
    shared(mec)


def shared(mec: client.MultiEngineClient) -> None:
    """What goes to several engines, parts of arrays, arguments and results."""
    array = numpy.arange(900_000).reshape(300, 3000)
    mec.scatter("part", array)
    assert [part.shape for part in mec.pull("part")] == [(100, 3000)] * 3
    assert (mec.gather("part") == array).all()
    assert (mec.gather("part", targets=[2, 0]) == numpy.concatenate([array[200:], array[:100]])).all()
    pushed = [transfer for transfer in mec.transfers() if transfer.direction == "to"][-3:]
    assert [transfer.engines for transfer in pushed] == [(0,), (1,), (2,)], pushed
    doubled = mec.map(lambda part: part * 2, [array, array + 1, array + 2])
    assert all((part == 2 * (array + number)).all() for number, part in enumerate(doubled))
    pending = [mec.push({"p": array + number}, targets=0, block=False) for number in range(5)]
    changed = numpy.zeros(200_000)
    late = mec.push({"late": changed}, block=False)
    changed[:] = 1
    for each in (*pending, late):
        each.get_result()
    assert (mec.pull("p", targets=0)[0] == array + 4).all()
    assert not mec.pull("late", targets=2)[0].any()
    answers = mec.pull("p", targets=0, block=False), mec.pull(("p", "late"), targets=[0, 0], block=False)
    assert (answers[0].get_result()[0] == array + 4).all()
    assert [len(both) for both in answers[1].get_result()] == [2, 2]
    assert {transfer.way for transfer in mec.transfers()} == {"memory"}, mec.transfers()


def _values() -> list[Any]:
    sizes = [0, 1, LEAST // 8 - 100, *range(LEAST // 8 - 10, LEAST // 8 + 2), 300_001]
    arrays: list[Any] = [numpy.random.default_rng(size).random(size) for size in sizes]
    square = numpy.arange(250_000).reshape(500, 500)
    kinds = [square.astype(kind) for kind in ("?", "i1", "<u2", ">i4", "f2", "c16", "M8[s]", "S7", "U3")]
    record = numpy.zeros(20_000, dtype=[("a", "i4"), ("b", "f8", 3)])
    views = [square.T, square[::2, 1:], numpy.asfortranarray(square), square[:0], record]
    read_only = square.copy()
    read_only.flags.writeable = False
    others = [
        "text" * 100_000,
        b"bytes" * 100_000,
        bytearray(b"array" * 100_000),
        list(range(50_000)),
        {"a": square, "b": [square + 1, "small"], "c": square[:2]},
        [numpy.full(1000, number) for number in range(200)],
        numpy.array([{"an": "object"}] * 20_000),
        numpy.float64(3.5),
    ]
    return [*arrays, *kinds, *views, *others]


def off() -> None:
    """With shared memory turned off in the client, everything goes with the connection, and that is said."""
    mec = client.MultiEngineClient()
    array = numpy.arange(100_000)
    mec.push({"a": array})
    assert (mec.pull("a", targets=1)[0] == array).all()
    assert [transfer.way for transfer in mec.transfers()] == ["stream"] * 2, mec.transfers()
    assert "turned off" in mec.transfers()[0].reason, mec.transfers()


def streams() -> None:
    """Then they lie in memory of the agents, where their interpreters find them, and are as they were."""
    mec = client.MultiEngineClient()
    for value in [*_values(), b"large" * 1_000_000]:
        mec.push({"value": value}, targets=0)
        [back] = mec.pull("value", targets=0)
        assert pickle.dumps(back) == pickle.dumps(value), type(value)
        if isinstance(back, numpy.ndarray) and back.size:
            assert back.flags.writeable
            back[:] = 0
            [back] = mec.pull("value", targets=0)
            assert pickle.dumps(back) == pickle.dumps(value), type(value)
    large = numpy.arange(1_000_000.0)
    mec.push({"large": large})
    mapped = "sum('memfd' in line for line in open('/proc/self/maps'))"
    assert all(int(result["display"]["repr"]) for result in mec.execute(mapped))
    mec.execute("large[:] = id", targets=1)
    for engine, expected in enumerate([large, numpy.ones(1_000_000), large]):
        [back] = mec.pull("large", targets=engine)
        assert (back == expected).all(), engine
    doubled = mec.map(lambda part: part * 2, [large, large + 1, large + 2])
    assert all((part == 2 * (large + number)).all() for number, part in enumerate(doubled))
    tc = client.TaskClient()
    assert (tc.map(lambda part: part * 3, [large])[0] == 3 * large).all()
    assert {transfer.way for transfer in mec.transfers()} == {"stream"}, mec.transfers()


def refused_by_agent() -> None:
    """So it is where it is turned off for the engines."""
    mec = client.MultiEngineClient()
    array = numpy.arange(100_000)
    mec.push({"a": array})
    assert (mec.gather("a", targets=[0]) == array).all()
    assert {transfer.way for transfer in mec.transfers()} == {"stream"}, mec.transfers()
    assert "shares none" in mec.transfers()[0].reason, mec.transfers()


def come_and_go() -> None:
    """Engines that go are not counted on, and a new interpreter has its values as the old one had."""
    mec = client.MultiEngineClient()
    array = numpy.arange(100_000)
    mec.push({"a": array})
    mec.kill(targets=2)
    mec.restart(targets=1)
    mec.push({"b": array})
    assert (mec.gather("b") == numpy.concatenate([array, array])).all()
    assert mec.transfers()[1].engines == (0, 1), mec.transfers()
    assert {transfer.way for transfer in mec.transfers()} == {"memory"}, mec.transfers()


def falls_back() -> None:
    """Where the system gives no memory, in the client or in an interpreter, values go the other way."""
    mec = client.MultiEngineClient()
    array = numpy.arange(100_000)
    mec.execute("import os\ndef no(*args):\n    raise OSError(28, 'No space left')\ntheirs, os.memfd_create = os.memfd_create, no")
    mec.push({"a": array})
    assert (mec.pull("a", targets=1)[0] == array).all()
    assert [transfer.way for transfer in mec.transfers()] == ["memory", "stream"], mec.transfers()
    mec.execute("os.memfd_create = theirs")
    ours, os.memfd_create = os.memfd_create, _no_memory
    mec.push({"a": array + 1})
    os.memfd_create = ours
    assert (mec.pull("a", targets=1)[0] == array + 1).all()
    assert [transfer.way for transfer in mec.transfers()[2:]] == ["stream", "memory"], mec.transfers()
    assert "No space left" in mec.transfers()[2].reason, mec.transfers()


def _no_memory(*arguments: Any) -> int:
    raise OSError(28, "No space left on device")


def nothing_is_left() -> None:
    """Neither memory nor descriptors: after many transfers, when names go, when an engine dies, when clients do."""
    mec = client.MultiEngineClient()
    _many_transfers(mec)
    _dies_with_much_to_come(mec)
    _killed_clients(mec)
    _all_is_gone(mec)


def nothing_is_left_of_streams() -> None:
    """Nor of what goes with the connection.  What a killed client had not sent yet does not come, then."""
    mec = client.MultiEngineClient()
    _many_transfers(mec)
    _dies_with_much_to_come(mec)
    _all_is_gone(mec)
    assert {transfer.way for transfer in mec.transfers()} == {"stream"}, mec.transfers()


def _many_transfers(mec: client.MultiEngineClient) -> None:
    processes = [os.getpid(), *_cluster(mec)]
    array = numpy.arange(80_000)
    mec.push({"a": array})
    mec.pull("a")
    before = [_descriptors(pid) for pid in processes]
    for _ in range(60):
        mec.push({"a": array}, targets=0)
        mec.push({"b": array})
        mec.pull("a")
    # Answers are kept until it is known that the controller has them.
    deadline = time.monotonic() + 20
    while True:
        after = [_descriptors(pid) for pid in processes]
        if all(now <= then + 8 for now, then in zip(after, before, strict=True)):
            break
        assert time.monotonic() < deadline, (before, after)
        time.sleep(0.1)


def _all_is_gone(mec: client.MultiEngineClient) -> None:
    # All that may be left is what is kept for the next value, for some seconds, and the agent's own page.
    mec.reset()
    gc.collect()
    deadline = time.monotonic() + 40
    while len(left := _left(_cluster(mec))) > 1 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert len(left) <= 1, left


def _dies_with_much_to_come(mec: client.MultiEngineClient) -> None:
    """An interpreter dies while values wait for it."""
    flag = Path("die").absolute()
    busy = mec.execute(f"{_until(flag)}os._exit(3)", targets=0, block=False)
    waiting = [mec.push({"a": numpy.ones(100_000)}, targets=0, block=False) for _ in range(80)]
    broadcast = mec.push({"c": numpy.ones(100_000)}, block=False)
    mec.queue_status()  # now all are in the queues
    flag.touch()
    for pending in (busy, *waiting, broadcast):
        error = pending.exception()
        assert isinstance(error.elist[0][1], client.EngineLost | client.QueueCleared), error
    assert mec.pull("c", targets=2)[0].all()


def _killed_clients(mec: client.MultiEngineClient) -> None:
    """What a client has submitted is carried out, though it was killed; and what it was sent is not kept for it."""
    flag = Path("go on").absolute()
    busy = mec.execute(_until(flag), targets=1, block=False)
    code = (
        "import sys, time, numpy\n"
        "from ipython1.kernel import client\n"
        "mec = client.MultiEngineClient()\n"
        "for number in range(40):\n"
        "    mec.push({f'k{number}': numpy.full(100_000, number)}, targets=1, block=False)\n"
        "    mec.pull(f'k{number}', targets=1, block=False)\n"
        "mec.execute('pass', targets=2)  # all has reached the agent\n"
        "print('submitted', flush=True)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "submitted\n"
        child.send_signal(signal.SIGKILL)
    flag.touch()
    busy.get_result()
    for number in (0, 7, 39):
        [pulled] = mec.pull(f"k{number}", targets=1)
        assert (pulled == number).all(), number


def _until(flag: Path) -> str:
    """Code that runs until that file is there."""
    return f"import os, time\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.01)\n"


def _cluster(mec: client.MultiEngineClient) -> list[int]:
    """The interpreters and their agent."""
    return [int(pid) for pid in mec.execute("import os; os.getpid()") for pid in [pid["display"]["repr"]]] + [
        int(mec.execute("os.getppid()", targets=0)[0]["display"]["repr"])
    ]


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _left(pids: list[int]) -> list[str]:
    """What shared memory these processes have mapped or open."""
    left = []
    for pid in pids:
        left += [f"{pid}: {line}" for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "memfd" in line]
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                left += [f"{pid}: {number}"] * ("memfd" in os.readlink(f"/proc/{pid}/fd/{number}"))
    return left


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print(f"{sys.argv[1]}: done")
