"""Every exception that ipython1 raises, in one tree.

The classes marked "0.10.2" are the original's and are raised where the original raised them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ipython1.kernel.terminal import at_terminal, paint_traceback, shown_traceback

FOLDED_FROM = 5
"""So many engines with equal errors are told in one line."""


class IPythonError(Exception):
    """Base of all errors of ipython1 (0.10.2)."""

    def _render_traceback_(self) -> list[str]:
        """For IPython: where the user called, without the frames of ours."""
        return shown_traceback(self)


class KernelError(IPythonError):
    """Base of the errors that the parallel kernel raises (0.10.2)."""


class EngineError(IPythonError):
    """Something happened to an engine (0.10.2)."""


class EngineLost(EngineError):
    """The engine's interpreter or its connection ended; the text names the engine and says why."""


class MemoryLimitExceeded(EngineLost):
    """The engine's interpreter was ended as it used more memory than it may; the text says how much."""


class EngineFailed(EngineError):
    """To an interface in the controller: what it had an engine do has failed there; the text says how.

    `bodies` is the error as the engine sent it, which the controller does not open and clients do.
    """

    engine: int | None = None
    bodies: Sequence[bytes] = ()


class ControllerError(IPythonError):
    """The controller could not do its work (0.10.2)."""


class ControllerCreationError(ControllerError):
    """The controller could not be started; the text says why (0.10.2)."""


class EngineCreationError(EngineError):
    """An engine could not be started; the text says why (0.10.2)."""


class ConnectionError(KernelError):
    """The controller cannot be reached, or the connection to it was lost (0.10.2)."""


class UnknownSession(ConnectionError):
    """A session was to be taken up again, and the controller does not know it (any more)."""


class FURLError(KernelError, ValueError):
    """The FURL, or the file that should hold it, is missing, empty, malformed or meant for something else."""


class NoFURLFile(FURLError):
    """There is no FURL file where one should be; a controller that ends in good order takes its files with it."""


class ConfigError(KernelError, ValueError):
    """A setting, or a name that says which settings are meant, is wrong; the text says where and what was expected."""


class ClusterError(KernelError):
    """A cluster could not be started, or not do what it was asked for; the text says why."""


class ClusterRunning(ClusterError):
    """A cluster of that name runs already."""


class NoSuchCluster(ClusterError):
    """No cluster of that name runs."""


class LaunchError(ClusterError):
    """A controller or host agent could not be started; the text names the host, says why, and what to do."""


class StoreError(KernelError):
    """The controller's store cannot be opened, or could not do what it was to do; the text says why."""


class StoreFull(StoreError):
    """There was no room left to store something, such as a task that was submitted: it was not taken."""


class FileTimeoutError(KernelError):
    """A FURL file did not appear in time (0.10.2)."""


class SecurityError(KernelError):
    """A file or folder that must be private is not, or cannot be made so (0.10.2)."""


class ProtocolError(KernelError):
    """A peer sent something that the protocol does not allow (0.10.2)."""


class IncompatiblePeer(ProtocolError):
    """The two ends speak different protocols; the text names both versions."""


class InvalidEngineID(KernelError):
    """A target is not a registered engine, or is no target at all (0.10.2)."""


class NoEnginesRegistered(KernelError):
    """All engines were addressed, and there are none (0.10.2)."""

    def __init__(self, text: str = "no engines are registered with the controller; start some with: ipengine") -> None:
        super().__init__(text)


class QueueCleared(KernelError):
    """A command was dropped from an engine's queue before it ran; the text says on whose account (0.10.2)."""


class InvalidDeferredID(KernelError):
    """The result asked for is unknown, was fetched already, or was flushed (0.10.2)."""


class ResultNotCompleted(KernelError):
    """The result was asked for without blocking, and is not there yet (0.10.2)."""


class AbortedPendingDeferredError(KernelError):
    """A result that somebody waited for was flushed (0.10.2)."""


class NotAPendingResult(KernelError):
    """A member of what was given to barrier is not a PendingResult (0.10.2)."""


class InvalidProperty(KernelError):
    """An engine property is not a plain value (0.10.2)."""


class SerializationError(KernelError):
    """A value could not be turned into bytes, or bytes not into a value (0.10.2)."""


class UnpickleableException(KernelError):
    """Stands in for an exception of which nothing but its text could be sent (0.10.2)."""


class ClientError(KernelError):
    """A client was used in a way that cannot work: after a fork, from the reactor's thread, when closed (0.10.2)."""


class CallTimeout(KernelError, TimeoutError):
    """A blocking call reached its deadline; the text says what it waited for."""


class TaskAborted(KernelError):
    """A task was aborted (0.10.2)."""


class TaskTimeout(KernelError):
    """A task ran longer than it may (0.10.2)."""


class TaskRejectError(KernelError):
    """Raised by a task's own code: this engine lacks what the task needs; try another (0.10.2)."""


class TaskDependencyError(KernelError):
    """A task cannot run, as one that it comes after did not end as it should have."""


class RecoveryLoop(KernelError, ValueError, RuntimeError):
    """A task would be its own recovery task.  In 0.10.2 that ended as a RuntimeError, from the recursion."""


class TaskQueueFull(KernelError):
    """The controller takes no more tasks until some have ended."""


class NothingToDebug(KernelError):
    """There is no exception on an engine whose frames one could look at; the text says why."""


class FunctionMissing(KernelError):
    """An interpreter does not have the function of a task: the controller sends it then; no user sees this."""


class StopLocalExecution(KernelError):
    """Ends the local run of a ``with`` block whose body runs on the engines (0.10.2)."""


class Failures(BaseException):
    """What one or more engines raised.

    `elist`
        one entry per failure, in target order: ``(type, exception, None)``.
    `results`
        one entry per target, in target order: what that engine returned, and the exception where it failed.
    """

    def __init__(
        self,
        message: str,
        elist: Sequence[tuple[type[BaseException], BaseException, Any]],
        results: Sequence[Any] = (),
    ) -> None:
        super().__init__(message, elist)
        self.message = message
        self.elist = list(elist)
        self.results = list(results)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.elist, self.results)

    def __str__(self) -> str:
        return "\n".join([self.message, *(label + text for label, text in self._lines())])

    def _lines(self) -> list[tuple[str, str]]:
        """The label and the text of each failure; one that many engines have in common is there once, for all."""
        texts = [f"{type(exception).__name__}: {exception}".rstrip(": ") for _, exception, _ in self.elist]
        alike: dict[tuple[str, str], list[int]] = {}
        for place, (_, exception, _) in enumerate(self.elist):
            info = engine_info(exception)
            # Those that came from no engine have nothing that would tell them together.
            method = f"{info['method']}" if info else f"\0{place}"
            alike.setdefault((method, texts[place]), []).append(place)
        lines = {}
        for places in alike.values():
            if len(places) >= FOLDED_FROM:
                lines[places[0]] = _label_of_all([self.elist[place][1] for place in places]), texts[places[0]]
            else:
                lines.update((place, (engine_label(self.elist[place][1]), texts[place])) for place in places)
        return [lines[place] for place in sorted(lines)]

    def _render_traceback_(self) -> list[str]:
        """For IPython: where the user called, and what the engines said."""
        return shown_traceback(self, self._lines())

    def _get_engine_str(self, exception: BaseException) -> str:
        return engine_label(exception)

    def _get_traceback(self, exception: BaseException) -> str:
        return traceback_text(exception)

    def _entry(self, excid: int) -> BaseException:
        try:
            return self.elist[excid][1]
        except IndexError:
            raise IndexError(
                f"an exception with index {excid} does not exist, there are {len(self.elist)}"
            ) from None

    def print_tracebacks(self, excid: int | None = None) -> None:
        """Print the engines' tracebacks: all of them, or the one at index `excid` (IndexError if there is none).

        At a terminal they have colours.
        """
        chosen = [entry[1] for entry in self.elist] if excid is None else [self._entry(excid)]
        for exception in chosen:
            print(engine_label(exception).rstrip())
            text = traceback_text(exception)
            print(paint_traceback(text) if at_terminal() else text)
            print()

    def raise_exception(self, excid: int = 0) -> NoReturn:
        """Raise the exception at index `excid` as its own type (IndexError if there is none)."""
        # Not in the context of this error, in whose handler one usually is: it was part of it.
        raise self._entry(excid) from None


class CompositeError(Failures, KernelError):
    """One or more engines failed to do what was asked (0.10.2).  Its `elist` and `results` are those of `Failures`."""


class CallInterrupted(Failures, KeyboardInterrupt):
    """Ctrl-C was pressed while a call waited for engines, and these were interrupted; otherwise as `CompositeError`.

    No Exception: a program that is to stop does not go on because somewhere all exceptions are caught.
    """


class StillRunning(KeyboardInterrupt):
    """Ctrl-C was pressed while a call waited for engines, and the ones in `engines` go on; the text says why."""

    def __init__(self, text: str, engines: Sequence[int] = ()) -> None:
        super().__init__(text)
        self.engines = list(engines)

    def _render_traceback_(self) -> list[str]:
        return shown_traceback(self)


def engine_info(exception: BaseException) -> dict[str, Any] | None:
    """Where an exception came from; None if from no engine."""
    info: dict[str, Any] | None = getattr(exception, "_ipython_engine_info", None)
    return info


def engine_label(exception: BaseException) -> str:
    """The prefix ``[engine:method]: `` of an exception that came from an engine."""
    info = engine_info(exception)
    if not info:
        return "[Engine Exception]"
    return f"[{info['engineid']}:{info['method']}]: "


def _label_of_all(exceptions: Sequence[BaseException]) -> str:
    """The prefix ``[0-7,9:method]: `` of an exception that came from several engines alike."""
    infos = [info for info in map(engine_info, exceptions) if info]
    return f"[{ranges([info['engineid'] for info in infos])}:{infos[0]['method']}]: "


def ranges(numbers: Sequence[Any]) -> str:
    """Numbers as people write them: ``0-7,9``."""
    if not all(isinstance(number, int) for number in numbers):
        return ",".join(str(number) for number in numbers)
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def traceback_text(exception: BaseException) -> str:
    """The engine's traceback of an exception, as plain text."""
    return getattr(exception, "_ipython_traceback_text", "") or "No traceback available"
