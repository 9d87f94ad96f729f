"""What a client gets of executed commands: `Result`, one engine's, and `ResultList`, all of a call's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ipython1.kernel.terminal import at_terminal, paint

Paint = Callable[[str, str], str]


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
        self.started = document.get("started")
        self.completed = document.get("completed")

    @property
    def duration(self) -> float | None:
        """Seconds that the command took."""
        if self.started is None or self.completed is None:
            return None
        return self.completed - self.started


class ResultList(list[Result]):
    """The results of one command, one per engine in target order; prints as prompts with what they gave."""

    def __repr__(self) -> str:
        return self._text(lambda colour, text: text)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Called by IPython. Only what is shown at a terminal has colours: a repr may go into a file or a test.
        printer.text(self._text(paint if at_terminal() else lambda colour, text: text))

    def _text(self, paint: Paint) -> str:
        lines = ["<Results List>"]
        for result in self:
            lines.extend(_lines(result, paint))
        return "\n".join(lines)


def _lines(result: Result, paint: Paint) -> Iterator[str]:
    engine = paint("green", f"[{result.get('id')}]")
    number = result.get("number")
    entered = result.get("input", {}).get("translated", "No Input")
    yield f"{engine} {paint('blue', f'In [{number}]:')} {entered}"
    output = _output(result)
    if output:
        yield f"{engine} {paint('red', f'Out[{number}]:')} {output}"
    if result.get("stderr"):
        yield f"{engine} {paint('red', f'Err[{number}]:')}\n {result['stderr']}"


def _output(result: Result) -> str:
    """What was printed, then the value of a last expression."""
    printed: str = result.get("stdout", "")
    value: str = result.get("display", {}).get("pprint", "")
    if printed and value and not printed.endswith("\n"):
        printed += "\n"
    return printed + value
