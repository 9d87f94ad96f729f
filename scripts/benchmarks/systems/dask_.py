"""dask.distributed, over TCP or TLS."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.security import Security

from benchmarks.systems.base import SMALL, System, each, expect, same


class Dask(System):
    """One scheduler, in the client's process as is usual with LocalCluster, and workers of one thread each."""

    def __init__(self, tls: bool = False) -> None:
        self._tls = tls

    def start(self, engines: int) -> None:
        dask.config.set({"distributed.worker.memory.terminate": False})
        security = {"security": Security.temporary()} if self._tls else {}
        self._cluster = LocalCluster(
            n_workers=engines,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,
            memory_limit=0,
            protocol="tls" if self._tls else "tcp",
            **security,
        )
        self._client = Client(self._cluster)
        self._client.wait_for_workers(engines, timeout=300)
        self._workers = sorted(self._client.scheduler_info(n_workers=-1)["workers"])

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()

    # Calls.

    def measure_push_small(self, count: int) -> float:
        worker = self._workers[:1]
        return each(count, lambda: self._client.scatter(SMALL, direct=True, workers=worker, hash=False))

    def measure_pull_small(self, count: int) -> float:
        (future,) = self._client.scatter([SMALL], direct=True, workers=self._workers[:1], hash=False)
        return each(count, lambda: expect(self._client.gather(future, direct=True), SMALL))

    def measure_apply(self, count: int) -> float:
        return each(count, lambda: expect(self._client.submit(same, SMALL, pure=False).result(), SMALL))

    # Tasks.

    def one_by_one(self, count: int) -> list[Any]:
        futures = [self._client.submit(same, number, pure=False) for number in range(count)]
        return self._client.gather(futures)

    def mapped(self, function: Callable[[Any], Any], items: Any, chunksize: int | None) -> list[Any]:
        if chunksize is None:  # one task for each item is all that there is
            raise NotImplementedError
        futures = self._client.map(function, items, pure=False)
        return self._client.gather(futures)

    # Large values.

    def put(self, value: Any, engines: list[int]) -> Any:
        workers = [self._workers[engine] for engine in engines]
        broadcast = len(workers) > 1
        return self._client.scatter(value, direct=True, workers=workers, broadcast=broadcast, hash=False)

    def first(self, held: Any, engine: int) -> float:
        worker = self._workers[engine]
        found = self._client.submit(_first, held, workers=[worker], pure=False).result()
        return float(found)

    def fetch(self, held: Any) -> Any:
        return self._client.gather(held, direct=True)


def _first(value: Any) -> float:
    return float(value[0])
