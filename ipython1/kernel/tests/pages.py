"""Pages of the documentation: their examples, run as a reader would run them.

Three kinds of literal blocks are examples: transcripts of IPython (see `ipython1.kernel.tests.transcript`), files to be
saved, which begin with a comment that has their name (``# shelf.py``), and commands with what they say::

    host1$ ipengine -n 2
    2 engines registered: ...

``ipcontroller``, ``ipcluster`` and ``ipengine`` run on, as in a terminal of their own, until the next block of commands
that starts a controller; those that go to the background run until the page stops them.  The name before the prompt
is that of a host, which is a home folder of its own here, and ``scp`` copies from one to the other.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from twisted.trial.unittest import TestCase

from ipython1.kernel.tests import transcript
from ipython1.kernel.tests.program import Program, end_clusters

FILE = re.compile(r"# (\w+\.py)\n")
COMMAND = re.compile(r"^(\w*)\$ (.+)$")
SERVER = re.compile(
    r"(ipcontroller|ipcluster(?! (stop|status|list|engines|restart|logs|clean|config)\b)|ipengine)\b"
    r"(?!.*--(help|version))"
)
BACKGROUND = "--daemonize"
READY = {"ipcontroller": "ready", "ipcluster": "is ready", "ipengine": "registered"}
PORT = "10105"
"""The port of the examples; the tests take a free one."""


@dataclass(frozen=True)
class Command:
    """A command, the host where it is given, and what it says according to the page."""

    host: str
    line: str
    expected: str


@dataclass(frozen=True)
class File:
    """A file that the reader saves."""

    name: str
    text: str


def commands(block: str) -> list[Command]:
    """The commands of a literal block; none if it is something else."""
    found: list[Command] = []
    for line in block.splitlines():
        match = COMMAND.match(line)
        if match:
            found.append(Command(match.group(1) or "here", match.group(2), ""))
        elif found:
            last = found.pop()
            found.append(Command(last.host, last.line, f"{last.expected}\n{line}".strip("\n")))
    return found


def examples(page: str) -> Iterator[list[File] | list[Command] | list[transcript.Cell]]:
    """What there is to run on a page, in order: files, lists of commands, and lists of the cells of one session."""
    blocks = [_example(block) for block in transcript.indented_blocks(page)]
    kinds = [kind for kind in blocks if any(kind)]
    for is_session, group in groupby(kinds, lambda kind: bool(kind[1])):
        if is_session:
            yield [cell for _, cells in group for cell in cells]
        else:
            yield from (typed for typed, _ in group)


def _example(block: str) -> tuple[list[File] | list[Command], list[transcript.Cell]]:
    file = FILE.match(block)
    if file:
        return [File(file.group(1), block)], []
    return commands(block), transcript.parse(block)


class Reader:
    """Runs the examples of one page, in folders of its own."""

    def __init__(self, test: TestCase) -> None:
        self._test = test
        self._top = Path(test.mktemp()).absolute()
        test.addCleanup(end_clusters, self._top)
        self._host = "here"
        self._servers: list[Program] = []
        self._port = str(_free_port())
        self._make_commands()

    async def run(self, page: str) -> list[str]:
        """Run all examples of `page`; what came that the page does not show, in words."""
        problems: list[str] = []
        for example in examples(page):
            if isinstance(example[0], File):
                for file in example:
                    (self._home(self._host) / file.name).write_text(file.text + "\n")
            elif isinstance(example[0], Command):
                problems += await self._run_commands(example)
            else:
                outcomes = await transcript.run(
                    self._test, example, self._environment(self._host), self._home(self._host)
                )
                problems += transcript.differences(outcomes)
        await self._stop_servers()
        return problems

    async def _run_commands(self, block: list[Command]) -> list[str]:
        if any(server and server[1] != "ipengine" for server in (SERVER.match(command.line) for command in block)):
            await self._stop_servers()
        problems = [await self._run_command(command) for command in block]
        return [problem for problem in problems if problem]

    async def _run_command(self, command: Command) -> str | None:
        self._host = command.host
        line = command.line.replace(PORT, self._port)
        expected = transcript.tidy(command.expected.replace(PORT, self._port))
        server = None if BACKGROUND in line else SERVER.match(line)
        program = Program(
            self._test,
            "sh",
            "-c",
            f"exec {line}" if server else line,
            environment=self._environment(command.host),
            folder=self._home(command.host),
        )
        if server:
            self._servers.append(program)
            await program.said(pattern(expected) if expected else READY[server.group(1)])
            return None
        status = await program.ended()
        said = transcript.tidy(program.output)
        if (expected and re.fullmatch(pattern(expected), said)) or (not expected and status == 0):
            return None
        return f"{command.line}\nexpected:\n{expected}\ncame, with status {status}:\n{said}"

    async def _stop_servers(self) -> None:
        # The engines first, as in good order.
        while self._servers:
            program = self._servers.pop()
            program.signal("INT")
            await program.ended()

    def _environment(self, host: str) -> dict[str, str]:
        path = os.pathsep.join([str(self._top / "bin"), os.environ.get("PATH", os.defpath)])
        return {"HOME": str(self._home(host)), "IPYTHONDIR": "", "PATH": path}

    def _home(self, host: str) -> Path:
        home = self._top / host
        home.mkdir(exist_ok=True)
        return home

    def _make_commands(self) -> None:
        """The commands of this ipython1, installed or not, its Python, and an scp for hosts that are folders."""
        folder = self._top / "bin"
        folder.mkdir(parents=True)
        for name in READY:
            _write(folder / name, f'exec "{sys.executable}" -m ipython1.kernel.scripts.{name} "$@"')
        _write(folder / "python", f'exec "{sys.executable}" "$@"')
        _write(folder / "scp", f'host=${{1%%:*}} && exec cp "{self._top}/$host/${{1#*:}}" "$2"')


def _write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def pattern(expected: str) -> str:
    """As a regular expression; ``...`` stands for anything, and columns may be wider or narrower."""
    text = re.escape(expected).replace(r"\.\.\.", r"(?:.|\n)*").replace("\\\n", r"\s*\n")
    return re.sub(r"(?:\\ ){2,}", r"\\ +", text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
