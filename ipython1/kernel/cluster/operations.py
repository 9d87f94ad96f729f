"""What can be done with a cluster: each operation is written once, for the blocking and the asynchronous face."""

from __future__ import annotations

import contextlib
import functools
import os
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ipython1.kernel.cluster.options import new_name, start_options
from ipython1.kernel.cluster.process import END_WITHIN, ClusterProcess
from ipython1.kernel.cluster.steps import Ask, Connect, Dismiss, Pause, Prepare, Steps, Work, operation
from ipython1.kernel.error import (
    CallTimeout,
    ClientError,
    ClusterError,
    ClusterRunning,
    NoSuchCluster,
)
from ipython1.kernel.places import DEFAULT_CLUSTER, FURL_FILES, find_places

if TYPE_CHECKING:
    from ipython1.daemon.clusters import Found

START_WITHIN = 24 * 3600.0
"""Seconds in which what is started has to be there; it is noticed before if it does not come."""
ANSWER_WITHIN = 60.0
"""Seconds in which a cluster has to do what it is asked for, where nothing has to be started."""
LOOK_WITHIN = 10.0
"""Seconds in which a cluster has to say how it is."""
_PAUSE = 0.02  # seconds between two looks whether a cluster that others have started has ended


class Operations:
    """See `ipython1.kernel.client.Cluster`."""

    def __init__(
        self,
        n: int | None = None,
        *,
        launcher: str | None = None,
        keep: bool = False,
        cluster_id: str | None = None,
        profile: str | None = None,
        ipython_dir: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        self._temporary = cluster_id is None and not keep
        self._places = find_places(ipython_dir, profile, new_name() if cluster_id is None else cluster_id)
        self._arguments = start_options(n, launcher, options)
        self._keep = keep
        self._ours = True
        self._process: ClusterProcess | None = None
        self._started = self._was_started = False
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pid = os.getpid()

    @classmethod
    def connect(
        cls,
        cluster_id: str = DEFAULT_CLUSTER,
        *,
        profile: str | None = None,
        ipython_dir: str | os.PathLike[str] | None = None,
    ) -> Self:
        """The cluster of that name, which runs; NoSuchCluster if there is none.

        It goes on when this program ends, and after a ``with`` block; `stop` stops it.
        """
        cluster = cls(keep=True, cluster_id=cluster_id, profile=profile, ipython_dir=ipython_dir)
        cluster._look().control()
        cluster._ours = False
        cluster._started = True
        return cluster

    # -- what there is to know ---------------------------------------------------------------------------

    @property
    def cluster_id(self) -> str:
        """Its name, by which ``ipcluster``, `connect` and clients of other programs find it."""
        return self._places.cluster_id

    @property
    def state(self) -> str:
        """'not started', 'starting', 'running', 'restarting', 'stopping', 'stopped', 'failed' or 'lost'.

        A cluster is lost if what looks after it was killed: then it ends by itself.
        """
        if not self._started:
            return "stopped" if self._was_started else "not started"
        found = self._look()
        if found.state is not None and found.standing.value == "running":
            return found.state.state
        return {"none": "stopped"}.get(found.standing.value, found.standing.value)

    @property
    def ids(self) -> list[int]:
        """The ids of the engines that it has started and that are registered."""
        found = self._look()
        if not self._started or found.state is None or found.standing.value != "running":
            return []
        return sorted(engine for part in found.state.parts for engine in part.engines)

    def furl_file(self, role: str = "multiengine") -> Path:
        """The file by which others connect, to be copied to other hosts; `role` is multiengine, task or engine."""
        if role not in FURL_FILES:
            raise ValueError(f"{role!r:.50} is no role: there are {', '.join(FURL_FILES)}")
        return self._places.furl_file(role)

    def logs(self) -> str:
        """The logs of all of its processes on this host, in the order of time."""
        from ipython1.daemon.logs import merged

        return "".join(f"{entry}\n" for entry in merged(self._places.log_dir))

    def __repr__(self) -> str:
        state = self.state
        engines = len(self.ids)
        count = f", {engines} {'engine' if engines == 1 else 'engines'}" if state in ("running", "starting") else ""
        return f"<{type(self).__name__} {self.cluster_id!r}: {state}{count}>"

    def _look(self) -> Found:
        # Not before it is needed: it brings psutil.
        from ipython1.daemon.clusters import look

        return look(self._places)

    # -- start and end -----------------------------------------------------------------------------------

    @operation
    def start(self, timeout: float = START_WITHIN) -> Steps[Any]:
        """Start the cluster, and wait until all engines are there; gives the cluster.

        Raises ConfigError for options that are wrong, ClusterRunning if a cluster of that name runs, and ClusterError
        with the reason if it does not come up; nothing is left of it then.
        """
        self._check_process()
        if self._started and (not self._ours or self._look().standing.value == "running"):
            raise ClusterRunning(f"{self!r} was started already")
        arguments = ["start", *self._arguments, *self._places.options()]
        if self._temporary:
            arguments.append("--temporary")
        try:
            process = ClusterProcess(arguments, stays=self._keep)
        except OSError as problem:
            raise ClusterError(f"the system does not let ipcluster be started: {problem.strerror or problem}") from None
        try:
            yield Prepare()
            yield from process.ready(timeout)
        except BaseException as problem:
            # Also when it is interrupted: nobody has this cluster.
            process.give_up()
            if not isinstance(problem, GeneratorExit):  # after which nobody carries out anything
                yield from process.ended()
            raise
        self._process = None if self._keep else process
        self._started = self._was_started = True
        return self

    @operation
    def stop(self) -> Steps[None]:
        """Stop the cluster, and wait until nothing of it is left; its clients are disconnected.

        Nothing happens if it does not run.
        """
        self._check_process()
        yield from self._dismiss(f"cluster {self.cluster_id!r} was stopped")
        if not self._started:
            return
        if self._process is not None:
            self._process.let_go()
            yield from self._process.ended()
            self._process = None
        else:
            yield from self._stop_by_asking()
        if self._ours:
            self._started = False
        yield from self._put_in_order()

    def _stop_by_asking(self) -> Steps[None]:
        from ipython1.daemon.state import StateFolder

        with contextlib.suppress(NoSuchCluster):
            yield self._ask("stop")
        folder = StateFolder(self._places.state_dir)
        deadline = time.monotonic() + END_WITHIN
        # When it gives its lock back, nothing of it is left.
        while folder.is_locked():
            if time.monotonic() > deadline:
                raise CallTimeout(f"cluster {self.cluster_id!r} has not ended within {END_WITHIN:g} s")
            yield Pause(_PAUSE)

    def _put_in_order(self) -> Steps[None]:
        """A cluster of which nobody else knows, and which has failed or was killed: remove what it has left."""
        from ipython1.daemon.clusters import clean

        if self._temporary and self._look().standing.value in ("failed", "lost"):
            yield Work(functools.partial(clean, self._places))

    def _leave(self) -> Steps[None]:
        """The end of a ``with`` block."""
        if os.getpid() != self._pid:
            # A copy of the program, which a fork has made, leaves the block: the cluster is the original's.
            return
        if self._keep:
            yield from self._dismiss(f"the block of cluster {self.cluster_id!r} was left: connect again")
        else:
            yield from Operations.stop.steps(self)  # type: ignore[attr-defined]

    @operation
    def restart(self, timeout: float = START_WITHIN) -> Steps[list[int]]:
        """End all parts and start them again, with the engines that it had at its start; gives their ids.

        Clients connect again by themselves.
        """
        answer = yield self._ask("restart", timeout=timeout)
        return list(answer["engines"])

    # -- clients -----------------------------------------------------------------------------------------

    @operation
    def multiengine(self) -> Steps[Any]:
        """A new client of the MultiEngine interface, which is disconnected when the cluster is stopped."""
        return (yield from self._connect_client("multiengine"))

    @operation
    def task(self) -> Steps[Any]:
        """A new client of the Task interface, which is disconnected when the cluster is stopped."""
        return (yield from self._connect_client("task"))

    def _connect_client(self, role: str) -> Steps[Any]:
        self._control()
        client = yield Connect(role, self._places.furl_file(role))
        # Who has a client has the cluster: it does not end while one of the two is in use.
        client._cluster = self
        self._clients.add(client)
        return client

    def _dismiss(self, reason: str) -> Steps[None]:
        for client in list(self._clients):
            yield Dismiss(client, reason)
        self._clients.clear()

    # -- engines -----------------------------------------------------------------------------------------

    @operation
    def add_engines(self, n: int, host: str | None = None, timeout: float = START_WITHIN) -> Steps[list[int]]:
        """Start `n` more engines, on `host` or where the launcher decides; gives their ids when they are there."""
        answer = yield self._ask("add_engines", {"n": n, "host": host}, timeout)
        return list(answer["engines"])

    @operation
    def remove_engines(self, ids: int | Iterable[int]) -> Steps[list[int]]:
        """End engines for good; gives the ids of those that are left."""
        answer = yield self._ask("remove_engines", {"ids": _listed(ids)})
        return list(answer["engines"])

    @operation
    def restart_engine(self, id: int) -> Steps[None]:
        """End the interpreter of an engine and start a new one, under the same id."""
        yield self._ask("restart_engine", {"id": id})

    @operation
    def signal(self, number: int, ids: int | Iterable[int] | None = None, controller: bool = False) -> Steps[None]:
        """Send a signal to the interpreters of engines, by default of all, or instead to the controller."""
        args = {"number": int(number), "ids": None if ids is None else _listed(ids), "controller": controller}
        yield self._ask("signal", args)

    @operation
    def wait_for_engines(self, n: int, timeout: float = ANSWER_WITHIN) -> Steps[list[int]]:
        """Wait until at least `n` engines are registered; gives the ids of all.

        Raises ClusterError as soon as it is known that they will not come, with what the engines have said, and
        CallTimeout after `timeout` seconds.
        """
        answer = yield self._ask("wait", {"n": n}, timeout)
        return list(answer["engines"])

    @operation
    def status(self) -> Steps[dict[str, Any]]:
        """How the cluster is, as ``ipcluster status --json`` has it."""
        from ipython1.kernel.scripts.ipcluster_common import as_plain

        found = self._look()
        answer = None
        if self._started and found.standing.value == "running":
            with contextlib.suppress(NoSuchCluster):  # it ends right now
                answer = yield self._ask("status", timeout=LOOK_WITHIN)
        return as_plain(found, answer)

    # -- asking ------------------------------------------------------------------------------------------

    def _ask(self, verb: str, args: dict[str, Any] | None = None, timeout: float = ANSWER_WITHIN) -> Ask:
        return Ask(self._control(), verb, args or {}, timeout)

    def _control(self) -> Path:
        """The control socket; NoSuchCluster if the cluster does not run."""
        self._check_process()
        if not self._started:
            raise NoSuchCluster(f"{self!r}: start it first, with its method start() or in a 'with' statement")
        return self._look().control()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ClientError(
                f"{type(self).__name__} {self.cluster_id!r} is of the process {self._pid}, and this is a copy of it that"
                f" was forked off: use {type(self).__name__}.connect({self.cluster_id!r}) in a new process"
            )

    def _carry_out(self, steps: Steps[Any]) -> Any:
        raise NotImplementedError


def _listed(ids: int | Iterable[int]) -> list[int]:
    return [ids] if isinstance(ids, int) else list(ids)
