"""A real cluster, in processes of its own, for tests from end to end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import error, protocol
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

import ipython1

ROOT = str(Path(ipython1.__file__).parent.parent)


async def start_cluster(test: TestCase, engines: int) -> dict[str, str]:
    """Start a controller and engines that end with the test; the environment in which clients find them."""
    from twisted.internet import reactor

    paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"IPYTHONDIR": os.path.abspath(test.mktemp()), "PYTHONPATH": os.pathsep.join(paths)}
    cluster = _Cluster()
    reactor.spawnProcess(  # type: ignore[attr-defined]
        cluster,
        sys.executable,
        [sys.executable, "-m", "ipython1.kernel.scripts.ipcluster", "-n", str(engines)],
        env={**os.environ, **environment},
        childFDs={0: "w", 1: "r", 2: "r"},
    )
    test.addCleanup(cluster.stop)
    await cluster.ready
    return environment


class _Cluster(protocol.ProcessProtocol):
    """The process of ipcluster."""

    def __init__(self) -> None:
        self.ready: Deferred[None] = Deferred()
        self._ended: Deferred[None] = Deferred()
        self._output = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._output += data
        if b"is ready" in self._output and not self.ready.called:
            self.ready.callback(None)

    def processEnded(self, reason: Any) -> None:
        if not self.ready.called:
            self.ready.errback(AssertionError(f"the cluster did not start:\n{self._output.decode()}"))
        self._ended.callback(None)

    def stop(self) -> Deferred[None]:
        """Stop it as Ctrl-C does; fires when it has ended."""
        with contextlib.suppress(error.ProcessExitedAlready):
            self.transport.signalProcess(signal.SIGINT)  # type: ignore[union-attr]
        return self._ended
