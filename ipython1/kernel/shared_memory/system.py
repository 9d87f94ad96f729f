"""What the system has for memory that processes share: files without a name (Linux, memfd), reached through /proc.

Such memory has no name that could be left behind: it is gone with the last descriptor and mapping, however processes
end.  Another process opens it as ``/proc/<pid>/fd/<number>``, which the system lets processes of the same user do.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import stat
import threading
import weakref
from typing import Any

_NAME = "ipython1"
_SHRINK: int = getattr(fcntl, "F_SEAL_SHRINK", 0)
_SIZE: int = _SHRINK | getattr(fcntl, "F_SEAL_GROW", 0)
_CONTENT: int = _SIZE | getattr(fcntl, "F_SEAL_WRITE", 0) | getattr(fcntl, "F_SEAL_SEAL", 0)
_COPIED_AT_ONCE = 64 << 20
_SHARED_OUT_FROM = 16 << 20
_FAILED = ctypes.c_void_p(-1).value
_libc: Any = None


class Unavailable(Exception):
    """Memory cannot be shared; the text says why."""


def check_supported() -> None:
    """Unavailable if this system does not have what it takes."""
    if not hasattr(os, "memfd_create") or not hasattr(fcntl, "F_ADD_SEALS"):
        raise Unavailable("this system has no memory files (memfd)")
    if not os.path.exists("/proc/self/fd"):
        raise Unavailable("/proc is not there, through which other processes would find the memory")


def is_visible(pid: int) -> bool:
    """Whether this process could open memory of that one, which has its standard input still."""
    try:
        os.readlink(f"/proc/{pid}/fd/0")
    except OSError:
        return False
    return True


def create(size: int) -> int:
    """A descriptor of new memory; Unavailable if the system refuses it, or has too little."""
    check_supported()
    left = available()
    if left is not None and size > left:
        raise Unavailable(f"{size >> 20} MiB of memory are not free")
    try:
        descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as problem:
        raise Unavailable(f"the system gives no memory to share: {problem.strerror}") from None
    try:
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SIZE)
    except OSError as problem:
        os.close(descriptor)
        raise Unavailable(f"the system gives no {size >> 20} MiB of memory to share: {problem.strerror}") from None
    return descriptor


def write(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of `data` there; Unavailable if there is no room for it."""
    try:
        while data:
            # The system copies, meanwhile other threads run; and no page is cleared before, as in a mapping.
            written = os.pwrite(descriptor, data[:_COPIED_AT_ONCE], offset)
            data, offset = data[written:], offset + written
    except OSError as problem:
        raise Unavailable(f"the system gives no more memory to share: {problem.strerror}") from None


def read(descriptor: int, into: memoryview, offset: int) -> None:
    """Fill `into` from there; Unavailable if there is less, or it is not there any more."""
    half = into.nbytes // 2 if into.nbytes >= _SHARED_OUT_FROM else 0
    if not half:
        if _read(descriptor, into, offset) < into.nbytes:
            raise Unavailable("the memory is shorter than was said")
        return
    # Most of the time goes into finding memory for what is copied: two processors do that twice as fast.
    counts: list[int] = []
    other = threading.Thread(
        target=lambda: counts.append(_read(descriptor, into[:half], offset)), name="ipython1 copy", daemon=True
    )
    other.start()
    try:
        counts.append(_read(descriptor, into[half:], offset + half))
    finally:
        other.join()
    if sum(counts) < into.nbytes:
        raise Unavailable("the memory is shorter than was said")


def _read(descriptor: int, into: memoryview, offset: int) -> int:
    """How many bytes could be read; all, if there are as many."""
    wanted = into.nbytes
    try:
        while into and (count := os.preadv(descriptor, [into[:_COPIED_AT_ONCE]], offset)):
            into, offset = into[count:], offset + count
    except OSError:  # it is not there any more: who asked sees that it is less
        pass
    return wanted - into.nbytes


def seal(descriptor: int) -> None:
    """Have the system see to it that nobody changes what was written, or the size, any more."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _CONTENT)
    except OSError as problem:
        raise Unavailable(f"the memory cannot be sealed: {problem.strerror}") from None


def open_of(pid: int, number: int, size: int, sealed: bool) -> int:
    """A descriptor of the memory that process `pid` has as `number`; Unavailable if it is not there, or no such memory.

    It has `size` bytes at least, which nobody can take away; nor can anybody change what is in it if it is `sealed`.
    """
    check_supported()
    try:
        # What is no memory must not make us wait, nor become our terminal.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(f"/proc/{pid}/fd/{number}", flags)
    except OSError as problem:
        raise Unavailable(f"the memory of process {pid} cannot be opened: {problem.strerror}") from None
    try:
        _check(descriptor, size, _CONTENT if sealed else _SIZE)
    except BaseException:  # an interrupt, too
        os.close(descriptor)
        raise
    return descriptor


def _check(descriptor: int, size: int, wanted: int) -> None:
    try:
        found = os.fstat(descriptor)
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        raise Unavailable("what was to be shared memory is something else") from None
    if not stat.S_ISREG(found.st_mode) or found.st_size < size:
        raise Unavailable("the memory is shorter than was said")
    if found.st_uid != os.geteuid():
        raise Unavailable("the memory is another user's")
    if seals & wanted != wanted:
        raise Unavailable("the memory is not sealed: it could change, or become shorter")


def shared_view(descriptor: int, size: int) -> memoryview:
    """The memory, mapped so that others see what is written to it here, with its pages."""
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    try:
        return memoryview(mmap.mmap(descriptor, size, flags=flags))
    except OSError as problem:
        raise Unavailable(f"the memory cannot be mapped: {problem.strerror}") from None


def private_view(descriptor: int, size: int) -> memoryview:
    """The memory, mapped so that what is written to it here stays here; the descriptor is not needed any more.

    It is unmapped when nothing refers to the view any more.
    """
    libc = _load_libc()
    address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, descriptor, 0)
    if address == _FAILED:
        raise Unavailable(f"the memory cannot be mapped: {os.strerror(ctypes.get_errno())}")
    # Not Python's own mmap objects, each of which keeps a descriptor.
    array = (ctypes.c_char * size).from_address(address)
    # At the end of the process it stays: what is run there may still use it.
    weakref.finalize(array, libc.munmap, address, size).atexit = False
    return memoryview(array).cast("B")


def _load_libc() -> Any:
    global _libc
    if _libc is None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            # the last one is an off_t
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
            libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        except (OSError, AttributeError) as problem:
            raise Unavailable(f"memory cannot be mapped: {problem}") from None
        _libc = libc
    return _libc


def own_memory(size: int) -> memoryview:
    """Fresh memory of this process alone, in large pages where the system has them: these come much faster."""
    try:
        memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as problem:
        raise Unavailable(f"there is no room for {size >> 20} MiB: {problem.strerror}") from None
    with contextlib.suppress(OSError, AttributeError):  # it is a wish
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)[:size]


def available() -> int | None:
    """How many bytes of memory this process can still have, about; None if that is not known."""
    known = [size for size in (_free_on_host(), _free_in_group()) if size is not None]
    return min(known) if known else None


def _free_on_host() -> int | None:
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None


def _free_in_group() -> int | None:
    """What the control group leaves, if there is one with a limit: what is beyond it ends processes."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/cgroup") as lines:
            group = next(line.strip().split(":", 2)[2] for line in [*lines] if line.startswith("0::"))
        folder = f"/sys/fs/cgroup{group.rstrip('/')}"
        with open(f"{folder}/memory.max") as limit, open(f"{folder}/memory.current") as current:
            return int(limit.read()) - int(current.read())
    return None
