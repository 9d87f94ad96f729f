"""A server of PostgreSQL of a test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

ALL = "IPYTHON1_TEST_ALL"
"""Set by ``sh scripts/test --all``: run also what takes long or needs more than Python."""
_SETTINGS = "fsync = off\nshared_buffers = 32MB\nmax_connections = 20\nlisten_addresses = ''\n"


def programs() -> Path:
    """The folder of the server's programs; skips the test where there are none, or where the run is to be short."""
    if not os.environ.get(ALL):
        raise SkipTest("needs a server of PostgreSQL: sh scripts/test --all")
    if find_spec("psycopg") is None:
        raise SkipTest("there is no psycopg: pip install 'psycopg[binary]'")
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    found += filter(None, [shutil.which("initdb")])
    if not found:
        raise SkipTest("there is no server of PostgreSQL: install it (on Debian: postgresql)")
    return Path(found[-1]).resolve().parent


class PostgresServer:
    """Runs until the test ends, and listens on a socket in its folder."""

    def __init__(self, test: TestCase) -> None:
        self._programs = programs()
        # A socket's path must be short, and the server's user must be able to reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        test.addCleanup(shutil.rmtree, self.folder)
        self._data = str(self.folder / "data")
        self.url = f"postgresql://postgres@/postgres?host={self.folder}"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run(
            "initdb",
            "-D",
            self._data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        with open(f"{self._data}/postgresql.conf", "a", encoding="ascii") as file:
            file.write(f"{_SETTINGS}unix_socket_directories = '{self.folder}'\n")
        self.start()
        test.addCleanup(self.stop)

    def start(self) -> None:
        """Have the database served."""
        self._run("pg_ctl", "-D", self._data, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self) -> None:
        """As a crash of it; pg_ctl knows its id."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(
            command,
            cwd=self.folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
