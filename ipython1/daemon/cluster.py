"""A cluster from its start to its end: with its lock, its record, its control socket and its parts."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipython1.daemon.clusters import look, put_in_order
from ipython1.daemon.control import ControlServer, place_socket, remove_socket
from ipython1.daemon.engines import Engines
from ipython1.daemon.intensity import Intensity
from ipython1.daemon.parts import Over
from ipython1.daemon.record import Recorder
from ipython1.daemon.requests import Requests
from ipython1.daemon.service import ClusterService, count
from ipython1.daemon.state import ClusterState, ProcessId, StateFolder
from ipython1.kernel.error import ClusterError, ClusterRunning
from ipython1.kernel.places import FURL_FILES, Places


@dataclass(frozen=True)
class Configuration:
    """What a cluster is told at its start.

    `keeps_furls`: its FURL files are not removed with it.  `daemon`: it runs in the background.
    `temporary`: the folders of its name are removed with it, unless it has failed.
    """

    places: Places
    intensity: Intensity = Intensity()
    keeps_furls: bool = False
    daemon: bool = False
    temporary: bool = False


class Cluster:
    """The cluster of `plan`, an `IPlan`.

    `say` gets the lines for the person who started it, and `ready` is called each time when it is ready to be used.
    """

    def __init__(
        self,
        reactor: Any,
        plan: Any,
        configuration: Configuration,
        say: Callable[[str], None],
        ready: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._configuration = configuration
        self._places = configuration.places
        self._say = say
        self._ready = ready
        self._folder = StateFolder(self._places.state_dir)
        self._recorder: Recorder | None = None
        self._service = ClusterService(reactor, plan, configuration.intensity, say, self._settled)

    async def run(self) -> None:
        """Until the end.

        Raises ClusterRunning if there is one of that name, and another error of ours if it cannot be started or has
        ended by itself.
        """
        if not self._folder.acquire():
            raise ClusterRunning(running_text(self._places))
        failed = False
        try:
            for line in put_in_order(self._folder):
                self._service.tell(f"ipcluster: an earlier cluster of this name was killed: {line}")
            over = await self._run()
            failed = over.status != 0 and self._service.was_ready
        finally:
            if self._configuration.temporary and not failed:
                self._remove_folders()
            self._folder.release(keep_state=failed)
        if over.status:
            raise ClusterError(over.reason)

    async def _run(self) -> Over:
        socket = place_socket(self._folder.path)
        recorder = Recorder(self._reactor, self._folder, self._first_state(socket), self._service)
        self._recorder = recorder
        requests = Requests(self._service, recorder, Engines(self._reactor, self._places))
        control = ControlServer(self._reactor, socket, requests.answer)
        try:
            control.start()
            recorder.begin()
            over = await self._service.run()
            recorder.end()
            if over.status and self._service.was_ready:
                recorder.finish(over.reason)
        finally:
            await control.stop()
            remove_socket(socket, self._folder.path)
        return over

    def _remove_folders(self) -> None:
        for folder in (self._places.security_dir, self._places.log_dir, self._places.store_file.parent):
            shutil.rmtree(folder, ignore_errors=True)

    def stop(self) -> None:
        """End the cluster: in order the first time, at once the second time."""
        self._service.stop()

    def _first_state(self, socket: Path) -> ClusterState:
        return ClusterState(
            name=self._places.cluster_id,
            state=self._service.supervisor.phase.value,
            supervisor=ProcessId.own(),
            started=time.time(),
            control=str(socket),
            keeps_furls=self._configuration.keeps_furls,
            daemon=self._configuration.daemon,
        )

    def _settled(self, engines: int) -> None:
        if self._recorder is not None:
            self._recorder.update()
        self._say(ready_text(self._places, engines, self._configuration.daemon))
        self._ready()


def running_text(places: Places) -> str:
    """That the cluster runs already, and what one can do."""
    found = look(places)
    return f"{found.text()}: use it, stop it with {found.command('stop')}, or name another one with --cluster-id"


def ready_text(places: Places, engines: int, daemon: bool) -> str:
    """How to connect to a cluster that is ready, and how to stop it."""
    file = places.security_dir / FURL_FILES["multiengine"]
    how = shlex.join(["ipcluster", "stop", *places.typed_options()]) if daemon else "Ctrl-C"
    return (
        f"\nThe cluster is ready, with {count(engines)}. To use it, in IPython or Python on this host:\n\n"
        "    from ipython1.kernel import client\n"
        f"    mec = client.MultiEngineClient({places.client_arguments('multiengine')})\n\n"
        f"On other hosts, with a copy of {file}.\n"
        f"{how} stops the cluster.\n"
    )
