"""What an engine's executes gave, kept for get_result."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ipython1.kernel.config.settings import KEPT_COMMANDS, KEPT_COMMANDS_SIZE
from ipython1.kernel.framing import Bytes


@dataclass(frozen=True)
class Record:
    """The outcome of one execute: its result document and what it printed."""

    number: int
    document: Bytes
    stdout: bytes
    stderr: bytes

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, roughly."""
        return len(self.document) + len(self.stdout) + len(self.stderr)


class History:
    """The records of the latest executes of one engine, by number.

    The oldest go first when there are more than `max_records`, or together more than `max_bytes`; the latest
    always stays.
    """

    def __init__(self, max_records: int = KEPT_COMMANDS.default, max_bytes: int = KEPT_COMMANDS_SIZE.default) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: OrderedDict[int, Record] = OrderedDict()
        self._size = 0
        self._stale = False
        self.last_number = 0
        """Number of the latest execute of this namespace; 0 before the first."""

    def add(self, record: Record) -> None:
        """An execute has finished."""
        if self._stale:
            self.clear()
        self._forget(record.number)
        self._records[record.number] = record
        self._size += record.size
        self.last_number = record.number
        while len(self._records) > 1 and (
            len(self._records) > self._max_records or self._size > self._max_bytes
        ):
            self._forget(next(iter(self._records)))

    def get(self, number: int | None) -> Record | None:
        """The record of that number, or the latest for None; None if it is not here."""
        if number is None:
            return next(reversed(self._records.values()), None)
        return self._records.get(number)

    def clear(self) -> None:
        """The namespace was reset: its numbers start again at 1."""
        self._records.clear()
        self._size = 0
        self._stale = False
        self.last_number = 0

    def namespace_lost(self) -> None:
        """The interpreter ended.

        What led to it can still be looked up until its successor has executed something: then the numbers mean
        the successor's commands.
        """
        self._stale = True
        self.last_number = 0

    def _forget(self, number: int) -> None:
        record = self._records.pop(number, None)
        if record is not None:
            self._size -= record.size
