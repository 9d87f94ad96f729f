"""Clusters of programs that run the reactor."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import TestCase

from ipython1.kernel import asyncclient
from ipython1.kernel.dial import hang_up_all
from ipython1.kernel.error import CallTimeout, ClusterError, ConfigError, ConnectionError
from ipython1.kernel.tests.program import asynchronous, clusters_processes, end_clusters


class AsyncClusterTests(TestCase):
    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.addCleanup(hang_up_all)
        self.addCleanup(end_clusters, self.folder)

    def cluster(self, n: int) -> asyncclient.AsyncCluster:
        return asyncclient.AsyncCluster(n, ipython_dir=self.folder, interface="127.0.0.1")

    @asynchronous
    async def test_all(self) -> None:
        """The same as in the blocking form, with Deferreds."""
        async with self.cluster(1) as cluster:
            mec, tc = await cluster.multiengine(), await cluster.task()
            self.assertEqual(await mec.get_ids(), [0])
            await tc.spin()
            self.assertEqual(await cluster.add_engines(1), [1])
            self.assertEqual(await cluster.wait_for_engines(2), [0, 1])
            self.assertEqual((await cluster.status())["standing"], "running")
            with self.assertRaises(ClusterError):
                await cluster.wait_for_engines(3)
            waits = mec.execute("while True: pass")
        with self.assertRaisesRegex(ConnectionError, "was stopped, while"):
            await waits
        with self.assertRaisesRegex(ConnectionError, "was stopped"):
            await mec.get_ids()
        self.assertEqual(cluster.state, "stopped")
        self.assertEqual([path for path in self.folder.rglob("*") if path.is_file()], [])

    @asynchronous
    async def test_does_not_start(self) -> None:
        """A start that fails, is too late or is cancelled leaves nothing."""
        with self.assertRaisesRegex(ConfigError, "at least 1"):
            await self.cluster(0).start()
        with self.assertRaisesRegex(CallTimeout, "not ready within 0.3 s"):
            await self.cluster(1).start(timeout=0.3)
        starting = self.cluster(1).start()
        starting.cancel()
        with self.assertRaises(CancelledError):
            await starting
        self.assertEqual(clusters_processes(self.folder), [])
        self.assertEqual([path for path in self.folder.rglob("*") if path.is_file()], [])
