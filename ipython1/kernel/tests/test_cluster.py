"""Real clusters, from end to end: what happens to users, and what others see of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ipython1.kernel.furl import read_furl, secret, tub_and_location
from ipython1.kernel.places import FURL_FILES
from ipython1.kernel.tests.program import Program, RealCluster, long

RETURNED = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "32768"}
"""With these, the C library gives back at once what is freed, where it keeps megabytes otherwise, now more, now less."""


def descendants(pid: int) -> dict[int, str]:
    """The processes below `pid`: their command lines, by process id."""
    if not os.path.isdir("/proc"):
        raise SkipTest("looks into /proc")
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
        found.update(descendants(int(child)))
    return found


class ClusterTestCase(TestCase):
    timeout = 240

    async def cluster(self, engines: int = 4, environment: Mapping[str, str] | None = None) -> RealCluster:
        cluster = RealCluster(self, engines, environment=environment)
        await cluster.ready()
        return cluster

    async def scenario(self, cluster: RealCluster, name: str, *arguments: str) -> None:
        """Run one of `ipython1.kernel.tests.scenarios` against the cluster."""
        command = [sys.executable, "-m", "ipython1.kernel.tests.scenarios", name, *arguments]
        program = Program(self, *command, environment=cluster.environment)
        status = await program.ended()
        self.assertEqual(status, 0, program.output)
        self.assertIn(f"{name}: done", program.output)


class LifeTests(ClusterTestCase):
    async def test_deaths(self) -> None:
        """kill -9, a segmentation fault, os._exit and os.abort: clear errors at once, and the engine is back."""
        await self.scenario(await self.cluster(2), "deaths")

    async def test_fork(self) -> None:
        """A child forked by user code neither takes messages nor keeps a dead engine alive."""
        await self.scenario(await self.cluster(1), "fork")

    async def test_interrupt(self) -> None:
        """Endless commands can be interrupted."""
        await self.scenario(await self.cluster(2), "interrupt")

    @long
    async def test_gil(self) -> None:
        """An engine that holds the GIL disturbs no other."""
        await self.scenario(await self.cluster(3), "gil")


class LoadTests(ClusterTestCase):
    @long
    async def test_traffic(self) -> None:
        """Clients and their threads get their own answers only."""
        await self.scenario(await self.cluster(4), "traffic", "4000")

    async def test_order(self) -> None:
        """Commands run in the order of submission."""
        await self.scenario(await self.cluster(2), "order")

    @long
    async def test_come_and_go(self) -> None:
        """200 clients that come and leave leak nothing in the controller."""
        cluster = await self.cluster(1, RETURNED)
        [controller] = cluster.processes("ipcontroller")
        await self.scenario(cluster, "come_and_go", "200", str(controller.pid))

    @long
    async def test_32_engines(self) -> None:
        """32 engines of one host register and answer."""
        await self.scenario(await self.cluster(32), "engines", "32")


class OpennessTests(ClusterTestCase):
    async def test_one_port(self) -> None:
        """Nothing listens but the controller, on one port."""
        cluster = await self.cluster(2)
        below = descendants(cluster.program.pid)
        self.assertEqual(len(below), 4, below)
        listening = _listening_sockets()
        found = [command for pid, command in below.items() for _ in _sockets(pid) & set(listening)]
        self.assertEqual(len(found), 1)
        self.assertIn("ipcontroller", found[0])

    async def test_nothing_in_clear(self) -> None:
        """On the wire nothing can be read but the tub id and the host."""
        cluster = await self.cluster(1)
        furl = read_furl(cluster.ipython_dir / "security" / FURL_FILES["multiengine"], "multiengine")
        tub, location = tub_and_location(furl)
        tapped: list[bytes] = []
        port = await _tap(self, int(location.rpartition(":")[2]), tapped)
        await self.scenario(cluster, "secrets", f"pb://{tub}@tcp:127.0.0.1:{port}/{secret(furl)}")
        seen = b"".join(tapped)
        self.assertGreater(len(seen), 2000)
        self.assertIn(tub.encode(), seen)
        for hidden in (secret(furl).encode(), b"conspicuous", b"execute", b"pickle"):
            self.assertNotIn(hidden, seen)


def _listening_sockets() -> set[str]:
    """The inodes of the listening TCP sockets of this host."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                inodes.add(fields[9])
    return inodes


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return inodes


class _Tap(Protocol):
    """One side of a tapped connection."""

    def __init__(self, tapped: list[bytes]) -> None:
        self._tapped = tapped
        self.other: Deferred[_Tap] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._tapped.append(data)
        self.other.addCallback(_pass_on, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.other.addCallback(_hang_up)
        self.closed.callback(None)


def _pass_on(other: _Tap, data: bytes) -> _Tap:
    other.transport.write(data)
    return other


def _hang_up(other: _Tap) -> _Tap:
    other.transport.loseConnection()
    return other


async def _tap(test: TestCase, port: int, tapped: list[bytes]) -> int:
    """Listen for connections and pass them on to `port` of this host, keeping what is said; the port to use."""

    class TapFactory(Factory):
        def buildProtocol(self, address: Any) -> _Tap:
            near, far = _Tap(tapped), _Tap(tapped)
            far.other.callback(near)
            connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), far).addCallback(near.other.callback)
            test.addCleanup(lambda: near.closed)
            test.addCleanup(lambda: far.closed)
            return near

    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(TapFactory())
    test.addCleanup(listening.stopListening)
    return int(listening.getHost().port)
