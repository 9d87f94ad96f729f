"""The verbs of the pipe: each takes a command, and gives a reply's fields and bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from ipython1.core import references
from ipython1.core.functions import EngineName
from ipython1.core.interpreter import Interpreter
from ipython1.core.serialize import Serialized, join, serialize, serialize_function, split
from ipython1.kernel import framing
from ipython1.kernel.error import FunctionMissing, NothingToDebug, ProtocolError


@dataclass
class Reply:
    """What a verb gave.  `error` and `traceback` are those of an execution that failed."""

    fields: dict[str, Any] = field(default_factory=dict)
    bodies: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    traceback: str | None = None


@dataclass
class Command:
    """A command as it came: its verb, arguments, values and bodies."""

    verb: str
    args: dict[str, Any]
    values: Sequence[Sequence[Any]]
    bodies: Sequence[Any]

    def loaded(self, interpreter: Interpreter) -> list[Any]:
        """Its values; functions get the interpreter's namespace as globals."""
        return [value.load(interpreter.namespace) for value in split(self.values, self.bodies)]

    def named(self, interpreter: Interpreter) -> dict[Any, Any]:
        """Its values by their names."""
        names = [tuple(name) if isinstance(name, list) else name for name in self.args["names"]]
        return dict(zip(names, self.loaded(interpreter), strict=True))

    def document(self) -> Any:
        """Its only body, which is plain data."""
        return framing.unpack(self.bodies[0])


def perform(interpreter: Interpreter, command: Command) -> Reply:
    """Carry out `command`; whatever it raises is raised, except for execute, whose reply holds the error."""
    try:
        verb = _VERBS[command.verb]
    except KeyError:
        raise ProtocolError(f"an engine does not know the verb {command.verb!r}") from None
    return verb(interpreter, command)


def _execute(interpreter: Interpreter, command: Command) -> Reply:
    # With lone surrogates as they are: what Python says of such source is the command's error.
    run = interpreter.execute(bytes(command.bodies[0]).decode("utf-8", "surrogatepass"))
    return Reply({"number": run.number}, [framing.pack(run.document())], run.error, run.traceback)


def _push(interpreter: Interpreter, command: Command) -> Reply:
    interpreter.push(command.named(interpreter))
    return Reply()


def _push_function(interpreter: Interpreter, command: Command) -> Reply:
    functions = command.named(interpreter)
    for name, value in functions.items():
        if not isinstance(value, FunctionType):
            raise TypeError(f"{name!r} is not a Python function but a {type(value).__name__}")
    interpreter.push(functions)
    return Reply()


def _pull(interpreter: Interpreter, command: Command) -> Reply:
    names = command.args["names"]
    values = interpreter.pull(names)
    return _with_values([serialize(value, name) for name, value in zip(names, values, strict=True)])


def _pull_function(interpreter: Interpreter, command: Command) -> Reply:
    names = command.args["names"]
    values = interpreter.pull(names)
    return _with_values([_function_or_value(value, name) for name, value in zip(names, values, strict=True)])


def _function_or_value(value: Any, name: str) -> Serialized:
    # As in 0.10.2, whatever else has that name is given as it is.
    return serialize_function(value, name) if isinstance(value, FunctionType) else serialize(value, name)


def _apply(interpreter: Interpreter, command: Command) -> Reply:
    interpreter.count("<a function applied>")  # as in 0.10.2, where that was done with source text
    function, (args, kwargs) = command.loaded(interpreter)
    if isinstance(function, EngineName):
        function = function.resolve(interpreter.namespace)
    args = [
        argument.resolve(interpreter.namespace) if isinstance(argument, EngineName) else argument
        for argument in args
    ]
    with interpreter.displaying() as displayed:
        value = function(*args, **kwargs)
    return _with_values([serialize(value, what="the result")], displayed)


def _with_values(values: list[Serialized], displayed: Sequence[Any] = ()) -> Reply:
    """A reply that holds `values`, and what was displayed if anything was."""
    headers, bodies = join(values)
    if displayed:
        return Reply({"values": headers, "displays": True}, [*bodies, framing.pack(list(displayed))])
    return Reply({"values": headers}, bodies)


def _reset(interpreter: Interpreter, command: Command) -> Reply:
    interpreter.reset()
    return Reply()


def _keys(interpreter: Interpreter, command: Command) -> Reply:
    return _plain(interpreter.keys())


def _plain(value: Any) -> Reply:
    return Reply({}, [framing.pack(value)])


@dataclass
class _TaskValues:
    """The values of a task: its own, and what it takes of other tasks, each by its id."""

    own: list[Serialized]
    results: dict[int, Serialized | dict[str, Serialized]]

    def loaded(self, interpreter: Interpreter) -> list[Any]:
        """Its own values; where they name results of other tasks, these are put."""
        space = interpreter.namespace
        results = {
            task: {name: value.load(space) for name, value in given.items()}
            if isinstance(given, dict)
            else given.load(space)
            for task, given in self.results.items()
        }
        with references.present(results):
            return [value.load(space) for value in self.own]


def _task_values(interpreter: Interpreter, command: Command) -> _TaskValues:
    """What came with a task, and its function if that came before; FunctionMissing if it is not here any more."""
    values = iter(split(command.values, command.bodies))
    results: dict[int, Serialized | dict[str, Serialized]] = {}
    for task, names in command.args.get("results") or ():
        results[task] = next(values) if names is None else {name: next(values) for name in names}
    own = list(values)
    if command.args.get("function") is not None:
        digest, is_here = command.args["function"]
        if is_here:
            own[0].borrowed = True  # it is loaded again and again, from the same memory
            interpreter.functions.add(digest, own[0], own[0].size)
        else:
            function = interpreter.functions.get(digest)
            if function is None:
                raise FunctionMissing(f"the function {digest} is not here")
            own.insert(0, function)
    return _TaskValues(own, results)


def _task(interpreter: Interpreter, command: Command) -> Reply:
    values = _task_values(interpreter, command)
    if command.args["clear_before"]:
        interpreter.clear_for_task()
    try:
        return _TASKS[command.args["kind"]](interpreter, command, values)
    finally:
        if command.args["clear_after"]:
            interpreter.clear_for_task()


def _string_task(interpreter: Interpreter, command: Command, values: _TaskValues) -> Reply:
    source, *pushed = values.loaded(interpreter)
    interpreter.push(dict(zip(command.args["push"], pushed, strict=True)))
    run = interpreter.execute(source)
    if run.error is not None:
        return Reply({"number": run.number}, [], run.error, run.traceback)
    names = command.args["pull"]
    pulled = interpreter.pull(names)
    reply = _with_values([serialize(value, name) for name, value in zip(names, pulled, strict=True)], run.mime)
    reply.fields["number"] = run.number
    return reply


def _map_task(interpreter: Interpreter, command: Command, values: _TaskValues) -> Reply:
    interpreter.count("<the function of a task>")
    function, (args, kwargs) = values.loaded(interpreter)
    with interpreter.displaying() as displayed:
        value = function(*args, **kwargs)
    return _with_values([serialize(value, "the result")], displayed)


_TASKS: dict[str, Callable[[Interpreter, Command, _TaskValues], Reply]] = {"string": _string_task, "map": _map_task}


def _depend(interpreter: Interpreter, command: Command) -> Reply:
    (function,) = command.loaded(interpreter)
    return Reply({"result": bool(function(dict(interpreter.properties)))})


def _set_properties(interpreter: Interpreter, command: Command) -> Reply:
    interpreter.properties.update(command.document())
    return Reply()


def _get_properties(interpreter: Interpreter, command: Command) -> Reply:
    keys = command.args.get("keys")
    if keys is None:
        keys = list(interpreter.properties)
    return _plain({key: interpreter.properties[key] for key in keys})


def _has_properties(interpreter: Interpreter, command: Command) -> Reply:
    return _plain([key in interpreter.properties for key in command.args["keys"]])


def _del_properties(interpreter: Interpreter, command: Command) -> Reply:
    keys = command.args["keys"]
    for key in keys:
        interpreter.properties[key]  # a missing one fails before any is deleted
    for key in set(keys):
        del interpreter.properties[key]
    return Reply()


def _clear_properties(interpreter: Interpreter, command: Command) -> Reply:
    interpreter.properties.clear()
    return Reply()


def _debug(interpreter: Interpreter, command: Command) -> Reply:
    action, session = command.args["action"], command.args["session"]
    if action == "open":
        return _plain(interpreter.debug(session, command.args["theme"]))
    if action == "close":
        interpreter.end_debugger(session)
        return _plain({"output": "", "over": True})
    debugger = interpreter.debugger
    if debugger is None or debugger.session != session:
        raise NothingToDebug("this debugger has ended: another one was opened here, or the engine was reset")
    output = debugger.line(command.args["line"])
    if debugger.over:
        interpreter.end_debugger(session)
    return _plain({"output": output, "over": debugger.over})


_VERBS: dict[str, Callable[[Interpreter, Command], Reply]] = {
    "execute": _execute,
    "push": _push,
    "pull": _pull,
    "push_function": _push_function,
    "pull_function": _pull_function,
    "apply": _apply,
    "task": _task,
    "depend": _depend,
    "reset": _reset,
    "keys": _keys,
    "set_properties": _set_properties,
    "get_properties": _get_properties,
    "has_properties": _has_properties,
    "del_properties": _del_properties,
    "clear_properties": _clear_properties,
    "debug": _debug,
}
