"""The load of a MultiEngine client: commands to one engine or all, which count in the namespaces of engines."""

from __future__ import annotations

import time
from typing import Any

from ipython1.kernel import client
from ipython1.kernel.tests.chaos.load import BURST, LOOK, Operations, connected, failure
from ipython1.kernel.tests.chaos.plan import Plan

AT_ONCE = 10
"""So many commands of a client wait for one engine; it may be one that does not come back."""
SLOWEST = 0.03
"""Seconds that a command takes at most."""
LARGE = 200_000
"""Bytes."""
PAUSE = 0.1
"""Seconds between two bursts, in which tasks have their turn."""
_WORK = "__import__('ipython1.kernel.tests.chaos.work', fromlist=['step'])"


class CommandLoad:
    """What one MultiEngine client does."""

    def __init__(self, plan: Plan, name: str, furl_file: str) -> None:
        self.ops = Operations(plan, name)
        self._chance = self.ops.chance
        self._client = connected(plan, lambda: client.MultiEngineClient(furl_file))
        self._count = "count_" + name.replace(".", "_")
        self._pushed = "pushed_" + name.replace(".", "_")

    def burst(self) -> None:
        """Some commands for one engine, behind each other, after asking which ones there are."""
        key = self.ops.begin("get_ids")
        try:
            ids = self._client.get_ids()
        except Exception as problem:  # whatever it is, the checker judges it
            self.ops.raised(key, problem)
            return
        self.ops.end(key, ok=True)
        free = [each for each in ids if self.ops.open(each) < AT_ONCE]
        if not free:
            time.sleep(LOOK)
            return
        engine = self._chance.choice(free)
        for _ in range(self._chance.randrange(1, BURST)):
            if self._chance.random() < 0.7:
                self._step(engine)
            else:
                self._push(engine)
        time.sleep(PAUSE)

    def _step(self, engine: int) -> None:
        key = self.ops.begin("step", engine, engine=engine)
        seconds = self._chance.uniform(0.0, SLOWEST)
        call = f"{_WORK}.step(globals(), {self.ops.log!r}, {self._count!r}, {key!r}, {seconds})"
        self._later(key, lambda: self._client.execute(call, targets=engine, block=False), _stdout)

    def _push(self, engine: int) -> None:
        """Push a value, and pull what is there."""
        key = self.ops.begin("push", engine, engine=engine)
        large = self._chance.random() < 0.1
        value = (key, b"x" * (self._chance.randrange(LARGE) if large else 10))
        self._later(
            key, lambda: self._client.push({self._pushed: value}, targets=engine, block=False), lambda _: {}
        )
        key = self.ops.begin("pull", engine, engine=engine)
        self._later(key, lambda: self._client.pull(self._pushed, targets=engine, block=False), _pulled)

    def _later(self, key: str, call: Any, found: Any) -> None:
        def done(pending: Any) -> None:
            try:
                outcome = {"ok": True, **found(pending.result())}
            except Exception as problem:  # whatever it is, the checker judges it
                outcome = failure(problem)
            self.ops.end(key, **outcome)

        try:
            call().add_done_callback(done)
        except Exception as problem:  # whatever it is, the checker judges it
            self.ops.raised(key, problem)


def _stdout(result: Any) -> dict[str, Any]:
    return {"said": result[0].get("stdout", "").strip()}


def _pulled(result: Any) -> dict[str, Any]:
    return {"value": result[0][0]}


def work_commands(plan: Plan, name: str, furl_file: str) -> None:
    """Be such a client."""
    load = CommandLoad(plan, name, furl_file)
    load.ops.run(load.burst)
