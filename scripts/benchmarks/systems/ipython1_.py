"""ipython1."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.systems.base import SMALL, Stopwatch, System, each, expect, same
from ipython1.kernel import client


class Ipython1(System):
    """`options` are those of `client.Cluster`; each start has a folder of its own."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def start(self, engines: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ipython1-bench-")
        self._cluster = client.Cluster(n=engines, ipython_dir=self._folder.name, **self._options)
        self._cluster.start()
        self._mec = self._cluster.multiengine()
        self._tc = self._cluster.task()

    def stop(self) -> None:
        self._cluster.stop()
        self._folder.cleanup()

    def controllers(self) -> list[int]:
        parts = self._cluster.status()["parts"]
        return [part["process"]["pid"] for part in parts if part["label"] == "ipcontroller"]

    # Calls.

    def measure_execute(self, count: int) -> float:
        return each(count, lambda: self._mec.execute("a=5", targets=0, block=True))

    def measure_push_small(self, count: int) -> float:
        return each(count, lambda: self._mec.push({"a": SMALL}, targets=0, block=True))

    def measure_pull_small(self, count: int) -> float:
        self._mec.push({"a": SMALL}, targets=0, block=True)
        return each(count, lambda: expect(self._mec.pull("a", targets=0, block=True), [SMALL]))

    def measure_apply(self, count: int) -> float:
        return each(count, lambda: expect(self._tc.submit(same, SMALL).get_result(), SMALL))

    # Tasks.

    def one_by_one(self, count: int) -> list[Any]:
        pending = [self._tc.submit(same, number) for number in range(count)]
        return [each.get_result() for each in pending]

    def mapped(self, function: Callable[[Any], Any], items: Any, chunksize: int | None) -> list[Any]:
        results: list[Any] = self._tc.map(function, items, chunksize=chunksize)
        return results

    # Large values.

    def put(self, value: Any, engines: list[int]) -> Any:
        self._mec.push({"x": value}, targets=engines, block=True)

    def first(self, held: Any, engine: int) -> float:
        self._mec.execute("first = float(x[0])", targets=engine, block=True)
        (first,) = self._mec.pull("first", targets=engine, block=True)
        return float(first)

    def fetch(self, held: Any) -> Any:
        (value,) = self._mec.pull("x", targets=0, block=True)
        return value

    def measure_scatter(self, size: int, engines: int) -> float:
        value, targets = self.array(size), list(range(engines))
        with Stopwatch() as watch:
            self._mec.scatter("x", value, targets=targets, block=True)
        expect(self.first(None, 0), float(self.seed))
        return watch.seconds
