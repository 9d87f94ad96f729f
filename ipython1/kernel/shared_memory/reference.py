"""What is said of memory that another process has made: where it is, and which bodies of a message lie in it.

Such a reference travels in the field ``memory`` of a message, in which these bodies are empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ipython1.kernel.error import ProtocolError

NONCE = 16
"""Bytes at the beginning of the memory that nobody else can know: they show that two processes see the same."""
ALIGNMENT = 64
"""The bodies begin at multiples of it: what arrays are fastest with."""
MAX_PLACES = 10_000
"""So many bodies of a message lie in memory at most."""
SMALL = 4096
"""Bodies below this many bytes stay in the message."""

Place = tuple[int, int, int]
"""A body's index in the message, and its beginning and its length (bytes) in the memory."""


@dataclass(frozen=True)
class Reference:
    """Memory behind descriptor `fd` of process `pid`.

    What lies there does not change if it is `sealed`; else it is used again, when the message was answered.
    """

    pid: int
    fd: int
    nonce: bytes
    size: int
    sealed: bool
    places: tuple[Place, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """As a message says it."""
        return {**vars(self), "places": [list(place) for place in self.places]}

    @classmethod
    def of(cls, said: Any) -> Reference:
        """What a message says; ProtocolError if that is no reference."""
        if not isinstance(said, dict) or said.keys() != _FIELDS.keys():
            raise ProtocolError("what a message says of shared memory is no reference to it")
        for name, kind in _FIELDS.items():
            if type(said[name]) is not kind:
                raise ProtocolError(f"{name} of shared memory is {type(said[name]).__name__}, not {kind.__name__}")
        places = tuple(_place(place, said["size"]) for place in said["places"])
        if said["pid"] < 1 or said["fd"] < 0 or len(said["nonce"]) != NONCE or len(places) > MAX_PLACES:
            raise ProtocolError("what a message says of shared memory makes no sense")
        return cls(said["pid"], said["fd"], said["nonce"], said["size"], said["sealed"], places)

    @property
    def bytes(self) -> int:
        """How many bytes the bodies have."""
        return sum(length for _, _, length in self.places)

    def indices(self) -> list[int]:
        """Which bodies of the message lie there."""
        return [index for index, _, _ in self.places]


_FIELDS: dict[str, type] = {"pid": int, "fd": int, "nonce": bytes, "size": int, "sealed": bool, "places": list}


def _place(said: Any, size: int) -> Place:
    if not (isinstance(said, list) and len(said) == 3 and all(type(number) is int and number >= 0 for number in said)):
        raise ProtocolError("a body in shared memory is not described by index, beginning and length")
    index, beginning, length = said
    if beginning < NONCE or beginning + length > size:
        raise ProtocolError("a body is said to lie outside of shared memory")
    return index, beginning, length


def lay_out(sizes: Sequence[int]) -> tuple[list[Place], int]:
    """Where the bodies of these sizes have their places, those that are not small; and where the last one ends."""
    places: list[Place] = []
    end = ALIGNMENT
    for index, size in enumerate(sizes):
        if size >= SMALL:
            places.append((index, end, size))
            end += -(-size // ALIGNMENT) * ALIGNMENT
    return places, end
