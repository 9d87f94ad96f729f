"""What engines print, shown while they do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.excerpt import HEAD, TAIL
from ipython1.kernel.live import BYTES, LAST, SECONDS, SKIP, Screen, Shown


class ScreenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.screen = Screen(lambda kind, text: self.written.append((kind, text)))

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.written)

    def test_lines(self) -> None:
        """Each line begins with its label, also one that comes in pieces."""
        for text in ("a", "b\nc\n", "d"):
            self.screen.put("stdout", 0, text)
        self.assertEqual(self.text, "[stdout:0] ab\n[stdout:0] c\n[stdout:0] d")

    def test_nothing(self) -> None:
        """Where another stream has nothing, it does not break a line that comes in pieces."""
        for kind, text in (("stdout", "."), ("stderr", ""), ("stdout", ".")):
            self.screen.put(kind, 0, text)
        self.assertEqual(self.text, "[stdout:0] ..")

    def test_engines(self) -> None:
        """A line is not broken by that of another engine or stream: it is ended, and goes on in one of its own."""
        self.screen.put("stdout", 0, "a")
        self.screen.put("stdout", 1, "b\n")
        self.screen.put("stderr", 0, "e")
        self.screen.put("stdout", 0, "c")
        self.screen.end_line()
        self.assertEqual(self.text, "[stdout:0] a\n[stdout:1] b\n[stderr:0] e\n[stdout:0] c\n")
        self.assertEqual(
            [kind for kind, text in self.written], ["stdout", "stdout", "stdout", "stderr", "stderr", "stdout", "stdout"]
        )

    def test_lines_that_begin_anew(self) -> None:
        """Bars of progress go on in their line; the ends of lines may be those of Windows."""
        for text in ("1%\r", "2%\r", "3%\n", "a\r\nb\n"):
            self.screen.put("stdout", 0, text)
        mark = "[stdout:0] "
        self.assertEqual(self.text, f"{mark}1%\r{mark}2%\r{mark}3%\n{mark}a\r\n{mark}b\n")


class ShownTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = ""
        self.shown = Shown(Screen(self.write), "stdout", 3)

    def write(self, kind: str, text: str) -> None:
        self.text += text

    @property
    def lines(self) -> list[str]:
        return [line.removeprefix("[stdout:3] ") for line in self.text.splitlines()]

    def test_pieces(self) -> None:
        """What comes is shown, and the rest with the outcome: nothing twice."""
        self.shown.came(b"one\ntw", 6, 0.0)
        self.assertEqual(self.shown.offset, 6)
        self.shown.came(b"o\n", 8, 0.1)
        self.shown.ended(b"one\ntwo\nthree\n", 0.2)
        self.assertEqual(self.lines, ["one", "two", "three"])
        self.shown.ended(b"one\ntwo\nthree\n", 0.3)
        self.assertEqual(len(self.lines), 3)

    def test_broken_text(self) -> None:
        """A character, or a colour, that comes in two pieces is one; what is no text is shown as such."""
        for data in (b"\xc3", b"\xa4 \x1b[3", b"1mred\x1b[0m", b"\xff\x00\x1b[2J\n"):
            self.shown.came(data, 0, 0.0)
        self.assertEqual(self.lines, ["\xe4 \x1b[31mred\x1b[0m\ufffd\\x00\\x1b[2J"])

    def test_outcome_without_output(self) -> None:
        """An outcome that does not say what was printed, as the engine was lost, does no harm."""
        self.shown.came(b"one\n", 4, 0.0)
        self.shown.ended(b"", 0.1)
        self.assertEqual(self.lines, ["one"])

    def test_flood(self) -> None:
        """Of a million lines the first are shown, how many were left out, and the last."""
        whole = b"".join(b"%d\n" % number for number in range(10**6))
        now = 0.0
        while self.shown.offset < len(whole):
            offset = self.shown.offset
            self.shown.came(whole[offset : offset + 32768], len(whole), now)
            now += 0.001
        self.shown.ended(whole, now)
        self.assertEqual(self.lines[:HEAD], [*map(str, range(HEAD))])
        self.assertEqual(self.lines[HEAD:], [f"[... {10**6 - HEAD - TAIL:,} lines left out ...]", *map(str, range(10**6 - TAIL, 10**6))])

    def test_goes_on_after_a_flood(self) -> None:
        """When it can be read again it is shown again, from a whole line on."""
        flood = b"flood\n" * 10**5
        self.shown.came(flood[:32768], len(flood), 0.0)
        self.assertEqual(len(self.lines), HEAD)
        self.assertEqual(self.shown.offset, len(flood) - SKIP)
        whole = flood + b"after\n"
        self.shown.came(whole[self.shown.offset :], len(whole), 1.0)
        self.assertRegex(self.lines[HEAD], r"^\[\.\.\. 589,\d+ bytes left out \.\.\.\]$")
        self.shown.came(b"more\n", len(whole) + 5, 0.1 + SECONDS)
        self.assertEqual(self.lines[-1], "more")
        self.assertIn("flood", self.lines[HEAD + 1])

    def test_endless_line(self) -> None:
        """A flood without an end of a line is bounded, too."""
        whole = b"x" * 10**7
        self.shown.came(whole[:32768], len(whole), 0.0)
        self.shown.ended(whole, 0.0)
        self.assertLess(len(self.text), BYTES + LAST + 200)
        self.assertIn("bytes left out", self.text)

    @given(st.lists(st.binary(max_size=50)), st.binary(max_size=50))
    def test_all_is_shown(self, pieces: list[bytes], rest: bytes) -> None:
        """Whatever comes in whatever pieces, what is shown is the text."""
        self.setUp()
        shown = Shown(Screen(self.write), "stdout", 3)
        whole = b""
        for piece in pieces:
            whole += piece
            shown.came(piece, len(whole), 0.0)
        shown.ended(whole + rest, 0.0)
        wanted = "".join(char for char in (whole + rest).decode("utf-8", "replace") if char.isprintable())
        came = "".join(char for char in self.text.replace("[stdout:3] ", "") if char.isprintable())
        if "\\x" not in came and "[stdout" not in wanted:
            self.assertEqual(came, wanted)
