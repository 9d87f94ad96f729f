"""``ipengine``: the host agent, with its engines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipython1
from ipython1.kernel.engine.connect import Address
from ipython1.kernel.scripts.options import Gone, add_places, places_of, positive

TIMEOUT = 60.0
"""Seconds for which the FURL file and the controller are awaited."""


@dataclass(frozen=True)
class Config:
    """What the command line says."""

    num: int
    address: Address
    logfile: str | None
    timeout: float


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def parse(argv: Sequence[str] | None = None) -> Config:
    """The configuration that `argv` asks for; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="ipengine",
        description="Start engines on this host and register them with a controller, which may be started before"
        " or after. Ctrl-C ends them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-n", "--num", type=positive, default=1, metavar="N", help="how many engines (default: 1)"
    )
    parser.add_argument(
        "--furl-file",
        default="",
        metavar="FILE",
        help="the controller's FURL file for engines, or the FURL itself (default: ipcontroller-engine.furl in the"
        " security folder of the ipython directory)",
    )
    parser.add_argument(
        "-l", "--logfile", metavar="FILE", help="log to this file (default: warnings to stderr)"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"how long to wait for the FURL file and the controller (default: {TIMEOUT:.0f})",
    )
    add_places(parser)
    parser.add_argument("--version", action="version", version=f"ipengine {ipython1.__version__}")
    furl = "the FURL file says where the controller is; name it with --furl-file"
    mpi = "user code may import an MPI library itself"
    for option, instead in (("--controller-ip", furl), ("--controller-port", furl), ("--mpi", mpi)):
        parser.add_argument(option, action=Gone, nargs="?", metavar=instead, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    address = Address(options.furl_file.strip(), places_of(parser, options))
    return Config(options.num, address, options.logfile, options.timeout)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    config = parse(argv)
    # Not before the options are known to be right: --help should be quick.
    from twisted.internet import reactor

    from ipython1.kernel.scripts.running import complain, start_logging

    try:
        start_logging("ipengine", config.logfile)
    except OSError as problem:
        complain("ipengine", f"cannot write the log file {config.logfile}: {problem.strerror or problem}")
        return 1
    return _run(config, reactor)


def _run(config: Config, reactor: Any) -> int:
    from ipython1.kernel.dial import dial, hang_up_all
    from ipython1.kernel.engine.connect import reach
    from ipython1.kernel.engine.process import Interpreter, Owner
    from ipython1.kernel.engine.run import Course
    from ipython1.kernel.engine.service import Agent
    from ipython1.kernel.hello import new_id
    from ipython1.kernel.peer import Link
    from ipython1.kernel.scripts.running import run, say

    def launch(owner: Owner) -> Interpreter:
        return Interpreter(reactor, owner)

    session = new_id()

    async def find(timeout: float, again: bool) -> Link:
        return await reach(
            config.address,
            agent,
            dial=dial,
            reactor=reactor,
            timeout=timeout,
            say=say,
            session=session,
            again=again,
        )

    agent = Agent(reactor, config.num, launch, say)
    course = Course(agent, find, say)

    async def serve() -> int:
        try:
            return await course.run(config.timeout)
        finally:
            await hang_up_all()

    return run("ipengine", reactor, serve, course.stop)


if __name__ == "__main__":
    raise SystemExit(main())
