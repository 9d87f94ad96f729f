"""The engines by what the scheduler looks for, so that it need not look at all of them: there may be thousands."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Set

from ipython1.kernel.controller.task_values import Place
from ipython1.kernel.controller.workers import Attempt, Worker

FEW = 50
"""So many outdated entries are not worth the work of removing them."""
_Key = tuple[bool, int, int]


class Fleet:
    """Which of the `workers` have room, which have nothing to do, which have work that waits.

    Whatever changes a worker must say so (`changed`); that an engine has no more room as time passes is seen here.
    """

    def __init__(self, workers: Mapping[int, Worker]) -> None:
        self._workers = workers
        self.idle: dict[Worker, None] = {}
        """Those that have no attempts, in the order in which they came to that."""
        self.loaded: dict[Worker, None] = {}
        """Those that have attempts which have not started, and were not asked back."""
        self.paused: dict[Worker, None] = {}
        """Those that are left alone for some time."""
        self.occupied: dict[Worker, None] = {}
        """Those that were found to have commands of others."""
        # All that may have room, the one with the least work first; apart from them those that were fit for nothing that
        # waited, and the places of that.  What is not true any more is left out when it comes first.
        self._room = _Line()
        self._parked = _Line()
        self._unfit: set[Worker] = set()
        self._refused: Set[Place] = frozenset()

    def changed(self, worker: Worker) -> None:
        """Something of it has changed."""
        if self._workers.get(worker.engine) is not worker:  # it is gone, or was never here
            return
        _put(self.idle, worker, not worker.attempts)
        _put(self.loaded, worker, any(each.started is None and not each.returning for each in worker.attempts))
        _put(self.paused, worker, worker.paused_until > 0)
        _put(self.occupied, worker, worker.occupied)
        self._unfit.discard(worker)
        self._room.put(_key(worker))

    def left(self, worker: Worker) -> None:
        """It is gone."""
        for group in (self.idle, self.loaded, self.paused, self.occupied):
            group.pop(worker, None)
        self._unfit.discard(worker)

    def next(self, places: Set[Place], now: float) -> Worker | None:
        """The one with the least work of those that have room, and may be fit for one of these places.

        It is not given again until it has changed, or these are not all that it has refused.
        """
        room, parked = self._first(self._room, now), None
        if not places <= self._refused:
            parked = self._first(self._parked, now)
        if parked is not None and (room is None or _key(parked) < _key(room)):
            self._parked.drop()
            self._unfit.discard(parked)
            return parked
        if room is not None:
            self._room.drop()
        return room

    def _first(self, line: _Line, now: float) -> Worker | None:
        while (key := line.first) is not None:
            worker = self._workers.get(key[2])
            is_there = worker is not None and (worker in self._unfit) == (line is self._parked)
            if worker is not None and is_there and _key(worker) == key and worker.has_room(now):
                return worker
            line.drop()
        return None

    def refuse(self, workers: Iterable[Worker], places: Set[Place]) -> None:
        """All that were given are fit for none of these places, which are what still waits: they are not asked for them again."""
        self._refused = places
        for worker in workers:
            self._unfit.add(worker)
            self._parked.put(_key(worker))


class _Line:
    """Keys in order, each once."""

    def __init__(self) -> None:
        self._heap: list[_Key] = []
        self._there: set[_Key] = set()

    @property
    def first(self) -> _Key | None:
        return self._heap[0] if self._heap else None

    def put(self, key: _Key) -> None:
        if key not in self._there:
            self._there.add(key)
            heapq.heappush(self._heap, key)

    def drop(self) -> None:
        """Take out the first one."""
        self._there.discard(heapq.heappop(self._heap))


def _key(worker: Worker) -> _Key:
    return worker.occupied, len(worker.attempts), worker.engine


def _put(group: dict[Worker, None], worker: Worker, belongs: bool) -> None:
    if not belongs:
        group.pop(worker, None)
    elif worker not in group:
        group[worker] = None


class Deadlines:
    """When the next measure against attempts is due."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self._set: set[Attempt] = set()
        # With those that are not true any more, as long as these are not most of them.
        self._heap: list[tuple[float, int, int, int, Attempt]] = []

    def set(self, attempt: Attempt, deadline: float) -> None:
        """Its next measure is due then, and not when it was to be before."""
        attempt.deadline = deadline
        self._set.add(attempt)
        heapq.heappush(self._heap, (deadline, attempt.task, attempt.number, next(self._count), attempt))

    def drop(self, attempt: Attempt) -> None:
        """It is over."""
        if attempt.deadline is None:
            return
        attempt.deadline = None
        self._set.discard(attempt)
        if len(self._heap) > 2 * len(self._set) + FEW:
            self._heap = [entry for entry in self._heap if entry[-1].deadline == entry[0]]
            heapq.heapify(self._heap)

    @property
    def next(self) -> float | None:
        """The first of them; None if there is none."""
        while self._heap and self._heap[0][-1].deadline != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Attempt]:
        """Those that are due; they have no deadline any more."""
        found = []
        while (deadline := self.next) is not None and deadline <= now:
            attempt = heapq.heappop(self._heap)[-1]
            self.drop(attempt)
            found.append(attempt)
        return found
