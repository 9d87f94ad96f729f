"""What is shown of a value: its printed form, and its rich forms as MIME data."""

from __future__ import annotations

from typing import Any

from ipython1.core.text import encodable, sendable
from ipython1.kernel import framing

Bundle = dict[str, Any]


def show(value: Any, formatter: Any) -> tuple[dict[str, str] | None, Bundle | None]:
    """The printed forms of a command's value, and its MIME bundle if it has other than plain text.

    `formatter` is IPython's DisplayFormatter.  Both are None for a value that shows itself.  What the value's own
    methods raise is raised.
    """
    data, metadata = formatter.format(value)
    plain = data.get("text/plain")
    if plain is None:
        return None, bundle(data, metadata) if data else None
    display = {"pprint": sendable(plain), "repr": sendable(_repr(value, plain))}
    return display, bundle(data, metadata) if len(data) > 1 else None


def _repr(value: Any, plain: str) -> str:
    # IPython leaves out the middle of a long container. Its repr would be no use, and could be gigabytes.
    if isinstance(value, (list, tuple, dict, set, frozenset, str, bytes, bytearray)) and len(value) > 1000:
        return plain
    return repr(value)


def bundle(data: dict[str, Any], metadata: dict[str, Any] | None) -> Bundle:
    """`data` and `metadata` of a display as plain values: what is not plain becomes its repr."""
    return {"data": _plain_mapping(data), "metadata": _plain_mapping(metadata or {})}


def _plain_mapping(mapping: dict[str, Any]) -> dict[str, Any]:
    return {sendable(str(key)): _plain(value) for key, value in mapping.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        # Never cut: it may be an image in base64.
        return encodable(value)
    try:
        return framing.unpack(framing.pack(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return sendable(repr(value))
