"""The logs of a cluster in one view."""

from __future__ import annotations

import tarfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ipython1.daemon.logs import archive, log_files, merged
from ipython1.kernel.error import ClusterError

CONTROLLER = """\
2026-01-01T10:00:00+0000 [a#info] one
2026-01-01T10:00:02+0000 [a#info] three
    Traceback
2026-01-01T10:00:04+0000 [a#info] five
"""
CLUSTER = """\
2026-01-01T10:00:01+0000 [b#info] two
2026-01-01T10:00:03+0000 [b#info] four
"""


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def test_merged(self) -> None:
        """In the order of time, each with the name of its file; further lines stay with the first."""
        self.write("ipcontroller.log", CONTROLLER)
        self.write("ipcluster.log", CLUSTER)
        lines = [str(entry).split(" ", 1)[1] for entry in merged(self.folder)]
        self.assertEqual(
            lines,
            [
                "ipcontroller: [a#info] one",
                "ipcluster: [b#info] two",
                "ipcontroller: [a#info] three\n        Traceback",
                "ipcluster: [b#info] four",
                "ipcontroller: [a#info] five",
            ],
        )

    def test_rotated(self) -> None:
        """Files that were put aside come before the one that goes on, the oldest first; others are left out."""
        for name in ("x.log", "x.log.1", "x.log.2", "x.log.10", "y.log", "notes.txt"):
            self.write(name, "")
        (self.folder / "b.log").mkdir()
        names = [path.name for path in log_files(self.folder)]
        self.assertEqual(names, ["x.log.10", "x.log.2", "x.log.1", "x.log", "y.log"])

    def test_no_folder(self) -> None:
        """Where there are no logs there is nothing to be seen."""
        self.assertEqual(list(merged(self.folder / "missing")), [])

    def test_archive(self) -> None:
        """All files, and others that are there, in a private archive, in a folder of its name."""
        self.write("ipcontroller.log", CONTROLLER)
        self.write("state.json", "{}")
        file = self.folder / "mine.tar.gz"
        file.write_text("something else")
        others = [self.folder / "state.json", self.folder / "missing"]
        self.assertEqual(archive(self.folder, others, file), 2)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        with tarfile.open(file) as made:
            self.assertEqual(sorted(made.getnames()), ["mine/ipcontroller.log", "mine/state.json"])

    def test_no_archive(self) -> None:
        """No logs, or no place to write to: an error that names it."""
        file = self.folder / "missing" / "mine.tar.gz"
        self.assertIn("no logs", str(self.assertRaises(ClusterError, archive, self.folder, [], file)))
        self.write("ipcontroller.log", CONTROLLER)
        self.assertIn(str(file), str(self.assertRaises(ClusterError, archive, self.folder, [], file)))
