"""The ids of results that are fetched later."""

from __future__ import annotations

import itertools
import secrets
import time

_counter = itertools.count()


def new_result_id() -> str:
    """40 characters that sort by the time of creation: milliseconds, a counter, random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{next(_counter) & 0xFFFFFFFF:08x}{secrets.token_hex(10)}"
