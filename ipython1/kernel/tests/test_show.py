"""What is shown of results: excerpts, labels, groups, rich forms where they can be seen."""

from __future__ import annotations

import io
import sys
from typing import Any

import IPython.display
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import results, show
from ipython1.kernel.excerpt import HEAD, TAIL, WIDTH, excerpt, tame
from ipython1.kernel.results import ResultList
from ipython1.kernel.tests.test_results import result

TABLE = {"data": {"text/plain": "a table", "text/html": "<table/>"}, "metadata": {}}


class ExcerptTests(SynchronousTestCase):
    def test_short(self) -> None:
        """What is short is left as it is, with its last line's end or without."""
        for text in ("", "a", "a\n", "\n\n", "a\nb", "x\n" * (HEAD + TAIL)):
            self.assertEqual(excerpt(text), text)

    def test_flood(self) -> None:
        """Of a million lines there are the first, the last, and how many are between."""
        lines = excerpt("".join(f"{number}\n" for number in range(10**6))).splitlines()
        self.assertEqual(lines[: HEAD + 1], [*map(str, range(HEAD)), f"[... {10**6 - HEAD - TAIL:,} lines left out ...]"])
        self.assertEqual(lines[HEAD + 1 :], [*map(str, range(10**6 - TAIL, 10**6))])

    def test_long_line(self) -> None:
        """A line without an end is cut in its middle."""
        text = excerpt("a" * 10**7 + "\nb\n")
        self.assertLess(len(text), WIDTH + 100)
        self.assertEqual(text.strip("a\nb"), "[... 9,990,000 characters left out ...]")
        self.assertTrue(text.endswith("a\nb\n"))

    def test_tame(self) -> None:
        """Orders to a terminal are shown, not obeyed; colours, tabs and carriage returns pass."""
        self.assertEqual(tame("\x1b[31mred\x1b[0m\t\r\n"), "\x1b[31mred\x1b[0m\t\r\n")
        self.assertEqual(tame("\x1b[2J\x0e\x07\x9b1\x00"), "\\x1b[2J\\x0e\\x07\\x9b1\\x00")


class DisplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def shown(self, given: ResultList, *arguments: Any, **options: Any) -> list[str]:
        given.display_outputs(*arguments, **options)
        return self.out.getvalue().splitlines()

    def two(self) -> ResultList:
        more = {"display": {"pprint": "5", "repr": "5"}}
        return ResultList([result("a", 3, 0, "x\ny", "e\n", **more), result("a", 4, 1, "z\n", **more)])

    def test_engine(self) -> None:
        """One engine after the other, each line with its label."""
        self.assertEqual(
            self.shown(self.two()), ["[stdout:0] x", "[stdout:0] y", "Out[0:3]: 5", "[stdout:1] z", "Out[1:4]: 5"]
        )
        self.assertEqual(self.err.getvalue(), "[stderr:0] e\n")

    def test_groups(self) -> None:
        self.assertEqual(
            self.shown(self.two(), "type"),
            ["[stdout:0] x", "[stdout:0] y", "[stdout:1] z", "Out[0:3]: 5", "Out[1:4]: 5"],
        )
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(
            self.shown(self.two(), "order"),
            ["[stdout:0] x", "[stdout:0] y", "[stdout:1] z", "Out[1:4]: 5", "Out[0:3]: 5"],
        )
        problem = self.assertRaises(ValueError, self.two().display_outputs, "colour")
        self.assertEqual(str(problem), "outputs are grouped by 'engine', 'order', 'type', not by 'colour'")

    def test_not_again(self) -> None:
        """What was shown as it came is left out where that is wanted, and at the prompt where that was."""
        given = self.two()
        given[0].shown_at = 7
        self.assertEqual(self.shown(given, again=False), ["Out[0:3]: 5", "[stdout:1] z", "Out[1:4]: 5"])
        self.patch(results, "prompt_number", lambda: 7)
        from IPython.lib.pretty import pretty

        self.assertNotIn("x\n", pretty(given))
        self.assertIn("z\n", pretty(given))
        self.patch(results, "prompt_number", lambda: 8)
        self.assertIn("x\n", pretty(given))

    def test_terminal(self) -> None:
        """Rich output has its text form, once; a value of several lines begins on a line of its own."""
        given = result("d", 1, 2, "before\na table\nafter\n", mime=[TABLE, {"data": {"image/png": "i"}, "metadata": {}}])
        expected = ["[output:2] <image/png>", "[stdout:2] before", "[stdout:2] a table", "[stdout:2] after"]
        self.assertEqual(self.shown(ResultList([given])), expected)
        self.out.truncate(0)
        self.out.seek(0)
        value = result("d", 1, 2, mime=[{"data": {"text/plain": "a\nb"}, "metadata": {}}], out=0)
        self.assertEqual(self.shown(ResultList([value])), ["Out[2:1]:", "a", "b"])

    def test_notebook(self) -> None:
        """Rich forms take the place of their text, in order; they come after what is printed if that is nowhere."""
        self.patch(show, "in_notebook", lambda: True)
        self.patch(show, "paint", lambda colour, text: text)
        self.patch(IPython.display, "publish_display_data", lambda data, metadata: print(f"<{data}>"))
        last = {"data": {"text/plain": "5", "text/html": "<b>5</b>"}, "metadata": {}}
        given = result("d", 1, 2, "before\na table\nafter\n", mime=[TABLE, last], out=1)
        self.assertEqual(
            self.shown(ResultList([given])),
            [
                "[stdout:2] before",
                "[output:2]",
                "<{'text/plain': 'a table', 'text/html': '<table/>'}>",
                "[stdout:2] after",
                "Out[2:1]:",
                "<{'text/plain': '5', 'text/html': '<b>5</b>'}>",
            ],
        )

    def test_html(self) -> None:
        """A list that is the value of a cell has its rich forms below its text; without such it has no other form."""
        image = {"data": {"text/plain": "f", "image/png": b"png"}, "metadata": {}}
        self.assertIsNone(ResultList([result("<a>", 1, 2, "x\n")])._repr_html_())
        self.assertEqual(
            ResultList([result("<a>", 1, 2, mime=[TABLE, image], out=1)])._repr_html_(),
            "<pre>&lt;Results List&gt;\n[2] In [1]: &lt;a&gt;</pre><pre>[output:2]</pre><table/>"
            '<pre>Out[2:1]:</pre><img src="data:image/png;base64,cG5n">',
        )

    def test_stream_of_few_characters(self) -> None:
        """What a stream has no characters for is shown as escapes; a closed one takes nothing."""
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        show.put(stream, "gr\xfcn\n")
        self.assertEqual(raw.getvalue(), b"gr\\xfcn\n")
        stream.close()
        show.put(stream, "x")
