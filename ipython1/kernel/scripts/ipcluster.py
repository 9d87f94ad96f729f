"""``ipcluster``: starts clusters, and does all that there is to do with them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import ipython1
from ipython1.kernel.config.settings import LAUNCHER
from ipython1.kernel.error import IPythonError, LaunchError
from ipython1.kernel.scripts import ipcluster_start as start
from ipython1.kernel.scripts.ipcluster_common import FINE, PROGRAM, Subcommand, exit_status
from ipython1.kernel.scripts.ipcluster_config import CONFIG
from ipython1.kernel.scripts.ipcluster_engines import ENGINES, RESTART
from ipython1.kernel.scripts.ipcluster_status import LIST, LOGS, STATUS
from ipython1.kernel.scripts.ipcluster_stop import CLEAN, STOP
from ipython1.kernel.scripts.options import PLACES, Parser, add_places, add_setting, configured, places_of
from ipython1.kernel.terminal import silence

START = "start"
"""The subcommand that is meant when none is named."""

SUBCOMMANDS: Mapping[str, Subcommand] = {
    "stop": STOP,
    "status": STATUS,
    "list": LIST,
    "engines": ENGINES,
    "restart": RESTART,
    "logs": LOGS,
    "clean": CLEAN,
    "config": CONFIG,
}


def make_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a command line; which options ``start`` has depends on the launcher that is named there."""
    parser = Parser(
        prog=PROGRAM,
        description="Start and manage clusters: a controller and engines. Without a command, 'start' is meant:"
        " ipcluster -n 4.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {ipython1.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    _add_start(commands, START, _launcher(arguments), "start a cluster")
    for name, subcommand in SUBCOMMANDS.items():
        made = commands.add_parser(
            name, help=subcommand.summary, description=_sentence(subcommand.summary), allow_abbrev=False
        )
        subcommand.add_options(made)
        add_places(made)
        made.set_defaults(run=subcommand.run, parser=made)
    _add_kinds(commands, arguments)
    return parser


def _add_start(commands: argparse._SubParsersAction, name: str, launcher: str, summary: str) -> None:
    made = commands.add_parser(
        name,
        help=summary,
        description=f"{_sentence(summary)} Ctrl-C stops it, or, in the background, ipcluster stop.",
        allow_abbrev=False,
    )
    if name == START:
        add_setting(made, LAUNCHER, "NAME")
    start.add_options(made, launcher)
    add_places(made)
    made.set_defaults(run=start.run, parser=made, launcher=launcher)


def _add_kinds(commands: argparse._SubParsersAction, arguments: Sequence[str]) -> None:
    """Each launcher as a command of its own, as in ``ipcluster local -n 4``."""
    from ipython1.kernel.launch.launcher import find_launcher, launcher_names

    # Those of others are imported only if they are meant, or all are to be shown: by the help, or to somebody who has
    # named what does not exist.
    named = arguments[0] if arguments else ""
    for name in launcher_names():
        if name in SUBCOMMANDS or (name != named and named in (START, *SUBCOMMANDS)):
            continue
        try:
            summary = find_launcher(name).summary
        except LaunchError:
            if name == named:
                raise
            # Another package is broken. That must not keep the help from being shown.
            continue
        _add_start(commands, name, name, f"start {summary}")


def _launcher(arguments: Sequence[str]) -> str:
    """The launcher that ``ipcluster start`` is told to use."""
    if not arguments or arguments[0] != START:
        return LAUNCHER.default
    early = Parser(prog=f"{PROGRAM} {START}", add_help=False, allow_abbrev=False)
    add_setting(early, LAUNCHER)
    add_places(early)
    options, _ = early.parse_known_args(list(arguments))
    return configured(early, options, places_of(early, options))[LAUNCHER]


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _command_first(argv: Sequence[str]) -> list[str]:
    """The command line, in which the options that all commands have may also stand before the command."""
    place = 0
    while place < len(argv) and argv[place].partition("=")[0] in PLACES:
        place += 1 if "=" in argv[place] else 2
    if place < len(argv) and not argv[place].startswith("-"):
        return [argv[place], *argv[:place], *argv[place + 1 :]]
    return list(argv)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What the command line says; exits with status 2 if it is wrong."""
    arguments = _command_first(argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, START)
    try:
        parser = make_parser(arguments)
    except LookupError as problem:
        print(f"{PROGRAM}: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
    options = parser.parse_args(arguments)
    options.places = places_of(options.parser, options)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        status: int = options.run(options, options.places)
        sys.stdout.flush()
    except IPythonError as problem:
        print(f"{PROGRAM}: {problem}", file=sys.stderr)
        return exit_status(problem)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # As with "| head": who reads it has seen enough.
        silence(sys.stdout)
        return FINE
    return status


if __name__ == "__main__":
    raise SystemExit(main())
