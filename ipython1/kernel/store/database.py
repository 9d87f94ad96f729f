"""What a database of ours is, wherever it is: how its tables are made, checked and brought up to date."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, func, insert, inspect, select, update

from ipython1.kernel.error import StoreError
from ipython1.kernel.store.migrations import STEPS, Step, migrate
from ipython1.kernel.store.schema import METADATA, about

_VERSION = "version"
_HOUSE = "house"
PATIENCE = 2.0
"""So many seconds a controller that has just been ended may need to let go."""


class Database(ABC):
    """A place where the tables are; used in the store's thread.

    `where` names it in messages, `folder` is that of the bodies that lie in files (None: there are none), `sync`
    whether every commit is to survive a power cut.
    """

    where: str
    folder: Path | None
    sync: bool

    @abstractmethod
    def connect(self) -> Connection:
        """A connection that nobody else can have at the same time; StoreError, or an error of SQLAlchemy."""

    def prepare(self, connection: Connection, steps: Sequence[Step] = STEPS) -> str:
        """Make the tables or bring them up to date; the identity of what is stored."""
        with connection.begin():
            found = set(inspect(connection).get_table_names())
            if about.name not in found:
                if found:
                    raise self.foreign()
                METADATA.create_all(connection)
                rows = {_VERSION: str(len(steps) + 1), _HOUSE: os.urandom(16).hex()}
                connection.execute(
                    insert(about), [{"name": key, "value": value} for key, value in rows.items()]
                )
            said = dict(connection.execute(select(about.c.name, about.c.value)).tuples().all())
            version = said.get(_VERSION, "")
            if not version.isdecimal() or int(version) < 1 or _HOUSE not in said:
                raise self.foreign()
            newest = migrate(connection, int(version), self.where, steps)
            if newest != int(version):
                connection.execute(update(about).where(about.c.name == _VERSION).values(value=str(newest)))
            house: str = said[_HOUSE]
            return house

    def foreign(self) -> StoreError:
        """The error that says that this is no database of ours."""
        return StoreError(
            f"{self.where} is no store of ipython1, and was left as it is: give another place with --store"
        )

    def in_use(self) -> StoreError:
        """The error that says that somebody else has it."""
        return StoreError(
            f"{self.where} is in use by another controller: stop that one, or give this one another --cluster-id or"
            " --store"
        )

    def damaged(self, how: str) -> StoreError:
        """The error that says that it cannot be read."""
        return StoreError(
            f"{self.where} is damaged, and was left as it is ({how}): restore it from a copy, or move it away (with all"
            " files whose names begin like its name) to start anew"
        )


def next_task_id(connection: Connection, key: str) -> int:
    """What `leased` said last."""
    value = connection.execute(select(func.max(about.c.value)).where(about.c.name == key)).scalar()
    return int(value or 0)
