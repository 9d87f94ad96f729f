"""What is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KB, MB, GB = 1000, 1000**2, 1000**3


@dataclass(frozen=True)
class Unit:
    """How a figure is shown: `scale` / seconds, or `scale` * figure."""

    name: str
    more_is_better: bool
    of_time: bool = False
    """Whether it is an amount for each second, where the figure is the seconds that the whole amount took."""
    scale: float = 1.0

    def shown(self, figure: float, amount: float) -> float:
        """A system's figure, in this unit."""
        return amount * self.scale / figure if self.of_time else figure * self.scale


MILLISECONDS = Unit("ms", False, scale=1e3)
SECONDS = Unit("s", False)
MICROSECONDS = Unit("µs", False, scale=1e6)
MEGABYTES = Unit("MB", False, scale=1e-6)
PERCENT = Unit("%", True, scale=100)
RATE = Unit("/s", True, of_time=True)
THROUGHPUT = Unit("MB/s", True, of_time=True, scale=1e-6)


@dataclass(frozen=True)
class Work:
    """One line of the table."""

    name: str
    """Unlike any other's; `goals` speaks of it."""
    does: str
    """What `systems.base.System.measure_…` does it."""
    title: str
    unit: Unit
    given: Mapping[str, Any] = field(default_factory=dict)
    """What that method is told."""
    amount: float = 1
    """What the figure is divided by for a unit of time: tasks, bytes."""
    fresh: bool = False
    """Whether it starts and ends its own clusters."""
    without: tuple[str, ...] = ()
    """Systems that are left out: they would take too long."""

    def is_for(self, system: str, works: tuple[str, ...]) -> bool:
        """Whether a system does it that does only these works, or all if there are none."""
        return system not in self.without and (not works or self.does in works)


def _sized(size: int) -> str:
    for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "kB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def calls(count: int) -> list[Work]:
    """Single calls, waited for."""
    given = {"count": count}
    return [
        Work("execute", "execute", "execute('a=5') on one engine", MILLISECONDS, given),
        Work("push small", "push_small", "push of a number", MILLISECONDS, given),
        Work("pull small", "pull_small", "pull of a number", MILLISECONDS, given),
        Work("apply", "apply", "a trivial function, called once", MILLISECONDS, given),
    ]


def tasks(count: int, items: int, chunks: tuple[int, ...] = (1, 100, 1000, 10_000)) -> list[Work]:
    """Very many trivial tasks; `items` of a map."""
    works = [
        Work("tasks", "tasks", f"{count:,} tasks one by one, collected", RATE, {"count": count}, count),
        Work("map", "map", f"map, {items:,} items, chunks of its own", RATE, {"count": items, "chunksize": None}, items),
    ]
    for chunk in chunks:
        slow = ("dask", "dask-tls") if items > 20_000 or chunk > 1 else ()
        slow += ("ipyparallel", "ray") if chunk == 1 and items > 20_000 else ()
        title = f"map, {items:,} items, chunks of {chunk:,}"
        given = {"count": items, "chunksize": chunk}
        works.append(Work(f"map {chunk}", "map", title, RATE, given, items, without=slow))
    return works


def durations(engines: int, total: float) -> list[Work]:
    """Tasks that take some time: how much of it the engines are at work; `total` seconds of each."""
    return [
        Work(
            f"tasks of {milliseconds} ms",
            "durations",
            f"tasks of {milliseconds} ms: engines at work",
            PERCENT,
            {"seconds": milliseconds / 1000, "count": int(total * engines * 1000 / milliseconds), "engines": engines},
        )
        for milliseconds in (1, 10, 100)
    ]


def transfers(sizes: tuple[int, ...], engines: tuple[int, ...]) -> list[Work]:
    """Arrays to and from engines."""
    works = []
    for size in sizes:
        given, sized = {"size": size}, _sized(size)
        works.append(Work(f"push {sized}", "push", f"push, {sized}", THROUGHPUT, given, size))
        works.append(Work(f"pull {sized}", "pull", f"pull, {sized}", THROUGHPUT, given, size))
        for number in engines:
            to = {**given, "engines": number}
            for verb in ("broadcast", "scatter"):
                # What arrives counts: a broadcast has the size as often as there are engines.
                amount = size * number if verb == "broadcast" else size
                works.append(
                    Work(f"{verb} {sized} to {number}", verb, f"{verb} to {number}, {sized}", THROUGHPUT, to, amount)
                )
    return works


def clusters(engines: int) -> list[Work]:
    """Starting and stopping."""
    given = {"engines": engines}
    return [
        Work("start", "start", f"start of {engines} engines, to the first result", SECONDS, given, fresh=True),
        Work("stop", "stop", f"stop of {engines} engines", SECONDS, given, fresh=True),
    ]


def registration(numbers: tuple[int, ...]) -> list[Work]:
    """Many engines."""
    return [
        Work(f"register {number}", "register", f"{number} engines until all are there", SECONDS, {"engines": number}, fresh=True)
        for number in numbers
    ]


def controller(count: int) -> list[Work]:
    """What the controller itself needs."""
    given = {"count": count}
    return [
        Work("memory", "memory", f"memory of the controller, {count:,} tasks", MEGABYTES, given),
        Work("cpu", "cpu", "processor time of the controller, for each task", MICROSECONDS, given),
    ]
