"""The threads in which the blocking client works for its users, so that none of their code runs in the reactor's."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class Worker:
    """A daemon thread that calls functions one after the other; started when there is the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Have `function` called in the thread."""
        self._tasks.put((function, args))
        if self._thread is None and os.getpid() == self._pid:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()

    def is_here(self) -> bool:
        """Whether this is the worker's thread."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while True:
            function, args = self._tasks.get()
            try:
                function(*args)
            except BaseException:  # code of users, which may raise SystemExit: the others' must still run
                log.exception("in the thread %s", self._name)
            # What was called must not live until the next call comes.
            del function, args


results_worker = Worker("ipython1 results")
"""Makes values of what came for calls that did not block."""
callbacks_worker = Worker("ipython1 callbacks")
"""Runs the callbacks that users gave to a PendingResult."""
