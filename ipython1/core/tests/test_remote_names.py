"""References to values of the engines."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.remote_names import Reference
from ipython1.core.serialize import serialize


class ReferenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.engine: dict[str, Any] = {"a": [1, {"b": 2 + 3j}], "_hidden": 4, "n": 1}

    def arrived(self, value: Any) -> Any:
        return serialize(value).load(self.engine)

    def test_name(self) -> None:
        """It arrives as the very value, wherever it stands."""
        self.assertIs(self.arrived(Reference("a")), self.engine["a"])
        self.assertEqual(self.arrived([{"x": (Reference("n"),)}, Reference("n")]), [{"x": (1,)}, 1])
        self.assertIs(self.arrived(Reference("len")), len)

    def test_chains(self) -> None:
        """Attributes and items, also those of which references are keys."""
        self.assertEqual(self.arrived(Reference("a")[1]["b"].imag), 3.0)
        self.assertEqual(self.arrived(Reference("a")[Reference("n")]["b"].real), 2.0)
        self.assertEqual(self.arrived(Reference("a[1]['b'].imag")), 3.0)
        self.assertEqual(self.arrived(Reference(" a[:1] ")), [1])
        self.assertEqual(self.arrived(Reference("_hidden")), 4)

    def test_missing(self) -> None:
        self.assertRaises(NameError, self.arrived, Reference("nothing"))
        self.assertRaises(AttributeError, self.arrived, Reference("n").nothing)
        self.assertRaises(IndexError, self.arrived, Reference("a")[7])

    def test_no_name(self) -> None:
        """What runs code is no reference."""
        for text in ("", "a b", "1", "f()", "a[f()]", "a + 1", "a.b()", "[a]", "lambda: 1"):
            problem = self.assertRaises(ValueError, Reference, text)
            self.assertIn("is no name, with attributes", str(problem))
        self.assertRaises(TypeError, Reference, 5)

    def test_as_an_object(self) -> None:
        """Python and IPython find nothing in it that they would call; it shows what it stands for."""
        reference = Reference("a")
        for name in ("_repr_html_", "__len__", "_ipython_display_"):
            self.assertRaises(AttributeError, getattr, reference, name)
        self.assertRaises(TypeError, iter, reference)
        self.assertEqual(repr(reference[1].x["k"]), "<Reference a[1].x['k']>")
