"""The controller on the network: one Tub, one certificate, one port, and a FURL file for each role."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from foolscap.api import Tub
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.logger import Logger

from ipython1.kernel.controller.config import CERTIFICATE_FILE
from ipython1.kernel.controller.door import Door, Interface
from ipython1.kernel.controller.lines import Lines
from ipython1.kernel.endpoint import GuardedEndpoint
from ipython1.kernel.error import ControllerCreationError, FURLError, SecurityError
from ipython1.kernel.furl import (
    prepare_security_dir,
    read_furl,
    remove,
    secret,
    tub_and_location,
    write_private,
)
from ipython1.kernel.hello import ROLES, new_id
from ipython1.kernel.patience import Patience
from ipython1.kernel.places import Places, furl_name
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.memory import MemoryStore
from ipython1.kernel.tub import new_certificate, new_tub


class Settings(Protocol):
    """What of the controller's configuration concerns the network."""

    @property
    def port(self) -> int: ...
    @property
    def interface(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def reuse_furls(self) -> bool: ...
    @property
    def places(self) -> Places: ...


class ControllerTub:
    """Publishes interfaces, each under the FURL of its role.

    The certificate, the secrets and the port are kept in files: they are taken up again by the next start, if that
    is wanted (`reuse_furls`) or if the controller did not end cleanly, and removed by a clean end otherwise.  What
    agents say is acknowledged when it is in the `store`.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        interfaces: Mapping[str, Interface],
        reactor: Any,
        patience: Patience = Patience(),  # noqa: B008 (it cannot be changed)
        store: Store | None = None,
    ) -> None:
        self._settings = settings
        self._patience = patience
        self._store = MemoryStore() if store is None else store
        self._interfaces = interfaces
        self._reactor = reactor
        self._tub: Tub | None = None
        self._doors: list[Door] = []
        self._lines: Lines | None = None
        self._folder = settings.places.security_dir
        self.furls: dict[str, str] = {}
        """The FURL of each role."""
        self.port = 0
        self.location = ""

    def file(self, role: str) -> Path:
        """The FURL file of `role`."""
        return self._folder / furl_name(role)

    async def start(self) -> None:
        """Listen, and write the FURL files.

        Raises SecurityError, or ControllerCreationError where the port cannot be had.
        """
        self._folder = prepare_security_dir(self._settings.places)
        fresh = not (self._folder / CERTIFICATE_FILE).exists()
        try:
            self._start()
        except (SecurityError, ControllerCreationError):
            if fresh:
                # There is nothing of an earlier run that the next start could take up.
                self._remove_files()
            raise

    def _start(self) -> None:
        tub, old = self._tub_and_old_furls()
        sock = self._bind(old)
        self.port = sock.getsockname()[1]
        hosts = (self._settings.location or ",".join(_own_addresses(self._settings.interface))).split(",")
        self.location = ",".join(f"{_bracketed(host.strip())}:{self.port}" for host in hosts)
        tub.setLocation(",".join(f"tcp:{hint}" for hint in self.location.split(",")))
        incarnation = new_id()
        lines = self._lines = self._new_lines(incarnation)
        for role, interface in self._interfaces.items():
            # What the interfaces of users are asked is not stored.
            house = self._store.house if role in ROLES else ""
            settled = self._store.settled if house and role == "engine" else None
            door = Door(self._reactor, role, interface, incarnation, self._patience, lines, house, settled)
            self._doors.append(door)
            self.furls[role] = tub.registerReference(door, name=secret(old[role]) if role in old else None)
            write_private(self.file(role), self.furls[role] + "\n")
        sock.listen(1024)
        # The endpoint closes the descriptor.
        endpoint = AdoptedStreamServerEndpoint(self._reactor, sock.detach(), sock.family)
        tub.listenOn(GuardedEndpoint(endpoint, self._reactor, None if lines is None else lines.accept))
        self._tub = tub
        tub.startService()

    def _new_lines(self, incarnation: str) -> Lines | None:
        """What takes lines; None where Python's TLS does not want the certificate, as with a key that is too short."""
        try:
            return Lines(self._reactor, self._folder / CERTIFICATE_FILE, incarnation)
        except ssl.SSLError as problem:
            self.log.warn("no lines, all goes over Foolscap: {problem}", problem=problem)
            return None

    def _tub_and_old_furls(self) -> tuple[Tub, dict[str, str]]:
        """A Tub with the certificate of an earlier run, and that run's FURLs; or a new one, and none."""
        path = self._folder / CERTIFICATE_FILE
        if not path.exists():
            certificate = new_certificate()
            write_private(path, certificate)
            return new_tub(certificate), {}
        try:
            tub = new_tub(path.read_text(encoding="ascii"))
        except (ValueError, OSError) as problem:
            raise SecurityError(
                f"cannot use the certificate {path} of an earlier run ({problem}): remove it, and copy the new FURL"
                " files to where they are used"
            ) from None
        old = {}
        for role in self._interfaces:
            try:
                furl = read_furl(self.file(role), role)
            except FURLError:
                continue
            if tub_and_location(furl)[0] == tub.tubID:
                old[role] = furl
        return tub, old

    def _bind(self, old: Mapping[str, str]) -> socket.socket:
        ports = {int(tub_and_location(furl)[1].rpartition(":")[2]) for furl in old.values()}
        earlier = ports.pop() if len(ports) == 1 else 0
        try:
            return _bound(self._settings.interface, self._settings.port or earlier)
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE and not self._settings.port and not self._settings.reuse_furls:
                self.log.info("port {port} of the earlier run is taken, using another", port=earlier)
                return _bound(self._settings.interface, 0)
            host = self._settings.interface or "this host"
            port = self._settings.port or earlier
            where = f"port {port} of {host}" if port else host
            raise ControllerCreationError(
                f"cannot listen on {where}: {problem.strerror}; choose another one with --port or --interface"
            ) from None

    async def stop(self, clean: bool = True) -> None:
        """Stop listening and end all sessions; a clean stop removes the files unless they are reused."""
        tub, self._tub = self._tub, None
        # A Tub that stops tells nobody: neither the peers, nor our own ends.
        # The clients first: what becomes of the engines then is no news to them.
        for door in sorted(self._doors, key=lambda door: door.role == "engine"):
            door.close("the controller stopped")
        if tub is not None:
            await tub.stopService()
        if self._lines is not None:
            await self._lines.open.stop()
        if clean and not self._settings.reuse_furls:
            self._remove_files()

    def _remove_files(self) -> None:
        for role in self._interfaces:
            remove(self.file(role))
        remove(self._folder / CERTIFICATE_FILE)


def _bound(interface: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((interface, port))
        sock.setblocking(False)
    except socket.gaierror as problem:
        sock.close()
        raise OSError(errno.EADDRNOTAVAIL, f"{interface!r} is no address of this host ({problem.strerror})") from None
    except OSError:
        sock.close()
        raise
    return sock


def _own_addresses(interface: str) -> list[str]:
    """The addresses under which others reach what listens on `interface`; the loopback one last."""
    if interface not in ("", "0.0.0.0", "::"):
        return [interface]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: connecting a datagram socket only looks up the route (192.0.2.1 is for documentation).
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            return ["127.0.0.1"]
    return [address] if address.startswith("127.") else [address, "127.0.0.1"]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
