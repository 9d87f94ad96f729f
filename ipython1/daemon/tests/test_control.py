"""The control socket, and the way into the background."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.daemon import control
from ipython1.daemon.control import LONGEST_PATH, ControlServer, ask, ask_async, place_socket, remove_socket
from ipython1.kernel.error import CallTimeout, ClusterError, InvalidEngineID, NoSuchCluster
from ipython1.kernel.framing import LENGTH
from ipython1.kernel.tests.program import Program, asynchronous


class PlaceTests(SynchronousTestCase):
    def test_short(self) -> None:
        """In the cluster's folder, if its path is short enough for a socket."""
        folder = Path("/somewhere")
        self.assertEqual(place_socket(folder), folder / "control")

    def test_long(self) -> None:
        """Else in a private folder, which goes with it."""
        folder = Path("/") / ("x" * LONGEST_PATH)
        path = place_socket(folder)
        self.assertLess(len(str(path)), LONGEST_PATH)
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)
        path.touch()
        for _ in range(2):
            remove_socket(path, folder)
            self.assertFalse(path.parent.exists())


    def test_long_temporary_folder(self) -> None:
        """A temporary folder of a long path is passed by; if there is no other, that is said."""
        deep = Path(self.mktemp()).absolute() / ("y" * LONGEST_PATH)
        deep.mkdir(parents=True)
        self.patch(tempfile, "tempdir", str(deep))
        folder = Path("/") / ("x" * LONGEST_PATH)
        path = place_socket(folder)
        self.assertLess(len(str(path)), LONGEST_PATH)
        remove_socket(path, folder)
        self.patch(control, "_TEMPORARY", ())
        self.assertIn("too long for one", str(self.assertRaises(ClusterError, place_socket, folder)))


class ControlTests(TestCase):
    timeout = 180

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.path = place_socket(folder)
        self.addCleanup(remove_socket, self.path, folder)
        self.hanging: list[Deferred[None]] = []
        self.server = ControlServer(reactor, self.path, self.answer)
        self.server.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))

    async def answer(self, verb: str, args: Mapping[str, Any]) -> Any:
        if verb == "wrong":
            raise InvalidEngineID("there is no such engine")
        if verb == "hang":
            self.hanging.append(Deferred())
            await self.hanging[-1]
        return {"verb": verb, **args, "large": "x" * 2_000_000}

    @asynchronous
    async def test_ask(self) -> None:
        """Answers and errors come back, in a thread that waits as in a program with a reactor."""
        for asked in (
            lambda verb, args: deferToThread(ask, self.path, verb, args),
            lambda verb, args: Deferred.fromCoroutine(ask_async(reactor, self.path, verb, args)),
        ):
            answer = await asked("status", {"n": 1})
            self.assertEqual((answer["verb"], answer["n"], len(answer["large"])), ("status", 1, 2_000_000))
            with self.assertRaisesRegex(InvalidEngineID, "no such engine"):
                await asked("wrong", {})

    def test_private(self) -> None:
        """Nobody but its owner can ask."""
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    @asynchronous
    async def test_hangs(self) -> None:
        """Who does not want to wait any more hangs up, and what was asked for is not waited for either."""
        for asked in (
            lambda: deferToThread(ask, self.path, "hang", {}, 0.1),
            lambda: Deferred.fromCoroutine(ask_async(reactor, self.path, "hang", {}, 0.1)),
        ):
            with self.assertRaisesRegex(CallTimeout, "not answered to hang within 0.1 s"):
                await asked()
        # A request more shows that the server has seen the ends of those.
        await ask_async(reactor, self.path, "status")
        self.assertEqual([deferred.called for deferred in self.hanging], [True, True])

    @asynchronous
    async def test_nobody(self) -> None:
        """Where nobody listens, no cluster is."""
        await self.server.stop()
        for asked in (
            lambda: deferToThread(ask, self.path, "status"),
            lambda: Deferred.fromCoroutine(ask_async(reactor, self.path, "status")),
        ):
            with self.assertRaisesRegex(NoSuchCluster, "no cluster answers at"):
                await asked()

    @asynchronous
    async def test_garbage(self) -> None:
        """Bytes that are no request get no answer but an error, and the next one is answered."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.path))
            sock.sendall(LENGTH.pack(1 << 30))
            answer = await deferToThread(sock.recv, 1 << 16)
        self.assertIn(b"ProtocolError", answer)
        await ask_async(reactor, self.path, "status")

    @asynchronous
    async def test_left_behind(self) -> None:
        """The socket that one left behind who was killed is no obstacle; a folder that is missing is."""
        await self.server.stop()
        self.path.touch()
        self.server.start()
        await ask_async(reactor, self.path, "status")
        missing = ControlServer(reactor, self.path.parent / "missing" / "control", self.answer)
        self.assertRaises(ClusterError, missing.start)


DETACHED = """
import os, sys
from pathlib import Path
from ipython1.daemon.detach import detach

def serve(report):
    report.say(f"session {os.getsid(0) != parent}, leader {os.getsid(0) == os.getpid()}")
    report.say(f"terminal {sys.stdin.read()!r}")
    print("stray", flush=True)
    if sys.argv[2] == "quiet":
        return 0
    if sys.argv[2] == "broken":
        raise ValueError("broken")
    report.complain("for standard error")
    report.finish(int(sys.argv[2]))
    report.say("nobody hears this")
    return 0

parent = os.getsid(0)
sys.exit(detach(Path(sys.argv[1]), serve))
"""


class DetachTests(TestCase):
    timeout = 180

    async def detached(self, how: str) -> tuple[int, str, str]:
        log = Path(self.mktemp()).absolute()
        self.program = Program(self, sys.executable, "-c", DETACHED, str(log), how)
        status = await self.program.ended()
        return status, self.program.output, log.read_text()

    @asynchronous
    async def test_report(self) -> None:
        """Who starts it hears what it says until it is ready, and its status; the rest goes to the log."""
        for status in (0, 3):
            ended, said, log = await self.detached(str(status))
            self.assertEqual(ended, status)
            complaint = "for standard error\n"
            self.assertEqual(said.replace(complaint, ""), "session True, leader False\nterminal ''\n")
            self.assertEqual(self.program.errors, complaint)
            self.assertEqual(log, "stray\n")

    @asynchronous
    async def test_no_report(self) -> None:
        """One that ends without a report has failed."""
        for how in ("quiet", "broken"):
            ended, said, log = await self.detached(how)
            self.assertEqual(ended, 1)
            self.assertIn("it ended without a word", said)
        self.assertIn("ValueError: broken", log)
