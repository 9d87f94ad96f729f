"""What ``ipcluster start`` says while it starts, and the error in it."""

from __future__ import annotations

from ipython1.daemon.detach import COMPLAINT, STATUS
from ipython1.kernel.error import ClusterError, ClusterRunning, ConfigError, KernelError
from ipython1.kernel.scripts.ipcluster_common import FINE, PROGRAM, RUNNING, WRONG

_KINDS: dict[int, type[KernelError]] = {RUNNING: ClusterRunning, WRONG: ConfigError}
_USAGE = ": error: "


class Said:
    """Collects what is read, piece by piece."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        """A piece came."""
        self._data += data

    @property
    def is_ready(self) -> bool:
        """Whether it has said that the cluster can be used."""
        _, mark, status = self._data.partition(STATUS)
        return bool(mark) and status == str(FINE).encode("ascii")

    @property
    def text(self) -> str:
        """The lines."""
        return self._data.partition(STATUS)[0].replace(COMPLAINT, b"").decode("utf-8", "replace")


def start_error(text: str, status: int) -> KernelError:
    """The error that stands in what a start has said that ended with `status`."""
    kind = _KINDS.get(status, ClusterError)
    if status == WRONG and _USAGE in text:
        # Before it stands the usage, which is of no use to somebody who has typed no command.
        return kind(text.rpartition(_USAGE)[2].strip())
    lines = [line for line in text.splitlines() if line.strip()]
    for place in reversed(range(len(lines))):
        if lines[place].startswith(f"{PROGRAM}: "):
            reason = [lines[place].removeprefix(f"{PROGRAM}: "), *lines[place + 1 :]]
            return kind("\n    ".join([*reason, *_details(lines[:place], reason[0])]))
    return kind("\n    ".join([f"the cluster could not be started ({PROGRAM} ended with status {status})", *lines]))


def _details(lines: list[str], reason: str) -> list[str]:
    """What the parts have said before, without what goes without saying and what is said in the reason."""
    said = ("Starting a controller", "ipcontroller: stopping")
    return [line for line in lines if not line.startswith(said) and not reason.endswith(line.partition(": ")[2] or line)]
