"""What comes together is one row for each statement, whatever has happened in between."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel.store.batch import Batch
from ipython1.kernel.store.packing import NewFile, Packer, clean


class BatchTests(TestCase):
    def setUp(self) -> None:
        self.batch = Batch()

    def test_empty(self) -> None:
        self.assertTrue(self.batch.empty)
        self.batch.assigned(1, 1, 0, 7)
        self.assertFalse(self.batch.empty)

    def test_last_state(self) -> None:
        """Of several changes, the last is written, with what it says nothing of."""
        self.batch.assigned(1, 1, 0, 7)
        self.batch.task_began(1, 1, 3.5)
        self.batch.waits(1, b"progress")
        self.assertEqual(self.batch.change_rows(), [("waiting", 1, 0, None, None, b"progress", 1)])
        self.batch.assigned(1, 2, 1, 8)
        self.assertEqual(self.batch.change_rows(), [("assigned", 2, 1, 8, None, b"progress", 1)])
        self.batch.task_began(1, 1, 4.5)
        self.batch.task_began(1, 2, 5.5)
        self.assertEqual(self.batch.change_rows(), [("assigned", 2, 1, 8, 5.5, b"progress", 1)])
        self.assertEqual(self.batch.began, {})

    def test_began_several(self) -> None:
        """Of several attempts that have begun, only the database knows which one is assigned."""
        self.batch.task_began(1, 1, 3.5)
        self.batch.task_began(1, 2, 4.5)
        self.assertEqual(self.batch.began_rows(), [(3.5, 1, 1), (4.5, 1, 2)])

    def test_began_alone(self) -> None:
        """A beginning of what was assigned before is a row of its own, and outdated by the next change."""
        self.batch.task_began(1, 1, 3.5)
        self.batch.task_began(2, 1, 3.5)
        self.batch.assigned(2, 2, 0, 7)
        self.assertEqual(self.batch.began_rows(), [(3.5, 1, 1)])

    def test_ended(self) -> None:
        """The end is all that is written of what was before."""
        self.batch.assigned(1, 1, 0, 7)
        self.batch.task_began(2, 1, 3.5)
        for task in (1, 2):
            self.assertTrue(self.batch.task_ended(task, ("ended",), ("result",)))
        self.assertFalse(self.batch.task_ended(1, ("other",), ("other",)))
        self.assertEqual((self.batch.changes, self.batch.began), ({}, {}))
        self.assertEqual(self.batch.ended, {1: ("ended",), 2: ("ended",)})

    def test_refused(self) -> None:
        """What was submitted goes, with its files and its size; all else stays."""
        promise: Deferred[None] = Deferred()
        self.batch.tasks.append((1, "s"))
        self.batch.payloads.append((1, b""))
        self.batch.files += [NewFile("a", "task 1", b""), NewFile("b", "result 1", b"")]
        self.batch.submissions.append(promise)
        self.batch.size = self.batch.refusable = 500
        self.batch.assigned(2, 1, 0, 7)
        size = self.batch.size - 500
        self.assertEqual(self.batch.refuse(), [promise])
        self.assertEqual((self.batch.tasks, self.batch.payloads, self.batch.refuse()), ([], [], []))
        self.assertEqual([file.name for file in self.batch.files], ["b"])
        self.assertEqual((self.batch.size, list(self.batch.changes)), (size, [2]))


class PackingTests(TestCase):
    def test_limit(self) -> None:
        """A body above the limit becomes a file; where there is no limit, none does."""
        packed, files, size = Packer(10).pack("owner", [bytes(10), memoryview(bytes(11))], {"a": 1})
        ((name, owner, body),) = files
        self.assertEqual((owner, len(body), size), ("owner", 11, len(packed) + 11))
        self.assertIn(name.encode(), packed)
        packed, files, size = Packer(None).pack("owner", [bytes(100)])
        self.assertEqual((files, size), ([], len(packed)))

    def test_clean(self) -> None:
        for text, cleaned in (("a", "a"), ("ü", "ü"), ("a\0", "a\ufffd"), ("\ud800", "?")):
            self.assertEqual(clean(text), cleaned)
