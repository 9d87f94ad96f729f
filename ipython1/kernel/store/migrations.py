"""Databases of earlier releases: how they become those of today.

`STEPS[n]` makes a database of version ``n + 1`` one of version ``n + 2``.  A step does not use the tables of `schema`,
which go on changing: it says in SQL what was to be done then.  All steps are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from ipython1.kernel.error import StoreError

Step = Callable[[Connection], None]

STEPS: tuple[Step, ...] = ()


def migrate(connection: Connection, version: int, where: str, steps: Sequence[Step] = STEPS) -> int:
    """Make a database of that version, in an open transaction, one of the newest version; its number.

    StoreError if it is newer.
    """
    newest = len(steps) + 1
    if version > newest:
        raise StoreError(
            f"{where} was written by a newer ipython1 (its schema is {version}, the newest known here {newest}):"
            " use that one, or another --store"
        )
    for step in steps[version - 1 :]:
        step(connection)
    return newest
