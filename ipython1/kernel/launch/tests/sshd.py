"""An ssh server of a test's own: with keys, a port and configurations that live and end with the test."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from ipython1.kernel.launch.ssh_command import SshSettings
from ipython1.kernel.tests.program import Program, search_path

ALL = "IPYTHON1_TEST_ALL"
"""Set by ``sh scripts/test --all``: run also what takes long or needs more than Python."""
SSHD = next((path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.path.exists(path)), "")


def need_sshd() -> None:
    """Skip the test where the run is to be short; where it is not, what is missing must be installed."""
    if not os.environ.get(ALL):
        raise SkipTest("needs an ssh server, and some time: sh scripts/test --all")
    for program in ("ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            raise SkipTest(f"there is no {program}: install OpenSSH's client (on Debian: openssh-client)")
    if not SSHD:
        raise SkipTest("there is no sshd: install OpenSSH's server (on Debian: openssh-server)")


class Sshd:
    """The server, on `address`; `enter` is a command that runs others in the network of its host."""

    def __init__(
        self, test: TestCase, address: str = "127.0.0.1", port: int = 0, enter: Sequence[str] = ()
    ) -> None:
        # Paths as they may be.
        self.folder = Path(test.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.address = address
        self.port = port or free_port()
        self.home = self.folder / "home"
        self.home.mkdir()
        self.shell = Path("/bin/sh")
        self._test = test
        self._enter = list(enter)
        self.make_key("hostkey")
        self.make_key("id")
        shutil.copy(self.folder / "id.pub", self.folder / "authorized_keys")
        self.know("hostkey")
        self.ssh_config = self._write_ssh_config()
        self.python = self._write_python()

    async def start(self) -> None:
        """Return when it listens."""
        if os.geteuid() == 0:
            # Where it keeps its unprivileged part.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress {self.address}\nPort {self.port}\nHostKey {self.folder}/hostkey\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f"MaxStartups 100:30:200\nUseDNS no\nPrintMotd no\nPrintLastLog no\n"
            f"ForceCommand {self.folder}/login\n"
        )
        self.use_shell("/bin/sh")
        command = [*self._enter, SSHD, "-D", "-e", "-f", str(config)]
        self.program = Program(self._test, *command)
        self._test.addCleanup(self._end_sessions)
        await self.program.said("Server listening")

    def _end_sessions(self) -> None:
        """End those that a test has left: they outlive the server."""
        try:
            sessions = psutil.Process(self.program.pid).children(recursive=True)
        except psutil.Error:
            return
        for process in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                process.kill()
        psutil.wait_procs(sessions, timeout=10)

    def sessions(self) -> list[psutil.Process]:
        """The processes of those who are logged in, and all that they have started."""
        return psutil.Process(self.program.pid).children(recursive=True)

    async def sessions_ended(self) -> None:
        """Return when nobody is logged in."""
        await deferToThread(psutil.wait_procs, self.sessions(), 20)

    def use_shell(self, shell: str, before: str = "") -> None:
        """Have `shell` as login shell, which does `before` first; with a home folder of its own."""
        login = self.folder / "login"
        login.write_text(
            f"#!/bin/sh\nexport HOME={shlex.quote(str(self.home))}\ncd\n"
            f'exec {shell} -c {shlex.quote(before)}"$SSH_ORIGINAL_COMMAND"\n'
        )
        login.chmod(0o755)

    def make_key(self, name: str) -> None:
        """A new key pair."""
        path = self.folder / name
        for old in (path, path.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)

    def know(self, key: str | None) -> None:
        """Have that key as the known one of all hosts; None for no known key."""
        known = self.folder / "known_hosts"
        if key is None:
            known.write_text("")
        else:
            kind, public, *_ = (self.folder / f"{key}.pub").read_text().split()
            known.write_text(f"testhost {kind} {public}\n")

    def settings(self, **more: object) -> SshSettings:
        """How to log in here; every host name means this one."""
        given = {"config": str(self.ssh_config), "python": str(self.python), **more}
        return SshSettings(**given)  # type: ignore[arg-type]

    def _write_ssh_config(self) -> Path:
        path = self.folder / "ssh config"
        path.write_text(self.entry("*"))
        return path

    def entry(self, pattern: str) -> str:
        """What an ssh configuration has to say so that hosts of that pattern are this one."""
        return (
            f"Host {pattern}\nPort {self.port}\nHostName {self.address}\nHostKeyAlias testhost\n"
            f"IdentityFile {self.folder}/id\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.folder}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
            "StrictHostKeyChecking yes\n"
        )

    def _write_python(self) -> Path:
        """This Python with this ipython1, at a path that shells might misunderstand."""
        folder = self.folder / "it's $HOME, \"quoted\"; and `done` \\ !1 & *ü"
        folder.mkdir()
        path = folder / "python"
        path.write_text(
            f"#!/bin/sh\nPYTHONPATH={shlex.quote(search_path())}\nexport PYTHONPATH\n"
            f'exec {shlex.quote(sys.executable)} "$@"\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
