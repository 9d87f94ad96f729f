"""Bodies that are too large for the database: files beside it, each with a checksum in the table `files`.

A file is written before the row that refers to it is committed, and removed after the row is.  So what a crash leaves
behind are files without a row, which are removed at the next start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ipython1.kernel.error import StoreError
from ipython1.kernel.store.batch import Row
from ipython1.kernel.store.packing import NewFile


class Files:
    """The files in one folder; used in the store's thread."""

    def __init__(self, folder: Path, sync: bool) -> None:
        self._folder = folder
        self._sync = sync
        self._owned: dict[str, list[str]] = {}
        self._sums: dict[str, str] = {}

    def register(self, rows: Iterable[Row]) -> None:
        """These files are there: rows of the table, which may come twice."""
        for name, owner, _, checksum in rows:
            if name not in self._sums:
                self._owned.setdefault(owner, []).append(name)
                self._sums[name] = checksum

    def owners(self) -> list[str]:
        """What owns files."""
        return list(self._owned)

    def of(self, owner: str) -> list[str]:
        """The files that something owns."""
        return self._owned.get(owner, [])

    def write(self, file: NewFile) -> Row:
        """Write a file; its row.  OSError if that cannot be done."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        body = memoryview(file.body).cast("B")
        descriptor = os.open(
            self._folder / file.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        with open(descriptor, "wb", buffering=0) as stream:
            rest = body
            while rest:
                rest = rest[stream.write(rest) :]
            if self._sync:
                os.fsync(descriptor)
        return file.name, file.owner, len(body), hashlib.sha256(body).hexdigest()

    def read(self, name: str, size: int) -> bytes:
        """What is in a file; StoreError if that is not what was written."""
        path = self._folder / name
        try:
            body = path.read_bytes()
        except OSError as problem:
            raise StoreError(f"{path} cannot be read: {problem.strerror}") from problem
        if len(body) != size or hashlib.sha256(body).hexdigest() != self._sums.get(name):
            raise StoreError(f"{path} is damaged: it is not what the store has written")
        return body

    def discard(self, names: Iterable[str]) -> None:
        """Remove files that nothing refers to."""
        for name in names:
            # What stays is removed at the next start.
            with contextlib.suppress(OSError):
                os.unlink(self._folder / name)

    def forget(self, owner: str) -> None:
        """Remove the files of something."""
        names = self._owned.pop(owner, [])
        for name in names:
            self._sums.pop(name, None)
        self.discard(names)

    def tidy(self) -> None:
        """Remove all files that are not registered."""
        with contextlib.suppress(FileNotFoundError):
            self.discard([name for name in os.listdir(self._folder) if name not in self._sums])
