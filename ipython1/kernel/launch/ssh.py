"""``ipcluster ssh``: engines on several hosts, and the controller on this one or on another one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from zope.interface import implementer

from ipython1.kernel.controller.config import READY
from ipython1.kernel.controller.lock import ControllerLock
from ipython1.kernel.error import ConfigError, LaunchError
from ipython1.kernel.furl import prepare_security_dir
from ipython1.kernel.launch.clusterfile import ClusterFile, parse_cluster_file, this_host
from ipython1.kernel.launch.launcher import ILauncherFactory, IPlan
from ipython1.kernel.launch.local import LocalLauncher, LocalPlan
from ipython1.kernel.launch.ssh_command import SshSettings, check_host, check_python
from ipython1.kernel.launch.ssh_launcher import SshLauncher
from ipython1.kernel.launch.values import Launch, Share, Wanted
from ipython1.kernel.places import FURL_FILES, Places

CLUSTER_FILE = "clusterfile.py"
"""The cluster file, if none is named."""
REMOTE_DIR = "~/.ipython"
"""The ipython directory of a controller on another host, if none is named."""


@dataclass(frozen=True)
class SshOptions:
    """What the command line and the cluster file say together."""

    file: ClusterFile
    settings: SshSettings
    shared: bool
    remote_dir: str


@implementer(IPlan)
class SshPlan:
    """One host agent for each host, over ssh but for this host, and a controller."""

    def __init__(self, wanted: Wanted, options: SshOptions) -> None:
        self._options = options
        self._places = wanted.places
        # What the command line says goes before what the file says.
        self._wanted = replace(wanted, controller=(*options.file.controller, *wanted.controller))
        self._local = LocalPlan(self._wanted)
        self.shares = options.file.shares
        self._next = cycle([share.host for share in self.shares])

    def where(self, host: str | None) -> str:
        """Any host, also one that the cluster file does not name; without one, those of the file in turn."""
        if host is None:
            return next(self._next)
        try:
            return this_host(check_host(host))
        except ConfigError as problem:
            raise LaunchError(str(problem)) from None

    def controller(self, label: str) -> Launch:
        """ipcontroller; one on another host has its FURL files copied to this one."""
        host = self._options.file.controller_host
        if not host:
            return self._local.controller(label)
        if self._options.shared:
            return replace(self._local.controller(label), host=host)
        self._check_files()
        there = Places(Path(self._options.remote_dir or REMOTE_DIR), self._places.cluster_id)
        fetch = tuple(
            (str(there.security_dir / name), str(self._places.security_dir / name))
            for name in FURL_FILES.values()
        )
        command = ("ipcontroller", *self._wanted.controller, *there.options())
        return Launch(command, host, label, fetch=fetch, ready=READY)

    def _check_files(self) -> None:
        """That what is copied to the security folder does not take the place of what is needed there."""
        lock = ControllerLock(prepare_security_dir(self._places))
        lock.acquire()
        lock.release()

    def agent(self, label: str, share: Share) -> Launch:
        """ipengine; on another host, with a copy of the FURL file."""
        if not share.host or self._options.shared:
            return replace(self._local.agent(label, share), host=share.host)
        name = FURL_FILES["engine"]
        remote = self._options.remote_dir
        where = ("--ipython-dir", remote) if remote else ()
        command = ("ipengine", "-n", str(share.engines), *self._wanted.engine, *where, "--furl-file", name)
        files = ((str(self._places.security_dir / name), name),)
        return Launch(command, share.host, label, files=files)

    def launcher(self, reactor: Any, launch: Launch) -> SshLauncher | LocalLauncher:
        """A child process on this host, and a login on others."""
        if not launch.host:
            return LocalLauncher(reactor, launch)
        return SshLauncher(reactor, launch, self._options.settings)


@implementer(ILauncherFactory)
class SshFactory:
    """``ipcluster ssh``."""

    summary = "engines on several hosts, over ssh"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Hosts, and how they are logged in to."""
        group = parser.add_argument_group("options of ssh")
        add = group.add_argument
        default = SshSettings()
        add(
            "--clusterfile",
            metavar="FILE",
            help=f"the file that says how many engines each host has (default: {CLUSTER_FILE})",
        )
        add(
            "--host",
            action="append",
            type=_share,
            default=[],
            metavar="HOST=N",
            help="N engines on HOST, instead of a cluster file; can be given several times",
        )
        add(
            "--controller-host",
            metavar="HOST",
            help="where the controller is to run (default: what the cluster file says, else this host)",
        )
        add(
            "--shared-files",
            action="store_true",
            help="the ipython directory is on a file system that all hosts share: nothing has to be copied",
        )
        add(
            "--remote-ipython-dir",
            default="",
            metavar="DIR",
            help=f"the ipython directory on other hosts (default: as for commands there, {REMOTE_DIR})",
        )
        add(
            "--python",
            type=_checked(check_python),
            default=default.python,
            metavar="PATH",
            help=f"the Python on other hosts that has ipython1 (default: {default.python})",
        )
        add(
            "--ssh",
            default=default.program,
            metavar="PROGRAM",
            help="OpenSSH's client, or a program that takes the same arguments (default: ssh)",
        )
        add("--ssh-config", default="", metavar="FILE", help="its configuration (default: that of the user)")
        add(
            "--connect-timeout",
            type=_seconds,
            default=default.connect_timeout,
            metavar="SECONDS",
            help=f"how long a host may take to answer (default: {default.connect_timeout:g})",
        )
        add(
            "--silence",
            type=_seconds,
            default=default.silence,
            metavar="SECONDS",
            help="what runs on other hosts ends when nothing has been heard from here for so long"
            f" (default: {default.silence:g})",
        )

    def plan(self, wanted: Wanted, options: argparse.Namespace) -> SshPlan:
        """One host agent for each host that is named."""
        if wanted.num is not None:
            raise ConfigError(
                "-n is not for ssh: say how many engines each host has, in the cluster file or with --host node1=4"
            )
        return SshPlan(wanted, self._read(options))

    def _read(self, options: argparse.Namespace) -> SshOptions:
        settings = SshSettings(
            program=options.ssh,
            config=str(Path(options.ssh_config).expanduser().absolute()) if options.ssh_config else "",
            python=options.python,
            connect_timeout=options.connect_timeout,
            silence=options.silence,
        )
        if settings.config and not Path(settings.config).is_file():
            raise ConfigError(f"--ssh-config: there is no file {settings.config}")
        file = _cluster_file(options)
        if options.controller_host is not None:
            file = replace(file, controller_host=this_host(check_host(options.controller_host)))
        shared = options.shared_files or file.send_furl is False
        return SshOptions(file, settings, shared, options.remote_ipython_dir)


def _cluster_file(options: argparse.Namespace) -> ClusterFile:
    if options.host and options.clusterfile:
        raise ConfigError("--host and --clusterfile both say which hosts there are: leave one of them out")
    if options.host:
        counted: dict[str, int] = {}
        for share in options.host:
            counted[share.host] = counted.get(share.host, 0) + share.engines
        return ClusterFile(tuple(Share(host, number) for host, number in counted.items()))
    path = Path(options.clusterfile or CLUSTER_FILE).expanduser()
    try:
        return parse_cluster_file(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no cluster file {str(path)!r}: name one with --clusterfile, or say --host node1=4"
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not in UTF-8"
        raise ConfigError(f"cannot read the cluster file {str(path)!r}: {why}") from None


def _share(text: str) -> Share:
    host, equals, number = text.rpartition("=")
    if not equals:
        host, number = text, "1"
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: {number!r} is no number of engines: at least 1 is needed")
    return Share(this_host(_checked(check_host)(host)), int(number))


def _checked(check: Any) -> Any:
    def convert(text: str) -> str:
        try:
            checked: str = check(text)
        except ConfigError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None
        return checked

    return convert


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, 1 or more")
    return seconds


factory = SshFactory()
