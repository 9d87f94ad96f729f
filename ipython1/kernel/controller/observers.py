"""Who wants to know when engines come and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]
Report = Callable[[Function, Exception], None]


@dataclass(frozen=True)
class _Observer:
    function: Function
    include_id: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def call(self, engine: int) -> None:
        first = (engine,) if self.include_id else ()
        self.function(*first, *self.args, **self.kwargs)


class Observers:
    """Calls functions when an engine is registered, changes, or is unregistered, and when there are so many.

    `report` is given each function that raised, and what it raised: one observer never keeps another, or the
    engine, from its due.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._on_register: list[_Observer] = []
        self._on_unregister: list[_Observer] = []
        self._on_change: list[_Observer] = []
        self._on_count: list[tuple[int, _Observer]] = []
        self._count = 0

    def on_register_engine_do(self, function: Function, include_id: bool, *args: Any, **kwargs: Any) -> None:
        """Call ``function([id,] *args, **kwargs)`` after each registration."""
        self._on_register.append(_Observer(function, include_id, args, kwargs))

    def on_unregister_engine_do(
        self, function: Function, include_id: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Call ``function([id,] *args, **kwargs)`` after each engine that went."""
        self._on_unregister.append(_Observer(function, include_id, args, kwargs))

    def on_register_engine_do_not(self, function: Function) -> None:
        """No longer call `function` on registrations; nothing happens if it was not called."""
        self._on_register = [observer for observer in self._on_register if observer.function != function]

    def on_unregister_engine_do_not(self, function: Function) -> None:
        """No longer call `function` when engines go; nothing happens if it was not called."""
        self._on_unregister = [observer for observer in self._on_unregister if observer.function != function]

    def on_change_engine_do(self, function: Function, include_id: bool, *args: Any, **kwargs: Any) -> None:
        """Call ``function([id,] *args, **kwargs)`` when an engine's state or its properties have changed."""
        self._on_change.append(_Observer(function, include_id, args, kwargs))

    def on_n_engines_registered_do(self, n: int, function: Function, *args: Any, **kwargs: Any) -> None:
        """Call ``function(*args, **kwargs)`` once, as soon as there are `n` engines: at once if there are."""
        self._on_count.append((n, _Observer(function, False, args, kwargs)))
        self._call_reached()

    def registered(self, engine: int, count: int) -> None:
        """Engine `engine` came; there are `count` now."""
        self._count = count
        self._call(list(self._on_register), engine)
        self._call_reached()

    def unregistered(self, engine: int, count: int) -> None:
        """Engine `engine` went; there are `count` left."""
        self._count = count
        self._call(list(self._on_unregister), engine)

    def changed(self, engine: int) -> None:
        """Something about engine `engine` has changed."""
        self._call(list(self._on_change), engine)

    def _call_reached(self) -> None:
        reached = [observer for n, observer in self._on_count if n <= self._count]
        self._on_count = [entry for entry in self._on_count if entry[0] > self._count]
        self._call(reached, -1)

    def _call(self, observers: list[_Observer], engine: int) -> None:
        for observer in observers:
            try:
                observer.call(engine)
            # An observer is somebody else's code: whatever it raises is reported and stops nobody.
            except Exception as problem:
                self._report(observer.function, problem)
