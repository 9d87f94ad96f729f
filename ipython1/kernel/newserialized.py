"""Values as bytes, by the names of IPython 0.10.2; see `ipython1.core.serialize`."""

from __future__ import annotations

from typing import Any

from ipython1.core.serialize import Serialized, serialize
from ipython1.kernel.error import SerializationError

__all__ = ["SerializationError", "Serialized", "serialize", "unserialize"]


def unserialize(serialized: Serialized) -> Any:
    """The value that `serialize` was given."""
    return serialized.load()
