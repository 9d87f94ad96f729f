"""SIGINT in an interpreter process: an interrupt names a command, and strikes that command alone.

The host agent writes the name on the control socket and then sends the signal.  The signal is on its way while
commands end and begin, so the handler decides by the name, and by the stack that it finds itself on: it raises
only below a function marked as `interruptible`, whose caller catches what it raises.

SIGINT may come between Python's last look for signals and a system call in which the code then waits, which it does not end.  So
a second signal, `WAKE`, follows some time later.  It means nothing: it only ends such a call, and Python looks again.
"""

from __future__ import annotations

import signal
import socket
import time

# Without the search for the member of an enumeration, which costs as much as a short task.
from _signal import getsignal as _getsignal  # type: ignore[import-not-found]
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from ipython1.kernel import framing

_interruptible: set[CodeType] = set()
_Function = TypeVar("_Function", bound=Callable[..., Any])
WAKE = signal.SIGURG
_SIGINT = int(signal.SIGINT)
# A signal follows its name within this many seconds.
_SIGNAL_LAG = 1.0


def interruptible(function: _Function) -> _Function:
    """Allow KeyboardInterrupt inside `function` and what it calls."""
    _interruptible.add(function.__code__)
    return function


def _is_inside(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _interruptible:
            return True
        frame = frame.f_back
    return False


def _awake(number: int, frame: FrameType | None) -> None:
    """Python has looked for signals, which is all that was wanted."""


class Interrupts:
    """The handler of SIGINT, and what it knows.

    `current`
        the name of the command that is served; set before the first interruptible function is called.
    """

    def __init__(self, control: socket.socket) -> None:
        self.current: Any = None
        self._control = control
        control.setblocking(False)
        self._decoder = framing.Decoder()
        self._handler = self._handle
        self._early: Any = None
        self._signals = self._handled = 0
        self._busy = False
        # Names that were read before their own signals came.
        self._owed = 0
        self._owed_until = 0.0
        signal.signal(WAKE, _awake)

    def install(self) -> None:
        """Have the handler in force, whatever user code did."""
        self._busy = False
        if _getsignal(_SIGINT) is not self._handler:
            signal.signal(signal.SIGINT, self._handler)

    def close(self) -> None:
        """In a forked child: Python's own handler, and no control socket."""
        self._control.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(WAKE, signal.SIG_DFL)

    def raise_if_early(self) -> None:
        """KeyboardInterrupt if the current command was named before it began; call it inside."""
        if self._early is not None and self._early == self.current:
            self._early = None
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._busy:  # this signal interrupted the loop below, which will see that it came
            return
        while self._handled != self._signals:
            self._busy = True
            self._handled = self._signals
            names = self._read_names()
            self._busy = False
            if self._strikes(names, frame):
                raise KeyboardInterrupt

    def _strikes(self, names: list[Any], frame: FrameType | None) -> bool:
        if not names:
            return _is_inside(frame) and not self._is_owed()
        self._owed = len(names) - 1
        self._owed_until = time.monotonic() + _SIGNAL_LAG
        if _is_inside(frame):
            return None in names or self.current in names
        # It may name a command that is still on its way to us. (One that has ended never begins again.)
        self._early = names[-1]
        return False

    def _is_owed(self) -> bool:
        """Whether a signal without a name belongs to a name that was read together with another."""
        if self._owed > 0 and time.monotonic() < self._owed_until:
            self._owed -= 1
            return True
        self._owed = 0
        return False

    def _read_names(self) -> list[Any]:
        names: list[Any] = []
        while True:
            try:
                data = self._control.recv(4096)
            except OSError:  # nothing (more) to read
                break
            if not data:
                break
            names.extend(message.fields.get("id") for message in self._decoder.feed(data))
        return names
