"""The verbs of the control socket."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from ipython1.daemon.engines import Engines
from ipython1.daemon.parts import CONTROLLER, Phase
from ipython1.daemon.record import Recorder
from ipython1.daemon.service import ClusterService
from ipython1.kernel.error import ClusterError, InvalidEngineID, IPythonError

LOOK = 2.0
"""Seconds in which the controller has to say what its engines do, for `status`."""


class Requests:
    """Carries out what is asked; see `control.Answerer`."""

    def __init__(self, service: ClusterService, recorder: Recorder, engines: Engines) -> None:
        self._service = service
        self._recorder = recorder
        self._engines = engines

    async def answer(self, verb: str, args: Mapping[str, Any]) -> Any:
        """Carry out `verb`; ClusterError if there is no such thing, or its arguments are wrong."""
        if verb not in self._VERBS:
            raise ClusterError(f"a cluster does not know the verb {verb!r:.50}; it knows {', '.join(self._VERBS)}")
        carry_out, allowed = self._VERBS[verb]
        for name, value in args.items():
            if name not in allowed or not _fits(value, allowed[name]):
                raise ClusterError(f"{verb}: the argument {name!r:.50} is not allowed, or not as {value!r:.50}")
        try:
            bound = inspect.signature(carry_out).bind(self, **args)
        except TypeError as problem:
            raise ClusterError(f"{verb}: {problem}") from None
        return await carry_out(*bound.args, **bound.kwargs)

    async def _status(self, queues: bool = True) -> dict[str, Any]:
        plain = asdict(self._recorder.state())
        plain["engines"] = await self._engine_rows(queues)
        return plain

    async def _engine_rows(self, queues: bool) -> list[dict[str, Any]]:
        """All engines of the controller: those that were started by hand are of no agent of ours."""
        supervisor = self._service.supervisor
        known: dict[int, dict[str, Any]] = {}
        if queues and supervisor.ids():
            try:
                known = await self._engines.queues(LOOK)
            except IPythonError:
                known = {}  # it is being started again, perhaps: the rest is of use without
        rows = []
        for engine in sorted({*known, *supervisor.ids()}):
            part = supervisor.part_of(engine)
            row: dict[str, Any] = {"id": engine, "agent": part.label if part else None, "running": None, "waiting": None}
            if engine in known:
                queue = known[engine]
                row["running"] = None if queue["pending"] == "None" else queue["pending"]
                row["waiting"] = len(queue["queue"])
            rows.append(row)
        return rows

    async def _stop(self) -> None:
        self._service.stop()

    async def _restart(self) -> dict[str, Any]:
        self._service.restart()
        await self._service.until(lambda: self._service.supervisor.phase not in (Phase.RESTARTING, Phase.STARTING))
        if self._service.supervisor.phase is not Phase.RUNNING:
            raise ClusterError(f"the cluster did not start again: {self._why()}{self._service.last_words()}")
        return {"engines": self._service.supervisor.ids()}

    async def _add_engines(self, n: int, host: str | None = None) -> dict[str, Any]:
        if n < 1:
            raise ClusterError(f"{n} is no number of engines: at least 1 is needed")
        service = self._service
        label = service.add(n, host)
        await service.until(lambda: not service.supervisor.is_coming(label))
        part = service.supervisor.parts.get(label)
        if part is None or not part.ids:
            raise ClusterError(f"{self._why()}{service.last_words()}")
        return {"agent": label, "engines": sorted(part.ids)}

    async def _remove_engines(self, ids: list[int]) -> dict[str, Any]:
        await self._engines.kill(self._checked(ids))
        return {"engines": [engine for engine in self._service.supervisor.ids() if engine not in ids]}

    async def _restart_engine(self, id: int) -> None:
        await self._engines.restart(self._checked([id]))

    async def _signal(self, number: int, ids: list[int] | None = None, controller: bool = False) -> None:
        if number not in signal.valid_signals():
            raise ClusterError(f"{number} is not the number of a signal")
        if controller:
            await self._service.members[CONTROLLER].signal(number)
        else:
            await self._engines.signal(self._checked(self._service.supervisor.ids() if ids is None else ids), number)

    async def _wait(self, n: int) -> dict[str, Any]:
        try:
            await self._service.until(lambda: self._service.supervisor.enough(n))
        except ClusterError as problem:
            raise ClusterError(f"{problem}{self._service.last_words()}") from None
        return {"engines": self._service.supervisor.ids()}

    def _checked(self, ids: list[int]) -> list[int]:
        known = self._service.supervisor.ids()
        for engine in ids:
            if type(engine) is not int or engine not in known:
                raise InvalidEngineID(f"there is no engine {engine!r:.20} in this cluster; there are {known}")
        return ids

    def _why(self) -> str:
        problems = self._service.supervisor.problems
        return problems[-1] if problems else "it was stopped"

    _VERBS: Mapping[str, tuple[Callable[..., Awaitable[Any]], Mapping[str, tuple[type, ...]]]] = {
        "status": (_status, {"queues": (bool,)}),
        "stop": (_stop, {}),
        "restart": (_restart, {}),
        "add_engines": (_add_engines, {"n": (int,), "host": (str, type(None))}),
        "remove_engines": (_remove_engines, {"ids": (list,)}),
        "restart_engine": (_restart_engine, {"id": (int,)}),
        "signal": (_signal, {"number": (int,), "ids": (list, type(None)), "controller": (bool,)}),
        "wait": (_wait, {"n": (int,)}),
    }


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    # bool is an int to isinstance, and never what an int argument means
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
