"""Programs that start clusters of their own, each in a process of its own."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program, asynchronous, clusters_processes, end_clusters, long

ALL = """
import os, sys, warnings
from ipython1.kernel import client

sys.stdin = None
warnings.simplefilter("ignore")  # newer Pythons warn of forks where there are threads
cluster = client.Cluster(n=2, interface="127.0.0.1")
print(cluster)
try:
    cluster.status(), cluster.multiengine()
except client.NoSuchCluster as problem:
    print("first:", problem)
with cluster:
    mec, tc = cluster.multiengine(), cluster.task()
    print(cluster, mec.get_ids(), tc.run(client.StringTask("a = 1 + 1", pull="a")) >= 0)
    assert cluster.add_engines(1) == [2] and cluster.wait_for_engines(3) == cluster.ids == [0, 1, 2]
    assert cluster.remove_engines(0) == [1, 2] and len(mec) == 2
    mec["a"] = 5
    cluster.restart_engine(1)
    mec.execute("import signal; signal.signal(signal.SIGUSR1, lambda *_: globals().update(got=1))")
    cluster.signal(10, 2)
    mec.execute("import time\\nwhile 'got' not in globals(): time.sleep(0.01)", targets=2)
    try:
        cluster.wait_for_engines(4)
    except client.ClusterError as problem:
        print("wait:", problem)
    try:
        cluster.restart_engine(7)
    except client.InvalidEngineID as problem:
        print("wrong:", problem)
    try:
        cluster.start()
    except client.ClusterRunning as problem:
        print("again:", problem)
    pid = os.fork()
    if not pid:
        try:
            cluster.status()
        except client.ClientError as problem:
            print("copy:", problem, flush=True)
        sys.exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "of the copy, and", cluster.state)
    status = cluster.status()
    print(status["standing"], len(status["engines"]), "listens on" in cluster.logs())
    waits = mec.execute("while True: pass", block=False)
print(cluster, cluster.ids, cluster.status()["standing"])
for call in (lambda: waits.r, mec.get_ids, lambda: tc.queue_status()):
    try:
        call()
    except client.ConnectionError as problem:
        print("after:", problem)
cluster.stop()
"""

BLOCK = """
import os, sys, time
from ipython1.kernel import client

print("begins", flush=True)
with client.Cluster(n=1, interface="127.0.0.1") as cluster:
    mec = cluster.multiengine()
    print("ready", flush=True)
"""

LEAVES_COPY = """
    import warnings
    warnings.simplefilter("ignore")  # newer Pythons warn of forks where there are threads
    pid = os.fork()
    if not pid:
        os.closerange(0, 3)
        time.sleep(100)
    print("copy", pid, flush=True)
    os._exit(0)
"""

BY_HAND = """
import sys
from ipython1.kernel import client

cluster = client.Cluster(n=1, interface="127.0.0.1")
cluster.start()
print("ready", flush=True)
sys.stdin.readline()
sys.exit(3)
"""

CLASHES = """
import os, threading
from ipython1.kernel import client

def sums(results):
    with client.Cluster(n=1) as cluster:
        results.append((cluster.cluster_id, cluster.multiengine().execute("1 + 1")[0]["display"]["repr"]))

results = []
threads = [threading.Thread(target=sums, args=[results]) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(dict(results)), [value for _, value in results])
for wrong in (dict(n=0), dict(port={port}, n=1), dict(bogus=1), dict(launcher="none"), dict(launcher="ssh", n=1)):
    try:
        client.Cluster(**wrong).start()
    except client.ClusterError as problem:
        print("failed:", problem)
    except client.ConfigError as problem:
        print("wrong:", problem)
"""

KEPT = """
from ipython1.kernel import client
with client.Cluster(n=1, keep=True, cluster_id="kept", interface="127.0.0.1") as cluster:
    cluster.multiengine()["a"] = 6
print(cluster)
try:
    client.Cluster(n=1, cluster_id="kept").start()
except client.ClusterRunning as problem:
    print("clash:", problem)
"""

FOUND = """
from ipython1.kernel import client
with client.Cluster.connect("kept") as cluster:
    mec = cluster.multiengine()
    print(cluster, mec.pull("a"))
print(cluster.restart())
cluster.stop()
print(cluster)
try:
    client.Cluster.connect("kept")
except client.NoSuchCluster as problem:
    print(problem)
"""

SUPERVISOR_KILLED = """
import os, threading
from ipython1.kernel import client
cluster = client.Cluster(n=1, interface="127.0.0.1")
cluster.start()
mec = cluster.multiengine()
threading.Timer(0.2, os.kill, (cluster.status()["supervisor"]["pid"], 9)).start()
try:
    mec.execute("import time; time.sleep(100)")
except client.KernelError as problem:
    print(type(problem).__name__)
while cluster.state == "running":
    pass  # the system is about to release the lock of a process that was killed
print(cluster)
for call in (lambda: cluster.add_engines(1), mec.get_ids):
    try:
        call()
    except client.KernelError as problem:
        print(type(problem).__name__)
cluster.stop()
print(cluster)
"""


class ProgramCase(TestCase):
    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.addCleanup(end_clusters, self.folder)

    def program(self, source: str) -> Program:
        file = Path(self.mktemp()).absolute()
        file.write_text(source)
        return Program(self, sys.executable, str(file), environment={"IPYTHONDIR": str(self.folder)})

    async def output(self, source: str) -> str:
        """What it says; it has to end without an error."""
        program = self.program(source)
        self.assertEqual(await program.ended(), 0, program.output)
        return program.output

    async def assert_nothing_left(self, family: list[psutil.Process] | None = None) -> None:
        """No process runs any more, and no file of a cluster is there."""
        _, alive = await deferToThread(psutil.wait_procs, family or clusters_processes(self.folder), timeout=15)
        self.assertEqual(alive, [])
        self.assertEqual([str(path) for path in self.folder.rglob("*") if not path.is_dir()], [])


class ClusterTests(ProgramCase):
    @asynchronous
    async def test_all(self) -> None:
        """What can be done with a cluster, and what becomes of its clients after it."""
        said = await self.output(ALL)
        name = r"'python-[0-9a-f]{8}'"
        for expected in (
            rf"<Cluster {name}: not started>",
            rf"first: <Cluster {name}: not started>: start it first",
            rf"<Cluster {name}: running, 2 engines> \[0, 1\] True",
            r"wait: 2 of 4 engines are registered, and no others are on their way: .*",
            r"wrong: there is no engine 7 in this cluster; there are \[1, 2\]",
            rf"again: <Cluster {name}: running, 2 engines> was started already",
            rf"copy: Cluster {name} is of the process \d+, and this is a copy",
            r"5 of the copy, and running",
            r"running 2 True",
            rf"<Cluster {name}: stopped> \[\] none",
            rf"after: cluster {name} was stopped, while execute.*",
            rf"(after: cluster {name} was stopped\n){{2}}",
        ):
            self.assertRegex(said, f"(?m)^{expected}")
        await self.assert_nothing_left()

    @long
    @asynchronous
    async def test_ends(self) -> None:
        """However the program ends, the cluster ends with it."""
        for source, signal, status, said in (
            (BLOCK + "    mec.execute('import time; time.sleep(100)')\n", "INT", -2, "KeyboardInterrupt"),
            (BLOCK + "    time.sleep(100)\n", "KILL", -9, ""),
            (BLOCK + LEAVES_COPY, "", 0, "copy"),
            (BY_HAND, "in", 3, ""),
        ):
            program = self.program(source)
            await program.said("ready")
            family = clusters_processes(self.folder)
            if signal == "in":
                program.transport.closeStdin()
            elif signal:
                program.signal(signal)
            self.assertEqual(await program.ended(), status, program.output)
            self.assertIn(said, program.output)
            if said == "copy":
                self.addCleanup(os.kill, int(program.output.split()[-1]), 9)
            await self.assert_nothing_left(family)

    @asynchronous
    async def test_interrupted_start(self) -> None:
        """Ctrl-C while a cluster starts leaves nothing of it."""
        program = self.program(BLOCK)
        await program.said("begins")
        while not (family := clusters_processes(self.folder)):
            await deferToThread(self.folder.exists)
        program.signal("INT")
        self.assertEqual(await program.ended(), -2, program.output)
        self.assertNotIn("\nready", program.output)
        await self.assert_nothing_left(family)

    @long
    @asynchronous
    async def test_side_by_side_and_wrong(self) -> None:
        """Clusters without names do not meet, in threads too; errors are those that ipcluster would tell."""
        with socket.socket() as taken:
            taken.bind(("", 0))
            taken.listen()
            port = taken.getsockname()[1]
            said = await self.output(CLASHES.format(port=port))
        self.assertIn("2 ['2', '2']", said)
        self.assertRegex(said, "wrong: argument -n/--num: .*at least 1 is needed")
        self.assertRegex(said, rf"failed: ipcontroller did not come up: cannot listen on port {port} of this host: Address already in use")
        self.assertIn("wrong: unrecognized arguments: --bogus=1", said)
        self.assertIn("wrong: there is no launcher 'none': known are", said)
        self.assertIn("wrong: -n is not for ssh", said)
        await self.assert_nothing_left()

    @long
    @asynchronous
    async def test_kept(self) -> None:
        """A cluster that is kept outlives its program, and another program finds it by its name."""
        said = await self.output(KEPT)
        self.assertIn("<Cluster 'kept': running, 1 engine>", said)
        self.assertRegex(said, "clash: cluster 'kept' runs")
        family = clusters_processes(self.folder)
        said = await self.output(FOUND)
        self.assertIn("<Cluster 'kept': running, 1 engine> [6]\n[0]\n<Cluster 'kept': stopped>\nno cluster 'kept'", said)
        await deferToThread(psutil.wait_procs, family, timeout=15)
        self.assertEqual([process for process in family if process.is_running()], [])

    @long
    @asynchronous
    async def test_supervisor_killed(self) -> None:
        """When what looks after the cluster is killed, nothing hangs, and stopping puts things in order."""
        said = await self.output(SUPERVISOR_KILLED)
        lines = said.splitlines()
        self.assertIn(lines[0], ("ConnectionError", "EngineLost", "CompositeError"))
        self.assertRegex(lines[1], ": lost>")
        self.assertEqual(lines[2], "NoSuchCluster")
        self.assertIn(lines[3], ("ConnectionError", "NoFURLFile", "NoEnginesRegistered"))
        self.assertRegex(lines[4], ": stopped>")
        self.assertEqual(clusters_processes(self.folder), [])
