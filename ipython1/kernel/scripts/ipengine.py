"""``ipengine``: the host agent, with its engines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipython1
from ipython1.config.setting import Configuration
from ipython1.kernel.config.settings import (
    ENGINE_LOG,
    ENGINE_SHARED_MEMORY,
    KEPT_COMMANDS,
    KEPT_COMMANDS_SIZE,
    LOG_COUNT,
    LOG_SIZE,
    MEMORY_LIMIT,
    NUM,
    OUTPUT_LIMIT,
    RECONNECT_TIMEOUT,
    START_TIMEOUT,
    TIMEOUT,
)
from ipython1.kernel.engine.connect import Address
from ipython1.kernel.scripts.options import Gone, Parser, add_places, add_setting, configured, places_of


@dataclass(frozen=True)
class Config:
    """What the command line and the configuration say."""

    settings: Configuration
    address: Address


def parse(argv: Sequence[str] | None = None) -> Config:
    """The configuration that `argv` asks for; exits with status 2 if it is wrong."""
    parser = Parser(
        prog="ipengine",
        description="Start engines on this host and register them with a controller, which may be started before"
        " or after. Ctrl-C ends them.",
        allow_abbrev=False,
    )
    add_setting(parser, NUM, "N")
    parser.add_argument(
        "--furl-file",
        default="",
        metavar="FILE",
        help="the controller's FURL file for engines, or the FURL itself (default: ipcontroller-engine.furl in the"
        " security folder of the ipython directory)",
    )
    parser.add_argument(
        "--after",
        metavar="STAMP",
        help="for programs that start the controller at the same time: the stamp of the FURL file before that",
    )
    add_setting(parser, MEMORY_LIMIT, "SIZE")
    add_setting(parser, ENGINE_LOG, "FILE")
    add_setting(parser, TIMEOUT, "SECONDS")
    add_places(parser)
    parser.add_argument("--version", action="version", version=f"ipengine {ipython1.__version__}")
    furl = "the FURL file says where the controller is; name it with --furl-file"
    mpi = "user code may import an MPI library itself"
    for option, instead in (("--controller-ip", furl), ("--controller-port", furl), ("--mpi", mpi)):
        parser.add_argument(option, action=Gone, nargs="?", metavar=instead, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    places = places_of(parser, options)
    settings = configured(parser, options, places)
    return Config(settings, Address(options.furl_file.strip(), places, options.after))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    config = parse(argv)
    # Not before the options are known to be right: --help should be quick.
    from twisted.internet import reactor

    from ipython1.kernel.scripts.running import complain, start_logging

    settings = config.settings
    try:
        start_logging("ipengine", settings[ENGINE_LOG], settings[LOG_SIZE], settings[LOG_COUNT])
    except OSError as problem:
        complain("ipengine", f"cannot write the log file {settings[ENGINE_LOG]}: {problem.strerror or problem}")
        return 1
    return _run(config, reactor)


def _run(config: Config, reactor: Any) -> int:
    from ipython1.kernel.dial import dial, hang_up_all
    from ipython1.kernel.engine.connect import reach
    from ipython1.kernel.engine.history import History
    from ipython1.kernel.engine.memory import MemoryLimit
    from ipython1.kernel.engine.process import Interpreter, Owner
    from ipython1.kernel.engine.run import Course
    from ipython1.kernel.engine.service import Agent
    from ipython1.kernel.hello import new_id
    from ipython1.kernel.peer import Link
    from ipython1.kernel.scripts.running import run, say

    settings = config.settings

    def launch(owner: Owner) -> Interpreter:
        return Interpreter(
            reactor, owner, start_timeout=settings[START_TIMEOUT], output_limit=settings[OUTPUT_LIMIT]
        )

    def new_history() -> History:
        return History(settings[KEPT_COMMANDS], settings[KEPT_COMMANDS_SIZE])

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

    agent = Agent(reactor, settings[NUM], launch, say, new_history, settings[ENGINE_SHARED_MEMORY])
    if settings[MEMORY_LIMIT]:
        agent.guard_memory(MemoryLimit.parse(settings[MEMORY_LIMIT]))
    course = Course(agent, find, say, settings[RECONNECT_TIMEOUT], early=config.address.before is not None)

    async def serve() -> int:
        try:
            return await course.run(settings[TIMEOUT])
        finally:
            await hang_up_all()

    return run("ipengine", reactor, serve, course.stop)


if __name__ == "__main__":
    raise SystemExit(main())
