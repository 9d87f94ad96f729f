"""Tickets: both ends of their pipe."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core import tickets as interpreter
from ipython1.kernel.engine.queue import Ticket
from ipython1.kernel.engine.tickets import Tickets


class TicketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.agent = Tickets()
        self.addCleanup(self.agent.close)
        self.interpreter = interpreter.Tickets(os.dup(self.agent.theirs))
        self.addCleanup(self.interpreter.close)

    def test_in_order(self) -> None:
        """A command begins when its ticket is there, and may be asked about again."""
        first, second = self.agent.give(2)
        for ticket in (first, first, second):
            self.assertTrue(self.interpreter.may_begin(ticket))
        self.assertEqual(self.agent.take_back(), set())

    def test_without_a_number(self) -> None:
        """A command without a number needs none."""
        self.agent.give(1)
        self.assertTrue(self.interpreter.may_begin((0, 0)))

    def test_taken_back(self) -> None:
        """What was taken back does not begin; what is given after it does."""
        first, second, third = self.agent.give(3)
        self.assertTrue(self.interpreter.may_begin(first))
        self.assertEqual(self.agent.take_back(), {second, third})
        self.assertFalse(self.interpreter.may_begin(second))
        (fourth,) = self.agent.give(1)
        self.assertFalse(self.interpreter.may_begin(third))
        self.assertTrue(self.interpreter.may_begin(fourth))
        self.assertEqual(self.agent.take_back(), set())

    def test_rounds(self) -> None:
        """What was given before the agent has read the output does not begin, and is all the agent's."""
        given = self.agent.give(2)
        self.interpreter.round += 1
        self.assertFalse(self.interpreter.may_begin(given[0]))
        self.assertEqual(self.agent.take_back(), set(given))
        self.agent.next_round()
        (later,) = self.agent.give(1)
        self.assertFalse(self.interpreter.may_begin(given[1]))
        self.assertTrue(self.interpreter.may_begin(later))

    def test_closed(self) -> None:
        """What was not read when the interpreter had ended can be taken back."""
        first, second = self.agent.give(2)
        self.interpreter.may_begin(first)
        self.agent.close()
        self.assertEqual(self.agent.take_back(), {second})
        self.assertEqual(self.agent.take_back(), {second})

    @given(st.lists(st.one_of(st.integers(1, 5), st.sampled_from(["back", "begin", "loud", "heard"])), max_size=40))
    def test_each_is_one_ends(self, events: list[int | str]) -> None:
        """In whatever order the two do what they do, a command begins or is taken back, and never both."""
        self.setUp()
        sent: list[Ticket] = []
        begun: list[Ticket] = []
        back: set[Ticket] = set()
        quiet, runs = True, False
        for event in events:
            if isinstance(event, int):
                sent += self.agent.give(event)
            elif event == "back":
                back |= self.agent.take_back()
            elif event == "begin" and sent:
                runs = self.interpreter.may_begin(sent[0])
                if runs:
                    begun.append(sent[0])
                    self.assertTrue(quiet)
                sent.pop(0)
            elif event == "loud" and quiet and runs:
                self.interpreter.round += 1
                quiet = runs = False
            elif event == "heard" and not quiet:
                back |= self.agent.take_back()
                self.agent.next_round()
                quiet = True
        back |= self.agent.take_back()
        # One may have been read before the commands that had lost theirs were passed over.
        begun += [ticket for ticket in sent if self.interpreter.may_begin(ticket)]
        self.assertEqual(set(begun) & back, set())
        self.assertEqual(len(begun) + len(back), self.agent.give(1)[0][1] - 1)
        self.doCleanups()
