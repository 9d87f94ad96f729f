"""What users build interfaces of their own on.

An interface is a subclass of `Interface` that has a `role` and verbs, and is named to the controller
(``ipcontroller --interface-class my_module.MyInterface``).  It is published under a FURL of its own, beside those of
MultiEngine and Task, and clients reach it by `ipython1.kernel.client.InterfaceClient`::

    class Counters(Interface):
        role = "counters"

        def start(self):
            self.counts = {}

        @verb
        def add(self, name: str, amount: int = 1) -> int:
            self.counts[name] = self.counts.get(name, 0) + amount
            return self.counts[name]
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from ipython1.kernel.controller.calls import Call, ToClient
from ipython1.kernel.controller.clients import ClientSession
from ipython1.kernel.controller.engine_pool import EnginePool, Value, take_values
from ipython1.kernel.controller.engines import Engines
from ipython1.kernel.controller.shutdown import Shutdown
from ipython1.kernel.declared import DESCRIBE, Declaration, declaration
from ipython1.kernel.error import (
    ConnectionError,
    ControllerCreationError,
    EngineFailed,
    IPythonError,
    KernelError,
    ProtocolError,
)
from ipython1.kernel.failures import failure_bodies
from ipython1.kernel.framing import Message
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.verbs import Verb

__all__ = ["EngineFailed", "EnginePool", "Interface", "Value", "verb"]

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_is_verb"


def verb(method: F) -> F:
    """Mark a method of an `Interface` as a verb, which clients may call.

    Its arguments have type hints: None, bool, int, float, str, bytes, list, dict, alternatives of these (``|``),
    Any, or `Value`.  Each call is checked against them.  It returns plain data, or a `Value`; it may be a
    coroutine (``async def``) that awaits Deferreds, or return one.  What it raises is raised where it was called.
    """
    setattr(method, _MARK, True)
    return method


class Interface:
    """An interface; see above.

    `role` names it: to clients, and in the name of its FURL file.  `engines` is an `EnginePool`.  Verbs run in
    the controller's reactor, one at a time, and must not wait or compute for long: all else waits meanwhile.
    """

    role = ""
    log = Logger()

    def __init__(self, engines: Engines, shutdown: Shutdown) -> None:
        self._declared = _declarations(type(self))
        self.verbs: Mapping[str, Verb] = {
            DESCRIBE.name: DESCRIBE,
            **{name: declared.verb for name, declared in self._declared.items()},
        }
        self._running: dict[ClientSession, set[Deferred[None]]] = {}
        self.engines = EnginePool(engines, self.role)
        observers = engines.observers
        observers.on_register_engine_do(self.engine_joined, True)
        observers.on_unregister_engine_do(self.engine_left, True)
        observers.on_change_engine_do(self.engine_changed, True)
        self.start()

    # For subclasses.

    def start(self) -> None:
        """Called once, before there are engines or clients."""

    def engine_joined(self, engine: int) -> None:
        """An engine was registered."""

    def engine_left(self, engine: int) -> None:
        """An engine is gone."""

    def engine_changed(self, engine: int) -> None:
        """An engine's interpreter was lost or is there again, or its properties are others."""

    # For the controller.

    def open_session(self, hello: Mapping[str, Any], link: Link) -> Receiver:
        """A client connected."""
        client = ClientSession(self, hello, link)
        self._running[client] = set()
        return client

    def client_left(self, client: ClientSession) -> None:
        """See `clients.Commands`.  What its calls wait for is cancelled: they get a CancelledError there."""
        for running in list(self._running.pop(client, ())):
            running.cancel()

    def command(self, client: ClientSession, message: Message) -> None:
        """See `clients.Commands`."""
        session, number = message.fields["id"]
        call = Call(message, client, ToClient(client, (session, number)))
        if call.verb == DESCRIBE.name:
            call.whole([declared.plain() for declared in self._declared.values()])
            return
        running = self._running[client]
        carried_out = Deferred.fromCoroutine(self._carry_out(call, client, message))
        running.add(carried_out)
        carried_out.addErrback(lambda failure: self.log.failure("while answering a client", failure))
        carried_out.addBoth(lambda _: running.discard(carried_out))

    async def _carry_out(self, call: Call, client: ClientSession, message: Message) -> None:
        try:
            if message.streams():
                message = await _collected(client.link, message)
            args = self._arguments(call, message)
            value = getattr(self, call.verb)(**args)
            if inspect.isawaitable(value):
                value = await value
            _answer(call, value)
        except GeneratorExit:  # what it awaited is gone: nobody could be answered from here
            raise
        except BaseException as problem:  # the user's code may raise anything, SystemExit too
            self._failed(call, client, problem)

    def _arguments(self, call: Call, message: Message) -> dict[str, Any]:
        args = dict(call.args)
        values = take_values(message.fields.get("values") or (), message.bodies)
        for name in self._declared[call.verb].values & args.keys():
            if args[name] is not None:
                if not 0 <= args[name] < len(values):
                    raise ProtocolError(f"{call.verb} came without the value of its argument {name}")
                args[name] = values[args[name]]
        return args

    def _failed(self, call: Call, client: ClientSession, problem: BaseException) -> None:
        if client.lost:
            return
        if isinstance(problem, EngineFailed) and problem.bodies:
            place = {"index": None, "of": 0, "ok": False, "engine": problem.engine}
            call.repeat(place, problem.bodies)
            return
        if not isinstance(problem, IPythonError):
            self.log.failure(
                "{verb} of the interface {role} raised", Failure(problem), LogLevel.info, verb=call.verb, role=self.role
            )
        error = problem
        if not isinstance(error, Exception):
            # It would end the client's program.
            error = KernelError(f"{call.verb} of the interface {self.role} raised {type(error).__name__}: {error}")
        place = {"index": None, "of": 0, "ok": False}
        call.repeat(place, failure_bodies(error, _traceback(problem)))


async def _collected(link: Link, message: Message) -> Message:
    try:
        return await link.collect(message)
    except Exception as problem:  # however it broke off
        raise ConnectionError(f"the values of the call did not arrive: {problem}") from None


def _answer(call: Call, value: Any) -> None:
    try:
        if isinstance(value, Value):
            fields = {"index": None, "of": 0, "ok": True, "values": [value.header]}
            call.repeat(fields, value.bodies)
        else:
            call.whole(value)
    except ProtocolError as problem:
        raise TypeError(f"what {call.verb} returned cannot be sent: {problem}") from None


def _traceback(problem: BaseException) -> str:
    """That of the user's code."""
    frames = problem.__traceback__.tb_next if problem.__traceback__ is not None else None
    return "".join(traceback.format_exception(type(problem), problem, frames)) if frames is not None else ""


def _declarations(interface: type[Interface]) -> dict[str, Declaration]:
    """The verbs of an interface; ControllerCreationError if they cannot be."""
    declared = {}
    for name in dir(interface):
        method = inspect.getattr_static(interface, name)
        if not getattr(method, _MARK, False):
            continue
        if name.startswith("_") or name == DESCRIBE.name or hasattr(Interface, name):
            raise ControllerCreationError(
                f"{interface.__qualname__} cannot have a verb {name}: names that Interface has itself, describe, and"
                " names that begin with _ are not for verbs"
            )
        try:
            declared[name] = declaration(method, Value)
        except TypeError as problem:
            raise ControllerCreationError(f"{interface.__qualname__} cannot be an interface: {problem}") from None
    return declared
