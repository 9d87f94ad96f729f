"""What has ended goes by age, number and size, with all that belongs to it; what has not ended stays."""

from __future__ import annotations

import os

from ipython1.kernel.store.limits import Limits, Retention
from ipython1.kernel.store.packing import FILE_LIMIT
from ipython1.kernel.store.tests.scenarios import ALL, RetentionScenarios
from ipython1.kernel.store.tests.stores import (
    StoreCase,
    a_result,
    a_session,
    a_task,
)
from ipython1.kernel.tests.program import asynchronous


class RetentionTests(RetentionScenarios, StoreCase):
    @asynchronous
    async def test_belongings(self) -> None:
        """Functions, files and sessions go with what named them."""
        store, _ = await self.opened()
        large = bytes(FILE_LIMIT + 1)
        for number in (1, 2):
            key = f"s{number}"
            store.session_seen(a_session(key))
            store.function_kept(key, {}, [large])
            store.task_submitted(a_task(number, large, session=key, functions=[key]))
            store.task_ended(number, a_result(number, body=large))
        store, snapshot = await self.again(store, Retention(Limits(age=0, count=1), ALL))
        self.assertEqual(list(snapshot.functions), ["s2"])
        self.assertEqual(len(os.listdir(self.path.with_name("test.sqlite-files"))), 3)
        connection = store._keeper._connection
        assert connection is not None
        found = connection.exec_driver_sql("SELECT session FROM sessions").scalars().all()
        connection.rollback()
        self.assertEqual(found, ["s2"])
