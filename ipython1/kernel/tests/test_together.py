"""Several tasks in one message, and several outcomes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.serialize import Serialized, serialize
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Message, encode, unpack
from ipython1.kernel.stream import THRESHOLD
from ipython1.kernel.together import (
    MAX_BYTES,
    MAX_TASKS,
    Together,
    came,
    done_messages,
    outcomes_in,
    pack_form,
)

FORM = pack_form([{"kind": "map"}], {"label": "run(f)"}, [serialize(len), None])


def outcome(task: int, *bodies: bytes, **more: Any) -> tuple[dict[str, Any], list[bytes]]:
    """What is told of a task."""
    return {"task": task, "ok": True, "record": {"task": task, "pull": [], **more}}, list(bodies)


class SubmissionTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """Each task arrives with its form and its own values; a form that several have goes once."""
        other = pack_form([{"kind": "string"}], {}, [None, None])
        values = [Serialized([b"a", b"buffer"]), Serialized([b"b"], "ndarray", {"shape": [1]})]
        together = Together()
        together.add(7, FORM, values[:1])
        together.add(8, other, values)
        together.add(9, FORM, [])
        self.assertEqual(together.tasks, [7, 8, 9])
        self.assertEqual(together.bodies, [FORM, other, b"a", b"buffer", b"a", b"buffer", b"b"])
        found = came(together.args, together.bodies)
        self.assertEqual([(each.task, each.form, each.bodies) for each in found], [
            (7, FORM, [b"a", b"buffer"]), (8, other, [b"a", b"buffer", b"b"]), (9, FORM, []),
        ])  # fmt: skip
        self.assertEqual(found[1].headers, [[2, "pickle", {}], [1, "ndarray", {"shape": [1]}]])
        self.assertEqual(unpack(FORM)["values"], [["pickle", {}, serialize(len).segments], None])

    def test_bounds(self) -> None:
        """There are no more than so many tasks in a message, nor more than so many bytes; a large one is alone."""
        together, small = Together(), [Serialized([b"small"])]
        while together.takes(FORM, small):
            together.add(len(together.tasks), FORM, small)
        self.assertEqual(len(together.tasks), MAX_TASKS)
        for size, count in ((MAX_BYTES, 1), (MAX_BYTES // 4, 3)):
            together, large = Together(), [Serialized([bytes(size)])]
            while together.takes(FORM, large):
                together.add(len(together.tasks), FORM, large)
            self.assertEqual(len(together.tasks), count)

    def test_many_values(self) -> None:
        """However many values and forms there are, the header is no longer than it may be."""
        together, count = Together(), 0
        values = [Serialized([b""], "ndarray", {"shape": [2**62] * 30, "dtype": "<f8"}) for _ in range(20)]
        while together.takes(form := pack_form([], {"label": "x" * 200, "priority": count}, []), values):
            together.add(count, form, values)
            count += 1
        encode(Message("command", {"args": together.args}, together.bodies))

    def test_not_plain(self) -> None:
        """What cannot be in a message is said where it is written, with what it is of."""
        for odd in (1 << 70, object(), "\ud800"):
            problem = self.assertRaises(ProtocolError, pack_form, [], {"label": "run(f)", "priority": odd}, [])
            self.assertIn("run(f) cannot be sent", str(problem))


class OutcomeTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """Outcomes go together; one with large bodies goes alone, and order stays."""
        large = bytes(THRESHOLD + 1)
        told = [outcome(0, b"a", b"b"), outcome(1), outcome(2, large), outcome(3, b"c")]
        messages = list(done_messages(told))
        found = [[(fields["task"], bodies) for fields, bodies in outcomes_in(each)] for each in messages]
        self.assertEqual(found, [[(0, [b"a", b"b"]), (1, [])], [(2, [large])], [(3, [b"c"])]])
        self.assertEqual(list(done_messages([])), [])

    def test_bounds(self) -> None:
        """A message has no more than so many of them, nor more than so many bytes."""
        counts = [len(each.fields["tasks"]) for each in done_messages(outcome(task) for task in range(MAX_TASKS + 1))]
        self.assertEqual(counts, [MAX_TASKS, 1])
        messages = list(done_messages(outcome(task, bytes(THRESHOLD // 2)) for task in range(100)))
        self.assertEqual(sum(len(each.fields["tasks"]) for each in messages), 100)
        self.assertLessEqual(max(sum(map(len, each.bodies)) for each in messages), MAX_BYTES)
        for message in done_messages(outcome(task, pull=["n" * 1000] * 50) for task in range(100)):
            encode(message)
