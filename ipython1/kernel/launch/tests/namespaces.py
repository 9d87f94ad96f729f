"""Hosts that are network namespaces of this machine, joined by a switch; gone with the test.

Each has the address 10.77.0.N.  They share files and process ids.  Nothing of this can be reached from outside of them,
and nothing outside from within.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from itertools import count

import psutil
from twisted.trial.unittest import SkipTest, TestCase

from ipython1.kernel.launch.tests.sshd import ALL
from ipython1.kernel.tests.program import Program

_numbers = count(1)
RULES = """
table inet hosts {{
  chain input {{
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
    {open}
  }}
}}
"""


def need_namespaces() -> None:
    """Skip the test where the run is to be short, or network namespaces cannot be made."""
    if not os.environ.get(ALL):
        raise SkipTest("needs network namespaces, and some time: sh scripts/test --all")
    missing = [program for program in ("ip", "ss", "nft") if shutil.which(program) is None]
    if missing:
        raise SkipTest(f"there is no {', '.join(missing)}: on Debian, install iproute2 and nftables")
    if os.geteuid() != 0:
        raise SkipTest("only root can make network namespaces")
    probe = f"ip1-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        raise SkipTest(f"no network namespaces can be made here: {made.stderr.strip()}")
    _run("ip", "netns", "del", probe)


class Host:
    """One of them; `open_ports` are those that others may connect to."""

    def __init__(self, test: TestCase, namespace: str, address: str) -> None:
        self.namespace = namespace
        self.address = address
        self.enter = ("ip", "netns", "exec", namespace)
        self._test = test

    def open_ports(self, *ports: int) -> None:
        """Let others connect to these ports alone."""
        rules = "\n    ".join(f"tcp dport {port} accept" for port in ports)
        _run(*self.enter, "nft", "-f", "-", given=RULES.format(open=rules))

    def program(self, *arguments: str, environment: Mapping[str, str]) -> Program:
        """A process on this host."""
        return Program(self._test, *self.enter, *arguments, environment=environment)

    def processes(self) -> list[psutil.Process]:
        """All that runs on this host."""
        pids = _run("ip", "netns", "pids", self.namespace).split()
        found = []
        for pid in map(int, pids):
            try:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def listening(self) -> list[int]:
        """The ports that somebody listens on."""
        lines = _run(*self.enter, "ss", "-Htln").splitlines()
        return sorted({int(line.split()[3].rpartition(":")[2]) for line in lines})


class Network:
    """`number` hosts."""

    def __init__(self, test: TestCase, number: int) -> None:
        self._name = f"ip1-{os.getpid()}-{next(_numbers)}"
        self._switch = f"{self._name}-sw"
        self.hosts: list[Host] = []
        self._add(self._switch)
        test.addCleanup(self._remove)
        _run("ip", "-n", self._switch, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", self._switch, "link", "set", "br0", "up")
        for index in range(1, number + 1):
            self.hosts.append(self._add_host(test, index))

    def _add(self, namespace: str) -> None:
        _run("ip", "netns", "add", namespace)

    def _add_host(self, test: TestCase, index: int) -> Host:
        host = Host(test, f"{self._name}-h{index}", f"10.77.0.{index}")
        self._add(host.namespace)
        port, switch = f"p{index}", ("ip", "-n", self._switch)
        _run(*switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _run(*switch, "link", "set", port, "master", "br0", "up")
        there = ("ip", "-n", host.namespace)
        _run(*there, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _run(*there, "link", "set", "eth0", "up")
        _run(*there, "link", "set", "lo", "up")
        return host

    def unplug(self, index: int, plugged: bool = False) -> None:
        """Cut the host of that index off from the others; `plugged` heals that."""
        _run("ip", "-n", self._switch, "link", "set", f"p{index + 1}", "up" if plugged else "down")

    def _remove(self) -> None:
        for host in self.hosts:
            # A namespace goes with the last process in it.
            processes = host.processes()
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                    process.kill()
            psutil.wait_procs(processes, timeout=10)
            _run("ip", "netns", "del", host.namespace)
        _run("ip", "netns", "del", self._switch)


def _run(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
