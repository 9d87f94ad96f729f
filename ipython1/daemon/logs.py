"""The logs of a cluster, of all of its processes: in one view, sorted by time and labelled, or in one archive."""

from __future__ import annotations

import heapq
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipython1.kernel.error import ClusterError

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ")
_FILE = re.compile(r"(?P<label>.+)\.log(?:\.(?P<age>\d+))?")


@dataclass(frozen=True, order=True)
class Entry:
    """What was logged at one time; `text` may have several lines."""

    time: str
    label: str = field(compare=False)
    text: str = field(compare=False)

    def __str__(self) -> str:
        first, *rest = self.text.split("\n")
        return "\n".join([f"{self.time} {self.label}: {first}", *(f"    {line}" for line in rest)])


def log_files(log_dir: Path) -> list[Path]:
    """The log files of a cluster, those that were rotated before those that go on."""
    try:
        found = [(path, match) for path in log_dir.iterdir() if (match := _FILE.fullmatch(path.name)) and path.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise ClusterError(f"cannot read {log_dir}: {problem.strerror}") from None
    return [path for path, _ in sorted(found, key=lambda each: (each[1]["label"], -int(each[1]["age"] or 0)))]


def entries(path: Path) -> Iterator[Entry]:
    """What is in one log file."""
    match = _FILE.fullmatch(path.name)
    label = match["label"] if match else path.name
    time = ""
    lines: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            begins = _TIME.match(line)
            if begins and lines:
                yield Entry(time, label, "\n".join(lines))
                lines = []
            if begins:
                time, line = begins[0].strip(), line[begins.end() :]
            lines.append(line.rstrip("\n"))
    if lines:
        yield Entry(time, label, "\n".join(lines))


def merged(log_dir: Path) -> Iterator[Entry]:
    """What is in all log files, in the order of time."""
    by_label: dict[str, list[Path]] = {}
    for path in log_files(log_dir):
        by_label.setdefault(path.name.split(".log")[0], []).append(path)
    return heapq.merge(*(_one_after_the_other(paths) for paths in by_label.values()))


def _one_after_the_other(paths: list[Path]) -> Iterator[Entry]:
    for path in paths:
        yield from entries(path)


def archive(log_dir: Path, others: list[Path], file: Path) -> int:
    """Put all log files, and `others` that are there, into a compressed archive: how many they are.

    The archive is readable by its owner alone, as logs are.  ClusterError if it cannot be written.
    """
    paths = [path for path in [*log_files(log_dir), *others] if path.exists()]
    if not paths:
        raise ClusterError(f"there are no logs in {log_dir}")
    try:
        # Not what was there before: a link, or a file that others can read.
        file.unlink(missing_ok=True)
        with open(file, "xb", opener=_private) as target, tarfile.open(fileobj=target, mode="w:gz") as made:
            for path in paths:
                made.add(path, arcname=f"{_folder_name(file)}/{path.name}")
    except OSError as problem:
        raise ClusterError(f"cannot write {file}: {problem.strerror or problem}") from None
    return len(paths)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _folder_name(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar") or "logs"
