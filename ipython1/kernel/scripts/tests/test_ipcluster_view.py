"""What ipcluster status and list show to people."""

from __future__ import annotations

import io
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.scripts.ipcluster_view import WIDTH, ranges, show_list, show_status, since


def cluster(**changes: Any) -> dict[str, Any]:
    """A cluster as its status says."""
    process = {"host": "here", "pid": 7, "created": 1.0, "boot": "b"}
    agent = {"label": "ipengine", "state": "running", "host": "", "process": process, "engines": [0, 1], "restarts": 1}
    controller = {**agent, "label": "ipcontroller", "process": None, "engines": [], "restarts": 0, "state": "delayed"}
    plain: dict[str, Any] = {
        "name": "default",
        "standing": "running",
        "state": "running",
        "supervisor": process,
        "started": time.time() - 125,
        "parts": [controller, agent],
        "problems": [],
        "engines": [
            {"id": 0, "agent": "ipengine", "running": "execute('a=[1]')", "waiting": 2},
            {"id": 1, "agent": "ipengine", "running": None, "waiting": None},
            {"id": 2, "agent": None, "running": None, "waiting": 0},
        ],
    }
    return {**plain, **changes}


def shown(show: Any, what: Any, terminal: bool = False) -> str:
    """What is shown, in a pipe or at a terminal."""
    colours = "standard" if terminal else None
    out = Console(
        file=io.StringIO(), width=WIDTH, force_terminal=terminal, highlight=False, color_system=colours
    )
    show(what, out)
    text: str = out.file.getvalue()
    return text


class ViewTests(SynchronousTestCase):
    def test_status(self) -> None:
        """One line for the cluster, one for each process, one for each engine; brackets are no markup."""
        lines = [" ".join(line.split()) for line in shown(show_status, cluster()).splitlines() if line.strip()]
        self.assertEqual(
            lines,
            [
                "default running 3 engines for 2 minutes pid 7 on here",
                "process host pid state engines restarts",
                "ipcontroller here - delayed - 0",
                "ipengine here 7 running 0-1 1",
                "engine of running waiting",
                "0 ipengine execute('a=[1]') 2",
                "1 ipengine ? ?",
                "2 started by hand - 0",
            ],
        )

    def test_problems(self) -> None:
        """What went wrong stands below, as it is."""
        text = shown(show_status, cluster(problems=["ipengine has ended [killed]"], engines=[]))
        self.assertIn("problems, the latest last:\n  ipengine has ended [killed]\n", text)

    def test_colours(self) -> None:
        """States have colours at a terminal, and nowhere else."""
        self.assertIn("\x1b[32mrunning", shown(show_status, cluster(), terminal=True))
        self.assertNotIn("\x1b", shown(show_status, cluster()))

    def test_list(self) -> None:
        """One line for each cluster; of one that does not run, how it stands instead of a state."""
        lines = shown(show_list, [cluster(), cluster(name="b", standing="lost")]).splitlines()
        self.assertEqual(lines[1].split(), ["default", "running", "2", "2", "minutes", "7", "here"])
        self.assertEqual(lines[2].split(), ["b", "lost", "-", "2", "minutes", "7", "here"])

    def test_since(self) -> None:
        """A time span in the largest unit that it has one of."""
        for seconds, text in ((0, "0 s"), (59.9, "59 s"), (60, "1 minute"), (7200, "2 hours"), (200_000, "2 days")):
            self.assertEqual(since(1000.0, 1000.0 + seconds), text)
        self.assertEqual(since(1000.0, 999.0), "0 s")

    @given(st.lists(st.integers(0, 30), unique=True).map(sorted))
    def test_ranges(self, ids: list[int]) -> None:
        """Ranges name each id once, and are as few as can be."""
        text = ranges(ids)
        named = []
        for piece in filter(None, text.split(", ")):
            first, _, last = piece.partition("-")
            named += range(int(first), int(last or first) + 1)
        self.assertEqual(named, ids)
        gaps = sum(1 for a, b in zip(ids, ids[1:]) if b != a + 1)
        self.assertEqual(len(text.split(", ")) if ids else 0, gaps + 1 if ids else 0)
