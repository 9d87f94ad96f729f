"""What all systems have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SMALL = 12345


def same(item: Any) -> Any:
    """The trivial function."""
    return item


def sleep(seconds: float) -> float:
    """A task that takes so long, and leaves the processor to others."""
    import time

    time.sleep(seconds)
    return seconds


class Wrong(Exception):
    """A system gave another result than it should have."""


def expect(found: Any, expected: Any) -> None:
    """See to it that a system does what is measured."""
    if found != expected:
        raise Wrong(f"{expected!r:.80} was to come, and {found!r:.80} came")


class Stopwatch:
    """How long a block takes: ``with Stopwatch() as watch: ...; watch.seconds``."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._start


def each(count: int, call: Callable[[], Any]) -> float:
    """The median of the seconds that `call` takes, called so many times."""
    times = []
    for _ in range(count):
        with Stopwatch() as watch:
            call()
        times.append(watch.seconds)
    return sorted(times)[count // 2]


class System:
    """A system with a cluster of its own on this host.

    A method `measure_NAME` does the work of that name once and gives its figure: seconds, if `works` does not say otherwise.  What
    a system cannot do has no method.
    """

    seed = 0

    def array(self, size: int) -> Any:
        """An array of so many bytes, unlike any before: it begins with `seed`."""
        import numpy

        self.seed += 1
        made = numpy.arange(size // 8, dtype=numpy.float64)
        made[0] = self.seed
        return made

    def start(self, engines: int) -> None:
        """Start a cluster with so many engines, and wait until they are all there."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it."""
        raise NotImplementedError

    def controllers(self) -> list[int]:
        """The ids of the processes that stand between clients and engines."""
        return []

    # Large values.  A system that takes them has these three, and then the measures.

    def put(self, value: Any, engines: list[int]) -> Any:
        """Have `value` in these engines; what it is known by from then on."""
        raise NotImplementedError

    def first(self, held: Any, engine: int) -> float:
        """The first item of what was put there, as the engine sees it."""
        raise NotImplementedError

    def fetch(self, held: Any) -> Any:
        """What was put in the first engine."""
        raise NotImplementedError

    def measure_push(self, size: int) -> float:
        return self.measure_broadcast(size, 1)

    def measure_broadcast(self, size: int, engines: int) -> float:
        value, targets = self.array(size), list(range(engines))
        with Stopwatch() as watch:
            held = self.put(value, targets)
        for target in targets:
            expect(self.first(held, target), float(self.seed))
        return watch.seconds

    def measure_pull(self, size: int) -> float:
        held = self.put(self.array(size), [0])
        with Stopwatch() as watch:
            value = self.fetch(held)
        expect(float(value[0]), float(self.seed))
        return watch.seconds

    # Tasks.

    def one_by_one(self, count: int) -> list[Any]:
        """Submit `same` that often, each by itself, and collect the results."""
        raise NotImplementedError

    def mapped(self, function: Callable[[Any], Any], items: Any, chunksize: int | None) -> list[Any]:
        """Map `function`; None: in chunks that the system chooses."""
        raise NotImplementedError

    def measure_tasks(self, count: int) -> float:
        with Stopwatch() as watch:
            results = self.one_by_one(count)
        expect(results, list(range(count)))
        return watch.seconds

    def measure_map(self, count: int, chunksize: int | None) -> float:
        items = range(count)
        with Stopwatch() as watch:
            results = self.mapped(same, items, chunksize)
        expect(len(results), count)
        expect(results[-1], items[-1])
        return watch.seconds

    def measure_durations(self, seconds: float, count: int, engines: int) -> float:
        """The part of the time that the engines were at work."""
        with Stopwatch() as watch:
            self.mapped(sleep, [seconds] * count, 1)
        return seconds * count / engines / watch.seconds

    def measure_start(self, engines: int) -> float:
        """From nothing to the first result."""
        with Stopwatch() as watch:
            self.start(engines)
            expect(self.mapped(same, range(engines), 1), list(range(engines)))
        self.stop()
        return watch.seconds

    def measure_stop(self, engines: int) -> float:
        self.start(engines)
        with Stopwatch() as watch:
            self.stop()
        return watch.seconds

    def measure_register(self, engines: int) -> float:
        """Until so many engines are there."""
        with Stopwatch() as watch:
            self.start(engines)
        self.stop()
        return watch.seconds

    def measure_memory(self, count: int) -> float:
        """Bytes by which the controller grows with so many tasks, the results having been collected."""
        import psutil

        if not self.controllers():
            raise NotImplementedError
        before = sum(psutil.Process(pid).memory_info().rss for pid in self.controllers())
        self.one_by_one(count)
        return float(sum(psutil.Process(pid).memory_info().rss for pid in self.controllers()) - before)

    def measure_cpu(self, count: int) -> float:
        """Seconds of the controller's processor for each task."""
        import psutil

        if not self.controllers():
            raise NotImplementedError

        def used() -> float:
            times = [psutil.Process(pid).cpu_times() for pid in self.controllers()]
            return sum(each.user + each.system for each in times)

        before = used()
        self.one_by_one(count)
        return (used() - before) / count
