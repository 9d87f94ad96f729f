"""What a client gets of executed commands: `Result`, one engine's, and `ResultList`, all of a call's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ipython1.kernel import show
from ipython1.kernel.excerpt import excerpt, tame
from ipython1.kernel.terminal import at_terminal, paint, prompt_number

Paint = Callable[[str, str], str]
Shorten = Callable[[str], str]


class Result(dict[str, Any]):
    """What one engine says of one command.

    Its keys are ``input`` (``{'translated': …, 'raw': …}``), ``number`` and ``id``, and where there is something to
    say ``stdout``, ``stderr``, ``display`` (the value of a last expression: ``{'pprint': …, 'repr': …}``) and, for a
    failed command, ``traceback`` (``{'plain': …}``).  Rich output and times are attributes.
    """

    mime: list[dict[str, Any]]
    """What was displayed: ``{'data': {mimetype: content}, 'metadata': {}}`` each, in order."""
    started: float | None
    """When the command started and was completed, on the engine's clock: seconds since the epoch."""
    completed: float | None
    shown_at: Any
    """Where the user was (the number of the prompt) when all that it printed was shown, as it came; None: it was not."""

    def __init__(
        self, document: dict[str, Any], engine: int | None, stdout: str = "", stderr: str = ""
    ) -> None:
        super().__init__(input=document.get("input", {}), number=document.get("number"), id=engine)
        if stdout:
            self["stdout"] = stdout
        if stderr:
            self["stderr"] = stderr
        if document.get("display"):
            self["display"] = document["display"]
        if document.get("traceback"):
            self["traceback"] = {"plain": document["traceback"]}
        self.mime = list(document.get("mime") or [])
        self.shown_at = None
        self._out: int | None = document.get("out")
        self.started = document.get("started")
        self.completed = document.get("completed")

    @property
    def duration(self) -> float | None:
        """Seconds that the command took."""
        if self.started is None or self.completed is None:
            return None
        return self.completed - self.started

    @property
    def stdout(self) -> str:
        """What was written to stdout; '' if that was nothing."""
        text: str = self.get("stdout", "")
        return text

    @property
    def stderr(self) -> str:
        """What was written to stderr; '' if that was nothing."""
        text: str = self.get("stderr", "")
        return text

    @property
    def displays(self) -> list[dict[str, Any]]:
        """The rich forms of what was displayed, without the value of the last expression."""
        return [bundle for place, bundle in enumerate(self.mime) if place != self._out]

    @property
    def out(self) -> dict[str, Any] | None:
        """The forms of the value of the last expression (``{'data': …, 'metadata': …}``); None if there is none."""
        if self._out is not None and self._out < len(self.mime):
            return self.mime[self._out]
        value = self.get("display")
        return {"data": {"text/plain": value["pprint"]}, "metadata": {}} if value else None

    def display_outputs(self, group: str = "engine", again: bool = True) -> None:
        """Show what the engine printed and displayed; see `ResultList.display_outputs`."""
        ResultList([self]).display_outputs(group, again)


class ResultList(list[Result]):
    """The results of one command, one per engine in target order; prints as prompts with what they gave."""

    def __repr__(self) -> str:
        return self._text(lambda colour, text: text)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Called by IPython. Only what is shown at a terminal has colours: a repr may go into a file or a test.
        # And nobody reads a million lines.
        plain = paint if at_terminal() else lambda colour, text: text
        printer.text(self._text(plain, lambda text: tame(excerpt(text)), prompt_number()))

    def _repr_html_(self) -> str | None:
        """Called by IPython: in a notebook, rich forms stand below the text."""
        return show.as_html(self, self._text(lambda colour, text: text, lambda text: tame(excerpt(text)), prompt_number()))

    def _text(self, paint: Paint, shorten: Shorten = str, at: Any = None) -> str:
        lines = ["<Results List>"]
        for result in self:
            # What was shown as it came is to be seen right above.
            printed = at is None or result.shown_at != at
            lines.extend(_lines(result, paint, shorten, printed))
        return "\n".join(lines)

    @property
    def stdout(self) -> list[str]:
        """What each engine wrote to stdout."""
        return [result.stdout for result in self]

    @property
    def stderr(self) -> list[str]:
        """What each engine wrote to stderr."""
        return [result.stderr for result in self]

    def display_outputs(self, group: str = "engine", again: bool = True) -> None:
        """Show what the engines printed and displayed, labelled by engine; rich output in a notebook.

        `group` is ``'engine'``, ``'order'`` (first what each of them gave first) or ``'type'`` (all that was printed
        before all that was displayed).  With ``again=False``, what was shown as it came is left out.
        """
        show.display_outputs(self, group, lambda result: again or result.shown_at is None)


def _lines(result: Result, paint: Paint, shorten: Shorten, printed: bool) -> Iterator[str]:
    engine = paint("green", f"[{result.get('id')}]")
    number = result.get("number")
    entered = result.get("input", {}).get("translated", "No Input").rstrip("\n")
    output = shorten(_output(result, printed))
    # Input of several lines stands apart from the next engine's.
    end = "\n" if "\n" in entered and not output else ""
    yield f"{engine} {paint('blue', f'In [{number}]:')} {entered}{end}"
    if output:
        yield f"{engine} {paint('red', f'Out[{number}]:')} {output}"
    if printed and result.stderr:
        yield f"{engine} {paint('red', f'Err[{number}]:')}\n {shorten(result.stderr)}"


def _output(result: Result, printed: bool) -> str:
    """What was printed, then the value of a last expression."""
    text = result.stdout if printed else ""
    value: str = result.get("display", {}).get("pprint", "")
    if text and value and not text.endswith("\n"):
        text += "\n"
    return text + value
