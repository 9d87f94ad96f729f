"""Two-phase calls: their outcomes are held here, and fetched or flushed by later commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.calls import Call
from ipython1.kernel.controller.pending import Held, Outcome, PendingTable, Waiter
from ipython1.kernel.error import AbortedPendingDeferredError, EngineLost
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Bytes, Message
from ipython1.kernel.peer import Link


class Hold:
    """A sink that keeps the outcomes of one call."""

    log = Logger()

    def __init__(self, results: HeldResults, held: Held) -> None:
        self._results = results
        self._held = held
        self._count = 0

    def put(self, fields: dict[str, Any], bodies: Sequence[Bytes]) -> None:
        """See `calls.Sink`."""
        self._count += 1
        last = fields["index"] is None or self._count >= fields["of"]
        self._results.outcome(self._held, Outcome(fields, bodies), last)

    def pass_on(self, fields: dict[str, Any], reply: Message, link: Link) -> None:
        """See `calls.Sink`.  The reply's streams end here: whoever fetches the result may not be there yet."""

        def collected(whole: Message) -> None:
            bodies: Any = whole.bodies
            self.put(fields, bodies)

        def broken(failure: Failure) -> None:
            error = EngineLost(
                f"the result of engine {fields['engine']} broke off: {failure.getErrorMessage()}"
            )
            failed = {name: fields[name] for name in ("index", "of", "engine")}
            self.put({**failed, "ok": False}, failure_bodies(error))

        collecting = link.collect(reply).addCallbacks(collected, broken)
        collecting.addErrback(lambda failure: self.log.failure("while holding a result", failure))


class HeldResults:
    """The table of held results, and the calls that wait for one."""

    def __init__(self, table: PendingTable | None = None) -> None:
        self.table = PendingTable() if table is None else table
        self._waiting: dict[Waiter, Call] = {}

    def __len__(self) -> int:
        return len(self.table) + len(self._waiting)

    def hold(self, result_id: str, session: str) -> Hold:
        """The sink for a call whose outcomes are to be held; InvalidDeferredID if another call has that id."""
        return Hold(self, self.table.begin(result_id, session))

    def outcome(self, held: Held, outcome: Outcome, last: bool) -> None:
        """A held call has an outcome."""
        delivery = self.table.add(held, outcome, last)
        if delivery is not None:
            call = self._waiting.pop(delivery.waiter)
            _deliver(call, delivery.outcomes)

    def get_pending(self, call: Call) -> None:
        """Answer with a held result's outcomes, now or when they are complete.

        Raises what `PendingTable.fetch` does.
        """
        waiter = Waiter(call.id[0], call.id)
        outcomes = self.table.fetch(call.args["result_id"], waiter, call.args["block"])
        if outcomes is None:
            self._waiting[waiter] = call
        else:
            _deliver(call, outcomes)

    def clear_pending(self, call: Call) -> None:
        """Forget the held results of the client that asks."""
        for waiter in self.table.clear(call.id[0]):
            error = AbortedPendingDeferredError(
                "the result that this waited for was flushed by the client that made it"
            )
            self._waiting.pop(waiter).whole_failed(error)
        call.whole()

    def client_left(self, session: str) -> None:
        """A client is gone, and waits no more; what is held of its calls stays for others to fetch."""
        self.table.waiter_left(session)
        for waiter in [waiter for waiter in self._waiting if waiter.session == session]:
            del self._waiting[waiter]


def _deliver(call: Call, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        call.repeat(outcome.fields, outcome.bodies)
