"""Pools of processes: concurrent.futures, and joblib's loky."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.systems.base import SMALL, System, each, expect, same


class ProcessPool(System):
    """concurrent.futures.ProcessPoolExecutor."""

    def start(self, engines: int) -> None:
        self._engines = engines
        self._pool: Any = ProcessPoolExecutor(engines)
        list(self._pool.map(same, range(engines)))

    def stop(self) -> None:
        self._pool.shutdown()

    def measure_apply(self, count: int) -> float:
        return each(count, lambda: expect(self._pool.submit(same, SMALL).result(), SMALL))

    def one_by_one(self, count: int) -> list[Any]:
        futures = [self._pool.submit(same, number) for number in range(count)]
        return [future.result() for future in futures]

    def mapped(self, function: Callable[[Any], Any], items: Any, chunksize: int | None) -> list[Any]:
        if chunksize is None:
            # It has no choice of its own; this is multiprocessing.Pool's.
            chunksize = max(1, len(items) // (4 * self._engines))
        return list(self._pool.map(function, items, chunksize=chunksize))


class Loky(ProcessPool):
    """joblib with its usual backend; single tasks by its executor."""

    def start(self, engines: int) -> None:
        # Not the executor that is used again, which Parallel has for itself.
        from joblib.externals.loky import ProcessPoolExecutor

        self._engines = engines
        self._pool = ProcessPoolExecutor(engines, timeout=3600)
        list(self._pool.map(same, range(engines)))

    def stop(self) -> None:
        self._pool.shutdown(kill_workers=True)

    def mapped(self, function: Callable[[Any], Any], items: Any, chunksize: int | None) -> list[Any]:
        from joblib import Parallel, delayed

        batch = "auto" if chunksize is None else chunksize
        return list(Parallel(n_jobs=self._engines, batch_size=batch)(delayed(function)(item) for item in items))
