"""Values to bytes and back: once where a value is produced, once where it is used.

Pickle protocol 5 with out-of-band buffers: large arrays are neither copied into the pickle nor out of it.
Functions that cannot be imported travel by value (see `ipython1.core.functions`), classes of ``__main__`` by
cloudpickle.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from ipython1.core import functions
from ipython1.kernel import framing
from ipython1.kernel.error import SerializationError

Segment = bytes | bytearray | memoryview

# Below this many bytes a buffer costs less inside the pickle than as a segment of its own.
SMALL_BUFFER = 4096
# More items than that are looked at by the pickler alone.
FEW = 16
# A value of very many arrays must not become a message of very many bodies.
MAX_SEGMENTS = 1024
# Values of these very types are pickled by Python alone.
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


@dataclass
class Serialized:
    """A value as bytes: `segments` are its pickle, then the pickle's out-of-band buffers.

    `descriptor` is ``'ndarray'`` for a numpy array, with `metadata` ``{'shape': [...], 'dtype': text}``, and
    ``'pickle'`` for everything else.
    """

    segments: list[Segment]
    descriptor: str = "pickle"
    metadata: dict[str, Any] = field(default_factory=dict)
    # Whether the buffers are still the memory of the value that was serialized.
    borrowed: bool = field(default=False, repr=False, compare=False)

    def load(self, namespace: dict[str, Any] | None = None) -> Any:
        """The value; functions by value get `namespace` as globals (None: that of ``__main__``).

        Buffers that were received into bytearrays become the value's own memory, uncopied.  Others are copied:
        arrays are writable, and are not the memory of somebody else.
        """
        if not self.segments:
            raise SerializationError("a serialized value without any bytes")
        buffers = [self._owned(segment) for segment in self.segments[1:]]
        with functions.receiving(namespace):
            return pickle.loads(self.segments[0], buffers=buffers)

    def _owned(self, segment: Segment) -> Segment:
        if isinstance(segment, bytes) or self.borrowed or memoryview(segment).readonly:
            return bytearray(segment)
        return segment

    def own_memory(self) -> None:
        """Copy what is still the memory of the value that was serialized, and may change."""
        if self.borrowed:
            self.segments = [bytes(part) if isinstance(part, memoryview) else part for part in self.segments]
            self.borrowed = False

    @property
    def size(self) -> int:
        """How many bytes the segments have in all."""
        return sum(memoryview(segment).nbytes for segment in self.segments)

    # The names of IPython 0.10.2 (newserialized.ISerialized).

    def getData(self) -> bytes:
        """The bytes, joined."""
        return b"".join(self.segments)

    def getDataSize(self, units: float = 10.0**6) -> float:
        """The size in `units` of bytes."""
        return self.size / units

    def getTypeDescriptor(self) -> str:
        """``'pickle'`` or ``'ndarray'``."""
        return self.descriptor

    def getMetadata(self) -> dict[str, Any]:
        """Shape and dtype of an array; empty for everything else."""
        return self.metadata


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no hints
    """cloudpickle's pickler, with functions and cells written our way."""

    def __init__(self, file: io.BytesIO, by_value: Any, carry_code: bool, max_segments: int) -> None:
        super().__init__(file, protocol=5, buffer_callback=self._take_buffer)
        self.buffers: list[Segment] = []
        self._by_value = by_value
        self._carry_code = carry_code
        self._max_segments = max_segments

    def _take_buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """Keep `buffer` as a segment (False), or have it written into the pickle (True)."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < SMALL_BUFFER or len(self.buffers) >= self._max_segments:
            return True
        self.buffers.append(raw)
        return False

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is types.FunctionType:
            return self._reduce_function(obj)
        if type(obj) is types.CellType:
            return functions.reduce_cell(obj)
        if type(obj) is functools._lru_cache_wrapper and not functions.is_importable(obj):
            return functions.reduce_cached(obj)
        return super().reducer_override(obj)

    def _reduce_function(self, function: types.FunctionType) -> Any:
        instead = functions.sent_as(function)
        if instead is not None:
            return functions.itself, (instead,)
        if function is self._by_value:
            return functions.reduce_function(function, None)
        if not functions.is_importable(function):
            if functions.is_dispatching(function):
                return functions.reduce_dispatching(function)
            if functions.has_own_globals(function):
                return super().reducer_override(function)  # cloudpickle sends those that it uses
            return functions.reduce_function(function, functions.home_module(function))
        if self._carry_code and not _is_everywhere(function.__module__):
            code = _code_of(function)
            if code is not None:
                return find_or_rebuild, (function.__module__, function.__qualname__, code)
        return NotImplemented


def _is_everywhere(module: str) -> bool:
    root = module.partition(".")[0]
    # Pickles of functions by value refer to cloudpickle's own functions.
    return root in sys.stdlib_module_names or root in ("ipython1", "cloudpickle")


def _code_of(function: types.FunctionType) -> bytes | None:
    """The function by value, or None if that cannot be: then its name has to do."""
    try:
        return _dump(function, by_value=function, max_segments=0)[0]
    except Exception:  # what its defaults, closure or attributes raise while they are pickled
        return None


def _dump(
    value: Any, by_value: Any = None, carry_code: bool = False, max_segments: int = MAX_SEGMENTS
) -> tuple[bytes, list[Segment]]:
    """The pickle of `value`, and the buffers that are not in it."""
    file = io.BytesIO()
    pickler = _Pickler(file, by_value, carry_code, max_segments)
    pickler.dump(value)
    # The pickler refers to itself: what it has, the value too, would otherwise stay until garbage is collected.
    buffers, pickler.buffers = pickler.buffers, []
    pickler.clear_memo()
    return file.getvalue(), buffers


def find_or_rebuild(module: str, qualname: str, code: bytes) -> Any:
    """The function of that name where its module can be imported, else a copy made of its code."""
    try:
        return functions.find(module, qualname)
    except (ImportError, AttributeError):
        return pickle.loads(code)


def serialize(
    value: Any, name: object = None, *, what: str = "", by_value: bool = False, carry_code: bool = False
) -> Serialized:
    """`value` as bytes.  What pickling it raises is raised, saying that it was the value of `name`, or `what` it was.

    `by_value`
        `value` is a function that is to be rebuilt in the receiving namespace even if it could be imported.
    `carry_code`
        functions that travel by name carry their code too, for a receiver that cannot import them.
    """
    if type(value) in _PLAIN:  # a pickler of our own costs ten times as much
        return Serialized([pickle.dumps(value, protocol=5)], borrowed=True)
    try:
        pickled, buffers = _dump(value, value if by_value else None, carry_code)
    except Exception as problem:  # anything: the value's own methods run here
        if not what:
            what = f"a value of type {type(value).__name__}" if name is None else f"the value of {name!r}"
        named = _named(problem, f"{what} cannot be serialized")
        if named is problem:
            raise
        raise named from problem
    descriptor, metadata = _describe(value)
    return Serialized([pickled, *buffers], descriptor, metadata, borrowed=True)


_ATOMS = frozenset([type(None), bool, int, float, complex, str, bytes])


def serialize_plain(value: Any) -> Serialized | None:
    """`value` as `serialize` would have it, for less, if it is a number, text or bytes, or a few of them; else None."""
    if not _is_plain(value, 3):
        return None
    return Serialized([pickle.dumps(value, protocol=5)], borrowed=False)


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        return True
    if not depth:
        return False
    if kind is tuple or kind is list:
        return len(value) <= FEW and all(_is_plain(item, depth - 1) for item in value)
    if kind is dict:
        return len(value) <= FEW and all(_is_plain(item, depth - 1) for entry in value.items() for item in entry)
    return False


def _named(problem: Exception, what: str) -> Exception:
    """`problem` with `what` in its text, or in its notes where a new text could not stand for it."""
    if type(problem) in (AttributeError, RecursionError):  # "can't get local object", "maximum recursion depth"
        return pickle.PicklingError(f"{what}: {problem}")
    if type(problem) in (TypeError, ValueError, pickle.PicklingError):
        return type(problem)(f"{what}: {problem}")
    problem.add_note(what)
    return problem


def serialize_function(value: Any, name: object) -> Serialized:
    """`value`, which must be a Python function (TypeError), by value, whatever it is importable from."""
    if not isinstance(value, types.FunctionType):
        raise TypeError(f"{name!r} is not a Python function but a {type(value).__name__}")
    return serialize(value, name, by_value=True)


def _describe(value: Any) -> tuple[str, dict[str, Any]]:
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is getattr(numpy, "ndarray", None):
        return "ndarray", {"shape": list(value.shape), "dtype": value.dtype.str}
    return "pickle", {}


def join(values: Iterable[Serialized]) -> tuple[list[list[Any]], list[Segment]]:
    """Several values as they lie in a message: ``[number of segments, descriptor, metadata]`` of each, and all
    segments one after the other.  SerializationError if these are more than a message takes.
    """
    headers: list[list[Any]] = []
    bodies: list[Segment] = []
    for value in values:
        headers.append([len(value.segments), value.descriptor, value.metadata])
        bodies.extend(value.segments)
    if len(bodies) > framing.MAX_BODIES:
        raise SerializationError(f"the values have {len(bodies)} segments, a message takes {framing.MAX_BODIES}")
    return headers, bodies


def split(headers: Sequence[Sequence[Any]], bodies: Sequence[Any]) -> list[Serialized]:
    """The values that `join` joined; SerializationError if headers and bodies do not fit together."""
    values = []
    start = 0
    for header in headers:
        count, descriptor, metadata = header
        if not isinstance(count, int) or count < 1 or start + count > len(bodies):
            raise SerializationError("the bodies of a message do not fit its list of values")
        values.append(Serialized(list(bodies[start : start + count]), descriptor, metadata))
        start += count
    if start != len(bodies):
        raise SerializationError("a message has more bodies than its list of values says")
    return values
