"""Transcripts of IPython sessions: read from text, run in a real IPython, compared with what they show.

A transcript is text as it stands in the documents::

    In [8]: mec.execute('print(c)', targets=0)
    Out[8]:
    <Results List>
    [0] In [4]: print(c)
    [0] Out[4]: 15

`parse` makes cells of it, `run` types them in an IPython of their own, and `differences` says in words where
what came back is not what the text shows.  As in doctest, ``...`` in the text stands for anything; addresses
(``at 0x7f…``) are not compared, and of a traceback only the last part: from the line that names the exception.
"""

from __future__ import annotations

import doctest
import json
import re
import secrets
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program

PROMPT = re.compile(r"^In \[(\d+)\]: ?(.*)$", re.MULTILINE)
CONTINUATION = re.compile(r"\s*\.{3,}: ?(.*)$")
TYPED = re.compile(r"^ipdb> (.*)$", re.MULTILINE)
INTERRUPTED = re.compile(r"^\^C$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
TRACEBACK = re.compile(r"^-+\n(\w+) +Traceback \(most recent call last\)$", re.MULTILINE)
SHELL = "ipython1.kernel.tests.transcript_shell"


@dataclass(frozen=True)
class Cell:
    """One numbered input and the output that the text shows for it."""

    number: int
    source: str
    expected: str
    typed: list[str] = field(default_factory=list)
    """What is answered to the prompts that the input itself gives, those of the debugger."""
    interrupted: bool = False
    """Whether Ctrl-C is pressed when all engines have begun with it: the text shows ``^C`` first."""


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: its output, and whether it ended in an exception that was shown."""

    cell: Cell
    output: str
    raised: bool


def blocks(page: str) -> list[str]:
    """The indented blocks of a reStructuredText page that hold a transcript, each without its indentation."""
    return [block for block in indented_blocks(page) if PROMPT.search(block)]


def indented_blocks(page: str) -> list[str]:
    """All indented blocks of a reStructuredText page, each without its indentation."""
    indented = re.compile(r"^(?:(?:[ \t]+\S.*|[ \t]*)\n?)+", re.MULTILINE)
    found = [textwrap.dedent(match.group().expandtabs()).strip("\n") for match in indented.finditer(page)]
    return [block for block in found if block]


def parse(text: str) -> list[Cell]:
    """The cells of a transcript.

    Lines that start with ``#`` right before a prompt are remarks of the text, and no output.
    """
    cells = []
    lines = textwrap.dedent(text.expandtabs()).splitlines()
    starts = [at for at, line in enumerate(lines) if PROMPT.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        prompt = PROMPT.match(lines[start])
        assert prompt is not None
        source = [prompt.group(2)]
        at = start + 1
        while at < end and (more := CONTINUATION.match(lines[at])):
            source.append(more.group(1))
            at += 1
        output = lines[at:end]
        if end < len(lines):
            output = _without_remarks(output)
        expected = "\n".join(output)
        text = "\n".join(source).rstrip()
        interrupted = bool(INTERRUPTED.search(expected))
        cells.append(Cell(int(prompt.group(1)), text, tidy(expected), TYPED.findall(expected), interrupted))
    return cells


def _without_remarks(output: list[str]) -> list[str]:
    kept = list(output)
    while kept and (kept[-1].startswith("#") or not kept[-1].strip()):
        kept.pop()
    return kept


def tidy(output: str) -> str:
    """`output` without colours, addresses, trailing spaces, and empty lines around it."""
    plain = ADDRESS.sub(" at 0x...", COLOUR.sub("", output))
    return "\n".join(line.rstrip() for line in plain.splitlines()).strip("\n")


def differences(outcomes: Iterable[Outcome]) -> list[str]:
    """For each cell whose outcome is not what the text shows: the input, what was expected, what came."""
    return [_difference(outcome) for outcome in outcomes if not _agrees(outcome)]


def _agrees(outcome: Outcome) -> bool:
    wanted, came = outcome.cell.expected, tidy(outcome.output)
    if not outcome.raised:
        return _matches(wanted, came)
    header = TRACEBACK.search(wanted)
    actual = TRACEBACK.search(came)
    if header is None or actual is None:
        return _matches(wanted, came)
    name = header.group(1)
    return (
        name == actual.group(1)
        and _matches(wanted[: header.start()], came[: actual.start()])
        and _matches(_last_part(wanted, name), _last_part(came, name))
    )


def _last_part(traceback: str, name: str) -> str:
    """The text of the exception itself, after the frames."""
    starts = [match.start() for match in re.finditer(rf"^{name}(?=[:\n]|$)", traceback, re.MULTILINE)]
    return traceback[starts[-1] :] if starts else ""


def _matches(wanted: str, came: str) -> bool:
    if wanted.strip() == "...":
        return True
    return doctest.OutputChecker().check_output(
        wanted.rstrip() + "\n", came.rstrip() + "\n", doctest.ELLIPSIS
    )


def _difference(outcome: Outcome) -> str:
    cell = outcome.cell
    return "\n".join(
        [
            f"In [{cell.number}]: {cell.source}",
            "expected:",
            textwrap.indent(cell.expected or "(nothing)", "    "),
            "came:",
            textwrap.indent(tidy(outcome.output) or "(nothing)", "    "),
        ]
    )


async def run(
    test: TestCase,
    cells: Sequence[Cell],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> list[Outcome]:
    """Type `cells` one after the other in a fresh IPython, in a process that ends with the test.

    `environment` is added to this process's; with ``IPYTHONDIR`` in it, the clients made there find the FURL
    files of the cluster of that folder.  `folder` is the one it starts in.  Fails if that IPython ends before it came to the last cell.
    """
    marker = secrets.token_hex(16)
    request = json.dumps({"marker": marker, "cells": [asdict(cell) for cell in cells]}).encode()
    # Unbuffered: what is written to both streams and by child processes keeps its order.
    shell = Program(
        test, sys.executable, "-u", "-m", SHELL, environment=environment, folder=folder, stdin=request
    )
    await shell.ended()
    return _outcomes(cells, shell.output, marker)


def _outcomes(cells: Sequence[Cell], output: str, marker: str) -> list[Outcome]:
    parts = re.split(rf"\n{marker} (ok|raised)\n", output)
    outcomes = [
        Outcome(cell, text, verdict == "raised")
        for cell, text, verdict in zip(cells, parts[0::2], parts[1::2])
    ]
    if len(outcomes) < len(cells):
        raise AssertionError(f"IPython ended at In [{cells[len(outcomes)].number}]:\n{parts[-1]}")
    return outcomes
