"""Who has been here, and what had they done: what of the store may be asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.calls import Call
from ipython1.kernel.error import ClientError, KernelError, ProtocolError, StoreError
from ipython1.kernel.queries import query_problem
from ipython1.kernel.store.interface import Store
from ipython1.kernel.store.values import StoredSession

MAX_TEXT = 255
"""What peers say of themselves is cut to so many characters."""
_NO_STORE = "the controller keeps no history, and no task that has ended: it runs with --store memory"
_NO_NAME = (
    "this client has no name, and results() gives those of a named session: connect with TaskClient(name='night-run'), or"
    " say results('night-run')"
)


class Audit:
    """What clients of the interface `role` are told of the past."""

    log = Logger()

    def __init__(self, store: Store, role: str) -> None:
        self._store = store
        self._role = role

    def seen(self, hello: Mapping[str, Any]) -> None:
        """The session that said `hello` is here, or was until now."""
        now = time.time()
        user, host = hello.get("user", "")[:MAX_TEXT], hello["host"][:MAX_TEXT]
        name = hello.get("name", "")
        self._store.session_seen(
            StoredSession(hello["session"], self._role, name, host, hello["pid"], user, now, now)
        )

    def check_keeps(self) -> None:
        """StoreError if nothing is kept."""
        if not self._store.house:
            raise StoreError(_NO_STORE)

    def tasks(self, call: Call) -> None:
        """Answer with tasks."""
        self._ask(call, self._store.tasks_of)

    def commands(self, call: Call) -> None:
        """Answer with commands."""
        self._ask(call, self._store.history)

    def _ask(self, call: Call, ask: Callable[..., Deferred[list[dict[str, Any]]]]) -> None:
        self.check_keeps()
        query = dict(call.args["query"])
        if call.args["own"]:
            if not call.client.name:
                raise ClientError(_NO_NAME)
            query["name"] = call.client.name
        problem = query_problem(query)
        if problem:
            raise ProtocolError(problem)
        ask(**query).addCallback(_told).addCallback(call.whole).addErrback(self.failed, call)

    def failed(self, failure: Failure, call: Call) -> None:
        """Answer with why there is no answer."""
        problem: Any = failure.value
        if not isinstance(problem, KernelError | LookupError):
            self.log.failure("while answering {verb}", failure, verb=call.verb)
            problem = KernelError(f"{call.verb} could not be answered: {problem}")
        call.whole_failed(problem)


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as clients know them."""
    for row in rows:
        if "attempt" in row:
            row["attempts"] = row.pop("attempt")
    return rows
