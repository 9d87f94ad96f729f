"""A Future that is made when somebody looks into it."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from ipython1.kernel.client.patient import SafeFuture

_making = threading.Lock()


class LateFuture(Future[Any]):
    """A `concurrent.futures.Future` that has nothing of what makes it one, until something of that is asked for.

    That is a condition, its lock, their methods, and two lists: ten objects, which Python goes through again and again when
    it looks for garbage, while very many calls are under way.  Most have come to their end before anybody waits for
    them, and then there is only an outcome to be fetched.
    """

    _made = False
    _outcome: tuple[Any, BaseException | None] | None = None
    """Its result and its exception, if it had them before it was made."""

    def __init__(self) -> None:
        pass  # What Future does here, __getattr__ has done when it is needed.

    def __getattr__(self, name: str) -> Any:
        if self._made:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        self._make()
        return getattr(self, name)

    def _make(self) -> None:
        future: Future[Any] = SafeFuture()
        with _making:
            if self._made:
                return
            if self._outcome is not None:
                _settle(future, *self._outcome)
            # In one go: another thread, and Ctrl-C, find all of it or nothing.
            vars(self).update(vars(future), _made=True)

    def _finish(self, value: Any, error: BaseException | None) -> None:
        """This is its result, or its exception; InvalidStateError if it has one."""
        with _making:
            if not self._made and self._outcome is None:
                self._outcome = value, error
                return
        _settle(self, value, error)

    def done(self) -> bool:
        """See `Future`."""
        return self._outcome is not None or (self._made and super().done())

    def cancelled(self) -> bool:
        """See `Future`."""
        return self._made and super().cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """See `Future`."""
        if self._outcome is None:
            return super().result(timeout)
        value, error = self._outcome
        if error is not None:
            raise error
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `Future`."""
        return super().exception(timeout) if self._outcome is None else self._outcome[1]


def _settle(future: Future[Any], value: Any, error: BaseException | None) -> None:
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
