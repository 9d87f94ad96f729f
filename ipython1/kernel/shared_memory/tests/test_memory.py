"""Memory between processes, without anything of a cluster."""

from __future__ import annotations

import gc
import mmap
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.error import ProtocolError
from ipython1.kernel.shared_memory import system
from ipython1.kernel.shared_memory.memory import Memory, open_bodies, without
from ipython1.kernel.shared_memory.pool import IDLE, MAX_KEPT, Pool
from ipython1.kernel.shared_memory.reference import SMALL, Reference
from ipython1.kernel.shared_memory.system import Unavailable
from ipython1.kernel.tests.program import search_path

LARGE = b"large" * 100_000
BODIES = [b"pickle", LARGE, b"small", bytearray(range(256)) * 16]


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


class MemoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        try:
            system.check_supported()
        except Unavailable as problem:
            raise SkipTest(str(problem)) from None

    def taken(self, memory: Memory) -> list[Any]:
        return open_bodies(memory.reference.to_plain(), without(BODIES, memory.reference))

    def refused(self, reference: Reference) -> str:
        return str(self.assertRaises(Unavailable, Memory.open, reference))


class SealedTests(MemoryTestCase):
    def test_bodies(self) -> None:
        """What is not small lies in the memory; bodies taken from it outlive it, can be written to, and are one's own."""
        memory = Memory.of_bodies(BODIES)
        self.assertEqual(memory.reference.indices(), [1, 3])
        bodies, others = self.taken(memory), self.taken(memory)
        memory.close()
        self.assertEqual(bodies, BODIES)
        bodies[1][:5] = b"other"
        self.assertEqual(others, BODIES)

    def test_sizes(self) -> None:
        """Of all sizes about the boundary."""
        sizes = [0, 1, SMALL - 1, SMALL, SMALL + 1, 65536, 100_001]
        bodies = [os.urandom(size) for size in sizes]
        memory = Memory.of_bodies(bodies)
        self.assertEqual(open_bodies(memory.reference.to_plain(), without(bodies, memory.reference)), bodies)
        for _, beginning, _ in memory.reference.places:
            self.assertEqual(beginning % 64, 0)

    def test_sealed(self) -> None:
        """Nobody can change what is there, or make it shorter."""
        memory = Memory.of_bodies(BODIES)
        path = f"/proc/self/fd/{memory.reference.fd}"
        with open(path, "r+b", buffering=0) as file:
            self.assertRaises(PermissionError, file.write, b"x")
            self.assertRaises(PermissionError, file.truncate, 0)

    def test_nothing_is_left(self) -> None:
        """Neither descriptors nor mappings, when nobody has the bodies any more."""
        gc.collect()
        before = descriptors(), mappings()
        for _ in range(1000):
            memory = Memory.of_bodies(BODIES)
            self.taken(memory)
            memory.close()
        gc.collect()
        self.assertEqual((descriptors(), mappings()), before)

    def test_bodies_need_no_descriptors(self) -> None:
        """However many are kept."""
        gc.collect()
        before = descriptors()
        kept = []
        for _ in range(50):
            memory = Memory.of_bodies(BODIES)
            kept.append(self.taken(memory))
            memory.close()
        self.assertEqual(descriptors(), before)
        self.assertEqual(kept[7], BODIES)

    def test_forked_child(self) -> None:
        """A child that is forked does not keep the memory."""
        memory = Memory.of_bodies(BODIES)
        child = os.fork()
        if not child:
            os._exit(int(os.path.exists(f"/proc/self/fd/{memory.reference.fd}")))
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(self.taken(memory), BODIES)


class UnavailableTests(MemoryTestCase):
    def test_gone(self) -> None:
        """The process is gone, or has closed it."""
        memory = Memory.of_bodies(BODIES)
        memory.close()
        self.assertIn("cannot be opened", self.refused(memory.reference))
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        self.assertIn("cannot be opened", self.refused(replace(memory.reference, pid=ended.pid)))

    def test_killed(self) -> None:
        """Who has opened it keeps it, though the process that made it was killed."""
        child, reference = self.other_process()
        memory = Memory.open(reference)
        child.send_signal(signal.SIGKILL)
        child.wait()
        self.assertEqual(self.taken(memory), BODIES)
        self.assertIn("cannot be opened", self.refused(reference))

    def other_process(self, **options: Any) -> tuple[subprocess.Popen[str], Reference]:
        """A process that has made memory; its reference."""
        code = (
            "import sys\n"
            "from ipython1.kernel.shared_memory.tests.test_memory import BODIES, Memory\n"
            "memory = Memory.of_bodies(BODIES)\n"
            "print(repr(memory.reference.to_plain()), flush=True)\n"
            "sys.stdin.read()\n"
        )
        environment = {**os.environ, "PYTHONPATH": search_path()}
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        )
        self.addCleanup(end, child)
        assert child.stdout is not None
        return child, Reference.of(eval(child.stdout.readline()))

    def test_other_user(self) -> None:
        """Another user's process is refused; nor is another user's memory taken."""
        if os.geteuid() != 0:
            raise SkipTest("only root can be somebody else")
        memory = Memory.of_bodies(BODIES)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:  # with what it has imported: that may lie where others cannot read
            os.setuid(65534)
            try:
                Memory.open(memory.reference)
                said = b"opened"
            except Unavailable as problem:
                said = str(problem).encode()
            os.write(writer, said)
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            self.assertIn("Permission denied", pipe.read())
        os.fchown(memory.reference.fd, 65534, 65534)
        self.assertIn("another user's", self.refused(memory.reference))

    def test_not_the_same(self) -> None:
        """Behind that descriptor of that process is something else."""
        memory, other = Memory.of_bodies(BODIES), Memory.of_bodies(BODIES)
        self.assertIn("not the one", self.refused(replace(memory.reference, fd=other.reference.fd)))

    def test_something_else(self) -> None:
        """A pipe, a file, a device, memory that is not sealed: nothing is waited for, nothing is read."""
        memory = Memory.of_bodies(BODIES)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        file = os.open(__file__, os.O_RDONLY)
        self.addCleanup(os.close, file)
        null = os.open(os.devnull, os.O_RDWR)
        self.addCleanup(os.close, null)
        loose = os.memfd_create("loose")
        self.addCleanup(os.close, loose)
        os.ftruncate(loose, 10_000_000)
        before = descriptors()
        for number in (reader, writer, file, null, loose):
            self.refused(replace(memory.reference, fd=number))
        self.assertEqual(descriptors(), before)

    def test_shorter(self) -> None:
        """It has not as many bytes as is said."""
        memory = Memory.of_bodies(BODIES)
        self.assertIn("shorter", self.refused(replace(memory.reference, size=1 << 40)))

    def test_malformed(self) -> None:
        """What is no reference is refused."""
        sound = Memory.of_bodies(BODIES).reference.to_plain()
        for change in (
            {"pid": 0},
            {"fd": -1},
            {"fd": True},
            {"nonce": b"short"},
            {"size": "large"},
            {"places": [[0, 64]]},
            {"places": [[0, 0, 10]]},
            {"places": [[0, 64, 1 << 60]]},
            {"places": [[-1, 64, 1]]},
            {"more": 1},
        ):
            self.assertRaises(ProtocolError, Reference.of, {**sound, **change})
        self.assertRaises(ProtocolError, Reference.of, None)
        few = open_bodies, sound, [b""]
        self.assertRaises(Unavailable, *few)

    def test_no_memory(self) -> None:
        """The system has none, or gives none: that is said."""

        def no_memfd(name: str, flags: int) -> int:
            raise OSError(24, os.strerror(24))

        self.patch(os, "memfd_create", no_memfd)
        self.assertIn("Too many open files", str(self.assertRaises(Unavailable, Memory.of_bodies, BODIES)))
        self.patch(system, "available", lambda: 100)
        self.assertIn("not free", str(self.assertRaises(Unavailable, Memory.of_bodies, BODIES)))

    def test_no_such_thing(self) -> None:
        """A system that has no memory files at all."""
        self.patch(system, "os", object())
        self.assertIn("no memory files", str(self.assertRaises(Unavailable, system.check_supported)))

    def test_limit_of_files(self) -> None:
        """The limit of the size of files holds for memory, too: nothing is left of what was begun."""
        before = descriptors()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        self.assertIn("File too large", str(self.assertRaises(Unavailable, Memory.of_bodies, BODIES)))
        self.assertEqual(descriptors(), before)

    def test_available(self) -> None:
        """How much memory is free is known here."""
        self.assertGreater(system.available() or 0, 1 << 20)


class PoolTests(MemoryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.pool = Pool(self.clock.callLater)

    def test_used_again(self) -> None:
        """The same memory has the next value; what was taken out of it before is not touched."""
        first = self.pool.with_bodies(BODIES)
        bodies = self.taken(first)
        number = first.reference.fd
        first.close()
        others = [b"", b"other" * 100_000, b"", b""]
        second = self.pool.with_bodies(others)
        self.assertEqual(second.reference.fd, number)
        self.assertEqual(open_bodies(second.reference.to_plain(), without(others, second.reference)), others)
        self.assertEqual(bodies, BODIES)

    def test_late_reader(self) -> None:
        """Who comes too late, or is overtaken while reading, notices."""
        first = self.pool.with_bodies(BODIES)
        reference = first.reference
        opened = Memory.open(reference)
        first.close()
        self.pool.with_bodies([b"other" * 200_000])
        self.assertIn("not the one", self.refused(reference))
        self.assertRaises(Unavailable, opened.bodies, without(BODIES, reference))

    def test_in_use(self) -> None:
        """What is in use has no other value."""
        first, second = self.pool.with_bodies(BODIES), self.pool.with_bodies(BODIES)
        self.assertNotEqual(first.reference.fd, second.reference.fd)
        first.close()
        first.close()
        self.assertEqual(self.taken(self.pool.with_bodies(BODIES)), BODIES)
        self.assertEqual(self.taken(second), BODIES)

    def test_given_back(self) -> None:
        """When it has been idle for a while."""
        gc.collect()
        before = descriptors()
        self.pool.with_bodies(BODIES).close()
        self.clock.advance(IDLE - 1)
        self.pool.with_bodies(BODIES).close()
        self.clock.advance(2)
        self.assertGreater(descriptors(), before)
        self.clock.advance(IDLE)
        self.assertEqual(descriptors(), before)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_very_large(self) -> None:
        """Very large values have memory of their own, which is gone afterwards."""
        self.patch(system, "available", lambda: None)
        self.assertFalse(self.pool.with_bodies(BODIES).reference.sealed)
        before = descriptors()
        self.patch(system, "write", lambda *arguments: None)  # it would be slow
        memory = self.pool.with_bodies([mmap.mmap(-1, MAX_KEPT + 1)])  # type: ignore[list-item] # is as good as bytes
        self.assertTrue(memory.reference.sealed)
        memory.close()
        self.assertEqual(descriptors(), before)


def mappings() -> int:
    """How many pieces of memory files are mapped here."""
    return Path("/proc/self/maps").read_text().count("memfd:ipython1")


def end(child: subprocess.Popen[str]) -> None:
    """End a process."""
    child.kill()
    child.communicate()
