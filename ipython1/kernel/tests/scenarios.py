"""What a user goes through with a real cluster: each function is run in a process of its own by `test_cluster`.

``python -m ipython1.kernel.tests.scenarios NAME`` runs one against the cluster of ``$IPYTHONDIR``; the arguments
after the name are the function's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ipython1.kernel import client
from ipython1.kernel.error import EngineLost

SOON = 1.0
"""Seconds within which an error is to be there."""
BACK = 3.0
"""Seconds within which a replaced engine is to work."""
TRIES = 3
"""What is to be quick is so at one of these: now and then the machine is busy with something else."""
LEAK = 25_000
"""Bytes of the controller's memory for each client that has left: less than a third of what one takes while it is there."""


def deaths() -> None:
    """However an interpreter ends, the error is there at once, and the engine is back under its id."""
    mec = client.MultiEngineClient()
    mec.execute("import os, ctypes, time")
    ids = mec.get_ids()
    ways = {
        "time.sleep(100)": "killed by signal 9",
        "ctypes.string_at(0)": "signal 11",
        "os._exit(3)": "status 3",
        "os.abort()": "signal 6",
    }

    def die(code: str, said: str) -> tuple[float, float]:
        [pid] = mec.execute("os.getpid()", targets=1)
        pending = mec.execute(code, targets=1, block=False)
        if "sleep" in code:
            until_running(mec, 1)
            os.kill(int(pid["display"]["repr"]), signal.SIGKILL)
        begun = time.monotonic()
        error = raised(pending.get_result).elist[0][1]
        known = time.monotonic() - begun
        assert isinstance(error, EngineLost), error
        assert "engine 1" in str(error) and said in str(error), error
        assert mec.execute("print(id)", targets=1)[0]["stdout"] == "1\n"
        back = time.monotonic() - begun
        mec.execute("import os, ctypes, time", targets=1)
        return known, back

    for code, said in ways.items():
        quickly((SOON, BACK), partial(die, code, said))
    assert mec.get_ids() == ids
    mec.execute("kept = 1", targets=1)
    error = raised(lambda: mec.execute("import sys; sys.exit(5)", targets=1)).elist[0][1]
    assert isinstance(error, SystemExit), error
    assert mec.pull("kept", targets=1) == [1]


def fork() -> None:
    """A forked child takes no message of its engine, and does not make a dead one seem alive."""
    mec = client.MultiEngineClient()
    mec.targets = 0

    def die() -> tuple[float, float]:
        mec.execute("import os, time\nchild = os.fork()\nif child == 0:\n    time.sleep(100)\n    os._exit(0)")
        [child] = mec.pull("child")
        try:
            for number in range(50):
                mec.push({"n": number})
                assert mec.pull("n") == [number]
            begun = time.monotonic()
            raised(lambda: mec.execute("os._exit(1)"))
            known = time.monotonic() - begun
            mec.execute("a = 1")
            return known, time.monotonic() - begun
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    quickly((SOON, BACK), die)


def interrupt() -> None:
    """An endless loop is interrupted, and the engine keeps its namespace."""
    mec = client.MultiEngineClient()
    mec.execute("a = 1")

    def stop(code: str) -> tuple[float]:
        with tempfile.TemporaryDirectory() as folder:
            system = "os.system" in code
            pending = mec.execute(code.format(folder=folder), block=False)
            for engine in mec.get_ids():
                until_running(mec, engine)
            # Before there is a child, system() ignores an interrupt.
            while system and len(os.listdir(folder)) < len(mec):
                time.sleep(0.01)
            begun = time.monotonic()
            mec.interrupt()
            if system:
                # As in plain Python, the interrupt ends the child alone.
                problem = pending.exception()
                assert problem is None or "KeyboardInterrupt" in str(problem)
            else:
                assert "KeyboardInterrupt" in str(raised(pending.get_result))
            return (time.monotonic() - begun,)

    for code in (
        "while True: pass",
        "import time; time.sleep(1000)",
        "import os; os.system('touch {folder}/$$; exec sleep 1000')",
    ):
        quickly((SOON,), partial(stop, code))
    assert mec.pull("a") == [1] * len(mec)


def gil() -> None:
    """Code that holds the GIL for seconds disturbs nobody else."""
    mec = client.MultiEngineClient()
    hold = "import ctypes; ctypes.PyDLL(None).sleep(6)"
    pending = mec.execute(hold, targets=0, block=False)
    others = mec.get_ids()[1:]
    for number in range(50):
        mec.push({"n": number}, targets=others)
        assert mec.pull("n", targets=others) == [number] * len(others)
    assert not pending.done()
    pending.get_result()


def traffic(commands: str) -> None:
    """Two clients with four threads each get only their own answers, in order."""
    clients = [client.MultiEngineClient() for _ in range(2)]
    count = int(commands) // 8
    wrong: list[Any] = []

    def work(mec: Any, name: str, engine: int) -> None:
        for number in range(count):
            if number % 2:
                answer = mec.pull(name, targets=engine)
                expected = [(name, number - 1)]
                if answer != expected:
                    wrong.append((answer, expected))
            else:
                mec.push({name: (name, number)}, targets=engine)

    threads = []
    for which, mec in enumerate(clients):
        for thread in range(4):
            arguments = (mec, f"v{which}{thread}", thread % len(mec))
            threads.append(threading.Thread(target=work, args=arguments))
    for thread_ in threads:
        thread_.start()
    for thread_ in threads:
        thread_.join()
    assert not wrong, wrong[:5]


def order() -> None:
    """Commands that do not wait for each other run in the order of submission, and answer each its own."""
    mec = client.MultiEngineClient()
    mec.execute("log = []")
    pending = [mec.execute(f"log.append({number}); print({number})", block=False) for number in range(500)]
    for number, result in enumerate(pending):
        assert [entry["stdout"] for entry in result.r] == [f"{number}\n"] * len(mec)
    assert mec.pull("log") == [list(range(500))] * len(mec)


def come_and_go(rounds: str, controller: str) -> None:
    """Clients that come and leave take nothing of the controller with them."""
    pid = int(controller)

    def least(count: int) -> int:
        """The least memory that the controller had after one of so many clients."""
        sizes = []
        for _ in range(count):
            mec = client.MultiEngineClient()
            mec.push({"a": b"x" * 100_000})
            assert len(mec.pull("a")) == len(mec)
            mec.disconnect()
            sizes.append(resident(pid))
        return min(sizes)

    least(int(rounds) // 4)
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    memory = [least(int(rounds) // 2) for _ in range(2)]
    assert memory[1] - memory[0] < LEAK * int(rounds) // 2, memory
    assert len(os.listdir(f"/proc/{pid}/fd")) <= descriptors + 2


def engines(number: str) -> None:
    """So many engines answer."""
    mec = client.MultiEngineClient()
    assert len(mec) == int(number)
    assert [result["stdout"] for result in mec.execute("print(id)")] == [f"{n}\n" for n in range(int(number))]


def secrets(furl: str) -> None:
    """Sends what must not be seen on the wire."""
    mec = client.MultiEngineClient(furl)
    mec.push({"conspicuous_name": "conspicuous value"})
    mec.execute("conspicuous_source = 'conspicuous output'; print(conspicuous_source)")
    assert mec.pull("conspicuous_name")[0] == "conspicuous value"


def resident(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def quickly(bounds: tuple[float, ...], attempt: Callable[[], tuple[float, ...]]) -> None:
    """At one of some tries, what `attempt` says that it took is below the bounds, all in seconds."""
    took = []
    for _ in range(TRIES):
        took.append(attempt())
        if all(seconds < bound for seconds, bound in zip(took[-1], bounds, strict=True)):
            return
    raise AssertionError(f"took {took} s, and should take less than {bounds} s")


def raised(call: Callable[[], Any]) -> client.CompositeError:
    """The CompositeError that `call` raises."""
    try:
        result = call()
    except client.CompositeError as error:
        return error
    raise AssertionError(f"no error, but {result!r}")


def until_running(mec: Any, engine: int) -> None:
    """Return when a command runs on the engine."""
    while mec.queue_status(targets=engine)[0][1]["pending"] == "None":
        pass


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    print(f"{sys.argv[1]}: done")
