"""The chaos harness on a real cluster: a short run finds nothing wrong, and finds what is put in to be found."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program, asynchronous, long

PROCESSES = Path("/proc")
SHORT = ("--minutes", "0.3", "--gap", "1", "--longest", "2", "--tasks", "600")


class ChaosTestCase(TestCase):
    timeout = 600

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def start(self, *options: str) -> Program:
        """The command, which makes its own folder in that of the test."""
        command = ("ipython1.kernel.tests.chaos", *options)
        return Program(self, sys.executable, "-m", *command, environment={"TMPDIR": str(self.folder)})

    async def all_gone(self) -> None:
        """No process is left of the run.  Those that were killed are looked for until the system has let them go."""
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            await deferToThread(time.sleep, 0.05)
        self.assertEqual(left, [])

    async def right(self, *options: str) -> dict[str, Any]:
        """The numbers of a run in which all was right; nothing is left of it."""
        harness = self.start("--json", *options)
        self.assertEqual(await harness.ended(), 0, harness.output)
        self.assertEqual(os.listdir(self.folder), [])
        await self.all_gone()
        numbers: dict[str, Any] = _numbers(harness)
        return numbers

    async def wrong(self, kinds: tuple[str, ...], *options: str) -> None:
        """A run in which something of these kinds is found."""
        harness = self.start("--json", *SHORT, *options)
        self.assertEqual(await harness.ended(), 1, harness.output)
        numbers = _numbers(harness)
        self.assertTrue(any(numbers[kind] for kind in kinds), harness.output[:5000])
        self.assertIn(f"seed {numbers['seed']}; the logs are in {self.folder}", harness.output)
        await self.all_gone()

    def processes(self) -> list[str]:
        """The ids of the processes that have to do with the folder; none where the system does not say."""
        mark = f"IPYTHONDIR={self.folder}".encode()
        found = PROCESSES.iterdir() if PROCESSES.exists() else []
        return [path.name for path in found if path.name.isdigit() and mark in _environment(path)]


class RunTests(ChaosTestCase):
    @long
    @asynchronous
    async def test_short(self) -> None:
        """Faults of all kinds, for some seconds: nothing is lost, doubled, wrong, out of order, or hangs."""
        numbers = await self.right("--seed", "4", *SHORT)
        self.assertGreater(numbers["confirmed"], 20, numbers)
        self.assertGreater(numbers["faults"], 3, numbers)

    @long
    @asynchronous
    async def test_long(self) -> None:
        """The same for minutes."""
        numbers = await self.right("--seed", "5", "--minutes", "3", "--tasks", "3000", "--gap", "1.5")
        self.assertGreater(numbers["confirmed"], 1000, numbers)
        self.assertGreater(numbers["faults by kind"]["kill-controller"], 3, numbers)

    @long
    @asynchronous
    async def test_interrupted(self) -> None:
        """Ctrl-C ends all that belongs to a run, also what is stopped at that moment."""
        harness = self.start(
            "--seed", "6", "--minutes", "5", "--gap", "0.3", "--faults", "stop-agent,stop-interpreter"
        )
        await harness.said("load begins")
        harness.signal("INT")
        self.assertEqual(await harness.ended(), 130, harness.output)
        await self.all_gone()


@long
class BrokenTests(ChaosTestCase):
    """Each with the faults that make it show; without what is put in, the same runs find nothing."""

    @asynchronous
    async def test_drop_ack(self) -> None:
        """Messages that are acknowledged and dropped."""
        await self.wrong(
            ("lost",), "--seed", "1", "--faults", "none", "--deadline", "8", "--break", "drop-ack"
        )

    @asynchronous
    async def test_skip_commit(self) -> None:
        """Commits that are left out, and reported as done."""
        faults = ("--faults", "kill-controller", "--deadline", "20")
        await self.wrong(
            ("lost", "duplicated", "wrong"),
            "--seed",
            "1",
            "--minutes",
            "0.5",
            *faults,
            "--break",
            "skip-commit",
        )

    @asynchronous
    async def test_forget_repeat(self) -> None:
        """Messages and commands that come again, and are taken for new."""
        faults = (
            "--faults",
            "cut-agent,cut-client,cut-all,kill-controller",
            "--gap",
            "0.6",
            "--deadline",
            "40",
        )
        await self.wrong(
            ("lost", "duplicated", "wrong", "out of order"),
            "--seed",
            "1",
            *faults,
            "--break",
            "forget-repeat",
        )


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it has ended, or belongs to somebody else
        return b""


def _numbers(harness: Program) -> Any:
    """What it printed; its other lines are for people."""
    return json.loads(next(line for line in harness.output.splitlines() if line.startswith("{")))
