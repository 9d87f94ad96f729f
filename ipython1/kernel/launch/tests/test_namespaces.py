"""Clusters on several hosts, which are network namespaces: controller, engines and client each elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ipython1.kernel.launch.tests.namespaces import Host, Network, need_namespaces
from ipython1.kernel.launch.tests.sshd import Sshd, need_sshd
from ipython1.kernel.scripts.ipcluster_common import NOT_RUNNING
from ipython1.kernel.tests.program import Program, asynchronous

PORT = 10105
SSH = 22
CLIENT = "from ipython1.kernel import client; mec = client.MultiEngineClient(); "
WHERE = "mec.execute('import os; where = os.environ[\"WHERE\"]'); "


class HostsCase(TestCase):
    """Three hosts: for the controller, for engines, for the client."""

    timeout = 300

    def setUp(self) -> None:
        need_namespaces()
        self.folder = Path(self.mktemp()).absolute()
        self.network = Network(self, 3)
        self.first, self.second, self.third = self.network.hosts
        for host in self.network.hosts:
            host.open_ports()

    def home(self, host: Host) -> Path:
        """What would be the home folder there."""
        return self.folder / f"home{self.network.hosts.index(host) + 1}"

    def command(self, host: Host, name: str, *arguments: str) -> Program:
        """One of the commands on that host."""
        command = [sys.executable, "-m", f"ipython1.kernel.scripts.{name}", *arguments]
        environment = {"IPYTHONDIR": "", "HOME": str(self.home(host)), "WHERE": host.address}
        return host.program(*command, environment=environment)

    async def succeeds(self, program: Program, text: str = "") -> str:
        """What it says until it ends, which has to be well."""
        self.assertEqual(await program.ended(), 0, program.output)
        self.assertIn(text, program.output)
        return program.output

    async def ask(self, host: Host, source: str) -> str:
        """What a client on that host prints."""
        return (await self.succeeds(self.client(host, source))).strip()

    def client(self, host: Host, source: str) -> Program:
        """A client on that host."""
        environment = {"IPYTHONDIR": "", "HOME": str(self.home(host))}
        return host.program(sys.executable, "-c", CLIENT + source, environment=environment)

    def nothing_left(self, but: Sequence[Program] = (), ports: Sequence[int] = ()) -> None:
        """No process, no socket, no file of the cluster."""
        kept = {program.pid for program in but}
        for host in self.network.hosts:
            self.assertEqual([each for each in host.processes() if each.pid not in kept], [])
            self.assertEqual([port for port in host.listening() if port not in ports], [])
        left = [path for path in self.folder.rglob("*") if path.is_file() or path.is_socket()]
        self.assertEqual([path for path in left if path.suffix in (".furl", ".json") or path.is_socket()], [])
        self.assertEqual([path for path in left if "clusters" in path.parts], [])


class CommandTests(HostsCase):
    """Each part is started by hand on its host; the controller's port alone is open."""

    @asynchronous
    async def test_three_hosts(self) -> None:
        """Start, execute, two engines more, one killed, the end."""
        self.first.open_ports(PORT)
        controller = self.command(self.first, "ipcontroller", f"--port={PORT}", f"--location={self.first.address}")
        await controller.said("ipcontroller: ready")
        for host, role in ((self.second, "engine"), (self.third, "mec")):
            folder = self.home(host) / ".ipython"
            folder.mkdir(parents=True)
            name = f"ipcontroller-{role}.furl"
            shutil.copy(self.home(self.first) / ".ipython" / "security" / name, folder / name)
        engines = self.command(self.second, "ipengine", "-n", "2")
        await engines.said("2 engines registered")
        asked = WHERE + "print(mec.get_ids(), mec.pull('where'))"
        two = self.second.address
        self.assertEqual(await self.ask(self.third, asked), f"[0, 1] {[two] * 2}")
        more = self.command(self.second, "ipengine", "-n", "2")
        await more.said("2 engines registered")
        self.assertEqual(await self.ask(self.third, asked), f"[0, 1, 2, 3] {[two] * 4}")
        self.assertEqual(await self.ask(self.third, "mec.kill(targets=1); print(mec.get_ids())"), "[0, 2, 3]")
        await self.ask(self.third, "mec.kill(controller=True)")
        for program in (controller, engines, more):
            await self.succeeds(program)
        for path in self.folder.glob("home[23]/.ipython/*.furl"):
            path.unlink()  # what was copied by hand
        self.nothing_left()


class SshTests(HostsCase):
    """All is started from one host, over ssh."""

    @asynchronous
    async def start(self) -> None:
        need_sshd()
        super().setUp()
        self.servers = []
        config = ""
        for number, host in enumerate(self.network.hosts[:2], 1):
            server = Sshd(self, host.address, SSH, host.enter)
            await server.start()
            server.use_shell("/bin/sh", f"WHERE={host.address}; export WHERE; ")
            self.servers.append(server)
            config += server.entry(f"h{number}")
            host.open_ports(SSH, *([PORT] if host is self.first else []))
        (self.folder / "ssh_config").parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "ssh_config").write_text(config)

    setUp = start

    @property
    def security(self) -> Path:
        """Where the FURL files are, on the host of the client."""
        return self.home(self.third) / ".ipython" / "security"

    def cluster(self, *arguments: str) -> Program:
        python = self.servers[0].python
        options = (f"--ssh-config={self.folder / 'ssh_config'}", f"--python={python}", f"--port={PORT}")
        return self.command(self.third, "ipcluster", "ssh", *options, *arguments)

    @asynchronous
    async def test_remote_controller(self) -> None:
        """The controller and engines on one host, engines on another one; command and client on the third."""
        file = self.folder / "clusterfile.py"
        file.write_text("controller = dict(host='h1', location='10.77.0.1')\nengines = dict(h1=1, h2=2)\n")
        cluster = self.cluster(f"--clusterfile={file}")
        await cluster.said("with 3 engines")
        asked = WHERE + "print(mec.get_ids(), sorted(mec.pull('where')))"
        one, two = self.first.address, self.second.address
        self.assertEqual(await self.ask(self.third, asked), f"[0, 1, 2] {[one] + [two] * 2}")
        add = self.command(self.third, "ipcluster", "engines", "add", "2", "--host", "h2")
        await self.succeeds(add, "engines 3, 4 came")
        self.assertEqual(await self.ask(self.third, asked), f"[0, 1, 2, 3, 4] {[one] + [two] * 4}")
        self.assertEqual(await self.ask(self.third, "mec.kill(targets=3); print(mec.get_ids())"), "[0, 1, 2, 4]")
        await self.succeeds(self.command(self.third, "ipcluster", "stop"), "is stopped")
        await self.succeeds(cluster)
        self.nothing_left([server.program for server in self.servers], [SSH])

    def running(self, host: Host) -> list[psutil.Process]:
        """What runs there for the cluster: all but ssh servers."""
        return [process for process in host.processes() if process.name() != "sshd"]

    def find(self, host: Host, name: str) -> psutil.Process:
        """The process of the command of that name there."""
        (found,) = (
            process
            for process in self.running(host)
            if name in process.cmdline() and "ipython1.kernel.scripts.child" in process.cmdline()
        )
        return found

    async def gone(self, processes: list[psutil.Process]) -> None:
        _, alive = await deferToThread(psutil.wait_procs, processes, 30)
        self.assertEqual([each for each in alive if each.status() != psutil.STATUS_ZOMBIE], [])

    @asynchronous
    async def test_ipcluster_killed(self) -> None:
        """kill -9 of ipcluster: all ends on all hosts; what is left of it is known, and can be cleaned up."""
        self.third.open_ports(PORT)
        cluster = self.cluster("--host=h1=1", "--host=h2=1", f"--location={self.third.address}")
        await cluster.said("with 2 engines")
        running = [process for host in self.network.hosts for process in self.running(host)]
        cluster.signal("KILL")
        # First: were this child of ours reaped by psutil, the reactor would never hear of its end.
        await cluster.ended()
        await self.gone(running)
        status = self.command(self.third, "ipcluster", "status")
        self.assertEqual(await status.ended(), NOT_RUNNING, status.output)
        await self.succeeds(self.command(self.third, "ipcluster", "clean"))
        for server in self.servers:
            await server.sessions_ended()
        self.nothing_left([server.program for server in self.servers], [SSH])

    @asynchronous
    async def test_parts_killed(self) -> None:
        """kill -9 of the controller, of a host agent, and of ssh: each is started again, under the same FURLs."""
        cluster = self.cluster(
            "--host=h1=1", "--host=h2=1", "--controller-host=h1", f"--location={self.first.address}"
        )
        await cluster.said("with 2 engines")
        furl = (self.security / "ipcontroller-engine.furl").read_text()
        self.find(self.first, "ipcontroller").kill()
        await cluster.said(r"ipcontroller has ended \(killed by signal 9, SIGKILL\); starting it again")
        asked = WHERE + "print(mec.get_ids(), sorted(mec.pull('where')))"
        expected = f"[0, 1] {[self.first.address, self.second.address]}"
        await self.becomes(expected, asked)
        self.find(self.second, "ipengine").kill()
        await cluster.said(r"ipengine@h2 has ended \(killed by signal 9, SIGKILL\); starting it again")
        await cluster.said(r"starting it again(.|\n)*starting it again(.|\n)*ipengine@h2: .*registered")
        await self.becomes(expected, asked)
        for process in self.running(self.third):
            if process.name() == "ssh" and "h2" in process.cmdline():
                process.kill()
        await cluster.said(r"ipengine@h2 has ended \(ssh was killed, to h2")
        await cluster.said(r"ssh was killed(.|\n)*ipengine@h2: .*registered")
        self.assertEqual((self.security / "ipcontroller-engine.furl").read_text(), furl)
        cluster.signal("INT")
        await self.succeeds(cluster)
        self.nothing_left([server.program for server in self.servers], [SSH])

    async def becomes(self, expected: str, source: str) -> None:
        """A client on the third host gets to print that; there may be no controller for some time."""
        client = self.client(self.third, source)
        for _ in range(20):
            if await client.ended() == 0 and client.output.strip() == expected:
                return
            client = self.client(self.third, source)
        self.fail(client.output)

    @asynchronous
    async def test_partition(self) -> None:
        """A host that is cut off ends what runs there; when it is back, so are its engines."""
        self.third.open_ports(PORT)
        options = ("--host=h1=1", "--host=h2=1", "--silence=4", "--connect-timeout=2")
        cluster = self.cluster(*options, f"--location={self.third.address}")
        await cluster.said("with 2 engines")
        running = self.running(self.second)
        self.network.unplug(1)
        await self.gone(running)
        await cluster.said(r"ipengine@h2 has ended \(the connection was lost, to h2")
        self.network.unplug(1, plugged=True)
        await cluster.said(r"connection was lost(.|\n)*ipengine@h2: .*registered")
        cluster.signal("INT")
        await self.succeeds(cluster)
        self.assertEqual([self.running(host) for host in self.network.hosts], [[], [], []])
