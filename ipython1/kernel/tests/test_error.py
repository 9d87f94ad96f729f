"""Errors of many engines, as they print."""

from __future__ import annotations

import pickle

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.error import CallInterrupted, CompositeError, ranges


def failed(*errors: tuple[int, BaseException], kind: type = CompositeError) -> BaseException:
    entries = []
    for engine, error in errors:
        error._ipython_engine_info = {"engineid": engine, "method": "execute", "args": []}
        entries.append((type(error), error, None))
    made: BaseException = kind("failed", entries)
    return made


class CompositeTests(SynchronousTestCase):
    def test_few(self) -> None:
        """Up to four engines each have their line, as in the documents of 2008."""
        error = failed(*[(engine, ZeroDivisionError("by zero")) for engine in range(4)])
        self.assertEqual(
            str(error), "failed\n" + "\n".join(f"[{engine}:execute]: ZeroDivisionError: by zero" for engine in range(4))
        )

    def test_many(self) -> None:
        """Equal errors of five and more are told once, where the first of them is; others are not lost among them."""
        same = [(engine, ZeroDivisionError("by zero")) for engine in (0, 1, 2, 4, 5, 6, 9)]
        error = failed(same[0], (3, KeyError("k")), *same[1:], (7, ZeroDivisionError("by 0")))
        self.assertEqual(
            str(error),
            "failed\n[0-2,4-6,9:execute]: ZeroDivisionError: by zero\n[3:execute]: KeyError: 'k'\n"
            "[7:execute]: ZeroDivisionError: by 0",
        )
        self.assertEqual(len(error.elist), 9)
        five = failed(*[(engine, KeyError("k")) for engine in range(5)])
        self.assertEqual(str(five), "failed\n[0-4:execute]: KeyError: 'k'")

    def test_no_engine(self) -> None:
        """Errors that came from no engine are not told together."""
        entries = [(ValueError, ValueError("x"), None) for _ in range(6)]
        self.assertEqual(str(CompositeError("failed", entries)).count("[Engine Exception]ValueError: x"), 6)

    def test_no_text(self) -> None:
        self.assertEqual(str(failed((0, KeyboardInterrupt()))), "failed\n[0:execute]: KeyboardInterrupt")

    def test_ranges(self) -> None:
        self.assertEqual(ranges([3, 1, 2, 7, 2]), "1-3,7")
        self.assertEqual(ranges([]), "")
        self.assertEqual(ranges([0, None]), "0,None")

    def test_interrupted(self) -> None:
        """What Ctrl-C raises is no Exception, and has what a CompositeError has."""
        error = failed((0, KeyboardInterrupt()), kind=CallInterrupted)
        self.assertNotIsInstance(error, Exception)
        self.assertIsInstance(error, KeyboardInterrupt)
        self.assertRaises(KeyboardInterrupt, error.raise_exception)
        copy = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(copy), copy.message), (CallInterrupted, "failed"))
