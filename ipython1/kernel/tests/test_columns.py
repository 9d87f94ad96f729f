"""The items of a map, in columns."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ipython1.core.functions import map_part
from ipython1.kernel.columns import Columns, Endless, Items, Part

KINDS = (list, tuple, iter, bytes, lambda column: dict.fromkeys(range(len(column))), lambda column: range(len(column)))


def parts_of(items: Items, size: int) -> list[Part]:
    return list(iter(lambda: items.take(size), ()))


def rows(parts: list[Part]) -> list[Any]:
    return [row for part in parts for row in map_part(lambda *row: row, part)]


class ColumnsTests(SynchronousTestCase):
    @given(st.integers(0, 20), st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), st.integers(1, 7))
    def test_like_zip(self, length: int, kinds: list[Any], size: int) -> None:
        """Whatever the sequences are, the items are those that zip gives, in parts of that size."""
        column = list(range(length))
        expected = list(zip(*(kind(column) for kind in kinds), strict=True))
        for items in (Columns([kind(column) for kind in kinds]), Endless([kind(column) for kind in kinds])):
            parts = parts_of(items, size)
            self.assertEqual(rows(parts), expected)
            self.assertTrue(all(len(part[0]) == size for part in parts[:-1]))

    @given(st.integers(0, 20), st.integers(1, 7))
    def test_divided(self, length: int, count: int) -> None:
        """In so many parts, which differ by one item at most, the longer ones first."""
        items = Columns([range(length)])
        self.assertEqual(len(items), length)
        parts = items.divided(count)
        self.assertEqual(rows(parts), [(item,) for item in range(length)])
        lengths = [len(part[0]) if part else 0 for part in parts]
        self.assertEqual(lengths, sorted(lengths, reverse=True))
        self.assertEqual((len(lengths), max(lengths) - min(lengths) <= 1), (count, True))

    def test_unequal(self) -> None:
        """Sequences of different lengths are refused, one without an end too; and what is none at all."""
        self.assertRaises(ValueError, Columns, [[1, 2], [1]])
        self.assertRaises(ValueError, Columns, [[1, 2], itertools.count()])
        self.assertRaises(TypeError, Columns, [[1, 2], 5])

    def test_endless(self) -> None:
        """No more is taken than is asked for, and the shortest one is the end."""
        numbers = itertools.count()
        items = Endless([numbers, itertools.count(10)])
        self.assertEqual(items.take(2), ([0, 1], [10, 11]))
        self.assertEqual(next(numbers), 2)
        self.assertEqual(parts_of(Endless([itertools.count(), "ab"]), 5), [([0, 1], ["a", "b"])])

    def test_as_they_were(self) -> None:
        """What is done to a sequence later changes nothing; a range stays one, an array too."""
        numbers = [1, 2, 3]
        items = Columns([numbers])
        numbers[0] = 5
        self.assertEqual(items.take(2), ([1, 2],))
        self.assertEqual(Columns([range(10)]).take(3), (range(3),))
        try:
            import numpy
        except ImportError:
            raise SkipTest("the rest is about NumPy") from None
        array = numpy.arange(6).reshape(3, 2)
        items = Columns([array])
        array[0, 0] = 5
        (part,) = items.take(2)
        self.assertEqual((type(part), part.tolist()), (numpy.ndarray, [[0, 1], [2, 3]]))
        self.assertRaises(TypeError, Columns, [numpy.array(5)])
