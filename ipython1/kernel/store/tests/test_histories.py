"""Whatever happens: what is in a store is what a simple model says, and no confirmed step is lost, after kill -9 neither."""

from __future__ import annotations

import os
import random
import re
import sys
from dataclasses import replace

from ipython1.kernel.store.durable import DurableStore
from ipython1.kernel.store.tests.histories import LENGTH, Model, history, play
from ipython1.kernel.store.tests.stores import StoreCase, turn
from ipython1.kernel.store.values import Snapshot
from ipython1.kernel.tests.program import Program, asynchronous

MANY = bool(os.environ.get("IPYTHON1_TEST_ALL"))


class HistoryTests(StoreCase):
    timeout = 300

    async def check(self, store: DurableStore, snapshot: Snapshot, model: Model) -> None:
        """The store has what the model says, results and outcomes included."""
        self.assertLessEqual(model.digests(), set(snapshot.functions))
        self.assertEqual(replace(snapshot, functions={}), model.snapshot())
        for number, (task, result) in model.ended.items():
            self.assertEqual((await store.task(number), await store.result(number)), (task, result))
        outcomes = await store.command_outcomes("s", sorted({number for number, _ in model.commands}))
        self.assertEqual(outcomes, {key: (command.document, outcome) for key, (command, outcome) in model.commands.items()})

    @asynchronous
    async def test_closed(self) -> None:
        """Histories in which the store is closed and opened again now and then."""
        for seed in range(40 if MANY else 4):
            self.path = self.path.with_name(f"{seed}.sqlite")
            chance = random.Random(seed)
            model = Model()
            store, _ = await self.opened()
            for step in history(seed, 300):
                play(store, step)
                model.play(step)
                if chance.random() < 0.1:
                    await turn()
                if chance.random() < 0.03:
                    await store.settled()
                if chance.random() < 0.01:
                    store, snapshot = await self.again(store)
                    await self.check(store, snapshot, model)
            store, snapshot = await self.again(store)
            await self.check(store, snapshot, model)
            await store.close()

    @asynchronous
    async def test_killed(self) -> None:
        """Histories of programs that are killed: what is there then is what was put up to some step, and that is no
        earlier one than the last that was settled."""
        for seed in range(5 if MANY else 1):
            self.path = self.path.with_name(f"{seed}.sqlite")
            steps = history(seed)
            model, position = Model(), 0
            chance = random.Random(seed)
            while position < LENGTH:
                output = await self.killed_after(seed, position, chance.randrange(50 if MANY else 250, 400))
                put, settled = (self.last(word, output, position) for word in ("put", "settled"))
                if "all" in output:
                    settled = LENGTH
                store, snapshot = await self.opened()
                while position < settled:
                    model.play(steps[position])
                    position += 1
                seen = replace(snapshot, functions={})
                while model.snapshot() != seen:
                    self.assertLess(
                        position, put, f"seed {seed}: after {settled} of {put} steps were settled"
                    )
                    model.play(steps[position])
                    position += 1
                await self.check(store, snapshot, model)
                await store.close()

    def last(self, word: str, output: str, position: int) -> int:
        """The last number that was written behind that word."""
        return max([position, *map(int, re.findall(rf"^{word} (\d+)$", output, re.MULTILINE))])

    async def killed_after(self, seed: int, position: int, count: int) -> str:
        """What the program writes until it is killed, some steps later."""
        module = "ipython1.kernel.store.tests.histories"
        command = [sys.executable, "-m", module, str(self.path), str(seed), str(position)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        program = Program(self, *command)
        # The last steps are waited for: what is killed while it settles them comes no further, nor does the next one.
        last = position + count
        await program.said(rf"put {last}\n" if last < LENGTH else r"all\n")
        program.signal("KILL")
        await program.ended()
        return program.output
