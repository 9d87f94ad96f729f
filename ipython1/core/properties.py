"""An engine's properties: a dict of plain values, which the controller may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from ipython1.kernel import framing
from ipython1.kernel.error import InvalidProperty

_MAX_DEPTH = 50
# All of them, in bytes: they travel whole, in a message's header, whenever one of them changes.
_MAX_SIZE = 256 << 10
# What the wire's numbers can hold.
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1


class Properties(MutableMapping[str, Any]):
    """Copies values in and out, so that changing a fetched value does not change the store.

    A value that is not plain (None, bool, number, str, bytes, or lists and dicts of these) raises InvalidProperty.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        # Counts the changes.
        self.version = 0

    def __getitem__(self, key: str) -> Any:
        return _copy(self._values[key], key, 0)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self.version += 1

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def update(self, other: Any = (), /, **named: Any) -> None:
        """Set several; all or, if one of them is no plain value, none."""
        copies = {}
        for key, value in dict(other, **named).items():
            if not isinstance(key, str):
                raise InvalidProperty(f"the name of a property is a str, not {key!r}")
            copies[str(key)] = _copy(value, key, 0)
        updated = {**self._values, **copies}
        if len(framing.pack(updated)) > _MAX_SIZE:
            names = ", ".join(map(repr, copies))
            raise InvalidProperty(f"with {names:.200} the properties would have more than {_MAX_SIZE} bytes in all")
        self._values.update(copies)
        self.version += 1

    def clear(self) -> None:
        """Drop all of them."""
        if self._values:
            self._values.clear()
            self.version += 1


def _copy(value: Any, key: str, depth: int) -> Any:
    """A deep copy made of exactly the plain types (a numpy float is a float, an IntEnum an int)."""
    if depth > _MAX_DEPTH:
        raise InvalidProperty(f"property {key!r} is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and _SMALLEST <= value <= _LARGEST:
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str) and _is_text(value):
        return str(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, list):
        return [_copy(item, key, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return _copy_mapping(value, key, depth)
    raise InvalidProperty(
        f"property {key!r} is not a plain value (None, bool, number, str, bytes, list or dict): "
        f"it has {type(value).__name__} {value!r:.80}"
    )


def _copy_mapping(value: Mapping[Any, Any], key: str, depth: int) -> dict[Any, Any]:
    copies = {}
    for name, item in value.items():
        if isinstance(name, (list, Mapping)):
            raise InvalidProperty(f"property {key!r} has a dict with a key of type {type(name).__name__}")
        copies[_copy(name, key, depth + 1)] = _copy(item, key, depth + 1)
    return copies


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no message can carry
        return False
    return True
