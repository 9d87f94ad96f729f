"""The arguments `targets` and `block` that nearly every call has: what may be given, and what is sent."""

from __future__ import annotations

import operator
from typing import Any

from ipython1.kernel.error import InvalidEngineID

Targets = str | int | list[int] | tuple[int, ...] | slice
"""``'all'``, an engine id, a list or tuple of ids, or a slice of the ids of all engines."""
WireTargets = str | list[int] | dict[str, list[int | None]]
"""``"all"``, a list of engine ids, or ``{"slice": [start, stop, step]}``."""

LARGEST_ID = 2**31 - 1


def check_block(block: Any) -> bool:
    """`block` as a bool; ValueError unless it equals True or False."""
    # By identity and type first: an array compared with True is no bool.
    if isinstance(block, bool | int | float) and block in (True, False):
        return bool(block)
    raise ValueError(f"block is {block!r:.80}; it must be True or False")


def wire_targets(targets: Any) -> WireTargets:
    """`targets` as they are sent.

    ValueError for what cannot be targets at all, InvalidEngineID for ids that no engine can have.
    """
    if isinstance(targets, str):
        if targets != "all":
            raise InvalidEngineID(f"targets is {targets!r:.80}; the only text that it may be is 'all'")
        return "all"
    if isinstance(targets, list | tuple):
        return [_engine_id(member, targets) for member in targets]
    try:
        if isinstance(targets, slice):
            ends = (targets.start, targets.stop, targets.step)
            if targets.step == 0:
                raise ValueError("the step of a slice of targets cannot be 0")
            return {"slice": [None if end is None else operator.index(end) for end in ends]}
        return [_engine_id(operator.index(targets), targets)]
    except TypeError:
        raise ValueError(
            f"targets is {targets!r:.80}; it must be 'all', an engine id, a list or tuple of engine ids, or a slice"
        ) from None


def _engine_id(member: Any, targets: Any) -> int:
    try:
        number = operator.index(member)
    except TypeError:
        raise InvalidEngineID(f"{member!r:.40} in targets {targets!r:.80} is no engine id") from None
    if not 0 <= number <= LARGEST_ID:
        raise InvalidEngineID(f"Engine with id {number} is not registered")
    return number


def pick(ids: list[int], targets: WireTargets) -> list[int]:
    """The engines that `targets` means when `ids` are registered."""
    if isinstance(targets, list):
        return targets
    if isinstance(targets, dict):
        return ids[slice(*targets["slice"])]
    return ids
