"""``ipcluster ssh``: engines on several hosts, and the controller on this one or on another one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from zope.interface import implementer

from ipython1.config.setting import Configuration
from ipython1.kernel.config.settings import (
    CLUSTER_FILE,
    REMOTE_DIR,
    REMOTE_PYTHON,
    SHARED_FILES,
    SILENCE,
    SSH,
    SSH_CONFIG,
    SSH_CONNECT_TIMEOUT,
    SSH_START_TIMEOUT,
)
from ipython1.kernel.controller.config import READY
from ipython1.kernel.controller.lock import ControllerLock
from ipython1.kernel.error import ConfigError, LaunchError
from ipython1.kernel.furl import prepare_security_dir
from ipython1.kernel.launch.clusterfile import NO_SCRIPT, ClusterFile, parse_cluster_file, this_host
from ipython1.kernel.launch.launcher import ILauncherFactory, IPlan
from ipython1.kernel.launch.local import LocalLauncher, LocalPlan
from ipython1.kernel.launch.ssh_command import SshSettings, check_host
from ipython1.kernel.launch.ssh_launcher import SshLauncher
from ipython1.kernel.launch.values import Launch, Share, Wanted
from ipython1.kernel.places import FURL_FILES, Places
from ipython1.kernel.scripts.options import Gone, add_setting, configured

HOME_DIR = "~/.ipython"
"""The ipython directory of a controller on another host, if none is named."""
_SETTINGS = (
    (CLUSTER_FILE, "FILE"),
    (SHARED_FILES, None),
    (REMOTE_DIR, "DIR"),
    (REMOTE_PYTHON, "PATH"),
    (SSH, "PROGRAM"),
    (SSH_CONFIG, "FILE"),
    (SSH_CONNECT_TIMEOUT, "SECONDS"),
    (SILENCE, "SECONDS"),
)


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
        there = Places(Path(self._options.remote_dir or HOME_DIR), self._places.cluster_id)
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
        group.add_argument(
            "--host",
            action="append",
            type=_share,
            default=[],
            metavar="HOST=N",
            help="N engines on HOST, instead of a cluster file; can be given several times",
        )
        group.add_argument(
            "--controller-host",
            metavar="HOST",
            help="where the controller is to run (default: what the cluster file says, else this host)",
        )
        for setting, metavar in _SETTINGS:
            add_setting(group, setting, metavar)
        for option in ("--sshx", "-e", "--copyenvs"):
            nargs: Any = "?" if option == "--sshx" else 0
            parser.add_argument(option, action=Gone, nargs=nargs, metavar=NO_SCRIPT, help=argparse.SUPPRESS)

    def plan(self, wanted: Wanted, options: argparse.Namespace) -> SshPlan:
        """One host agent for each host that is named."""
        if wanted.num is not None:
            raise ConfigError(
                "-n is not for ssh: say how many engines each host has, in the cluster file or with --host node1=4"
            )
        return SshPlan(wanted, _read(options, configured(options.parser, options, wanted.places)))


def _read(options: argparse.Namespace, settings: Configuration) -> SshOptions:
    config = settings[SSH_CONFIG]
    ssh = SshSettings(
        program=settings[SSH],
        config=str(Path(config).expanduser().absolute()) if config else "",
        python=settings[REMOTE_PYTHON],
        connect_timeout=settings[SSH_CONNECT_TIMEOUT],
        start_timeout=settings[SSH_START_TIMEOUT],
        silence=settings[SILENCE],
    )
    if ssh.config and not Path(ssh.config).is_file():
        raise ConfigError(f"there is no configuration of ssh {ssh.config!r}: correct --ssh-config")
    if options.host:
        file = _hosts(options)
    else:
        file = _cluster_file(settings[CLUSTER_FILE])
    if options.controller_host is not None:
        file = replace(file, controller_host=this_host(check_host(options.controller_host)))
    shared = settings[SHARED_FILES]
    if file.send_furl is not None and getattr(options, SHARED_FILES.name) is None:
        # It is nearer to the hosts than a configuration file, and the command line goes before it.
        shared = not file.send_furl
    return SshOptions(file, ssh, shared, settings[REMOTE_DIR])


def _hosts(options: argparse.Namespace) -> ClusterFile:
    """What ``--host`` says, as if it stood in a cluster file."""
    if getattr(options, CLUSTER_FILE.name) is not None:
        raise ConfigError("--host and --clusterfile both say which hosts there are: leave one of them out")
    counted: dict[str, int] = {}
    for share in options.host:
        counted[share.host] = counted.get(share.host, 0) + share.engines
    return ClusterFile(tuple(Share(host, number) for host, number in counted.items()))


def _cluster_file(name: str) -> ClusterFile:
    path = Path(name).expanduser()
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
    try:
        return Share(this_host(check_host(host)), int(number))
    except ConfigError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


factory = SshFactory()
