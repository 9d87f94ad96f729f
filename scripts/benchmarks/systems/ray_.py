"""Ray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from benchmarks.systems.base import SMALL, System, each, expect, same


class Ray(System):
    """One local node, with as many processors as there are to be engines."""

    def start(self, engines: int) -> None:
        ray.init(num_cpus=engines, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        self._same = ray.remote(same)
        ray.get([self._same.remote(number) for number in range(engines)])

    def stop(self) -> None:
        ray.shutdown()

    def measure_apply(self, count: int) -> float:
        return each(count, lambda: expect(ray.get(self._same.remote(SMALL)), SMALL))

    def one_by_one(self, count: int) -> list[Any]:
        return ray.get([self._same.remote(number) for number in range(count)])

    def mapped(self, function: Callable[[Any], Any], items: Any, chunksize: int | None) -> list[Any]:
        if chunksize is None:  # one task for each item is all that there is
            raise NotImplementedError
        remote = ray.remote(function)
        return ray.get([remote.remote(item) for item in items])
