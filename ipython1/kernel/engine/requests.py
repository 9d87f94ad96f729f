"""The verbs that the agent itself carries out, at once, whatever the interpreter does."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

from ipython1.kernel.engine.engine import Engine, Fate
from ipython1.kernel.engine.queue import Command
from ipython1.kernel.error import EngineLost, ProtocolError, QueueCleared
from ipython1.kernel.messages import is_command_id


def get_result(engine: Engine, command: Command) -> None:
    """The outcome of an execute, by number; the latest one without."""
    engine.answers.with_result(command)


def output(engine: Engine, command: Command) -> None:
    """What a command has written, from some offsets on; see `ipython1.kernel.engine.listeners`."""
    if is_command_id(command.args["only"]):
        engine.listeners.listen(command)
    else:
        engine.answers.fail(command, ProtocolError("output is asked of a command by its id"))


def interrupt(engine: Engine, command: Command) -> None:
    """Raise KeyboardInterrupt in the command that runs now, if one does (and is the one that is meant).

    Answered when that has ended: so what the client submits after it is no part of what it interrupted.  If it goes on
    all the same, the answer comes before long, and says so (False).
    """
    if _is_late(engine, command):
        return
    engine.catch_up()
    running = engine.queue.running
    if running is None or engine.interpreter is None or _is_over(engine, command):
        engine.answers.reply(command, result=True)
    else:
        engine.interpreter.interrupt(running.id)
        engine.answers.when_ended(command)


def send_signal(engine: Engine, command: Command) -> None:
    """Send a signal to the interpreter."""
    number = command.args["signal"]
    if number not in signal.valid_signals():
        engine.answers.fail(command, ValueError(f"{number} is not the number of a signal"))
    elif engine.interpreter is None or not engine.ready:
        engine.answers.fail(
            command, EngineLost(f"{engine.name} has no interpreter at the moment: it is being restarted")
        )
    elif not _is_late(engine, command):
        engine.catch_up()
        if not _is_over(engine, command):
            engine.interpreter.signal(number)
        engine.answers.reply(command)


def restart(engine: Engine, command: Command) -> None:
    """End the interpreter and start another one; answered when that is ready."""
    engine.answers.when_ready(command)
    engine.end(Fate.SUCCESSOR, "restarted on request")


def kill(engine: Engine, command: Command) -> None:
    """End the engine for good; answered when it is gone."""
    engine.answers.when_gone(command)
    engine.end(Fate.GONE, "killed on request")


def _is_late(engine: Engine, command: Command) -> bool:
    if command.generation == engine.generation:
        return False
    engine.answers.fail(command, QueueCleared(f"{command.label} was dropped: {engine.name} has been restarted since"))
    return True


def _is_over(engine: Engine, command: Command) -> bool:
    """Whether the request is meant for a command that does not run any more."""
    only = command.args.get("only")
    running = engine.queue.running
    return only is not None and (running is None or list(running.id) != only)


def meet(engine: Engine, command: Command) -> None:
    """Whether this process and the client's see each other's memory."""
    engine.answers.reply(command, result=engine.memories.meet(command.args["memory"]))


REQUESTS: Mapping[str, Callable[[Engine, Command], None]] = {
    "get_result": get_result,
    "output": output,
    "interrupt": interrupt,
    "signal": send_signal,
    "restart": restart,
    "kill": kill,
    "meet": meet,
}
