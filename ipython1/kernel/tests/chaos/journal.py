"""Logs that are complete up to the moment in which their writer is killed: one JSON document to a line.

Each line is one write to a file that is open for appending, without a buffer in the process: what was written is there,
also when several processes write to the same file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Journal:
    """Appends events to a file; may be used by several threads."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, event: str, **fields: Any) -> None:
        """Something happened now: by the clock that all processes of a host share."""
        line = json.dumps({"at": round(time.monotonic(), 4), "event": event, **fields})
        os.write(self._file, line.encode() + b"\n")

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._file)


def read(path: Path) -> list[Event]:
    """The events of a file, in their order; none if it is missing.  A last line that is torn is left out."""
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines]
