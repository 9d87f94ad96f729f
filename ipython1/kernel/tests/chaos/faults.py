"""Makes the faults of a schedule happen to a cluster, and writes down what it did."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Sequence
from typing import Any

import psutil
from twisted.internet import reactor

from ipython1.kernel.tests.chaos.cluster import Cluster, Process
from ipython1.kernel.tests.chaos.journal import Journal
from ipython1.kernel.tests.chaos.proxy import Proxy
from ipython1.kernel.tests.chaos.schedule import AWAY, Fault

LATER = 0.25
"""Seconds after which a fault that has to wait is tried again."""


class Injector:
    """Each fault at its time; those that last are ended at theirs, or by `end`."""

    def __init__(self, cluster: Cluster, journal: Journal) -> None:
        self._cluster = cluster
        self._journal = journal
        self._clock: Any = reactor
        self._calls: list[Any] = []
        self._lasting: dict[int, tuple[Fault, Callable[[], None]]] = {}

    def begin(self, faults: Sequence[Fault]) -> None:
        """Their time begins now."""
        self._calls = [
            self._clock.callLater(fault.at, self._happen, number, fault)
            for number, fault in enumerate(faults)
        ]

    def end(self) -> None:
        """No more faults, and none that lasts."""
        for call in self._calls:
            if call.active():
                call.cancel()
        for number in list(self._lasting):
            self._undo(number)

    def _happen(self, number: int, fault: Fault) -> None:
        if fault.kind in AWAY and not self._cluster.settled:
            # How long a start takes, only the machine knows: absences must not add up.
            self._calls.append(self._clock.callLater(LATER, self._happen, number, fault))
            return
        verb = fault.kind.partition("-")[0]
        if verb in ("kill", "stop"):
            target: Any = self._process(fault)
            undo = None if target is None else getattr(self, f"_{verb}")(fault, target)
        else:
            target = self._proxies(fault)
            undo = getattr(self, f"_{verb}")(fault, target)
        if target is None:
            self._journal.write("skipped", number=number, kind=fault.kind)
            return
        who = target.name if isinstance(target, Process) else ", ".join(self._names(fault))
        pid = getattr(target, "pid", None)
        self._journal.write("fault", number=number, kind=fault.kind, who=who, pid=pid, seconds=fault.seconds)
        if undo is not None:
            self._lasting[number] = (fault, undo)
            self._calls.append(self._clock.callLater(fault.seconds, self._undo, number))

    def _undo(self, number: int) -> None:
        if number in self._lasting:
            fault, undo = self._lasting.pop(number)
            undo()
            self._journal.write("over", number=number, kind=fault.kind)

    # -- who -----------------------------------------------------------------------------------------

    def _process(self, fault: Fault) -> Process | psutil.Process | None:
        """The process that is meant, if it is there at the moment."""
        if fault.who == "controller":
            process = self._cluster.controller
        else:
            of = self._cluster.clients if fault.who == "client" else self._cluster.agents
            process = of.get(fault.victim)
        if process is None or not process.runs:
            return None
        if fault.who == "interpreter":
            interpreters = self._cluster.interpreters(process)
            return interpreters[fault.place % len(interpreters)] if interpreters else None
        if fault.who == "agent":
            # They are remembered, to be ended if they should outlive it.
            self._cluster.interpreters(process)
        return process

    def _names(self, fault: Fault) -> list[str]:
        return list(self._cluster.proxies) if fault.who == "all" else [f"{fault.who}-{fault.victim}"]

    def _proxies(self, fault: Fault) -> list[Proxy]:
        return [self._cluster.proxies[name] for name in self._names(fault)]

    # -- what ----------------------------------------------------------------------------------------

    def _kill(self, fault: Fault, target: Process | psutil.Process) -> None:
        if isinstance(target, Process):
            self._cluster.restart_after(target, fault.seconds)
            target.signal(signal.SIGKILL)
        else:
            with contextlib.suppress(psutil.NoSuchProcess):
                target.kill()

    def _stop(self, fault: Fault, target: Process | psutil.Process) -> Callable[[], None]:
        if isinstance(target, Process):
            target.signal(signal.SIGSTOP)
            return lambda: target.signal(signal.SIGCONT)
        with contextlib.suppress(psutil.NoSuchProcess):
            target.suspend()

        def go_on() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                target.resume()

        return go_on

    def _cut(self, fault: Fault, target: list[Proxy]) -> None:
        for proxy in target:
            proxy.cut()

    def _stall(self, fault: Fault, target: list[Proxy]) -> Callable[[], None]:
        for proxy in target:
            proxy.stall(True)
        return lambda: [proxy.stall(False) for proxy in target] and None

    def _delay(self, fault: Fault, target: list[Proxy]) -> Callable[[], None]:
        for proxy in target:
            proxy.slow_down(fault.amount)
        return lambda: [proxy.slow_down(0.0) for proxy in target] and None
