"""The ids of results that are fetched later."""

from __future__ import annotations

import itertools
import os
import threading
import time

RANDOM = 10
"""Bytes of an id that nobody can guess."""

_counter = itertools.count()
_lock = threading.Lock()
# Random bytes that were not used: to ask the system for them each time would cost more than all else.
_random = b""


def new_result_id() -> str:
    """40 characters that sort by the time of creation: milliseconds, a counter, random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{next(_counter) & 0xFFFFFFFF:08x}{_random_bytes().hex()}"


def _random_bytes() -> bytes:
    global _random
    with _lock:
        if not _random:
            _random = os.urandom(RANDOM * 256)
        taken, _random = _random[:RANDOM], _random[RANDOM:]
    return taken


def _forked() -> None:
    """A child must not use what its parent uses; nor wait for a thread that it does not have."""
    global _random, _lock
    _random, _lock = b"", threading.Lock()


os.register_at_fork(after_in_child=_forked)
