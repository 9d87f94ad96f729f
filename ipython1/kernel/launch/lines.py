"""Bytes that come in pieces, as lines of text."""

from __future__ import annotations

LONGEST = 1 << 16
"""Bytes after which a line is cut: something may write without ever ending a line."""


class Lines:
    """Cuts what one pipe brings into lines, without their ends; bytes that are no UTF-8 are replaced."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            lines.append(self._rest)
            self._rest = b""
        return [_text(line) for line in lines]

    def finish(self) -> list[str]:
        """The last line, if it has no end."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip()
