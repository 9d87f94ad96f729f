"""The blocking client of the MultiEngine interface."""

from __future__ import annotations

import os
import timeit
from collections.abc import Iterable
from typing import Any

from ipython1.kernel.client.blocking import BlockingMultiEngine
from ipython1.kernel.client.connected import ConnectedClient
from ipython1.kernel.client.interrupted import all_stopped
from ipython1.kernel.client.pending import PendingResult, wait_for_all
from ipython1.kernel.client.views import ChosenView, EngineView
from ipython1.kernel.client_session import Connection, Dial, multiengine_connection
from ipython1.kernel.derive import VerbCall, check_timeout
from ipython1.kernel.error import CallTimeout, NotAPendingResult
from ipython1.kernel.request import Request, ask_controller, pending_value
from ipython1.kernel.targets import check_block
from ipython1.kernel.ways import Transfer


class MultiEngineClient(ConnectedClient, BlockingMultiEngine):
    """The engines of a cluster, all of them or some at a time, from a prompt or a program.

    `furl_or_file` is a FURL or the path of a file that holds one; by default the file that the controller wrote.
    `profile` and `cluster_id` name a cluster whose files lie elsewhere: ConfigError if they are no good names.
    `name` is what its sessions are called in histories (see `history`).
    The connection is made at once: FURLError (a ValueError) if the file is missing or no good, `ConnectionError` if
    there is no controller.

    `block` and `targets` are what calls use where they do not say: whether to wait for the outcome (else a
    `PendingResult` is returned), and the engines: ``'all'``, an id, a list or tuple of ids, or a slice.

    Each call takes a `timeout` in seconds, and `timeout` of the client is for all that do not say: CallTimeout then, while
    what has begun on the engines goes on.  Ctrl-C in a call that waits interrupts what it waits for on the engines.

    ``mec['a'] = 5`` pushes, ``mec['a']`` pulls.  ``mec[0]``, ``mec[[0, 2]]`` and ``mec[::2]`` are views of some
    engines.  A client may be used by several threads.
    """

    def __init__(
        self,
        furl_or_file: str | os.PathLike[str] = "",
        *,
        profile: str | None = None,
        cluster_id: str | None = None,
        name: str | None = None,
    ) -> None:
        self.block: Any = True
        self.targets: Any = "all"
        self._connect(furl_or_file, "multiengine", profile, cluster_id, name)

    def _connection(self, furl_or_file: str | os.PathLike[str], reactor: Any, dial: Dial) -> Connection:
        return multiengine_connection(furl_or_file, reactor, dial, self._settings, self._name)

    @property
    def name(self) -> str:
        """What its sessions are called; '' if they have no name."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._where()}, targets={self.targets!r}, block={self.block!r}>"

    # -- engines -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """The number of engines."""
        return len(self.get_ids())

    def __bool__(self) -> bool:
        # Not by __len__, which would ask the controller.
        return True

    def __getitem__(self, key: Any) -> Any:
        """A view of one engine for an id, of several for a list, tuple or slice; else the values of a name."""
        if isinstance(key, str):
            return super().__getitem__(key)
        if isinstance(key, slice | list | tuple) or hasattr(key, "__index__"):
            return EngineView(self, key)
        raise TypeError(
            f"{key!r:.80} is neither the name of a value nor an engine id, a list of ids or a slice"
        )

    def view(self, targets: Any = None, block: bool | None = None, timeout: float | None = None) -> ChosenView:
        """A view of some engines, with a block and a timeout of its own; what is None is the client's.

        ``with mec.view(targets=[0, 2], block=False) as v:`` gives it a name for the length of a block.
        """
        view = ChosenView(self, self.targets if targets is None else targets)
        view.block = None if block is None else check_block(block)
        view.timeout = timeout
        return view

    # -- results -----------------------------------------------------------------------------------------

    def barrier(
        self, pending_results: PendingResult | Iterable[PendingResult], *, timeout: float | None = None
    ) -> None:
        """Wait until all of these are done; what they raise is raised where they are fetched.

        What is printed is shown meanwhile, and how many are done.  NotAPendingResult if a member is none, CallTimeout if
        they are not done within `timeout` seconds.
        """
        timeout = self.timeout if timeout is None else timeout
        limit = check_timeout(timeout)
        # One of them could be iterated, too.
        members = [pending_results] if isinstance(pending_results, PendingResult) else list(pending_results)
        for member in members:
            if not isinstance(member, PendingResult):
                raise NotAPendingResult(f"{member!r:.80} is no PendingResult")
        try:
            done = wait_for_all(members, "barrier", self._calls.progress, limit)
        except KeyboardInterrupt:
            all_stopped(members, "barrier")
        if not done:
            late = sum(not member.done() for member in members)
            raise CallTimeout(f"{late} of {len(members)} results were not there within {limit:g} s")
        for member in sorted(members):
            member.exception()

    def flush(self) -> None:
        """Forget the results of this client that were not fetched, and those that it left with the controller.

        Fetching one of them raises InvalidDeferredID then.
        """
        self._calls.flush()
        self._calls.run(VerbCall(ask_controller(Request("clear_pending")), True, "flush"))

    clear_pending_results = flush

    def get_pending_deferred(self, result_id: str, block: bool = True) -> Any:
        """The result of that id, which can be fetched once: of a PendingResult, or of an asynchronous client's call.

        InvalidDeferredID if there is none; ResultNotCompleted if it is not there and `block` is false.
        """
        block = check_block(block)
        try:
            return self._calls.take(result_id, block)
        except KeyError:
            pass
        return self._calls.run(VerbCall(pending_value(result_id, block), True, "get_pending_deferred"))

    # -- large values ------------------------------------------------------------------------------------

    def transfers(self) -> list[Transfer]:
        """How the latest large values went, to engines and from them, the latest one last: 100 at most.

        Each has `way`: ``'memory'``, on one host, or ``'stream'``, over the connection, and then the `reason`.
        """
        return self._calls.connection.ways.transfers()

    # -- shells and benchmarks -----------------------------------------------------------------------------

    def benchmark(self, push_size: int = 10000) -> dict[str, tuple[float, str]]:
        """Measure the cluster: ``(value, unit)`` for latencies (msec) and, with numpy, rates of push (MB/sec).

        `push_size` is how many float64 numbers are pushed at a time.  Best of 3 times 10 calls.
        """
        first = self.get_ids()[:1]

        def best(call: Any) -> float:
            return min(timeit.repeat(call, number=10, repeat=3)) / 10

        result = {
            "single_engine_latency": (best(lambda: self.execute("pass", first, True)) * 1e3, "msec"),
            "all_engine_latency": (best(lambda: self.execute("pass", "all", True)) * 1e3, "msec"),
        }
        try:
            import numpy
        except ImportError:
            return result
        values = {"_benchmark": numpy.random.default_rng().random(push_size)}
        size = push_size * 8 / 1e6
        result["all_engine_push"] = (
            size * len(self) / best(lambda: self.push(values, "all", True)),
            "MB/sec",
        )
        result["single_engine_push"] = (size / best(lambda: self.push(values, first, True)), "MB/sec")
        return result


def get_multiengine_client(
    furl_or_file: str | os.PathLike[str] = "",
    *,
    profile: str | None = None,
    cluster_id: str | None = None,
    name: str | None = None,
) -> MultiEngineClient:
    """A new `MultiEngineClient`."""
    return MultiEngineClient(furl_or_file, profile=profile, cluster_id=cluster_id, name=name)


MultiEngineClient.__module__ = "ipython1.kernel.client"
