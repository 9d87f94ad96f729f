"""What engines print, shown while they do: pieces of text in, labelled lines out, and of a flood no more than can be read.

Plain state: who shows asks for what comes after an `offset`, and says what came.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Callable

from ipython1.kernel.excerpt import HEAD, TAIL, left_out, tame
from ipython1.kernel.show import label, put

BYTES = 100 * HEAD
"""So many bytes are shown at once, and `HEAD` lines, before something is left out."""
SECONDS = 10.0
"""In that time as much may be shown again."""
ENOUGH = 100
"""What was left out goes on when so many lines can be shown."""
SKIP = 4 << 10
"""Bytes before the end from which it goes on."""
LAST = 16 << 10
"""So many bytes of the end are shown at most."""

# Where a line ends, or is begun anew.
_PARTS = re.compile(r"[^\r\n]*(?:\r?\n|\r|$)")
_UNFINISHED = re.compile("\x1b(?:\\[[0-9;:]{0,20})?$")


class Budget:
    """How much may be shown: much at once, and less as it goes on."""

    def __init__(self) -> None:
        self._lines = float(HEAD)
        self._bytes = float(BYTES)
        self._since = 0.0

    def fit(self, data: bytes, now: float) -> int:
        """How many bytes of `data` may be shown now; whole lines, if it is not all."""
        self._refill(now)
        fitting = self._cut(data)
        self._lines -= data.count(b"\n", 0, fitting)
        self._bytes -= fitting
        return fitting

    def _refill(self, now: float) -> None:
        share = max(0.0, now - self._since) / SECONDS
        self._since = now
        self._lines = min(HEAD, self._lines + share * HEAD)
        self._bytes = min(BYTES, self._bytes + share * BYTES)

    def _cut(self, data: bytes) -> int:
        end = min(len(data), int(self._bytes))
        at = 0
        for _ in range(int(self._lines) if data.count(b"\n", 0, end) > self._lines else 0):
            at = data.find(b"\n", at) + 1
        end = at or (end if self._lines >= 1 else 0)
        return end if end == len(data) else data.rfind(b"\n", 0, end) + 1 or end

    def is_low(self, now: float) -> bool:
        """Whether there is hardly anything left."""
        self._refill(now)
        return self._lines < ENOUGH or self._bytes < SKIP


class Screen:
    """Where lines of several engines meet: each begins with a label, and none is broken by another one's."""

    def __init__(self, show: Callable[[str, str], None] | None = None) -> None:
        self._write = show or write
        self.budget = Budget()
        # Whose line it is at the moment, and whether its next text begins anew there.
        self._line: tuple[str, int] | None = None
        self._begins = True

    def put(self, kind: str, engine: int, text: str) -> None:
        """Show what an engine has printed to the stream `kind`."""
        if not text:
            return  # which does not end another one's line
        if self._line != (kind, engine):
            self.end_line()
        shown: list[str] = []
        for part in _PARTS.findall(text):
            if part:
                shown += [label(kind, engine) if self._begins else "", part]
                self._begins = part[-1] in "\r\n"
                self._line = None if part[-1] == "\n" else (kind, engine)
        if shown:
            self._write(kind, "".join(shown))

    def note(self, kind: str, engine: int, text: str) -> None:
        """Show a line of ours between an engine's."""
        self.end_line()
        self.put(kind, engine, f"{text}\n")

    def end_line(self) -> None:
        """What comes next is another's."""
        if self._line is not None:
            self._write(self._line[0], "\n")
        self._line = None
        self._begins = True


def write(kind: str, text: str) -> None:
    """Write text to the stream of that name, if there is one."""
    stream = getattr(sys, kind)
    if stream is not None:
        put(stream, text)


class Shown:
    """What of one stream of a command, at one engine, has been shown; what comes is wanted from `offset` on."""

    def __init__(self, screen: Screen, kind: str, engine: int) -> None:
        self.offset = 0
        self.screen = screen
        self._kind = kind
        self._engine = engine
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        # Where what was left out begins.
        self._gap: int | None = None
        # Whether a line begins at the offset, as far as is known.
        self._whole = True

    def came(self, data: bytes, size: int, now: float) -> None:
        """It goes on with `data`; in all, `size` bytes have been written."""
        start = self.offset
        self.offset += len(data)
        if self._gap is not None:
            if self.screen.budget.is_low(now):
                self._skip(data, size)
                return
            broken = 0 if self._whole else data.find(b"\n") + 1
            start, data = start + broken, data[broken:]
            self.screen.note(self._kind, self._engine, left_out(start - self._gap, "bytes"))
            self._gap = None
        fitting = self.screen.budget.fit(data, now)
        self._show(data[:fitting])
        if fitting < len(data):
            self._gap = start + fitting
            self._skip(data, size)

    def _skip(self, data: bytes, size: int) -> None:
        """Go on near the end."""
        self._whole = data.endswith(b"\n") and self.offset >= size - SKIP
        self.offset = max(self.offset, size - SKIP)

    def ended(self, whole: bytes, now: float) -> None:
        """The command is over, and has written `whole`."""
        if self._gap is None:
            rest = whole[self.offset :]
            fitting = self.screen.budget.fit(rest, now)
            self._show(rest[:fitting])
            if fitting < len(rest):
                self._gap = self.offset + fitting
        if self._gap is not None and self._gap < len(whole):
            self._show_end(whole, self._gap)
        self.offset = max(self.offset, len(whole))
        self._gap = None
        self._show(b"", final=True)

    def _show_end(self, whole: bytes, gap: int) -> None:
        at = len(whole) - whole.endswith(b"\n")
        for _ in range(TAIL):
            at = whole.rfind(b"\n", gap, at)
            if at < 0:
                break
        at = max(at + 1, gap, len(whole) - LAST)
        lines = whole.count(b"\n", gap, at)
        if at > gap:
            self.screen.note(
                self._kind, self._engine, left_out(lines or at - gap, "lines" if lines else "bytes")
            )
        self._show(whole[at:])

    def _show(self, data: bytes, final: bool = False) -> None:
        text = self._held + self._decoder.decode(data, final)
        # A colour may come in two pieces.
        unfinished = None if final else _UNFINISHED.search(text)
        self._held = unfinished[0] if unfinished else ""
        self.screen.put(self._kind, self._engine, tame(text.removesuffix(self._held)))
