"""Dialing again, and when a silence is long enough."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.error import ConnectionError, FURLError, IncompatiblePeer, NoFURLFile, UnknownSession
from ipython1.kernel.keepalive import LOOKS, Measure, Silence
from ipython1.kernel.peer import Ending
from ipython1.kernel.redial import LONGEST_DELAY, Redial


class FakeLink:
    is_away = True
    received = 7

    def __init__(self) -> None:
        self.ends: list[tuple[str, Ending]] = []

    def over(self, reason: str, ending: Ending) -> None:
        self.is_away = False
        self.ends.append((reason, ending))


class RedialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.attempts: list[float] = []
        self.answers: list[Any] = []
        self.redial = Redial(self.clock, self.attempt, 60.0)

    async def attempt(self, received: int) -> Any:
        self.assertEqual(received, 7)
        self.attempts.append(self.clock.seconds())
        answer = self.answers.pop(0) if self.answers else ConnectionError("nobody there")
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer

    def resume(self, link: Any) -> None:
        link.is_away = False
        self.redial.end(link)

    def test_back_off(self) -> None:
        """Soon at first, then every few seconds, not in step with others; after the grace time it is over."""
        self.redial.begin(self.link, "it was lost")
        self.clock.pump([0.01] * 6_200)
        pauses = [after - before for before, after in zip([0.0, *self.attempts], self.attempts)]
        self.assertLess(pauses[0], 0.15)
        self.assertLess(max(pauses), LONGEST_DELAY + 0.1)
        self.assertGreater(len(set(pauses)), 10)
        [(reason, ending)] = self.link.ends
        self.assertEqual(reason, "it was lost, and the controller stayed away for 60 s: nobody there")
        self.assertIs(ending, Ending.STAYED_AWAY)
        self.assertGreater(self.attempts[-1], 59.9)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reached(self) -> None:
        """The first attempt that succeeds lets the session go on; a wrong FURL may be about to be replaced."""
        self.answers = [FURLError("made by an earlier run"), self.resume]
        self.redial.begin(self.link, "it was lost")
        self.clock.pump([0.1] * 100)
        self.assertEqual((len(self.attempts), self.link.ends), (2, []))
        self.link.is_away = True
        self.redial.begin(self.link, "again")
        self.clock.advance(0.15)
        self.assertEqual(len(self.attempts), 3)
        self.redial.end(self.link)

    def test_what_waiting_cannot_mend(self) -> None:
        """A controller that does not know the session, or speaks another protocol."""
        for problem, ending in (
            (UnknownSession("restarted"), Ending.UNKNOWN),
            (IncompatiblePeer("0.9"), Ending.STAYED_AWAY),
        ):
            self.setUp()
            self.answers = [problem]
            self.redial.begin(self.link, "it was lost")
            self.clock.advance(1)
            [(reason, how)] = self.link.ends
            self.assertIs(how, ending)
            self.assertIn(str(problem), reason)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ended(self) -> None:
        """A controller that has taken its FURL file with it has ended: it is not waited for."""
        self.answers = [ConnectionError("nobody there"), NoFURLFile("there is no FURL file")]
        self.redial.begin(self.link, "it was lost")
        self.clock.pump([0.01] * 100)
        [(reason, ending)] = self.link.ends
        self.assertIn("the controller has ended: its FURL file is gone", reason)
        self.assertIs(ending, Ending.STAYED_AWAY)

    def test_fault(self) -> None:
        """A fault of ours is logged and ends it: nobody would dial otherwise."""
        self.answers = [ZeroDivisionError("oops")]
        self.redial.begin(self.link, "it was lost")
        self.clock.advance(1)
        self.assertEqual(len(self.link.ends), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_closed_meanwhile(self) -> None:
        """A session that is closed is not dialed for: neither between attempts nor in one."""
        under_way: Deferred[Any] = Deferred()
        self.answers = [under_way]
        self.redial.begin(self.link, "it was lost")
        self.clock.advance(1)
        self.link.is_away = False
        self.redial.end(self.link)
        self.redial.end(self.link)
        self.clock.advance(100)
        self.assertEqual((len(self.attempts), self.link.ends), (1, []))


class SilenceTests(SynchronousTestCase):
    def test_silence(self) -> None:
        """It is asked for a sign soon, and given up within the time."""
        silence = Silence()
        silence.looked(True)
        measures = [silence.looked(False) for _ in range(LOOKS - 1)]
        self.assertEqual(measures, [Measure.ASK, *[Measure.NOTHING] * (LOOKS - 3), Measure.GIVE_UP])

    def test_sign(self) -> None:
        """Whatever comes is a sign."""
        silence = Silence()
        for _ in range(10):
            self.assertIs(silence.looked(False), Measure.ASK)
            self.assertIs(silence.looked(True), Measure.NOTHING)
