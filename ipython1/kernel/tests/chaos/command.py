"""The command: its options, and what it prints."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from ipython1.kernel.tests.chaos import report
from ipython1.kernel.tests.chaos.checker import Verdict, check
from ipython1.kernel.tests.chaos.history import History
from ipython1.kernel.tests.chaos.plan import Plan
from ipython1.kernel.tests.chaos.run import Course, NotStarted, run
from ipython1.kernel.tests.chaos.schedule import KINDS

BREAKS = ("drop-ack", "skip-commit", "forget-repeat")
"""What `broken` knows; that brings much with it, which --help should not wait for."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options; exits with status 2 if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Runs a cluster under load while faults from a seed happen to it, and checks that nothing was lost,"
        " doubled, wrong or out of order.  Exit status 1 if something was.",
    )
    parser.add_argument(
        "--seed", type=int, help="what the faults and the load follow from (default: a new one)"
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long faults happen (default: 1)")
    parser.add_argument(
        "--tasks", type=int, default=0, help="how many tasks at most (default: as many as go through)"
    )
    parser.add_argument("--agents", type=int, default=2, help="how many host agents (default: 2)")
    parser.add_argument(
        "--engines", type=int, default=2, help="how many engines each of them has (default: 2)"
    )
    parser.add_argument("--clients", type=int, default=4, help="how many clients (default: 4)")
    parser.add_argument("--faults", help=f"only these, separated by commas: {', '.join(KINDS)}; or 'none'")
    parser.add_argument(
        "--gap", type=float, default=2.0, help="seconds between two faults, on average (default: 2)"
    )
    parser.add_argument(
        "--longest", type=float, default=5.0, help="seconds that a fault lasts at most (default: 5)"
    )
    parser.add_argument("--grace", type=float, default=30.0, help="the controller's --grace (default: 30)")
    parser.add_argument(
        "--deadline", type=float, default=180.0, help="seconds after which an operation hangs"
    )
    parser.add_argument(
        "--break", dest="broken", choices=BREAKS, default="", help="put a fault into the product"
    )
    parser.add_argument("--keep", action="store_true", help="keep the logs, also if all was right")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args(argv)
    options.kinds = _kinds(parser, options.faults)
    if options.grace < 3 * options.longest:
        parser.error("--grace must be three times --longest: what is over by then would count as lost")
    return options


def _kinds(parser: argparse.ArgumentParser, chosen: str | None) -> list[str]:
    if chosen is None:
        return list(KINDS)
    kinds = [kind.strip() for kind in chosen.split(",") if kind.strip() not in ("", "none")]
    for kind in kinds:
        if kind not in KINDS:
            parser.error(f"there is no fault {kind!r}; there are {', '.join(KINDS)}")
    return kinds


def plan_of(options: argparse.Namespace, folder: str) -> Plan:
    """The run that the options ask for."""
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    return Plan(
        folder,
        seed,
        60 * options.minutes,
        options.kinds,
        agents=options.agents,
        engines=options.engines,
        clients=options.clients,
        tasks=options.tasks,
        gap=options.gap,
        longest=options.longest,
        grace=options.grace,
        deadline=options.deadline,
        broken=options.broken,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    options = parse(sys.argv[1:] if argv is None else argv)
    # A short path: it is in each operation's log entry.
    folder = tempfile.mkdtemp(prefix="chaos-")
    plan = plan_of(options, folder)
    try:
        course = _in_reactor(plan)
    except NotStarted as problem:
        print(f"scripts/chaos: {problem}, in {folder}", file=sys.stderr)
        return 1
    if course is None:
        print(f"scripts/chaos: interrupted; the logs are in {folder}", file=sys.stderr)
        return 130
    history = History.of(plan)
    verdict = check(history, 2 * plan.grace)
    _print(options, course, history, verdict)
    if verdict.problems:
        print(f"seed {plan.seed}; the logs are in {folder}", file=sys.stderr)
        return 1
    if options.keep:
        print(f"the logs are in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return 0


def _print(options: argparse.Namespace, course: Course, history: History, verdict: Verdict) -> None:
    numbers = report.numbers(course, history, verdict)
    print(json.dumps(numbers) if options.json else report.text(numbers))
    for line in report.stories(history, verdict):
        print(line, file=sys.stderr)


def _in_reactor(plan: Plan) -> Course | None:
    """Run it in the reactor; None if it was interrupted, and all has ended."""
    # Not before the options are known to be right: --help should be quick.
    from twisted.internet import reactor
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.python.failure import Failure

    started: Any = reactor
    outcome: list[Any] = []
    running = Deferred.fromCoroutine(run(plan))

    def over(result: Any) -> None:
        outcome.append(result)
        started.callWhenRunning(started.stop)

    running.addBoth(over)
    # Ctrl-C, SIGTERM: the reactor waits for the end of all processes.
    started.addSystemEventTrigger("before", "shutdown", lambda: _cancelled(running, outcome))
    started.run()
    result = outcome[0]
    if not isinstance(result, Failure):
        return result
    if result.check(CancelledError):
        return None
    result.raiseException()
    return None


def _cancelled(running: Any, outcome: list[Any]) -> Any:
    from twisted.internet.defer import Deferred

    if outcome:
        return None
    waiter: Deferred[None] = Deferred()
    running.addBoth(lambda result: waiter.callback(None))
    running.cancel()
    return waiter
