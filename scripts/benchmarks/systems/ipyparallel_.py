"""ipyparallel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import ipyparallel
import psutil

from benchmarks.systems.base import SMALL, Stopwatch, System, each, expect, same


class Ipyparallel(System):
    """Its controller is a hub and four schedulers."""

    def start(self, engines: int) -> None:
        self._cluster = ipyparallel.Cluster(n=engines, log_level=logging.ERROR)
        self._client = self._cluster.start_and_connect_sync()
        self._client.wait_for_engines(engines, timeout=300)
        self._view = self._client.load_balanced_view()

    def stop(self) -> None:
        self._client.close()
        self._cluster.stop_cluster_sync()

    def controllers(self) -> list[int]:
        pid = self._cluster.controller.pid
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]

    # Calls.

    def measure_execute(self, count: int) -> float:
        view = self._client[0]
        return each(count, lambda: view.execute("a=5", block=True))

    def measure_push_small(self, count: int) -> float:
        view = self._client[0]
        return each(count, lambda: view.push({"a": SMALL}, block=True))

    def measure_pull_small(self, count: int) -> float:
        view = self._client[0]
        view.push({"a": SMALL}, block=True)
        return each(count, lambda: expect(view.pull("a", block=True), SMALL))

    def measure_apply(self, count: int) -> float:
        return each(count, lambda: expect(self._view.apply_sync(same, SMALL), SMALL))

    # Tasks.

    def one_by_one(self, count: int) -> list[Any]:
        results = [self._view.apply_async(same, number) for number in range(count)]
        collected = [result.get() for result in results]
        self._client.purge_local_results("all")
        return collected

    def mapped(self, function: Callable[[Any], Any], items: Any, chunksize: int | None) -> list[Any]:
        if chunksize is None:  # it has no choice of its own: one item each
            raise NotImplementedError
        results = list(self._view.map_sync(function, items, chunksize=chunksize))
        self._client.purge_local_results("all")
        return results

    # Large values.

    def put(self, value: Any, engines: list[int]) -> Any:
        self._client[engines].push({"x": value}, block=True)

    def first(self, held: Any, engine: int) -> float:
        self._client[engine].execute("first = float(x[0])", block=True)
        return float(self._client[engine].pull("first", block=True))

    def fetch(self, held: Any) -> Any:
        return self._client[0].pull("x", block=True)

    def measure_scatter(self, size: int, engines: int) -> float:
        value, targets = self.array(size), list(range(engines))
        with Stopwatch() as watch:
            self._client[targets].scatter("x", value, block=True)
        expect(self.first(None, 0), float(self.seed))
        return watch.seconds
