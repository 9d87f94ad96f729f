"""Tasks as values."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import ipython1.kernel
from ipython1.kernel import asyncclient, client, error, task
from ipython1.kernel.task import BaseTask, MapTask, StringTask


def f(x: int) -> int:
    return x


class TaskTests(SynchronousTestCase):
    def test_string_task(self) -> None:
        """A string task keeps names as a tuple and values as a dictionary of its own."""
        values = {"x": 1}
        string = StringTask("a = x", pull="a", push=values, clear_after=True, retries=2)
        self.assertEqual((string.expression, string.pull, string.push), ("a = x", ("a",), {"x": 1}))
        self.assertIsNot(string.push, values)
        self.assertEqual((string.clear_before, string.clear_after, string.retries), (False, True, 2))
        self.assertIsNone(string.taskid)
        self.assertEqual(StringTask("a", pull=["a", "b"]).pull, ("a", "b"))
        self.assertEqual((StringTask("a").pull, StringTask("a").push), ((), {}))

    def test_map_task(self) -> None:
        """A map task keeps its function and arguments."""
        mapped = MapTask(f, [1], {"y": 2})
        self.assertEqual((mapped.function, mapped.args, mapped.kwargs), (f, (1,), {"y": 2}))

    def test_wrong_types(self) -> None:
        """What is of the wrong type is refused, in the constructor and as an attribute."""
        wrong: list[tuple[type[BaseTask], dict[str, Any]]] = [
            (StringTask, {"expression": 1}),
            (StringTask, {"pull": 1}),
            (StringTask, {"pull": [1]}),
            (StringTask, {"push": [1]}),
            (MapTask, {"function": len}),
            (MapTask, {"args": {1}}),
            (MapTask, {"kwargs": [1]}),
            (StringTask, {"retries": "1"}),
            (StringTask, {"retries": True}),
            (StringTask, {"depend": 1}),
            (StringTask, {"recovery_task": "a = 1"}),
        ]
        for kind, arguments in wrong:
            good = {"expression": "a"} if kind is StringTask else {"function": f}
            self.assertRaises(TypeError, kind, **{**good, **arguments})
            made = kind(**good)  # type: ignore[arg-type]
            for name, value in arguments.items():
                self.assertRaises(TypeError, setattr, made, name, value)
        self.assertRaises(ValueError, StringTask, "a", retries=-1)

    def test_no_loops(self) -> None:
        """No chain of recovery tasks comes back to where it began."""
        first, second = StringTask("a"), StringTask("b")
        first.recovery_task = second
        self.assertRaises(ValueError, setattr, second, "recovery_task", first)
        self.assertRaises(ValueError, setattr, first, "recovery_task", first)
        self.assertIs(first.recovery_task, second)
        # What 0.10.2 raised.
        self.assertRaises(RuntimeError, setattr, first, "recovery_task", first)

    def test_names(self) -> None:
        """Users find them where the original had them."""
        for module in (client, asyncclient):
            self.assertIs(module.StringTask, StringTask)
            self.assertIs(module.MapTask, MapTask)
            self.assertIs(module.Task, task.Task)
        self.assertIs(ipython1.kernel.TaskRejectError, error.TaskRejectError)
        self.assertRaises(AttributeError, getattr, ipython1.kernel, "no_such_name")
