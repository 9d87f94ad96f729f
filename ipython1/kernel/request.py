"""What a verb asks for and what it is answered: the values that pass between a verb and whoever carries it out.

A verb of a client is a generator that knows no network (see `ipython1.kernel.multiengine`): it yields lists of
`Request`, is sent as many `Answer` objects, and returns its final value.  It runs where user code may run, and so
values are pickled and unpickled there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ipython1.core.remote_error import rebuild
from ipython1.core.serialize import Serialized, join, split
from ipython1.kernel.error import CompositeError, ProtocolError
from ipython1.kernel.framing import Bytes, Message, Traffic, unpack
from ipython1.kernel.label import label
from ipython1.kernel.messages import CommandId, without_output
from ipython1.kernel.replies import Replies
from ipython1.kernel.results import Result, ResultList
from ipython1.kernel.shared_memory.memory import Memory, without
from ipython1.kernel.targets import WireTargets
from ipython1.kernel.verbs import VERBS, Route

T = TypeVar("T")


@dataclass
class Request:
    """A command to be sent.

    `method` is what errors say was called, where that is not the verb.  `quick` marks a command that the controller
    answers at once and that the rest of a call depends on.  `timeout` is how many seconds it may take (CallTimeout).
    `memory` is where the values lie, and `answer_in` which agents may leave their outcome in memory (see
    `ipython1.kernel.shared_memory`).
    """

    verb: str
    args: dict[str, Any] = field(default_factory=dict)
    targets: WireTargets | None = None
    values: Sequence[Serialized] | None = None
    bodies: Sequence[Bytes] = ()
    label: str = ""
    method: str = ""
    quick: bool = False
    timeout: float | None = None
    command: CommandId | None = None
    """The id of the command that it became; None while it is none."""
    replies: Replies | None = None
    """Where replies are put as they come, if somebody wants to know."""
    convert: Callable[[Any], Any] | None = None
    """What makes of a target's value what the caller gets; see `ask`."""
    joined: bool = False
    """Whether that is a list, whose items are the caller's."""
    group: Any = None
    """The tasks (a `Group`) of which it is about some, if it is about such."""
    traffic: Traffic | None = None
    """Where it is counted how much of large values has come or gone, if somebody wants to know."""
    memory: Memory | None = None
    answer_in: list[Any] | None = None

    def __post_init__(self) -> None:
        self.method = self.method or self.verb

    @property
    def name(self) -> str:
        """What people are shown."""
        return self.label or label(self.verb)

    @property
    def holdable(self) -> bool:
        """Whether the controller can keep its outcome until that is asked for."""
        return VERBS[self.verb].route in (Route.QUEUE, Route.AGENT)

    @property
    def runs(self) -> bool:
        """Whether interpreters carry it out, and can be interrupted at that."""
        verb = VERBS.get(self.verb)
        return verb is not None and verb.route is Route.QUEUE

    def own_memory(self) -> None:
        """Copy what is still the memory of the caller's own objects, which may change before it is sent."""
        if self.memory is None:
            for value in self.values or ():
                value.own_memory()

    def over(self) -> None:
        """It was answered, or is not going to be: let go of what it was sent with."""
        if self.memory is not None:
            self.memory.close()

    @property
    def size(self) -> int:
        """Bytes that are to be sent for it, about."""
        return sum(memoryview(body).nbytes for body in self.bodies) + sum(value.size for value in self.values or ())

    def message(self, command_id: tuple[str, int], hold: str | None = None, again: bool = False) -> Message:
        """The message that says it; `again`, if one with this id may have come before."""
        fields: dict[str, Any] = {
            "id": list(command_id),
            "verb": self.verb,
            "args": self.args,
            "targets": self.targets,
            "label": self.name,
        }
        bodies = list(self.bodies)
        if self.values is not None:
            fields["values"], segments = join(self.values)
            bodies.extend(segments)
        if self.memory is not None:
            fields["memory"] = self.memory.reference.to_plain()
            bodies = without(bodies, self.memory.reference)
        if self.answer_in is not None:
            fields["answer_in"] = self.answer_in
        if hold is not None:
            fields["hold"] = hold
        if again:
            fields["again"] = True
        return Message("command", fields, list(bodies), self.traffic)


@dataclass
class Answer:
    """All that came for one request: a reply per target, in target order, or one for the call as a whole."""

    replies: list[Message]
    whole: Message | None = None


@dataclass
class Outcome:
    """What came of a command at one target: `value`, unless `error` is set."""

    engine: int | None
    value: Any = None
    error: BaseException | None = None


Steps = Generator[list[Request], list[Answer], T]
"""What a verb is: a generator that yields requests, is sent their answers, and returns a `T`."""


class Finished(Exception):
    """A verb came to its end; `value` is what it returned."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def advance(steps: Steps[Any], answers: list[Answer] | BaseException | None) -> list[Request]:
    """The next requests of a verb; raises Finished at its end, else what the verb raises."""
    try:
        if isinstance(answers, BaseException):
            return steps.throw(answers)
        return steps.send(answers)  # type: ignore[arg-type] # None starts a generator
    except StopIteration as end:
        raise Finished(end.value) from None


def outcomes(request: Request, answer: Answer, convert: Callable[[Any], Any] | None = None) -> list[Outcome]:
    """One outcome per target; raises the error of a call that failed as a whole.

    `convert` is applied to each value; what it raises is that target's error.
    """
    if answer.whole is not None and not answer.whole.fields["ok"]:
        raise reply_error(request, answer.whole)
    return [_outcome(request, reply, convert) for reply in answer.replies]


def outcome_of(request: Request, reply: Message) -> Outcome:
    """What came of a request at the target of that reply."""
    return _outcome(request, reply, request.convert)


def _outcome(request: Request, reply: Message, convert: Callable[[Any], Any] | None) -> Outcome:
    engine = reply.fields.get("engine")
    if not reply.fields["ok"]:
        return Outcome(engine, error=reply_error(request, reply))
    try:
        value = plain_value(reply)
        return Outcome(engine, value if convert is None else convert(value))
    except Exception as problem:  # unpickling runs code of users
        info = {"engineid": engine, "method": request.method, "args": [request.name]}
        problem._ipython_engine_info = info  # type: ignore[attr-defined]
        return Outcome(engine, error=problem)


def plain_value(reply: Message) -> Any:
    """What a reply holds, by its form alone: serialized values, a `Result`, a document or a plain result."""
    bodies = without_output(reply.fields, reply.bodies)
    if reply.fields.get("values") is not None:
        return split(reply.fields["values"], bodies)
    if len(bodies) == 3:
        document, stdout, stderr = bodies
        result = Result(unpack(document), reply.fields.get("engine"), _text(stdout), _text(stderr))
        result.shown_at = reply.fields.get("shown_at")
        return result
    if len(bodies) == 1:
        return unpack(bodies[0])
    return reply.fields.get("result")


def _text(body: Any) -> str:
    return bytes(body).decode("utf-8", "replace")


def reply_error(request: Request, reply: Message) -> BaseException:
    """The error that a reply describes."""
    document, pickled = [*reply.bodies[:2], b"", b""][:2]
    return rebuild(document, pickled, reply.fields.get("engine"), request.method, [request.name])


def whole_result(request: Request, answer: Answer) -> Any:
    """The plain result of a verb of the controller; raises its error."""
    if answer.whole is None:
        raise ProtocolError(f"the controller did not answer {request.name} as a whole")
    if not answer.whole.fields["ok"]:
        raise reply_error(request, answer.whole)
    return answer.whole.fields.get("result")


def values_of(found: Sequence[Outcome], method: str) -> list[Any]:
    """The values, one per target; CompositeError if any of them failed."""
    failed = [outcome.error for outcome in found if outcome.error is not None]
    if failed:
        raise CompositeError(
            f"one or more exceptions from call to method: {method}",
            [(type(error), error, None) for error in failed],
            [outcome.value if outcome.error is None else outcome.error for outcome in found],
        )
    return [outcome.value for outcome in found]


def ask(
    requests: Sequence[Request], method: str, convert: Callable[[Any], Any] | None = None
) -> Steps[list[Any]]:
    """Submit `requests` together; the values of all their targets, one request after the other.

    CompositeError, titled `method`, when all are done and any of them failed.
    """
    if not requests:
        return []
    for request in requests:
        request.convert = convert
    answers = yield list(requests)
    found: list[Outcome] = []
    for request, answer in zip(requests, answers, strict=True):
        found.extend(outcomes(request, answer, convert))
    return values_of(found, method)


def ask_controller(request: Request) -> Steps[Any]:
    """The plain result of a verb of the controller."""
    (answer,) = yield [request]
    return whole_result(request, answer)


def pending_request(result_id: str, block: bool) -> Request:
    """Asks for the outcome of a call that the controller holds."""
    return Request(
        "get_pending",
        {"result_id": result_id, "block": block},
        label=label("get_pending_deferred", result_id),
        method="get_pending_deferred",
    )


def pending_value(result_id: str, block: bool) -> Steps[Any]:
    """The outcome of a call that the controller holds, told by the form of the replies alone."""
    request = pending_request(result_id, block)
    (answer,) = yield [request]
    found = outcomes(request, answer, _loaded)
    if not found:
        return answer.whole.fields.get("result") if answer.whole is not None else []
    values = values_of(found, request.method)
    return ResultList(values) if all(isinstance(value, Result) for value in values) else values


def _loaded(value: Any) -> Any:
    if not (isinstance(value, list) and value and all(isinstance(part, Serialized) for part in value)):
        return value
    loaded = [part.load() for part in value]
    return loaded[0] if len(loaded) == 1 else loaded
