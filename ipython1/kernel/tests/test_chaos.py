"""The chaos harness itself: its schedule, its logs, and its checker, on histories that are made up."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.tests.chaos import broken, command
from ipython1.kernel.tests.chaos.checker import check
from ipython1.kernel.tests.chaos.history import History
from ipython1.kernel.tests.chaos.journal import Event, Journal, read
from ipython1.kernel.tests.chaos.schedule import AWAY, KINDS, Fault, Shape, schedule

SLACK = 5.0


class ScheduleTests(SynchronousTestCase):
    @given(
        st.integers(0, 2**32), st.sets(st.sampled_from(sorted(KINDS))), st.integers(1, 4), st.integers(1, 5)
    )
    def test_faults(self, seed: int, kinds: set[str], agents: int, clients: int) -> None:
        """A seed gives the same faults each time; they are of the kinds wanted, in order, within the time, and short."""
        shape = Shape(agents, 2, clients)
        faults = schedule(seed, 100.0, shape, kinds, 1.0, 4.0)
        self.assertEqual(faults, schedule(seed, 100.0, shape, list(kinds), 1.0, 4.0))
        self.assertEqual(faults, sorted(faults, key=lambda fault: fault.at))
        for fault in faults:
            self.assertIn(fault.kind, kinds)
            self.assertTrue(0 < fault.at < 100 and 0 <= fault.seconds <= 4.0, fault)
            self.assertLess(fault.victim, clients if fault.who == "client" else agents)
        self.assertEqual(bool(faults), bool(kinds))

    @given(st.integers(0, 2**32))
    def test_absences(self, seed: int) -> None:
        """Nobody is kept away again before having had as much time to come back, and more."""
        rest: dict[tuple[str, int], float] = {}
        for fault in schedule(seed, 200.0, Shape(2, 2, 3), KINDS, 0.5, 4.0):
            if fault.kind in AWAY:
                for each in self.concerned(fault):
                    self.assertGreaterEqual(fault.at, rest.get(each, 0.0) - 0.01, fault)
                    rest[each] = fault.at + 2 * fault.seconds + 4.0

    @staticmethod
    def concerned(fault: Fault) -> list[tuple[str, int]]:
        everybody = [("agent", 0), ("agent", 1), ("client", 0), ("client", 1), ("client", 2)]
        return everybody if fault.who == "controller" else [(fault.who, fault.victim)]

    def test_all_kinds(self) -> None:
        """In a long run, there is each kind of fault; and the controller is often killed."""
        faults = schedule(1, 1800.0, Shape(), KINDS, 2.0, 5.0)
        self.assertEqual({fault.kind for fault in faults}, set(KINDS))
        self.assertGreater(sum(fault.kind == "kill-controller" for fault in faults), 20)


class JournalTests(SynchronousTestCase):
    def test_torn_line(self) -> None:
        """What was written before its writer was killed is read; a last line that is not whole is left out."""
        path = Path(self.mktemp())
        journal = Journal(path)
        self.addCleanup(journal.close)
        journal.write("call", key="a-1")
        with path.open("ab") as file:
            file.write(b'{"at": 3, "ev')
        self.assertEqual([event["key"] for event in read(path)], ["a-1"])
        self.assertEqual(read(Path(self.mktemp())), [])


class Made:
    """A history that is made up: of one client, ``c``, whose operations take a second each."""

    def __init__(self) -> None:
        self.events: list[Event] = [{"at": 0.0, "event": "started", "pid": 1}]
        self.executions: list[Event] = []
        self.faults: list[Event] = []
        self.last: list[Event] = []
        self.now = 100.0

    def at(self, event: str, **fields: Any) -> Event:
        self.now += 1.0
        return {"at": self.now, "event": event, **fields}

    def task(self, key: str, retries: int = 0, kind: str = "plain", **more: Any) -> None:
        """A task is called and confirmed."""
        fields = {"kind": kind, "retries": retries, "value": 7, "size": 0, "after": None, **more}
        self.events += [
            self.at("call", key=key, verb="task", deadline=60.0, **fields),
            self.at("sent", key=key, task=len(self.events)),
            self.at("confirmed", keys=[key]),
        ]

    def ran(self, key: str, pid: int = 50, **more: Any) -> str:
        run = f"{pid}-{self.now}"
        self.executions.append(self.at("began", key=key, pid=pid, run=run, **more))
        return run

    def succeeded(self, key: str, run: str, **more: Any) -> None:
        """It has, as its client and the last one were told."""
        outcome = {"key": key, "ok": True, "of": key, "value": 7, "run": run, "given": 0, "size": 0, **more}
        self.events.append(self.at("outcome", **outcome))
        self.last.append(self.at("last", **outcome))

    def failed(self, key: str, error: str, text: str = "") -> None:
        """It has, as both were told."""
        outcome = {"key": key, "ok": False, "error": error, "text": text}
        self.events.append(self.at("outcome", **outcome))
        self.last.append(self.at("last", **outcome))

    def command(self, key: str, verb: str = "step", engine: int = 0) -> None:
        self.events.append(self.at("call", key=key, verb=verb, deadline=60.0, engine=engine))

    def said(self, key: str, **fields: Any) -> None:
        self.events.append(self.at("outcome", key=key, ok=True, **fields))

    def stepped(self, key: str, count: int, pid: int = 50) -> None:
        """A command was called, ran and succeeded."""
        self.command(key)
        run = self.ran(key, pid, count=count)
        self.said(key, said=json.dumps({"key": key, "count": count, "run": run}))

    def killed(self, kind: str = "kill-interpreter", pid: int = 50) -> None:
        self.faults.append(self.at("fault", kind=kind, pid=pid))

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        last = [*self.last, self.at("asked", tasks=len(self.last))]
        history = History({"c": self.events}, self.executions, self.faults, last, [])
        return [f"{problem.kind}: {problem.text}" for problem in check(history, SLACK).problems]


class HistoryCase(SynchronousTestCase):
    """A history, and what is wrong with it."""

    def setUp(self) -> None:
        self.made = Made()

    def found(self, *expected: str) -> None:
        """These problems there are, and no others."""
        problems = self.made.problems()
        self.assertEqual(len(problems), len(expected), problems)
        for problem, start in zip(problems, expected):
            self.assertTrue(problem.startswith(start), problem)


class TaskTests(HistoryCase):
    def test_right(self) -> None:
        """A task that ran once, with the right result, is right."""
        self.made.task("c-1")
        self.made.succeeded("c-1", self.made.ran("c-1"))
        self.found()

    def test_ran_twice(self) -> None:
        """One that may run once did so twice."""
        self.made.task("c-1")
        self.made.killed()
        self.made.ran("c-1")
        self.made.killed()
        self.made.succeeded("c-1", self.made.ran("c-1"))
        self.found("duplicated: it ran 2 times, and 1 are allowed")

    def test_tried_again(self) -> None:
        """One that may be tried again ran twice: right if an interpreter ended meanwhile, else not."""
        self.made.task("c-1", retries=3)
        self.made.ran("c-1")
        self.made.killed()
        self.made.succeeded("c-1", self.made.ran("c-1"))
        self.found()
        self.made.faults.clear()
        self.found("duplicated: it ran 2 times, while 0 interpreters ended")

    def test_forgotten(self) -> None:
        """An attempt of which nobody knows any more, as controller and agent were killed, does not count; once only."""
        self.made.task("c-1", kind="fails", retries=1)
        self.made.ran("c-1")
        self.made.killed("kill-controller")
        self.made.killed("kill-agent")
        for _ in range(2):
            self.made.ran("c-1")
        self.made.failed("c-1", "Expected", "c-1")
        self.found()
        self.made.ran("c-1")
        self.found("duplicated: it ran 4 times, and 3 are allowed")

    def test_not_run(self) -> None:
        """One succeeded that did not run."""
        self.made.task("c-1")
        self.made.succeeded("c-1", "51-1")
        self.found(*2 * ["wrong: it succeeded, and did not run"])

    def test_wrong_value(self) -> None:
        """One has the result of another one; or not all of its bytes."""
        self.made.task("c-1")
        self.made.succeeded("c-1", self.made.ran("c-1"), of="c-2", value=8)
        self.made.task("c-3")
        self.made.succeeded("c-3", self.made.ran("c-3"), size=-1)
        self.found(*2 * ["wrong: it gave 8 of c-2, and not 7"], *2 * ["wrong: its result is not the 0 bytes"])

    def test_two_outcomes(self) -> None:
        """Its client was told something else than who asked at last; or two outcomes."""
        self.made.task("c-1", kind="abort")
        self.made.events.append(self.made.at("abort", key="c-1"))
        self.made.succeeded("c-1", self.made.ran("c-1"))
        self.made.last[-1].update(
            {"ok": False, "error": "TaskAborted", "text": "", "value": None, "of": None, "run": None}
        )
        self.found("wrong: its client was told 7, and who asked at last TaskAborted")
        self.made.events.append(self.made.events[-1])
        self.found("duplicated: its client was told 2 outcomes", "wrong: its client was told")

    def test_lost(self) -> None:
        """One that was confirmed is not known at last, or has not ended, or nobody could ask."""
        for key in ("c-1", "c-2", "c-3"):
            self.made.task(key)
            self.made.succeeded(key, self.made.ran(key))
        self.made.last[0].update({"ok": False, "error": "IndexError", "text": "unknown"})
        self.made.last[1].update({"ok": None, "text": "it waits"})
        del self.made.last[2]
        self.found(
            "lost: it was confirmed, and is not known",
            "lost: it was confirmed, and has not ended",
            "lost: it was confirmed, and nobody could ask",
        )

    def test_not_confirmed(self) -> None:
        """A submission was not confirmed: that is no loss of a confirmed task, and there should be none."""
        self.made.events.append(
            self.made.at("unconfirmed", keys=["c-1"], error="ConnectionError", text="lost")
        )
        self.found("lost: not confirmed: ConnectionError: lost")

    def test_engine_lost(self) -> None:
        """One failed as its engine was lost: right if one was, and often enough; not if that was long before."""
        self.made.killed()
        self.made.task("c-1")
        self.made.failed("c-1", "EngineLost")
        self.found()
        self.made.task("c-2", retries=1)
        self.made.killed()
        self.made.failed("c-2", "EngineLost")
        self.found(*2 * ["wrong: it failed, and should not have: EngineLost"])

    def test_failed_and_lost(self) -> None:
        """One failed as it should until its last attempt, in which its engine was lost; not in the last but one."""
        self.made.task("c-1", kind="fails", retries=2)
        for _ in range(3):
            self.made.ran("c-1")
        self.made.failed("c-1", "EngineLost")
        self.found(*2 * ["wrong: it failed, and should not have: EngineLost"])
        self.made.killed()
        self.made.last.clear()
        self.made.events.pop()
        self.made.failed("c-1", "EngineLost")
        self.found()
        self.made.task("c-2", kind="fails", retries=2)
        for _ in range(2):
            self.made.ran("c-2")
        self.made.failed("c-2", "EngineLost")
        self.found(*2 * ["wrong: it failed, and should not have: EngineLost"])

    def test_long_before(self) -> None:
        """The end of an interpreter is no excuse for what is submitted much later."""
        self.made.killed()
        self.made.now += 2 * SLACK
        self.made.task("c-1")
        self.made.failed("c-1", "EngineLost")
        self.found(*2 * ["wrong: it failed, and should not have: EngineLost"])

    def test_failures(self) -> None:
        """A task fails as it should, is aborted on request, depends on what failed; and not otherwise."""
        made = self.made
        made.task("c-1", kind="fails")
        made.ran("c-1")
        made.failed("c-1", "Expected", "c-1")
        made.task("c-2", kind="chain", after="c-1")
        made.failed("c-2", "TaskDependencyError")
        made.task("c-3", kind="abort")
        made.events.append(made.at("abort", key="c-3"))
        made.failed("c-3", "TaskAborted")
        self.found()
        made.task("c-4")
        made.failed("c-4", "TaskAborted")
        made.task("c-5", kind="fails")
        made.succeeded("c-5", made.ran("c-5"))
        self.found(*2 * ["wrong: it failed, and should not"], *2 * ["wrong: it succeeded, and cannot have"])

    def test_hung(self) -> None:
        """One ended too late; one not at all: that is right only if its client was killed."""
        self.made.task("c-1")
        self.made.now += 100
        self.made.succeeded("c-1", self.made.ran("c-1"))
        self.made.task("c-2")
        self.made.last.append({**self.made.last[0], "key": "c-2", "of": "c-2", "run": self.made.ran("c-2")})
        self.found("hung: it took 104.0 s, and 60 are allowed", "hung: it did not end")
        self.made.killed("kill-client", pid=1)
        self.found("hung: it took 104.0 s")

    def test_processes(self) -> None:
        """A process of the run ended though nobody had killed it; nobody was there to ask at last."""
        self.made.faults.append(self.made.at("ended", name="agent-0", pid=7, status=1))
        self.found("wrong: agent-0 ended with status 1")
        verdict = check(History({}, [], [], [], []), SLACK)
        self.assertEqual(verdict.count()["hung"], 1)


class CommandTests(HistoryCase):
    def test_right(self) -> None:
        """Commands that ran in order, each on what the ones before have left, are right; after a restart, too."""
        self.made.stepped("c-1", 1)
        self.made.stepped("c-2", 2)
        self.made.killed()
        self.made.stepped("c-3", 1, pid=51)
        self.made.command("c-4", "push")
        self.made.said("c-4")
        self.made.command("c-5", "pull")
        self.made.said("c-5", value="c-4")
        self.found()

    def test_order(self) -> None:
        """Two commands for one engine ran in the other order: not if they were for two."""
        self.made.command("c-1")
        self.made.command("c-2")
        for key in ("c-2", "c-1"):
            run = self.made.ran(key, count=len(self.made.executions) + 1)
            count = len(self.made.executions)
            self.made.said(key, said=json.dumps({"key": key, "count": count, "run": run}))
        self.found("out of order: they ran in the other order")
        for event in self.made.events:
            if event.get("engine") == 0 and event["key"] == "c-2":
                event["engine"] = 1
        self.made.executions[1]["count"] = 1
        self.made.events[-1]["said"] = self.made.events[-1]["said"].replace('"count": 2', '"count": 1')
        self.found()

    def test_left_out(self) -> None:
        """A command succeeded that did not run; one ran twice; the namespace has not seen one that ran."""
        self.made.command("c-1")
        self.made.said("c-1", said="")
        self.made.stepped("c-2", 1)
        self.made.ran("c-2", count=2)
        self.made.stepped("c-3", 4)
        self.found(
            "lost: it succeeded, and did not run",
            "duplicated: it ran 2 times",
            "out of order: it counted 4 where 3",
        )

    def test_printed_by_another(self) -> None:
        """A command got the output of another one."""
        self.made.stepped("c-1", 1)
        self.made.events[-1]["said"] = '{"key": "c-9"}'
        self.found("wrong: it printed {'key': 'c-9'}")

    def test_pulled(self) -> None:
        """What is pulled is what was pushed last."""
        for key in ("c-1", "c-2"):
            self.made.command(key, "push")
            self.made.said(key)
        self.made.command("c-3", "pull")
        self.made.said("c-3", value="c-1")
        self.found("out of order: it found c-1, and c-2 was pushed last")

    def test_failed(self) -> None:
        """A command fails as an interpreter has ended; else it should not."""
        self.made.command("c-1")
        self.made.killed()
        self.made.events.append(self.made.at("outcome", key="c-1", ok=False, error="QueueCleared", text=""))
        self.found()
        self.made.faults.clear()
        self.found("wrong: it failed, and should not have: QueueCleared")


class OptionTests(SynchronousTestCase):
    def test_faults(self) -> None:
        """Faults are chosen by name; what there is not is said."""
        self.assertEqual(command.parse([]).kinds, list(KINDS))
        self.assertEqual(
            command.parse(["--faults", "cut-agent, kill-client"]).kinds, ["cut-agent", "kill-client"]
        )
        self.assertEqual(command.parse(["--faults", "none"]).kinds, [])
        self.patch(sys, "stderr", io.StringIO())
        for wrong in (["--faults", "flood"], ["--grace", "1"], ["--break", "everything"]):
            self.assertRaises(SystemExit, command.parse, wrong)

    def test_broken(self) -> None:
        """The faults of the product that can be chosen are those that there are."""
        self.assertEqual(tuple(broken.BREAKS), command.BREAKS)
