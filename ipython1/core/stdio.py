"""The standard streams of an interpreter process: its descriptors 0, 1 and 2."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from typing import Any

_UNBUFFERED = 2  # _IONBF on Linux and macOS


class _Descriptor(io.FileIO):
    """A descriptor that takes everything it is given, at once."""

    def write(self, data: Any) -> int:
        """Write all of `data`.  What a signal's handler raises meanwhile is raised when all is written."""
        view = memoryview(data).cast("B")
        # The count is noted by the C call that wrote: an exception cannot come between (see channel.py).
        counts: list[int] = []
        interruption: BaseException | None = None
        while (done := sum(counts)) < view.nbytes:
            try:
                counts.extend(map(super().write, (view[done:],)))
            except OSError:
                raise
            except BaseException as raised:  # by a signal's handler, KeyboardInterrupt most of all
                interruption = raised
        if interruption is not None:
            raise interruption
        return view.nbytes


def _stream(descriptor: int) -> io.TextIOWrapper:
    raw = _Descriptor(descriptor, "w", closefd=False)
    # Written through, so that print() and the output of child processes stay in order, and nothing is lost in a
    # crash. Whatever the locale, any text can be printed.
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def install() -> None:
    """Make sys.stdout and sys.stderr write to their descriptors at once, and sys.stdin empty."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]
    _unbuffer_c_output()


def _unbuffer_c_output() -> None:
    """Have C code's printf written at once, too: into a pipe, the C library would keep it for long."""
    library = ctypes.CDLL(None)
    for name in ("stdout", "__stdoutp"):  # glibc and musl; macOS
        try:
            stream = ctypes.c_void_p.in_dll(library, name)
        except ValueError:
            continue
        library.setvbuf(stream, None, _UNBUFFERED, ctypes.c_size_t(0))


def flush() -> None:
    """Flush what user code may have put in the place of the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, None, or an object of the user's
            continue
