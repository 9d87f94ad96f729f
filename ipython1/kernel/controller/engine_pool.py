"""The engines, as interfaces that users write have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.queue import Entry
from ipython1.kernel.error import ConnectionError, EngineFailed, IPythonError
from ipython1.kernel.framing import Bytes, Message, unpack
from ipython1.kernel.hello import new_id
from ipython1.kernel.label import label
from ipython1.kernel.peer import Link
from ipython1.kernel.results import Result
from ipython1.kernel.targets import Targets, wire_targets


@dataclass(frozen=True)
class Value:
    """A value of a client or an engine, as it travels: the controller keeps it and passes it on, and never opens it."""

    header: list[Any]
    bodies: Sequence[Bytes]

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(memoryview(body).nbytes for body in self.bodies)


def take_values(headers: Iterable[list[Any]], bodies: Sequence[Any]) -> list[Value]:
    """The values that a message describes and holds."""
    values, start = [], 0
    for header in headers:
        values.append(Value(header, bodies[start : start + header[0]]))
        start += header[0]
    return values


class EnginePool:
    """Commands to engines, in their queues beside those of all clients.

    `targets` are as for clients: ``'all'``, an id, a list of ids or a slice.  What an engine fails with is raised as
    EngineFailed, which a verb may let pass: then its caller gets the error of the engine itself.  When several have
    failed, it is that of the first of them.  Each method but `ids` and `properties` gives a Deferred.
    """

    def __init__(self, engines: Engines, role: str) -> None:
        self._engines = engines
        self._role = role
        # Agents outlive controllers: command ids must differ from those of another one.
        self._incarnation = new_id()[:16]
        self._commands = 0

    def ids(self) -> list[int]:
        """The ids of the engines that are registered, in ascending order."""
        return self._engines.registry.ids()

    def properties(self, engine: int) -> dict[str, Any]:
        """The properties of an engine; KeyError if there is none of that id."""
        return dict(self._engines.registry[engine].properties)

    def execute(self, source: str, targets: Targets = "all") -> Deferred[list[Result]]:
        """Run source text: fires with one result dict per target, as `MultiEngineClient.execute` gives them."""
        body = source.encode("utf-8", "surrogatepass")
        return self._submit("execute", {}, targets, _result, label("execute", source), bodies=[body])

    def push(self, namespace: Mapping[str, Value], targets: Targets = "all") -> Deferred[list[None]]:
        """Send values under names; fires when they are there."""
        for name, value in namespace.items():
            if not isinstance(value, Value):
                raise TypeError(f"{name} is {type(value).__name__}: only a Value can be pushed; others can be executed")
        names, values = list(namespace), list(namespace.values())
        return self._submit("push", {"names": names}, targets, _nothing, label("push", names), values)

    def pull(self, name: str, targets: Targets = "all") -> Deferred[list[Value]]:
        """Fetch the value of a name: fires with one `Value` per target."""
        return self._submit("pull", {"names": [name]}, targets, _value, label("pull", name))

    def _submit(
        self,
        verb: str,
        args: dict[str, Any],
        targets: Targets,
        convert: Callable[[int, Message], Any],
        shown: str,
        values: Sequence[Value] | None = None,
        bodies: Sequence[Bytes] = (),
    ) -> Deferred[list[Any]]:
        engines = self._engines.registry.resolve(wire_targets(targets))
        if not engines:
            return succeed([])
        self._commands += 1
        # To the queues each command is a client of its own: when one fails, no other is dropped for it.
        client = f"{self._incarnation}:{self._role}:{self._commands}"
        outcomes = _Outcomes(self._engines, client, len(engines), convert)
        for index, engine in enumerate(engines):
            entry = Entry(
                id=(client, 1),
                client=client,
                verb=verb,
                args=args,
                label=f"{self._role}: {shown}",
                owner=outcomes,
                index=index,
                values=None if values is None else [value.header for value in values],
                bodies=list(bodies) if values is None else [body for value in values for body in value.bodies],
            )
            self._engines.submit(engine, entry)
        return outcomes.done


class _Outcomes:
    """The owner of the entries of one command; `done` fires when each has its outcome."""

    log = Logger()

    def __init__(
        self, engines: Engines, client: str, count: int, convert: Callable[[int, Message], Any]
    ) -> None:
        # Who waits may be gone by then: a Deferred that is cancelled is not to be told.
        self.done: Deferred[list[Any]] = Deferred()
        self._engines = engines
        self._client = client
        self._count = count
        self._convert = convert
        self._came: dict[int, Any] = {}

    def answered(self, entry: Entry, engine: int, reply: Message, link: Link) -> None:
        """See `queue.Owner`."""

        def collected(whole: Message) -> None:
            ok = whole.fields["ok"]
            self._put(entry.index, self._convert(engine, whole) if ok else engine_failed(engine, whole))

        def broken(failure: Failure) -> None:
            text = f"the result of engine {engine} broke off: {failure.getErrorMessage()}"
            self._put(entry.index, ConnectionError(text))

        if not reply.fields["ok"]:
            self._engines.forget(engine, self._client)
        collecting = link.collect(reply).addCallbacks(collected, broken)
        collecting.addErrback(lambda failure: self.log.failure("while taking an engine's result", failure))

    def failed(self, entry: Entry, engine: int, error: IPythonError) -> None:
        """See `queue.Owner`."""
        self._put(entry.index, error)

    def _put(self, index: int, outcome: Any) -> None:
        self._came[index] = outcome
        if len(self._came) < self._count or self.done.called:
            return
        outcomes = [outcome for _, outcome in sorted(self._came.items())]
        first = next((outcome for outcome in outcomes if isinstance(outcome, Exception)), None)
        if first is None:
            self.done.callback(outcomes)
        else:
            self.done.errback(Failure(first))


def engine_failed(engine: int, reply: Message) -> EngineFailed:
    """The error for a reply that says that something failed."""
    bodies: Any = list(reply.bodies[:2])
    document = unpack(bodies[0])
    error = EngineFailed(f"engine {engine} failed: {document.get('class')}: {document.get('text')!s:.200}")
    error.engine, error.bodies = engine, bodies
    return error


def _result(engine: int, reply: Message) -> Result:
    document, stdout, stderr = (bytes(body) for body in reply.bodies)  # type: ignore[arg-type] # no streams any more
    return Result(unpack(document), engine, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))


def _value(engine: int, reply: Message) -> Value:
    (value,) = take_values(reply.fields["values"], reply.bodies)
    return value


def _nothing(engine: int, reply: Message) -> None:
    return None
