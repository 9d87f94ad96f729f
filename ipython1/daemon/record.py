"""What is recorded of a cluster while it runs, for `status` and for those who have to clean up after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ipython1.daemon.parts import Part
from ipython1.daemon.service import ClusterService
from ipython1.daemon.state import FAILED, ClusterState, PartRecord, ProcessId, StateFolder
from ipython1.kernel.error import SecurityError


def part_record(service: ClusterService, part: Part) -> PartRecord:
    """A part, with its process if it has one."""
    member = service.members.get(part.label)
    process = None
    host = ""
    if member is not None:
        state = member.state
        host = state.host
        if state.pid is not None and state.state != "ended":
            process = ProcessId.at(state.host, state.pid, state.created)
    return PartRecord(
        label=part.label,
        state=part.state.value,
        host=host,
        process=process,
        engines=tuple(sorted(part.ids)),
        wanted=part.engines,
        restarts=part.restarts,
        reason=part.reason,
    )


class Recorder:
    """Keeps ``state.json`` up to date: at most once in a turn of the reactor."""

    log = Logger()

    def __init__(self, reactor: Any, folder: StateFolder, state: ClusterState, service: ClusterService) -> None:
        self._reactor = reactor
        self._folder = folder
        self._begun = state
        self._service = service
        self._written: ClusterState | None = None
        self._call: IDelayedCall | None = None

    def begin(self) -> None:
        """Write the first record; SecurityError if that cannot be done."""
        self._write()
        self._service.observers.append(self._changed)

    def end(self) -> None:
        """Write no more."""
        self._service.observers.remove(self._changed)
        if self._call is not None and self._call.active():
            self._call.cancel()

    def update(self) -> None:
        """Write what has changed now: somebody is about to be told of it."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._write_changes()

    def finish(self, reason: str) -> None:
        """Leave the record of a cluster that has ended by itself."""
        try:
            self._folder.write(replace(self.state(), state=FAILED, reason=reason))
        except SecurityError as problem:
            self.log.error("{problem}", problem=problem)

    def state(self) -> ClusterState:
        """What there is to be recorded now."""
        supervisor = self._service.supervisor
        return replace(
            self._begun,
            state=supervisor.phase.value,
            parts=tuple(part_record(self._service, part) for part in supervisor.parts.values()),
            problems=tuple(supervisor.problems),
        )

    def _changed(self) -> None:
        if self._call is None:
            self._call = self._reactor.callLater(0, self._write_changes)

    def _write_changes(self) -> None:
        self._call = None
        try:
            self._write()
        except SecurityError as problem:
            # The disk is full, maybe. The cluster goes on without.
            self.log.error("{problem}", problem=problem)

    def _write(self) -> None:
        state = self.state()
        if state != self._written:
            self._folder.write(state)
            self._written = state
