"""Which command a SIGINT strikes, decided without a process."""

from __future__ import annotations

import signal
import socket
import sys

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.interrupts import Interrupts, interruptible
from ipython1.kernel import framing
from ipython1.kernel.framing import Message


class InterruptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.agent, control = socket.socketpair()
        self.addCleanup(self.agent.close)
        self.addCleanup(control.close)
        self.interrupts = Interrupts(control)

    def name(self, *numbers: int | None) -> None:
        """The agent names commands, without sending signals."""
        for number in numbers:
            framing.send(self.agent, Message("interrupt", {"id": None if number is None else ["s", number]}))

    def outside(self) -> bool:
        """Whether a signal that comes in the loop's own code raises."""
        try:
            self.interrupts._handle(signal.SIGINT, sys._getframe())
        except KeyboardInterrupt:
            return True
        return False

    @interruptible
    def inside(self, current: int) -> bool:
        """Whether a signal that comes inside that command raises."""
        self.interrupts.current = ["s", current]
        return self.outside()

    def test_by_name(self) -> None:
        """Only the named command is struck, and only inside."""
        self.name(1)
        self.assertTrue(self.inside(1))
        self.name(1)
        self.assertFalse(self.inside(2))
        self.name(None)
        self.assertTrue(self.inside(2))
        self.name(None)
        self.assertFalse(self.outside())

    def test_bare_signal(self) -> None:
        """A signal without a name strikes whatever runs."""
        self.assertTrue(self.inside(1))
        self.assertFalse(self.outside())

    def test_names_read_together(self) -> None:
        """A signal whose name was read with an earlier signal's is not taken for a bare one."""
        self.name(1, 1)
        self.assertTrue(self.inside(1))
        self.assertFalse(self.inside(2))
        self.assertTrue(self.inside(3))

    def test_early(self) -> None:
        """A command that is named before it begins is struck when it begins; another one is not."""
        self.name(2)
        self.assertFalse(self.outside())
        self.interrupts.current = ["s", 1]
        self.interrupts.raise_if_early()
        self.interrupts.current = ["s", 2]
        self.assertRaises(KeyboardInterrupt, self.interrupts.raise_if_early)
        self.interrupts.raise_if_early()
