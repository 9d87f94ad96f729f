"""The programs behind ``sh scripts/demo``, ``soak`` and ``bench_tasks``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

import ipython1
from ipython1.kernel.tests.program import Program, asynchronous, long

SCRIPTS = Path(ipython1.__file__).parent.parent / "scripts"
PROCESSES = Path("/proc")


class ScriptTests(TestCase):
    timeout = 300

    def setUp(self) -> None:
        if not SCRIPTS.exists():
            raise SkipTest("the scripts are not installed with the package; they are in the source tree")
        # The cluster's folder is made there, so that its processes can be told from all others.
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def start(self, name: str, *options: str) -> Program:
        environment = {"TMPDIR": str(self.folder)}
        return Program(self, sys.executable, str(SCRIPTS / name), *options, environment=environment)

    def processes(self) -> list[str]:
        """The ids of the processes that have to do with the folder; none where the system does not say."""
        mark = str(self.folder).encode()
        found = PROCESSES.iterdir() if PROCESSES.exists() else []
        return [path.name for path in found if path.name.isdigit() and mark in _environment(path)]

    def assert_nothing_left(self) -> None:
        self.assertEqual(os.listdir(self.folder), [])
        self.assertEqual(self.processes(), [])

    async def check_interrupted(self, signal: str, status: int) -> None:
        demo = self.start("demo.py")
        await demo.said(r"Out\[3\]: \[0, 1, 2, 3\]")
        if PROCESSES.exists():
            # This one, ipcluster, controller, agent, four interpreters.
            self.assertGreaterEqual(len(self.processes()), 8)
        demo.signal(signal)
        self.assertEqual(await demo.ended(), status, demo.output)
        self.assert_nothing_left()

    @asynchronous
    async def test_demo_interrupted(self) -> None:
        """Ctrl-C ends the demo, and nothing is left of it."""
        await self.check_interrupted("INT", 130)

    @long
    @asynchronous
    async def test_demo_terminated(self) -> None:
        """So does SIGTERM."""
        await self.check_interrupted("TERM", 143)

    @asynchronous
    async def test_soak(self) -> None:
        """A short soak finds the memory flat, and nothing is left of it."""
        soak = self.start("soak.py", "--executes", "200")
        self.assertEqual(await soak.ended(), 0, soak.output)
        self.assertIn("memory is flat", soak.output)
        self.assert_nothing_left()

    @long
    @asynchronous
    async def test_bench_tasks(self) -> None:
        """A short measurement of tasks prints its figures, and nothing is left of it."""
        bench = self.start("bench_tasks.py", "loop", "map", "imap", "--scale", "0.001")
        self.assertEqual(await bench.ended(), 0, bench.output)
        for said in (r"run and barrier: +\d+ tasks/s", r"map, chunksize=1: +\d+ items/s", r"imap: +1000: +\d+ items/s"):
            self.assertRegex(bench.output, said)
        self.assert_nothing_left()

    @asynchronous
    async def test_bench_tasks_wrong(self) -> None:
        """What cannot be measured is refused."""
        bench = self.start("bench_tasks.py", "nonsense")
        self.assertEqual(await bench.ended(), 2)
        self.assertIn("there is no part nonsense: loop, map, imap, makespan", bench.output)


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        # It has ended, or belongs to somebody else.
        return b""
