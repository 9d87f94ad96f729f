"""What is recorded of a cluster, and whether it still holds."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import psutil
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.daemon import state as state_module
from ipython1.daemon.clusters import Standing, clean, look, look_for_all, put_in_order
from ipython1.daemon.state import FAILED, ClusterState, PartRecord, ProcessId, StateFolder
from ipython1.kernel.controller.lock import ControllerLock
from ipython1.kernel.error import ClusterError, ClusterRunning, NoSuchCluster, SecurityError
from ipython1.kernel.places import Places
from ipython1.kernel.tests.program import Program, asynchronous

texts = st.text(max_size=10)
ids = st.builds(ProcessId, texts, st.integers(1, 1 << 22), st.none() | st.floats(0, 1e10), texts)
parts = st.builds(
    PartRecord,
    texts,
    texts,
    texts,
    st.none() | ids,
    st.lists(st.integers(0, 511)).map(tuple),
    st.integers(0, 511),
    st.integers(0, 9),
    st.none() | texts,
)
states = st.builds(
    ClusterState,
    texts,
    texts,
    ids,
    st.floats(0, 1e10),
    texts,
    st.booleans(),
    st.booleans(),
    st.lists(parts).map(tuple),
    st.lists(texts).map(tuple),
    st.none() | texts,
)


class RecordTests(SynchronousTestCase):
    @given(states)
    def test_back(self, state: ClusterState) -> None:
        """A record reads back as it was written."""
        self.assertEqual(ClusterState.from_json(state.to_json()), state)

    def test_no_record(self) -> None:
        """Anything else is no record, whatever is wrong with it."""
        for text in ("", "[]", "{}", '{"schema": 1}', '{"schema": 99}', "null"):
            self.assertRaises(ValueError, ClusterState.from_json, text)


class FolderCase(TestCase):
    def setUp(self) -> None:
        self.places = Places(Path(self.mktemp()).absolute())
        self.folder = StateFolder(self.places.state_dir)

    def state(self, supervisor: ProcessId, *processes: ProcessId) -> ClusterState:
        records = tuple(PartRecord(f"part {n}", "running", "", process) for n, process in enumerate(processes))
        return ClusterState("default", "running", supervisor, 0.0, str(self.places.state_dir / "control"), parts=records)

    def leave(self, state: ClusterState) -> None:
        """Leave that record behind, as a supervisor that was killed does."""
        self.places.state_dir.mkdir(parents=True)
        (self.places.state_dir / "lock").touch()
        self.folder.write(state)


class LockTests(FolderCase):
    def test_one(self) -> None:
        """One at a time has the lock; then nothing of it is left."""
        other = StateFolder(self.places.state_dir)
        self.assertFalse(self.folder.is_locked())
        self.assertTrue(self.folder.acquire())
        self.addCleanup(self.folder.release)
        self.assertTrue(other.is_locked())
        self.assertFalse(other.acquire())
        self.folder.write(self.state(ProcessId.own()))
        self.folder.release()
        self.assertFalse(self.places.state_dir.exists())
        self.assertTrue(other.acquire())
        other.release()

    def test_removed_meanwhile(self) -> None:
        """A lock on a file that was removed is none: the next one is taken."""
        self.assertTrue(self.folder.acquire())
        self.addCleanup(self.folder.release)
        (self.places.state_dir / "lock").unlink()
        other = StateFolder(self.places.state_dir)
        self.assertTrue(other.acquire())
        other.release()

    def test_removed_before_it_was_locked(self) -> None:
        """A lock that one gets on a file which its last holder has removed meanwhile is none either."""
        self.folder.acquire()
        other = StateFolder(self.places.state_dir)
        lock = state_module._lock

        def late(descriptor: int, attempts: int = 1) -> bool:
            self.folder.release()
            return lock(descriptor, attempts)

        self.patch(state_module, "_lock", late)
        self.assertTrue(other.acquire())
        self.addCleanup(other.release)
        self.assertTrue(StateFolder(self.places.state_dir).is_locked())

    def test_no_folder(self) -> None:
        """A folder that cannot be made is named, with what to do."""
        self.places.ipython_dir.write_text("")
        problem = self.assertRaises(ClusterError, self.folder.acquire)
        self.assertIn(str(self.places.state_dir), str(problem))
        self.assertIn("--ipython-dir", str(problem))

    def test_disk_full(self) -> None:
        """A record that cannot be written is an error that says why, and the old one stays."""
        state = self.state(ProcessId.own())
        self.leave(state)

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(os, "fsync", full)
        problem = self.assertRaises(SecurityError, self.folder.write, replace(state, state="stopping"))
        self.assertIn("No space left on device", str(problem))
        self.assertEqual(self.folder.read(), state)
        self.assertEqual(sorted(os.listdir(self.places.state_dir)), ["lock", "state.json"])


class StandingTests(FolderCase):
    """How a cluster is found to stand."""

    async def process(self) -> Program:
        program = Program(self, sys.executable, "-c", "print('up', flush=True); input()")
        await program.said("up")
        return program

    def identity(self, program: Program) -> ProcessId:
        process = ProcessId.at("", program.pid, None)
        return replace(process, created=state_module.psutil.Process(program.pid).create_time())

    def test_none(self) -> None:
        """Nothing is there: who asks is told how to start one."""
        found = look(self.places)
        self.assertEqual(found.standing, Standing.NONE)
        self.assertIn("ipcluster start", str(self.assertRaises(NoSuchCluster, found.control)))
        self.assertEqual(look_for_all(self.places.ipython_dir), [])
        self.assertEqual(clean(self.places), [])

    def test_running(self) -> None:
        """While the lock is held, it runs; nobody cleans up after it."""
        self.folder.acquire()
        self.addCleanup(self.folder.release)
        self.folder.write(self.state(ProcessId.own()))
        found = look(self.places)
        self.assertEqual((found.standing, found.control()), (Standing.RUNNING, self.places.state_dir / "control"))
        self.assertEqual([each.standing for each in look_for_all(self.places.ipython_dir)], [Standing.RUNNING])
        self.assertIn("ipcluster stop", str(self.assertRaises(ClusterRunning, clean, self.places)))

    @asynchronous
    async def test_killed(self) -> None:
        """What the one that was killed has left running is found, and ended by clean."""
        orphan = await self.process()
        self.leave(self.state(ProcessId.own(), self.identity(orphan)))
        found = look(self.places)
        self.assertEqual(found.standing, Standing.LOST)
        self.assertIn("it was killed", found.text())
        self.assertEqual([label for label, _ in found.orphans()], ["part 0"])
        pid = orphan.pid
        # In a process of its own: this one is the orphan's parent, and would have to wait for it in two places.
        source = (
            "import sys; from pathlib import Path; from ipython1.daemon.clusters import clean\n"
            "from ipython1.kernel.places import Places; print(clean(Places(Path(sys.argv[1]))))"
        )
        user = Program(self, sys.executable, "-c", source, str(self.places.ipython_dir))
        self.assertEqual(await user.ended(), 0, user.output)
        self.assertIn(f"ended part 0 (pid {pid})", user.output)
        self.assertEqual(await orphan.ended(), -15)
        self.assertFalse(self.places.state_dir.exists())

    @asynchronous
    async def test_just_ended(self) -> None:
        """What ends by itself just before it is ended is no error."""
        orphan = await self.process()
        self.leave(self.state(ProcessId.own(), self.identity(orphan)))

        def too_late(process: psutil.Process) -> None:
            raise psutil.NoSuchProcess(process.pid)

        self.patch(psutil.Process, "terminate", too_late)
        self.assertEqual(len(clean(self.places)), 1)
        orphan.signal("INT")
        await orphan.ended()

    @asynchronous
    async def test_reused_id(self) -> None:
        """A process that has the id now, but began at another time or after another boot, is left alone."""
        other = await self.process()
        identity = self.identity(other)
        earlier, rebooted = replace(identity, created=identity.created - 100), replace(identity, boot="another")
        unknown, elsewhere = replace(identity, created=None), ProcessId.at("elsewhere", other.pid, identity.created)
        self.leave(self.state(ProcessId.own(), earlier, rebooted, unknown, elsewhere))
        self.assertEqual(look(self.places).orphans(), [])
        self.assertEqual(len(clean(self.places)), 1)
        other.signal("INT")
        self.assertEqual(await other.ended(), -2)

    def test_command(self) -> None:
        """Commands are told as one can type them."""
        places = Places(Path("/a b/it's"), "c")
        typed = look(places).command("start")
        self.assertEqual(shlex.split(typed), ["ipcluster", "start", "--ipython-dir", "/a b/it's", "--cluster-id", "c"])

    def test_rebooted(self) -> None:
        """After the machine was started again the text says so."""
        self.leave(self.state(replace(ProcessId.own(), boot="another")))
        self.assertIn("the machine was started again", look(self.places).text())

    def test_failed(self) -> None:
        """One that has ended by itself says why."""
        self.leave(replace(self.state(ProcessId.own()), state=FAILED, reason="ipengine is given up"))
        found = look(self.places)
        self.assertEqual(found.standing, Standing.FAILED)
        self.assertIn("ipengine is given up", found.text())

    def test_elsewhere(self) -> None:
        """What was started on another host is for that host to judge, also where the folder is shared."""
        self.leave(self.state(ProcessId("elsewhere", 1, 1.0, "boot")))
        self.assertEqual(look(self.places).standing, Standing.ELSEWHERE)
        self.assertIn("started on elsewhere", str(self.assertRaises(ClusterError, clean, self.places)))
        self.assertIn("started on elsewhere", str(self.assertRaises(ClusterError, put_in_order, self.folder)))

    def test_not_readable(self) -> None:
        """A record that makes no sense is told, by name; cleaning removes it, and starting does not mind."""
        for content in (b"{", b"", b"[]", b"\xff", b'{"schema": 99}'):
            self.places.state_dir.mkdir(parents=True)
            (self.places.state_dir / "state.json").write_bytes(content)
            (found,) = look_for_all(self.places.ipython_dir)
            self.assertEqual(found.standing, Standing.UNREADABLE)
            self.assertIn("state.json", found.text())
            self.assertIn("ipcluster clean", str(self.assertRaises(NoSuchCluster, found.control)))
            self.assertEqual(put_in_order(self.folder), [])
            self.assertIn("could not be read", *clean(self.places))
            self.assertEqual((look_for_all(self.places.ipython_dir), self.places.state_dir.exists()), ([], False))

    def test_not_readable_while_it_runs(self) -> None:
        """What another version has written is left alone while it runs, and if it was written on another host."""
        self.places.state_dir.mkdir(parents=True)
        file = self.places.state_dir / "state.json"
        file.write_text('{"schema": 99, "supervisor": {"host": "elsewhere"}}')
        for ask, what in ((look, self.places), (clean, self.places), (put_in_order, self.folder)):
            self.assertIn("schema 99", str(self.assertRaises(ClusterError, ask, what)))
        self.assertTrue(file.exists())
        file.write_text("{")
        self.folder.acquire()
        self.addCleanup(self.folder.release)
        self.assertIn("state.json", str(self.assertRaises(ClusterError, look, self.places)))

    def test_no_folder(self) -> None:
        """Where a file takes the place of a folder there are no clusters."""
        self.places.ipython_dir.mkdir()
        self.places.state_dir.parent.write_text("")
        self.assertEqual(look(self.places).standing, Standing.NONE)
        self.assertEqual(look_for_all(self.places.ipython_dir), [])

    def test_furls_of_another(self) -> None:
        """The files of a controller that was started by hand since then stay; those of the cluster that was killed go."""
        self.places.security_dir.mkdir(parents=True)
        furl = self.places.security_dir / "ipcontroller-mec.furl"
        furl.touch()
        another = ControllerLock(self.places.security_dir)
        another.acquire()
        self.addCleanup(another.release)
        for stays in (True, False):
            self.leave(self.state(ProcessId.own()))
            clean(self.places)
            self.assertEqual(furl.exists(), stays)
            another.release()
        self.assertEqual(list(self.places.security_dir.iterdir()), [])
