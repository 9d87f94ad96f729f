"""Lets the systems do the work by turns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.works import Work

HERE = Path(__file__).resolve().parent
STOP_WITHIN = 30.0
"""Seconds that a system has to stop, before it is killed."""


@dataclass(frozen=True)
class Kind:
    """A system to be measured: the name of the `python` that has it, its module and class, what that is given, and
    variables for its environment; of what it could do, only what is in `works`, if there is anything in it."""

    name: str
    python: str
    module: str
    type: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    works: tuple[str, ...] = ()


class Worker:
    """A system in a process of its own."""

    def __init__(self, kind: Kind, python: Path, log: Path) -> None:
        self.kind = kind
        self._runs = False
        self._works = False
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.worker", kind.module, kind.type, json.dumps(kind.options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Ctrl-C is for this program, which stops the others in order.
                start_new_session=True,
                # Engines find the functions there, too.
                env={**os.environ, **kind.environment, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])},
            )

    def does(self, order: str, **given: Any) -> dict[str, Any]:
        """Have it done; the answer."""
        assert self._process.stdin is not None
        try:
            self._works = True
            print(json.dumps({"do": order, **given}), file=self._process.stdin, flush=True)
            return self._answer()
        except BrokenPipeError:
            return {"error": "its process ended"}

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._works = False
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        return answer

    def start(self, engines: int) -> str | None:
        """Start its cluster; what went wrong."""
        problem: str | None = self.does("begin", engines=engines).get("error")
        self._runs = problem is None
        return problem

    def stop(self) -> None:
        """Stop its cluster, if it runs."""
        if self._runs:
            self.does("end")
            self._runs = False

    def end(self) -> None:
        """End the process, and its cluster with it; what it is at is interrupted."""
        assert self._process.stdin is not None
        late = threading.Timer(STOP_WITHIN, self.kill)
        late.start()
        try:
            if self._works:
                self._process.send_signal(signal.SIGINT)
                self._answer()
            self.stop()
            self._process.stdin.close()
            self._process.wait()
        finally:
            late.cancel()

    def kill(self) -> None:
        """End it at once, and all that it has started in its session."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def end(workers: Sequence[Worker]) -> None:
    """End all of them; a Ctrl-C meanwhile has them killed."""
    try:
        for worker in workers:
            worker.end()
    except KeyboardInterrupt:
        for worker in workers:
            worker.kill()
        raise


@dataclass
class Results:
    """The figures of each work and system, in the work's unit, in the order in which they were measured."""

    works: list[Work] = field(default_factory=list)
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def note(self, work: Work, system: str, answer: dict[str, Any]) -> None:
        """An answer came."""
        if work not in self.works:
            self.works.append(work)
        figures = self.figures.setdefault(work.name, {})
        if "error" in answer:
            self.problems.append(f"{system}: {work.title}: {answer['error']}")
        elif "figure" in answer:
            figures.setdefault(system, []).append(work.unit.shown(answer["figure"], work.amount))


def measure(
    workers: Sequence[Worker],
    works: Iterable[Work],
    engines: int,
    turns: int,
    results: Results,
    say: Callable[[str], None],
) -> None:
    """Have each work done by each system in turn, `turns` times over, with clusters of so many engines."""
    works = list(works)
    shared = [work for work in works if not work.fresh]
    running = []
    if shared:
        for worker in workers:
            problem = worker.start(engines)
            if problem is None:
                running.append(worker)
            else:
                results.problems.append(f"{worker.kind.name} did not start: {problem}")
    for work in shared:
        _alternate(running, work, turns, results, say)
    for worker in workers:
        worker.stop()
    for work in works:
        if work.fresh:
            _alternate(workers, work, turns, results, say)


def _alternate(
    workers: Sequence[Worker], work: Work, turns: int, results: Results, say: Callable[[str], None]
) -> None:
    able = [worker for worker in workers if work.is_for(worker.kind.name, worker.kind.works)]
    say(work.title)
    for _ in range(turns):
        for worker in list(able):
            answer = worker.does(work.does, **work.given)
            results.note(work, worker.kind.name, answer)
            if "figure" not in answer:
                able.remove(worker)
