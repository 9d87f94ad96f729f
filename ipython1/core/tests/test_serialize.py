"""Values to bytes and back."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.serialize import MAX_SEGMENTS, SMALL_BUFFER, Serialized, join, serialize, split
from ipython1.kernel import newserialized
from ipython1.kernel.error import SerializationError

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
shapes = st.lists(st.integers(0, 40), max_size=3).map(tuple)
dtypes = st.sampled_from(["<f8", "<i4", "u1", "bool", "<c16", "S3", "<U2", "<M8[s]"])


def received(serialized: Serialized) -> Serialized:
    """The value as the other side of a link has it: in memory of its own."""
    headers, bodies = join([serialized])
    return split(headers, [bytearray(body) for body in bodies])[0]


class RoundTripTests(SynchronousTestCase):
    @given(plain)
    def test_plain(self, value: object) -> None:
        """Plain values arrive as they were."""
        self.assertEqual(received(serialize(value)).load(), value)

    @settings(deadline=None)
    @given(shapes, dtypes, st.booleans())
    def test_arrays(self, shape: tuple[int, ...], dtype: str, transposed: bool) -> None:
        """Arrays of any shape, empty ones too, arrive as they were, and writable."""
        array = numpy.arange(numpy.prod(shape, dtype=int)).reshape(shape).astype("i8").astype("u1").astype(dtype)
        if transposed:
            array = array.T
        arrived = received(serialize(array)).load()
        numpy.testing.assert_array_equal(arrived, array)
        self.assertEqual((arrived.dtype, arrived.shape), (array.dtype, array.shape))
        self.assertTrue(arrived.flags.writeable)

    @settings(deadline=None)
    @given(st.lists(plain | st.binary(min_size=SMALL_BUFFER, max_size=SMALL_BUFFER + 5).map(bytearray)))
    def test_several(self, values: list[object]) -> None:
        """Several values in one message come apart again."""
        headers, bodies = join([serialize(value) for value in values])
        self.assertEqual([value.load() for value in split(headers, bodies)], values)


class ArrayTests(SynchronousTestCase):
    def test_not_copied_out(self) -> None:
        """A large array's segment is the array's own memory."""
        array = numpy.zeros(100000)
        serialized = serialize(array)
        self.assertEqual(len(serialized.segments), 2)
        self.assertTrue(numpy.shares_memory(numpy.frombuffer(serialized.segments[1]), array))

    def test_not_copied_in(self) -> None:
        """An array that was received into a bytearray lies in it."""
        arrived = received(serialize(numpy.zeros(100000)))
        array = arrived.load()
        array[0] = 7.0
        self.assertEqual(numpy.frombuffer(arrived.segments[1])[0], 7.0)

    def test_local_round_trip_copies(self) -> None:
        """Without a link in between, the value is no second name for the same memory."""
        array = numpy.zeros(100000)
        copy = serialize(array).load()
        copy[0] = 1
        self.assertEqual(array[0], 0)

    def test_received_as_bytes(self) -> None:
        """An array that was received into bytes, which cannot be written to, is writable all the same."""
        serialized = serialize(numpy.zeros(100000))
        array = Serialized([bytes(segment) for segment in serialized.segments]).load()
        array[0] = 1

    def test_description(self) -> None:
        """An array is described; everything else is a pickle."""
        serialized = serialize(numpy.zeros((2, 3)))
        self.assertEqual((serialized.descriptor, serialized.metadata), ("ndarray", {"shape": [2, 3], "dtype": "<f8"}))
        self.assertEqual((serialize([1]).descriptor, serialize([1]).metadata), ("pickle", {}))

    def test_many_arrays(self) -> None:
        """A value of very many arrays has a limited number of segments."""
        arrays = [numpy.zeros(SMALL_BUFFER) for _ in range(MAX_SEGMENTS + 100)]
        serialized = serialize(arrays)
        self.assertEqual(len(serialized.segments), MAX_SEGMENTS + 1)
        self.assertEqual(len(received(serialized).load()), len(arrays))

    def test_buffer_that_is_not_contiguous(self) -> None:
        """A strided view arrives."""
        view = numpy.zeros((200, 200))[::2, ::2]
        self.assertEqual(received(serialize(view)).load().shape, (100, 100))


    def test_keeps_nothing(self) -> None:
        """The value and its memory are free when nobody has them, without a collection of garbage."""
        gc.disable()
        self.addCleanup(gc.enable)
        array = numpy.zeros(10_000)
        alive = weakref.ref(array)
        serialize([array])
        del array
        self.assertIsNone(alive())


class UnpicklableTests(SynchronousTestCase):
    def test_names_the_culprit(self) -> None:
        """The pickling error says which name could not be serialized, and how."""
        with self.assertRaises(TypeError) as caught:
            serialize({"k": threading.Lock()}, "stuff")
        self.assertIn("'stuff' cannot be serialized: ", str(caught.exception))

    def test_own_error_of_a_value(self) -> None:
        """An error that the value itself raises comes through, with a note."""

        class Refusing:
            def __reduce__(self) -> str:
                raise ZeroDivisionError("no")

        with self.assertRaises(ZeroDivisionError) as caught:
            serialize(Refusing(), "stuff")
        self.assertIn("stuff", caught.exception.__notes__[0])

    def test_too_deep(self) -> None:
        """A value nested too deeply is a pickling error."""
        value: list[object] = []
        for _ in range(100000):
            value = [value]
        self.assertRaises(pickle.PicklingError, serialize, value)


class SplitTests(SynchronousTestCase):
    def test_misfits(self) -> None:
        """A list of values that does not fit the bodies is refused."""
        for headers, bodies in (
            ([[2, "pickle", {}]], [b""]),
            ([[1, "pickle", {}]], [b"", b""]),
            ([[0, "pickle", {}]], []),
            ([["1", "pickle", {}]], [b""]),
        ):
            self.assertRaises(SerializationError, split, headers, bodies)


class OriginalNamesTests(SynchronousTestCase):
    def test_serialized(self) -> None:
        """The names of IPython 0.10.2 work, for empty arrays too."""
        for array in (numpy.arange(10.0), numpy.zeros((0, 3))):
            serialized = newserialized.serialize(array)
            self.assertEqual(serialized.getTypeDescriptor(), "ndarray")
            self.assertEqual(serialized.getMetadata()["shape"], list(array.shape))
            self.assertEqual(serialized.getDataSize(1), len(serialized.getData()))
            numpy.testing.assert_array_equal(newserialized.unserialize(serialized), array)
