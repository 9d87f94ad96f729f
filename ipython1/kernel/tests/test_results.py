"""Results as they are printed, targets, labels, and the division of sequences."""

from __future__ import annotations

import sys

from IPython.lib.pretty import pretty
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import terminal
from ipython1.kernel.error import InvalidEngineID
from ipython1.kernel.label import LONGEST, label
from ipython1.kernel.mapping import Scatter, join, partition
from ipython1.kernel.results import Result, ResultList
from ipython1.kernel.targets import check_block, pick, wire_targets


def result(
    source: str, number: int = 1, engine: int = 0, stdout: str = "", stderr: str = "", **more: object
) -> Result:
    document = {"input": {"translated": source, "raw": source}, "number": number, **more}
    return Result(document, engine, stdout, stderr)


class ResultTests(SynchronousTestCase):
    def test_dict(self) -> None:
        """A result prints as in the 2008 documents: what is not there is no key, times are attributes."""
        printed = result("d=10; print(d)", 5, 3, stdout="10\n", started=1.0, completed=3.5)
        self.assertEqual(
            repr(printed),
            "{'input': {'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}, 'number': 5, 'id': 3,"
            " 'stdout': '10\\n'}",
        )
        self.assertEqual(printed.duration, 2.5)
        self.assertIsNone(result("a").duration)

    def test_all_keys(self) -> None:
        full = result("a", stdout="o", stderr="e", display={"pprint": "1", "repr": "1"}, traceback="text")
        self.assertEqual(list(full), ["input", "number", "id", "stdout", "stderr", "display", "traceback"])

    def test_list(self) -> None:
        """Prompts with input; output and errors only where there are any, then the value of an expression."""
        results = ResultList(
            [
                result("a=5"),
                result("print(c)", 4, 1, stdout="-5\n"),
                result("a", 5, 2, stdout="x", display={"pprint": "[1]", "repr": "[1]"}),
                result("w()", 6, 3, stderr="careful\n"),
            ]
        )
        self.assertEqual(
            repr(results),
            "<Results List>\n[0] In [1]: a=5\n[1] In [4]: print(c)\n[1] Out[4]: -5\n\n"
            "[2] In [5]: a\n[2] Out[5]: x\n[1]\n[3] In [6]: w()\n[3] Err[6]:\n careful\n",
        )
        self.assertEqual(repr(ResultList()), "<Results List>")

    def test_colours(self) -> None:
        """There are colours only where IPython shows a list at a terminal, and NO_COLOR is not set."""

        class Terminal:
            def isatty(self) -> bool:
                return True

        self.patch(terminal, "running_shell", lambda: None)  # one of another test, which has no colours
        results = ResultList([result("a=5", 2, 1)])
        self.assertNotIn("\x1b", pretty(results))
        self.patch(sys, "stdout", Terminal())
        self.patch(__import__("os"), "environ", {"TERM": "xterm"})
        self.assertEqual(pretty(results), "<Results List>\n\x1b[0;32m[1]\x1b[0m \x1b[0;34mIn [2]:\x1b[0m a=5")
        self.assertNotIn("\x1b", repr(results))
        self.patch(__import__("os"), "environ", {"TERM": "xterm", "NO_COLOR": "1"})
        self.assertNotIn("\x1b", pretty(results))


class TargetTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for given, wire in (
            ("all", "all"),
            (2, [2]),
            ([2, 0, 2], [2, 0, 2]),
            ((1,), [1]),
            ([], []),
            (slice(None, None, 2), {"slice": [None, None, 2]}),
        ):
            self.assertEqual(wire_targets(given), wire)

    def test_no_targets(self) -> None:
        """What cannot be targets is said with its value and what is allowed."""
        for given in (1.5, {0}, {0: 1}, None, slice("a", None), slice(0, 4, 0)):
            problem = self.assertRaises(ValueError, wire_targets, given)
            self.assertRegex(str(problem), "must be 'all', an engine id, a list or tuple|slice of targets")

    def test_no_engine(self) -> None:
        for given in ("al", -1, [0, 1.5], [None], 2**40):
            self.assertRaises(InvalidEngineID, wire_targets, given)

    def test_block(self) -> None:
        self.assertEqual([check_block(given) for given in (True, False, 1, 0)], [True, False, True, False])
        for given in (2, "True", None, []):
            self.assertIn(repr(given), str(self.assertRaises(ValueError, check_block, given)))

    def test_pick(self) -> None:
        self.assertEqual(pick([0, 2, 5], "all"), [0, 2, 5])
        self.assertEqual(pick([0, 2, 5], {"slice": [None, None, 2]}), [0, 5])
        self.assertEqual(pick([0, 2, 5], [7]), [7])


class LabelTests(SynchronousTestCase):
    def test_labels(self) -> None:
        class Fails:
            def __repr__(self) -> str:
                raise AssertionError

        self.assertEqual(label("execute", "a=5"), "execute('a=5')")
        self.assertEqual(
            label("push", {"x": 1, "y": Fails(), "z": [1] * 9}),
            "push({'x': 1, 'y': <Fails>, 'z': [1, 1, 1, 1, ...]})",
        )
        self.assertEqual(label("get_result", None), "get_result(None)")
        self.assertLessEqual(len(label("pull", tuple("a" * 40 for _ in range(9)))), LONGEST)


class MappingTests(SynchronousTestCase):
    def test_partition(self) -> None:
        """Parts keep the type of the sequence; a range gives lists."""
        self.assertEqual(partition(list(range(10)), 3), [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]])
        self.assertEqual(partition("abc", 4), ["a", "b", "c", ""])
        self.assertEqual(partition((1, 2), 2), [(1,), (2,)])
        self.assertEqual(partition(range(3), 2), [[0, 1], [2]])
        self.assertEqual(partition(iter([1, 2]), 1), [[1, 2]])
        for given in ({1: 2}, {1, 2}, 5):
            self.assertRaises(TypeError, partition, given, 2)

    def test_flatten(self) -> None:
        """Parts of exactly one item become that item; the others stay sequences."""
        self.assertEqual(Scatter(range(3), True).parts(2), [[0, 1], 2])
        self.assertEqual(Scatter(range(1), flatten=True).parts(2), [0, []])
        self.assertEqual(Scatter(range(2)).parts(2), [[0], [1]])

    def test_join(self) -> None:
        self.assertEqual(join([[1], [2, 3], []]), [1, 2, 3])
        self.assertEqual(join([(1,), (2,)]), [1, 2])
        self.assertEqual(join(["a", "b"]), ["a", "b"])
        self.assertEqual(join([1, [2]]), [1, [2]])
        self.assertRaises(TypeError, join, [[1], 2])
        self.assertIn("no engines", str(self.assertRaises(IndexError, join, [])))

    def test_arrays(self) -> None:
        try:
            import numpy
        except ImportError:
            self.skipTest("numpy is not installed")
        array = numpy.arange(10).reshape(5, 2)
        joined = join(partition(array, 3))
        self.assertEqual(joined.tolist(), array.tolist())
