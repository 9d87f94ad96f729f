"""Finding the controller, once and again, and the course of an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.config.settings import RECONNECT_TIMEOUT
from ipython1.kernel.engine.connect import Address, reach
from ipython1.kernel.engine.run import Course
from ipython1.kernel.error import ConnectionError, FileTimeoutError, FURLError, IncompatiblePeer
from ipython1.kernel.furl import stamp, write_private
from ipython1.kernel.peer import Ending
from ipython1.kernel.places import Places

FURL = "pb://abcdefghijklmnopqrstuvwxyz234567@127.0.0.1:10105/secret"
OTHER = FURL.replace("secret", "other")


class ReachTests(SynchronousTestCase):
    """The FURL file and the controller may come late."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.dialed: list[str] = []
        self.answers: list[Any] = []
        self.folder = Path(self.mktemp())
        (self.folder / "security").mkdir(parents=True)
        self.file = self.folder / "security" / "ipcontroller-engine.furl"

    def dial(
        self, furl: str, role: str, receiver: Any, *, reactor: Any, timeout: float, session: str, again: Any
    ) -> Any:
        self.assertEqual((role, session), ("engine", "agent"))
        self.dialed.append(furl)
        answer = self.answers.pop(0) if self.answers else ConnectionError("no controller answers")
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def reach(self, furl_or_file: str = "", again: bool = False, before: str | None = None) -> Deferred[Any]:
        address = Address(furl_or_file, Places(self.folder), before)
        coroutine = reach(
            address,
            None,
            dial=self.dial,
            reactor=self.clock,
            timeout=60,
            say=self.said.append,
            session="agent",
            again=again,
        )
        return Deferred.fromCoroutine(coroutine)

    def test_at_once(self) -> None:
        """When all is there, nothing is said."""
        self.file.write_text(FURL)
        self.answers = ["link"]
        self.assertEqual(self.successResultOf(self.reach()), "link")
        self.assertEqual((self.dialed, self.said), ([FURL], []))

    def test_file_of_before(self) -> None:
        """A file from before the start of the controller is not used; nothing is said while that takes its time."""
        self.file.write_text(OTHER)
        self.answers = [ConnectionError("it does not listen yet"), "link"]
        link = self.reach(before=stamp(self.file))
        self.clock.pump([0.1] * 10)
        self.assertEqual(self.dialed, [])
        write_private(self.file, FURL)
        self.clock.pump([0.1] * 4)
        self.assertEqual(self.successResultOf(link), "link")
        self.assertEqual((self.dialed, self.said), ([FURL, FURL], []))

    def test_no_file_before(self) -> None:
        """Nor is a file needed before."""
        self.answers = ["link"]
        link = self.reach(before=stamp(self.file))
        self.clock.pump([0.1] * 3)
        self.assertNoResult(link)
        write_private(self.file, FURL)
        self.clock.pump([0.1] * 2)
        self.assertEqual(self.successResultOf(link), "link")

    def test_late_file_and_late_controller(self) -> None:
        """It waits for the file and then for the controller, and says each once."""
        self.answers = [ConnectionError("no controller answers")] * 3 + ["link"]
        link = self.reach()
        self.clock.pump([0.1] * 50)
        self.assertNoResult(link)
        self.file.write_text(FURL)
        self.clock.pump([0.1] * 200)
        self.assertEqual(self.successResultOf(link), "link")
        self.assertEqual(len(self.said), 2)
        self.assertIn(str(self.file), self.said[0])
        self.assertIn("no controller answers", self.said[1])

    def test_file_is_read_anew(self) -> None:
        """A stale file that is replaced leads to the new controller."""
        self.file.write_text(FURL)
        self.answers = [ConnectionError("no controller answers"), "link"]
        link = self.reach()
        self.file.write_text(OTHER)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(link), "link")
        self.assertEqual(self.dialed, [FURL, OTHER])

    def test_no_file_in_time(self) -> None:
        """A file that does not appear is named."""
        link = self.reach()
        self.clock.pump([1] * 61)
        error = self.failureResultOf(link, FileTimeoutError).value
        self.assertIn("gave up after 60 s", str(error))
        self.assertIn(str(self.file), str(error))

    def test_no_controller_in_time(self) -> None:
        """A controller that does not answer is a ConnectionError."""
        link = self.reach(FURL)
        self.clock.pump([1] * 61)
        self.failureResultOf(link, ConnectionError)

    def test_what_waiting_cannot_mend(self) -> None:
        """A FURL of another role, or an incompatible controller, is an error at once."""
        for error in (FURLError("another role"), IncompatiblePeer("other version")):
            self.answers = [error]
            self.assertIs(self.failureResultOf(self.reach(FURL)).value, error)

    def test_again(self) -> None:
        """After a connection was lost, a wrong FURL may be replaced; an incompatible controller stays one."""
        self.answers = [FURLError("made by an earlier run"), IncompatiblePeer("other version")]
        link = self.reach(FURL, again=True)
        self.assertNoResult(link)
        self.clock.advance(1)
        self.failureResultOf(link, IncompatiblePeer)


class FakeAgent:
    """What a Course needs of an agent."""

    def __init__(self) -> None:
        self.engines = {0: "engine"}
        self.failures: list[str] = []
        self.started = self.stopped = False
        self.links: list[Any] = []
        self.lost: Deferred[str] = Deferred()
        self._over: list[Deferred[None]] = []

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.stopped = True
        self.end()

    def end(self) -> None:
        self.engines = {}
        waiting, self._over = self._over, []
        for waiter in waiting:
            waiter.callback(None)

    def when_over(self) -> Deferred[None]:
        if not self.engines:
            return succeed(None)
        self._over.append(Deferred())
        return self._over[-1]

    def attached(self, link: Any) -> Deferred[str]:
        self.links.append(link)
        self.lost = Deferred()
        return self.lost


class FakeLink:
    closed = False
    ending = Ending.UNKNOWN

    def close(self, reason: str) -> None:
        self.closed = True


class CourseTests(SynchronousTestCase):
    """The course of an agent."""

    def setUp(self) -> None:
        self.agent = FakeAgent()
        self.said: list[str] = []
        self.reached: list[tuple[float, bool]] = []
        self.links: list[Deferred[Any]] = [Deferred(), Deferred()]
        self.run_course()

    def run_course(self, early: bool = False) -> None:
        self.course = Course(self.agent, self.reach, self.said.append, early=early)
        self.status = Deferred.fromCoroutine(self.course.run(5))

    async def reach(self, timeout: float, again: bool) -> Any:
        self.reached.append((timeout, again))
        return await self.links[len(self.reached) - 1]

    def connect(self, ending: Ending = Ending.UNKNOWN) -> FakeLink:
        link = FakeLink()
        link.ending = ending
        self.links[len(self.reached) - 1].callback(link)
        return link

    def test_engines_killed(self) -> None:
        """An agent without engines ends, with status 0."""
        link = self.connect()
        self.assertTrue(self.agent.started)
        self.agent.end()
        self.assertEqual(self.successResultOf(self.status), 0)
        self.assertTrue(link.closed)

    def test_engines_failed(self) -> None:
        """If they ended because they could not be started, the status is 1."""
        self.connect()
        self.agent.failures.append("could not be started")
        self.agent.end()
        self.assertEqual(self.successResultOf(self.status), 1)

    def test_stop(self) -> None:
        """A wanted end has status 0."""
        self.connect()
        self.course.stop()
        self.assertTrue(self.agent.stopped)
        self.assertEqual(self.successResultOf(self.status), 0)

    def test_stop_while_waiting(self) -> None:
        """Also while the controller is not there yet."""
        self.course.stop()
        self.assertEqual(self.successResultOf(self.status), 0)
        self.assertFalse(self.agent.started)

    def test_not_reached(self) -> None:
        """A controller that is not reached is an error, and nothing was started."""
        self.links[0].errback(ConnectionError("nobody there"))
        self.failureResultOf(self.status, ConnectionError)
        self.assertFalse(self.agent.started)

    def test_early(self) -> None:
        """If the controller is on its way, the interpreters are started meanwhile; they end if it does not come."""
        self.course.stop()
        for outcome in ("link", "none", "stop", "engines"):
            self.agent, self.links, self.reached = FakeAgent(), [Deferred()], []
            self.run_course(early=True)
            self.assertTrue(self.agent.started)
            if outcome == "link":
                self.connect()
                self.assertNoResult(self.status)
                self.agent.end()
            elif outcome == "none":
                self.links[0].errback(ConnectionError("nobody there"))
                self.failureResultOf(self.status, ConnectionError)
                self.assertTrue(self.agent.stopped)
                continue
            elif outcome == "stop":
                self.course.stop()
                self.assertTrue(self.agent.stopped)
            else:
                self.agent.failures.append("could not be started")
                self.agent.end()
            self.assertEqual(self.successResultOf(self.status), 1 if outcome == "engines" else 0)

    def test_reconnect(self) -> None:
        """A lost connection is opened again."""
        self.connect()
        self.agent.lost.callback("the connection was lost")
        self.assertEqual(self.reached, [(5, False), (RECONNECT_TIMEOUT.default, True)])
        self.assertIn("the connection was lost", self.said[0])
        again = self.connect()
        self.assertIs(self.agent.links[1], again)
        self.assertNoResult(self.status)
        self.agent.end()
        self.assertEqual(self.successResultOf(self.status), 0)

    def test_goodbye(self) -> None:
        """A controller that said goodbye is not awaited: the interpreters are ended, with status 0."""
        self.connect(Ending.GOODBYE)
        self.agent.lost.callback("the controller stopped")
        self.assertTrue(self.agent.stopped)
        self.assertEqual(self.successResultOf(self.status), 0)
        self.assertEqual(self.said, ["the controller stopped, and the engines with it"])

    def test_stayed_away(self) -> None:
        """One that was dialed again long enough is not dialed once more."""
        self.connect(Ending.STAYED_AWAY)
        self.agent.lost.callback("the controller stayed away for 60 s")
        error = self.failureResultOf(self.status, ConnectionError).value
        self.assertEqual(str(error), "the controller stayed away for 60 s; the interpreters were ended")
        self.assertEqual(len(self.reached), 1)

    def test_not_reached_again(self) -> None:
        """If that does not succeed, the interpreters are ended."""
        self.connect()
        self.agent.lost.callback("lost")
        self.links[1].errback(ConnectionError("nobody there"))
        error = self.failureResultOf(self.status, ConnectionError).value
        self.assertIn("the interpreters were ended", str(error))
        self.assertTrue(self.agent.stopped)

    def test_stop_while_reconnecting(self) -> None:
        """A wanted end in that time, too, ends the interpreters, with status 0."""
        self.connect()
        self.agent.lost.callback("lost")
        self.course.stop()
        self.assertTrue(self.agent.stopped)
        self.assertEqual(self.successResultOf(self.status), 0)
