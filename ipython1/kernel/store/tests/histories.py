"""Random histories of a store, and a model of what must be in it after each step.

As a program (``python -m ... PATH SEED FIRST``) it plays a history from one step on, over a store at that path, and
writes the number of steps that were put and of those that are settled, until it is killed.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.packing import FILE_LIMIT
from ipython1.kernel.store.values import (
    LiveTask,
    Snapshot,
    StoredCommand,
    StoredEngine,
    StoredOutcome,
    StoredResult,
    StoredTask,
)

Step = tuple[str, tuple[Any, ...]]
LENGTH = 600


def history(seed: int, length: int = LENGTH) -> list[Step]:
    """The steps of a history; nothing is said of a task or command before it was submitted, but that may be twice.

    A task that was cleared does not come again: ids are given out once.
    """
    chance = random.Random(seed)
    steps: list[Step] = []
    known: set[int] = set()
    cleared: set[int] = set()
    commands: set[tuple[int, int]] = set()
    while len(steps) < length:
        position = len(steps)
        task = chance.randrange(max(0, position // 6 - 10), position // 6 + 2)
        large = chance.random() < 0.01
        function = chance.choice([None, None, f"digest{task // 20}"])
        possible: list[Step] = [
            ("leased", (position,)),
            ("submit", (task, position, large, function)),
            ("submit", (task, position, large, function)),
            ("assign", (task, chance.randrange(1, 3), 0, chance.randrange(4))),
            ("assign", (task, chance.randrange(1, 3), 1, chance.randrange(4))),
            ("begin", (task, chance.randrange(1, 3), float(position))),
            ("wait", (task, position)),
            ("end", (task, chance.choice(["succeeded", "failed", "aborted"]), position, large)),
            ("end", (task, "succeeded", position, large)),
            ("clear", (task,)),
            ("engine", (chance.randrange(4), position)),
            ("gone", (chance.randrange(4),)),
            ("command", (task, chance.randrange(2), position)),
            ("answer", (task, chance.randrange(2), position)),
        ]
        kind, said = chance.choice(possible)
        if kind in ("assign", "begin", "wait", "end", "clear") and task not in known:
            continue
        if kind == "submit" and task in cleared:
            continue
        if kind == "answer" and said[:2] not in commands:
            continue
        if kind == "submit":
            known.add(task)
        elif kind == "clear":
            known.discard(task)
            cleared.add(task)
        elif kind == "command":
            commands.add(said[:2])
        steps.append((kind, said))
    return steps


def task_at(number: int, position: int, large: bool, function: str | None) -> StoredTask:
    body = b"%d" % position + bytes(FILE_LIMIT if large else 10)
    functions = [] if function is None else [function]
    return StoredTask(
        number, f"s{position % 3}", "", "f", float(position), {"at": position}, [body], functions
    )


def result_at(number: int, outcome: str, position: int, large: bool) -> StoredResult:
    record = {"engine": 1, "started": None, "completed": float(position)}
    return StoredResult(number, outcome, record, {"ok": True}, [bytes(FILE_LIMIT + 1 if large else 5)])


def play(store: Store, step: Step) -> None:
    """Put a step into a store."""
    kind, said = step
    if kind == "leased":
        store.leased(*said)
    elif kind == "submit":
        if said[3] is not None:
            store.function_kept(said[3], {}, [said[3].encode()])
        store.task_submitted(task_at(*said))
    elif kind == "assign":
        store.task_assigned(*said)
    elif kind == "begin":
        store.task_began(*said)
    elif kind == "wait":
        store.task_waits(said[0], {"at": said[1]})
    elif kind == "end":
        store.task_ended(said[0], result_at(*said))
    elif kind == "clear":
        store.tasks_cleared(said)
    elif kind == "engine":
        store.engine_registered(StoredEngine(said[0], "agent", said[1], {}))
    elif kind == "gone":
        store.engine_gone(*said)
    elif kind == "command":
        store.command_submitted(StoredCommand("s", said[0], said[1], "execute", "a=5", float(said[2]), {}))
    else:
        store.command_ended("s", said[0], said[1], StoredOutcome(True, None, float(said[2]), {}, [b"5"]))


@dataclass
class Model:
    """What a store must have."""

    next_id: int = 0
    live: dict[int, LiveTask] = field(default_factory=dict)
    ended: dict[int, tuple[StoredTask, StoredResult]] = field(default_factory=dict)
    engines: dict[int, StoredEngine] = field(default_factory=dict)
    commands: dict[tuple[int, int], tuple[StoredCommand, StoredOutcome | None]] = field(default_factory=dict)

    def play(self, step: Step) -> None:
        """What a step does."""
        kind, said = step
        live = self.live.get(said[0])
        if kind == "leased":
            self.next_id = said[0]
        elif kind == "submit":
            if live is None and said[0] not in self.ended:
                self.live[said[0]] = LiveTask(task_at(*said))
        elif kind == "clear":
            self.live.pop(said[0], None)
            self.ended.pop(said[0], None)
        elif kind == "engine":
            self.engines[said[0]] = StoredEngine(said[0], "agent", said[1], {})
        elif kind == "gone":
            self.engines.pop(said[0], None)
        elif kind == "command":
            command = StoredCommand("s", said[0], said[1], "execute", "a=5", float(said[2]), {})
            self.commands.setdefault(said[:2], (command, None))
        elif kind == "answer":
            command, outcome = self.commands.get(said[:2], (None, None))
            if command is not None and outcome is None:
                self.commands[said[:2]] = (command, StoredOutcome(True, None, float(said[2]), {}, [b"5"]))
        elif live is not None:
            self._change(live, kind, said)

    def _change(self, live: LiveTask, kind: str, said: tuple[Any, ...]) -> None:
        task = live.task.id
        if kind == "assign":
            state = {"attempt": said[1], "step": said[2], "engine": said[3], "began": None}
            self.live[task] = replace(live, state="assigned", **state)
        elif kind == "begin" and live.state == "assigned" and live.attempt == said[1]:
            self.live[task] = replace(live, began=said[2])
        elif kind == "wait":
            self.live[task] = replace(
                live, state="waiting", engine=None, began=None, progress={"at": said[1]}
            )
        elif kind == "end":
            del self.live[task]
            self.ended[task] = (live.task, result_at(*said))

    def snapshot(self) -> Snapshot:
        """What a store must say when it is opened, but for functions."""
        ended = sorted((result.record["completed"], number) for number, (_, result) in self.ended.items())
        waiting = [command for command, outcome in self.commands.values() if outcome is None]
        return Snapshot(
            next_id=self.next_id,
            live=[self.live[number] for number in sorted(self.live)],
            engines=[self.engines[number] for number in sorted(self.engines)],
            ended=[(number, self.ended[number][1].outcome) for _, number in ended],
            commands=sorted(waiting, key=lambda command: (command.submitted, command.number, command.engine)),
            damaged=[],
        )

    def digests(self) -> set[str]:
        """The functions that must be there."""
        tasks = [live.task for live in self.live.values()] + [task for task, _ in self.ended.values()]
        return {digest for task in tasks for digest in task.functions}


async def _main(path: str, seed: str, first: str) -> None:
    from twisted.internet import reactor

    from ipython1.kernel.store.durable import DurableStore
    from ipython1.kernel.store.sqlite import SqliteDatabase
    from ipython1.kernel.store.tests.stores import FOR_EVER, turn

    store = DurableStore(SqliteDatabase(Path(path)), reactor, FOR_EVER)
    await store.open()
    chance = random.Random(first)
    for position, step in list(enumerate(history(int(seed)), 1))[int(first) :]:
        print("put", position, flush=True)
        play(store, step)
        if chance.random() < 0.2:
            settled = store.settled()
            settled.addCallback(lambda none, position=position: print("settled", position, flush=True))
            for _ in range(chance.randrange(4)):
                await turn()
    await store.settled()
    print("all", flush=True)
    await store.close()


if __name__ == "__main__":
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    react(lambda reactor: Deferred.fromCoroutine(_main(*sys.argv[1:])))
