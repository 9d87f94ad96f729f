"""What engines printed and displayed, shown to people: labelled by engine, in a terminal or a notebook.

Each line of what was printed begins with ``[stdout:0]`` or ``[stderr:0]``, a value with ``Out[0:3]:``, rich output with
``[output:0]``: the engine comes first, and the number is the engine's.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TextIO

from ipython1.kernel.excerpt import excerpt, tame
from ipython1.kernel.terminal import at_terminal, in_notebook, paint

STREAMS = ("stdout", "stderr")
GROUPS = ("engine", "order", "type")


def label(kind: str, engine: int | None) -> str:
    """What stands before a line that an engine printed."""
    text = f"[{kind}:{engine}]"
    return f"{_painted('green', text)} "


def _painted(colour: str, text: str) -> str:
    return paint(colour, text) if at_terminal() or in_notebook() else text


def put(stream: TextIO, text: str) -> None:
    """Write `text`, whatever characters the stream can take; nothing if it is closed."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):  # nobody reads it any more: the command goes on
        return


@dataclass(frozen=True)
class Piece:
    """A part of what one engine gave: text of a stream, a bundle of rich forms, or the value of an expression."""

    kind: str
    engine: int | None
    content: Any
    number: int | None = None

    def show(self) -> None:
        """Show it."""
        if self.kind in STREAMS:
            stream = getattr(sys, self.kind)
            if stream is not None:
                put(stream, labelled(self.content, label(self.kind, self.engine)))
        elif self.kind == "display":
            _show_bundle(self.content, label("output", self.engine))
        else:
            _show_bundle(self.content, _painted("red", f"Out[{self.engine}:{self.number}]:") + " ")


def labelled(text: str, mark: str) -> str:
    """An excerpt of what was printed, with `mark` before each line."""
    lines = tame(excerpt(text)).split("\n")
    if not lines[-1]:
        lines.pop()
    # What begins a line anew, as bars of progress do, begins it with the mark.
    begun = [line.rstrip("\r").replace("\r", f"\r{mark}") for line in lines]
    return "".join(f"{mark}{line}\n" for line in begun)


def _show_bundle(bundle: dict[str, Any], mark: str) -> None:
    data = bundle["data"]
    if in_notebook() and set(data) - {"text/plain"}:
        from IPython.display import publish_display_data

        put(sys.stdout, f"{mark.rstrip()}\n")
        publish_display_data(data, bundle.get("metadata") or {})
        return
    text = excerpt(data["text/plain"]) if "text/plain" in data else f"<{', '.join(sorted(data))}>"
    separator = "\n" if "\n" in text else ""
    put(sys.stdout, f"{mark.rstrip()}{separator or ' '}{tame(text)}\n")


def pieces(result: Any, printed: bool = True) -> Iterator[Piece]:
    """All that an engine gave for a command, in order; without `printed`, not what it wrote to its streams.

    A rich display is printed as text, too; where the rich form can be shown it takes the place of that.
    """
    engine: int | None = result["id"]
    rich = in_notebook()
    stdout = result.stdout if printed else ""
    for bundle in result.displays:
        text = bundle["data"].get("text/plain")
        at = stdout.find(f"{text}\n") if text else -1
        if not rich and text is not None and (at >= 0 or not printed):
            continue
        if at >= 0:
            if at:
                yield Piece("stdout", engine, stdout[:at])
            stdout = stdout[at + len(text) + 1 :]
        yield Piece("display", engine, bundle)
    if stdout:
        yield Piece("stdout", engine, stdout)
    if printed and result.stderr:
        yield Piece("stderr", engine, result.stderr)
    if result.out is not None:
        yield Piece("out", engine, result.out, result["number"])


def as_html(results: Sequence[Any], text: str) -> str | None:
    """`text`, and below it what the results have that is rich; None if they have nothing of that."""
    shown: list[str] = []
    for result in results:
        rich = [(bundle, f"[output:{result['id']}]") for bundle in result.displays]
        if result.out is not None:
            rich.append((result.out, f"Out[{result['id']}:{result['number']}]:"))
        forms = [(_html(bundle["data"]), mark) for bundle, mark in rich]
        shown += [f"<pre>{escape(mark)}</pre>{form}" for form, mark in forms if form is not None]
    return f"<pre>{escape(text)}</pre>{''.join(shown)}" if shown else None


def _html(data: dict[str, Any]) -> str | None:
    for kind in ("text/html", "image/svg+xml"):
        if isinstance(data.get(kind), str):
            return str(data[kind])
    for kind in ("image/png", "image/jpeg", "image/gif"):
        image = data.get(kind)
        if image is not None:
            encoded = base64.b64encode(image).decode("ascii") if isinstance(image, bytes) else escape(str(image).strip())
            return f'<img src="data:{kind};base64,{encoded}">'
    return None


def display_outputs(
    results: Sequence[Any], group: str = "engine", printed: Callable[[Any], bool] = bool
) -> None:
    """Show what engines gave: ``'engine'`` by engine; by ``'order'``, first what each gave first; by ``'type'``.

    `printed` tells of a result whether what it printed is to be shown.  ValueError for another `group`.
    """
    if group not in GROUPS:
        raise ValueError(f"outputs are grouped by {', '.join(map(repr, GROUPS))}, not by {group!r:.50}")
    given = [list(pieces(result, printed(result))) for result in results]
    if group == "order":
        longest = max(map(len, given), default=0)
        ordered = [each[place] for place in range(longest) for each in given if place < len(each)]
    else:
        ordered = [piece for each in given for piece in each]
        if group == "type":
            kinds = ("stdout", "stderr", "display", "out")
            ordered.sort(key=lambda piece: kinds.index(piece.kind))
    for piece in ordered:
        piece.show()
