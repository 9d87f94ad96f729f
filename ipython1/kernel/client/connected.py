"""The connection of a blocking client."""

from __future__ import annotations

import os
import weakref
from typing import Any

from ipython1.config.setting import Configuration
from ipython1.kernel.client.calls import Calls
from ipython1.kernel.client.progress import Choice
from ipython1.kernel.client.reactor import ReactorThread, reactor_thread
from ipython1.kernel.client_session import Connection, Dial
from ipython1.kernel.config import config_manager
from ipython1.kernel.config.settings import KERNEL
from ipython1.kernel.furl import chosen_furl, read_furl
from ipython1.kernel.hello import check_name
from ipython1.kernel.places import find_places

LEFT_WITHIN = 2.0
"""Seconds that somebody waits at most until a client has left its controller."""


class ConnectedClient:
    """Opens the connection of a client when it is made, and lets go of it when nobody has the client any more."""

    _name = ""
    _calls: Calls
    _settings = Configuration(KERNEL, {})

    def _connect(
        self,
        furl_or_file: str | os.PathLike[str],
        role: str,
        profile: str | None,
        cluster_id: str | None,
        name: str | None = None,
    ) -> None:
        # Errors of the arguments are raised before a reactor is started for nothing.
        if name is not None:
            check_name(name)
            self._name = name
        furl_or_file = chosen_furl(furl_or_file, role, profile, cluster_id)
        self._settings = config_manager.configuration(find_places(None, profile).ipython_dir)
        read_furl(furl_or_file, role)
        # Imported by this thread: imports in the reactor's could wait for one that waits for this client.
        from ipython1.kernel.dial import dial

        self._open(furl_or_file, reactor_thread, dial)

    def _connection(self, furl_or_file: str | os.PathLike[str], reactor: Any, dial: Dial) -> Connection:
        raise NotImplementedError

    def _new_calls(self, thread: ReactorThread, connection: Connection) -> Calls:
        return Calls(thread, connection)

    def _open(self, furl_or_file: str | os.PathLike[str], thread: ReactorThread, dial: Dial) -> None:
        connection = self._connection(furl_or_file, thread.start(), dial)
        self._calls = self._new_calls(thread, connection)
        # A client that nobody has any more leaves the controller.
        self._leave = weakref.finalize(self, thread.call_soon, connection.disconnect, "its client is gone")
        self._leave.atexit = False
        thread.check_can_wait("connecting")
        thread.wait(thread.submit(connection.connect), "connecting")

    @property
    def live_output(self) -> bool | None:
        """Whether what engines print is shown to who waits for it, as it comes; None: at a terminal and in a notebook."""
        return self._calls.live

    @live_output.setter
    def live_output(self, choice: bool | None) -> None:
        self._calls.live = choice

    @property
    def progress(self) -> Choice:
        """Whether there are bars that say how far a call is.

        None: at a terminal and in a notebook, after a while; a number: after so many seconds.
        """
        return self._calls.progress

    @progress.setter
    def progress(self, choice: Choice) -> None:
        self._calls.progress = choice

    def _where(self) -> str:
        peer, away = self._calls.connection.peer, self._calls.connection.away
        if peer is None:
            return "not connected"
        where = f"controller {peer.get('pid')} on {peer.get('host')}"
        return where if away is None else f"{where}, which is dialed again: {away}"

    def disconnect(self) -> None:
        """Leave the controller; the next call connects again.  Calls that wait fail with `ConnectionError`."""


        async def leave() -> None:
            self._calls.connection.disconnect("the client was disconnected")

        thread = self._calls.reactor
        thread.check_can_wait("disconnecting")
        thread.wait(thread.submit(leave), "disconnecting")

    def leave_for_good(self, reason: str) -> None:
        """Leave the controller, at once; from now on every call fails with `ConnectionError`, which says `reason`."""
        self._calls.reactor.call_within(LEFT_WITHIN, self._calls.connection.end, reason)
