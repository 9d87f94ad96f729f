"""`PendingResult`: what a call that does not block returns."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from ipython1.core.references import reduce_result
from ipython1.kernel.client.reactor import reactor_thread
from ipython1.kernel.client.worker import callbacks_worker, results_worker
from ipython1.kernel.error import (
    AbortedPendingDeferredError,
    CallTimeout,
    ClientError,
    InvalidDeferredID,
    ResultNotCompleted,
)

_making_locks = threading.Lock()


class PendingResult(Future[Any]):
    """The outcome of a call that was made with ``block=False``, when it is there.

    A `concurrent.futures.Future`: `result`, `exception`, `done`, `add_done_callback`, and the functions of
    `concurrent.futures` and `asyncio` work with it.  It cannot be cancelled; see `MultiEngineClient.clear_queue` and
    `MultiEngineClient.interrupt`, and `TaskClient.abort`.  Callbacks never run in the reactor's thread.
    """

    taskid: int | None = None
    """The id of the task whose outcome it is; None if it is something else's."""

    def __init__(self, client: Any, result_id: str, name: str) -> None:
        super().__init__()
        self.client = client
        self.result_id = result_id
        self.callbacks: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._name = name
        self._flushed = False
        self._fetched = False
        # What the callbacks made of the result, once one of them has run: its value, or what it raised.
        self._chained: list[Any] = []
        self._chain_error: BaseException | None = None
        self._chain_lock: threading.RLock | None = None
        self.set_running_or_notify_cancel()

    # -- for users ---------------------------------------------------------------------------------------

    def get_result(self, default: Any = None, block: bool = True) -> Any:
        """The result, after it went through the callbacks; raises what the call or a callback raised.

        If it is not there yet and `block` is false: `default`.
        """
        if not block and not self.done():
            if self._flushed:
                raise self._gone()
            return default
        return self.result()

    @property
    def r(self) -> Any:
        """Short for ``get_result(block=True)``."""
        return self.get_result()

    def add_callback(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the result go through ``f(result, *args, **kwargs)``, whose value is the result then.

        Callbacks run one after the other, each on the output of the one before, in the thread that fetches the
        result.  AssertionError if `f` is not callable.
        """
        if not callable(f):
            raise AssertionError(f"a callback must be callable, {f!r:.80} is not")
        with _making_locks:
            # Most results have no callbacks.
            self._chain_lock = self._chain_lock or threading.RLock()
        with self._chain_lock:
            self.callbacks.append((f, args, kwargs))

    def result(self, timeout: float | None = None) -> Any:
        """The result, waiting for it at most `timeout` seconds (CallTimeout); see `get_result`."""
        self._wait(timeout)
        if self._chain_lock is None:
            return super().result(0)
        with self._chain_lock:
            self._run_callbacks()
            if self._chain_error is not None:
                raise self._chain_error
            if self._chained:
                return self._chained[0]
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise, or None; waits like `result`."""
        self._wait(timeout)
        if self._chain_lock is None:
            return super().exception(0)
        with self._chain_lock:
            self._run_callbacks()
            return self._chain_error or super().exception(0)

    def add_done_callback(self, fn: Callable[[Future[Any]], Any]) -> None:
        """Have ``fn(self)`` called when the result is there, in the callbacks' thread."""
        super().add_done_callback(lambda pending: callbacks_worker.call(fn, pending))

    @property
    def called(self) -> bool:
        """Whether the result is there."""
        return self.done()

    @property
    def raised(self) -> bool:
        """Whether the result is there and is an exception."""
        return self.done() and (self._chain_error or super().exception(0)) is not None

    def __lt__(self, other: Any) -> bool:
        return self.result_id < other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __le__(self, other: Any) -> bool:
        return self.result_id <= other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return self.result_id > other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return self.result_id >= other.result_id if isinstance(other, PendingResult) else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        """Among the arguments of a task it stands for the result of the task that it is of."""
        if self.taskid is None:
            raise TypeError(f"the result of {self._name} cannot be sent before it was fetched: give its value, .r")
        return reduce_result(self.taskid, self.client)

    def __repr__(self) -> str:
        state = "flushed" if self._flushed else "done" if self.done() else "pending"
        return f"<{type(self).__module__}.{type(self).__qualname__} object at {id(self):#x}: {self._name}, {state}>"

    # -- waiting and callbacks ---------------------------------------------------------------------------

    def _wait(self, timeout: float | None) -> None:
        """Return when the result is there."""
        if self._flushed and not self._fetched:
            raise self._gone()
        if not self.done():
            reactor_thread.check_can_wait(f"the result of {self._name}")
            if results_worker.is_here():
                raise ClientError(
                    f"the result of {self._name} was waited for while another result was being unpickled, which is"
                    " where it would be unpickled itself"
                )
            try:
                super().exception(timeout)
            except TimeoutError:
                waits_for = self.client._calls.connection.waits_for
                raise CallTimeout(f"{self._name} was not done within {timeout:g} s{waits_for}") from None
        self._fetched = True
        self.client._fetched(self)

    def _run_callbacks(self) -> None:
        while self.callbacks and not self._chain_error and super().exception(0) is None:
            function, args, kwargs = self.callbacks.pop(0)
            value = self._chained[0] if self._chained else super().result(0)
            try:
                self._chained = [function(value, *args, **kwargs)]
            except Exception as problem:  # code of users; kept, so that it is raised each time
                self._chain_error = problem

    def _gone(self) -> InvalidDeferredID:
        return InvalidDeferredID(
            f"the result of {self._name} ({self.result_id}) was flushed before it was fetched"
        )

    # -- for the client ----------------------------------------------------------------------------------

    def _settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """The outcome is there; too late if the result was flushed."""
        with contextlib.suppress(InvalidStateError):
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)

    def _flush(self) -> None:
        """Forget the result, unless it was fetched; who waits for it now gets AbortedPendingDeferredError."""
        if not self._fetched:
            self._flushed = True
            self._settle(
                error=AbortedPendingDeferredError(f"the result of {self._name} was flushed while waited for")
            )

    def _take(self, block: bool) -> Any:
        """The result, for somebody who has only its id."""
        if not block and not self.done():
            raise ResultNotCompleted(f"{self._name} is not done")
        return self.result()


PendingResult.__module__ = "ipython1.kernel.client"
