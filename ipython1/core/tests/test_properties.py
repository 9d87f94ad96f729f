"""An engine's properties."""

from __future__ import annotations

import enum

import numpy
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.interpreter import Interpreter
from ipython1.core.properties import Properties
from ipython1.kernel import engineservice, framing
from ipython1.kernel.error import InvalidEngineID, InvalidProperty

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class PropertiesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.properties = Properties()

    @given(st.dictionaries(st.text(), plain))
    def test_plain_values(self, values: dict[str, object]) -> None:
        """Plain values come out as they went in, and can be sent."""
        properties = Properties()
        properties.update(values)
        self.assertEqual(dict(properties), values)
        self.assertEqual(framing.unpack(framing.pack(dict(properties))), values)

    def test_copies(self) -> None:
        """Neither what was put in nor what was got out is the store."""
        value = [1, {"a": []}]
        self.properties["k"] = value
        value.append(2)
        self.properties["k"].append(3)
        self.properties["k"][1]["a"].append(4)
        self.assertEqual(self.properties["k"], [1, {"a": []}])

    def test_kinds_of_numbers(self) -> None:
        """Numbers and texts of derived types become plain ones."""
        self.properties.update({"f": numpy.float64(1.5), "e": enum.IntEnum("E", "A").A})
        self.assertEqual([type(value) for value in self.properties.values()], [float, int])

    def test_invalid(self) -> None:
        """Anything else is refused, by the property's name, and nothing is changed."""
        deep: list[object] = []
        for _ in range(1000):
            deep = [deep]
        loop: list[object] = []
        loop.append(loop)
        for value in (object(), (1,), {1}, [object()], {"a": len}, 2**64, 1j, "\ud800", deep, loop, {(1,): 1}):
            with self.assertRaises(InvalidProperty) as caught:
                self.properties.update({"fine": 1, "bad one": value})
            self.assertIn("'bad one'", str(caught.exception))
        self.assertRaises(InvalidProperty, self.properties.update, {5: 1})
        self.assertEqual(len(self.properties), 0)

    def test_too_large(self) -> None:
        """Properties are small: all of them go into one message's header."""
        self.properties["a"] = "x" * 200_000
        with self.assertRaises(InvalidProperty) as caught:
            self.properties["b"] = "x" * 200_000
        self.assertIn("'b'", str(caught.exception))
        self.assertEqual(list(self.properties), ["a"])

    def test_missing(self) -> None:
        """A missing one is a KeyError."""
        self.assertRaises(KeyError, lambda: self.properties["k"])
        with self.assertRaises(KeyError):
            del self.properties["k"]

    def test_changes_are_counted(self) -> None:
        """Every kind of change is counted, and nothing else."""
        versions = [self.properties.version]
        self.properties["k"] = 1
        versions.append(self.properties.version)
        del self.properties["k"]
        versions.append(self.properties.version)
        self.properties.update(k=1)
        self.properties.clear()
        versions.append(self.properties.version)
        self.assertEqual(len(set(versions)), 4)
        self.properties.clear()
        self.assertRaises(KeyError, self.properties.pop, "k")
        self.assertEqual(self.properties.version, versions[-1])


class EngineServiceTests(SynchronousTestCase):
    def test_get_engine(self) -> None:
        """User code finds its engine by the id, and no other."""
        interpreter = Interpreter()
        interpreter.id = 3
        engineservice.register(interpreter)
        self.addCleanup(engineservice._engines.clear)
        engineservice.get_engine(3).properties["k"] = 1
        self.assertEqual(interpreter.properties["k"], 1)
        self.assertRaises(InvalidEngineID, engineservice.get_engine, 4)
