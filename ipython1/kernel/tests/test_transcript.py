"""The runner of transcripts itself."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.kernel.tests import transcript

PAGE = """
A page
======

Plain text, then a transcript::

    # a remark
    In [1]: x = 5

    In [2]: for i in range(2):
       ...:     print(i)
       ...:
    0
    1

    # another remark
    In [7]: x
    Out[7]: 5

* an item::

      $ no transcript
"""

SESSION = """
In [3]: 6 * 7
Out[3]: 42

In [4]: [i for i in range(100)]
Out[4]:
[0,
 1,
 ...
 99]

In [9]: import sys; print('out'); print('err', file=sys.stderr)
out
err

In [10]: !echo from a child
from a child

In [11]: object()
Out[11]: <object at 0x17af8f0>

In [12]: print('before'); 1/0
before
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)

/some/where/<ipython console> in <module>()

ZeroDivisionError: division by zero

In [13]: %debug
...
ipdb> print(3 * 3)
9
ipdb> q

In [14]: Out[3], In[3]
Out[14]: (42, '6 * 7')
"""


class ParseTests(SynchronousTestCase):
    def test_blocks_of_a_page(self) -> None:
        """Blocks that hold prompts are found, others are not."""
        (block,) = transcript.blocks(PAGE)
        self.assertTrue(block.startswith("# a remark\nIn [1]: x = 5"))
        self.assertTrue(block.endswith("Out[7]: 5"))

    def test_cells(self) -> None:
        """A cell has its number, its whole input, and its output without remarks and empty lines."""
        (block,) = transcript.blocks(PAGE)
        self.assertEqual(
            [(cell.number, cell.source, cell.expected) for cell in transcript.parse(block)],
            [(1, "x = 5", ""), (2, "for i in range(2):\n    print(i)", "0\n1"), (7, "x", "Out[7]: 5")],
        )

    def test_typed_answers(self) -> None:
        """What stands after the debugger's prompt is what is typed there."""
        cells = {cell.number: cell for cell in transcript.parse(SESSION)}
        self.assertEqual(cells[13].typed, ["print(3 * 3)", "q"])


class RunTests(TestCase):
    def test_a_true_transcript(self) -> Deferred[None]:
        """A transcript that shows what IPython prints has no differences."""

        async def check() -> None:
            outcomes = await transcript.run(self, transcript.parse(SESSION))
            self.assertEqual(transcript.differences(outcomes), [])

        return Deferred.fromCoroutine(check())

    def _differing(self, text: str) -> Coroutine[Any, Any, list[int]]:
        async def numbers() -> list[int]:
            outcomes = await transcript.run(self, transcript.parse(text))
            return [outcome.cell.number for outcome in outcomes if transcript.differences([outcome])]

        return numbers()

    def test_untrue_transcripts(self) -> Deferred[None]:
        """Other values, missing and additional output, and other exceptions are all reported."""
        text = (
            "In [1]: 6 * 7\nOut[1]: 43\n"
            "In [2]: print('x')\n"
            "In [3]: x = 1\n1\n"
            "In [4]: 1/0\n-----\nNameError    Traceback (most recent call last)\nNameError: x\n"
            "In [5]: 1/0\n"
            "In [6]: x\n-----\nNameError    Traceback (most recent call last)\nNameError: x\n"
        )

        async def check() -> None:
            self.assertEqual(await self._differing(text), [1, 2, 3, 4, 5, 6])

        return Deferred.fromCoroutine(check())

    def test_ipython_that_ends(self) -> Deferred[None]:
        """If IPython ends in the middle, that is an error that tells where."""

        async def check() -> None:
            await transcript.run(self, transcript.parse("In [1]: 1\nIn [2]: import os; os._exit(0)\n"))

        return self.assertFailure(Deferred.fromCoroutine(check()), AssertionError).addCallback(
            lambda problem: self.assertIn("ended at In [2]", str(problem))
        )
