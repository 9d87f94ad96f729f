"""Every program in docs/examples/kernel runs, and says what it is to say."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SkipTest, TestCase

from ipython1.kernel.tests.program import Program, RealCluster, asynchronous, long
from ipython1.kernel.tests.test_documents import TOP

EXAMPLES = TOP / "docs" / "examples" / "kernel"
SAYS = {
    "task_farm.py": ([], r"squares: \[0, 1, 4, .*, 1521\]"),
    "taskmap.py": ([], r"Endless: \[0, 1, 4, 9, 16, 25, 36, 49, 64, 81\]"),
    "taskreject.py": ([], "with the licence: True"),
    "taskrecovery.py": ([], "lost twice\nFailed: division by zero\nStopped: TaskTimeout"),
    "task_dag.py": (
        [],
        r"most frequent: the\n40 tasks, \d+ edges, on engines \[0, 1\]\nin order: True\nnot run: .*, whose result it"
        " takes, failed",
    ),
    "mcpricer.py": (["500"], r"Call less put: \d+\.\d"),
    "task_profiler.py": (
        ["-n", "20", "-t", "0.01", "-T", "0.05"],
        r"20 tasks, 0 failed, on 2 engines\nslept",
    ),
}
"""For each program its arguments, and what is in its output."""
OWN = {"owncluster.py", "owncluster_async.py"}
"""Those that start a cluster."""


class ExampleTests(TestCase):
    timeout = 300

    def setUp(self) -> None:
        if not EXAMPLES.exists():
            raise SkipTest("the examples are not installed with the package; they are in the source tree")

    @asynchronous
    async def test_tasks(self) -> None:
        """The programs that use tasks, one after the other on one cluster."""
        cluster = RealCluster(self, engines=2)
        await cluster.ready()
        for name, (arguments, says) in SAYS.items():
            program = Program(
                self, sys.executable, str(EXAMPLES / name), *arguments, environment=cluster.environment
            )
            status = await program.ended()
            self.assertEqual(status, 0, f"{name}: {program.output}")
            self.assertRegex(program.output, says, name)

    @long
    @asynchronous
    async def test_counters(self) -> None:
        """The program that has an interface of its own, on a cluster that publishes it."""
        cluster = RealCluster(self, 2, ["--interface-class", "counters.Counters"], EXAMPLES)
        await cluster.ready()
        program = Program(self, sys.executable, str(EXAMPLES / "counters.py"), environment=cluster.environment)
        self.assertEqual(await program.ended(), 0, program.output)
        self.assertIn("engines: 2\nadded: 1 5\ndoubled: 10\non all engines: 6", program.output)

    @long
    @asynchronous
    async def test_own_clusters(self) -> None:
        """The programs that start clusters of their own."""
        folder = self.mktemp()
        for name in OWN:
            program = Program(self, sys.executable, str(EXAMPLES / name), environment={"IPYTHONDIR": folder})
            self.assertEqual(await program.ended(), 0, f"{name}: {program.output}")
            self.assertEqual(program.output, "Sum of squares: 1240\n", name)

    def test_complete(self) -> None:
        """There is no program that is not run."""
        self.assertEqual({path.name for path in EXAMPLES.glob("*.py")} - SAYS.keys() - OWN, {"counters.py"})
