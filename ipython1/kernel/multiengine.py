"""The verbs of the MultiEngine interface, each written once.

A verb is a generator method without I/O: it yields lists of `Request`, is sent their `Answer`, and returns what the
caller gets.  The asynchronous and the blocking client are derived from this class (`ipython1.kernel.derive`), so that they have the
same methods with the same signatures and docstrings.
"""

from __future__ import annotations

import operator
import os
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any

from ipython1.core.functions import EngineName, map_part
from ipython1.core.remote_names import Reference
from ipython1.core.serialize import Serialized, serialize
from ipython1.core.sources import collect, install
from ipython1.kernel.columns import Columns
from ipython1.kernel.derive import verb
from ipython1.kernel.error import InvalidProperty, NoEnginesRegistered
from ipython1.kernel.framing import pack
from ipython1.kernel.history import History, past
from ipython1.kernel.label import label
from ipython1.kernel.mapping import Scatter, check_distribution, join
from ipython1.kernel.request import Request, Steps, ask, ask_controller
from ipython1.kernel.results import Result, ResultList
from ipython1.kernel.targets import Targets, WireTargets, pick, wire_targets

Names = str | Sequence[str]

STATES = ("pending", "succeeded", "failed")
"""What a command may be in a history."""


class MultiEngine:
    """The verbs.  Where a face has given the defaults, `targets` is never None."""

    # -- running code ----------------------------------------------------------------------------------

    @verb()
    def execute(
        self, lines: str, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[ResultList]:
        """Run source text on the engines: Python, or IPython input such as ``%time f()`` or ``!ls``.

        Gives a `ResultList` with one result dict per target.  The block stops at its first error.
        """
        request = self._execute(lines, targets)
        return ResultList((yield from ask([request], "execute")))

    @verb()
    def run(
        self, filename: str, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[Result]]:
        """Run a file of this machine on the engines; a list with one result dict per target.

        The file is read and checked here: OSError if it cannot be read, SyntaxError if it is no Python.
        """
        path = os.path.expanduser(filename)
        with tokenize.open(path) as file:
            source = file.read()
        if not path.endswith(".ipy"):
            compile(source, path, "exec", dont_inherit=True)
        request = self._execute(source, targets)
        request.label = label("run", filename)
        return (yield from ask([request], "run"))

    def _execute(self, lines: Any, targets: Any) -> Request:
        if not isinstance(lines, str):
            raise TypeError(f"execute takes source text, not {type(lines).__name__}")
        # Text that came through a terminal may hold lone surrogates, which UTF-8 has no place for.
        source = lines.encode("utf-8", "surrogatepass")
        return Request("execute", {}, wire_targets(targets), bodies=[source], label=label("execute", lines))

    @verb()
    def get_result(
        self, i: int | None = None, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[ResultList]:
        """The result of command number `i`, or of the latest, failed ones included, as a `ResultList`.

        IndexError, for each engine that has no such command.
        """
        number = None if i is None else operator.index(i)
        request = Request(
            "get_result", {"number": number}, wire_targets(targets), label=label("get_result", i)
        )
        return ResultList((yield from ask([request], "get_result")))

    # -- moving values -----------------------------------------------------------------------------------

    @verb()
    def push(
        self, namespace: Mapping[str, Any], targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None]]:
        """Send values to the engines, under the names that are the keys of `namespace`.

        A value that is a `Scatter` is divided among them.
        """
        wire = wire_targets(targets)
        names = _checked_names(_checked_namespace(namespace, "push"))
        if any(isinstance(value, Scatter) for value in namespace.values()):
            ids = yield from self._resolve(wire)
            return (yield from ask(_push_parts(namespace, ids), "push"))
        values = [serialize(value, name) for name, value in namespace.items()]
        request = Request("push", {"names": names}, wire, values, label=label("push", namespace))
        return (yield from ask([request], "push"))

    @verb()
    def pull(
        self, keys: Names, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[Any]]:
        """Fetch values from the engines: for each target the value of one name, or a list for several names.

        NameError, for each engine where a name is not defined.
        """
        return (yield from self._pull("pull", keys, targets, Serialized.load))

    @verb(per_engine=False)
    def zip_pull(self, keys: Names, targets: Targets | None = None, block: bool | None = None) -> Steps[Any]:
        """Fetch values, ordered by name: for several names a list of one tuple per name, of the engines' values.

        For one name a list of the engines' values; of a single target its bare value, or list of values.
        """
        pulled = yield from self._pull("pull", keys, targets, Serialized.load, "zip_pull")
        wire = wire_targets(targets)
        if isinstance(wire, list) and len(wire) == 1:
            return pulled[0]
        if len(_name_list(keys)) == 1:
            return pulled
        return list(zip(*pulled, strict=True))

    @verb()
    def push_function(
        self, namespace: Mapping[str, Any], targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None]]:
        """Send functions to the engines, where the engine's namespace becomes their globals.

        Defaults, closures and attributes travel with them.  TypeError, for each engine, if a value is no function.
        """
        names = _checked_names(_checked_namespace(namespace, "push_function"))
        values = [serialize(value, name, by_value=True) for name, value in namespace.items()]
        request = Request(
            "push_function",
            {"names": names},
            wire_targets(targets),
            values,
            label=label("push_function", namespace),
        )
        return (yield from ask([request], "push_function"))

    @verb()
    def pull_function(
        self, keys: Names, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[Any]]:
        """Fetch functions from the engines: for each target one function, or a list for several names.

        Here ``__main__``, which is what was typed at the prompt, becomes their globals.
        """
        return (yield from self._pull("pull_function", keys, targets, Serialized.load))

    @verb()
    def push_serialized(
        self, namespace: Mapping[str, Serialized], targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None]]:
        """Send values that are `Serialized` already to the engines, where they are unserialized."""
        names = _checked_names(_checked_namespace(namespace, "push_serialized"))
        for name, value in namespace.items():
            if not isinstance(value, Serialized):
                raise TypeError(f"the value of {name!r} is {type(value).__name__}, not Serialized")
        values = list(namespace.values())
        request = Request(
            "push", {"names": names}, wire_targets(targets), values, label=label("push_serialized", namespace)
        )
        return (yield from ask([request], "push_serialized"))

    @verb()
    def pull_serialized(
        self, keys: Names, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[Any]]:
        """Fetch values without unserializing them: for each target one `Serialized`, or a list of them."""
        return (yield from self._pull("pull", keys, targets, lambda value: value, "pull_serialized"))

    def _pull(
        self, verb: str, keys: Any, targets: Any, load: Callable[[Serialized], Any], method: str | None = None
    ) -> Steps[list[Any]]:
        names = _name_list(keys)

        def convert(values: list[Serialized]) -> Any:
            loaded = [load(value) for value in values]
            return loaded[0] if len(names) == 1 else loaded

        shown = names[0] if len(names) == 1 else tuple(names)
        request = Request(
            verb, {"names": list(names)}, wire_targets(targets), label=label(method or verb, shown)
        )
        return (yield from ask([request], method or verb, convert))

    @verb()
    def scatter(
        self,
        key: str,
        seq: Any,
        dist: str = "b",
        flatten: bool = False,
        targets: Targets | None = None,
        block: bool | None = None,
    ) -> Steps[list[None]]:
        """Divide a sequence among the engines: each gets one consecutive part of it, under the name `key`.

        The first engines get one item more if need be.  With `flatten`, a part of exactly one item is that item.
        """
        part = Scatter(seq, flatten, dist)
        ids = yield from self._resolve(wire_targets(targets))
        return (yield from ask(_push_parts({key: part}, ids), "scatter"))

    @verb(per_engine=False)
    def gather(
        self, key: str, dist: str = "b", targets: Targets | None = None, block: bool | None = None
    ) -> Steps[Any]:
        """Fetch the parts of a sequence and join them: the reverse of `scatter`.

        Arrays are concatenated; lists and tuples give one list; of anything else there is a list of the parts.
        """
        check_distribution(dist)
        if not isinstance(key, str):
            raise TypeError(f"gather takes one name, not {key!r:.80}")
        parts = yield from self._pull("pull", key, targets, Serialized.load, "gather")
        return join(parts)

    def _resolve(self, wire: WireTargets) -> Steps[list[int]]:
        """The ids of the engines that `wire` means now."""
        if isinstance(wire, list):
            return wire
        ids = yield from ask_controller(Request("get_ids", quick=True))
        if not ids:
            raise NoEnginesRegistered
        return pick(ids, wire)

    # -- functions ---------------------------------------------------------------------------------------

    @verb()
    def _apply(
        self,
        func: Callable[..., Any] | str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        targets: Targets | None = None,
        block: bool | None = None,
    ) -> Steps[list[Any]]:
        """What ``apply(func, *args, **kwargs)`` of the faces is."""
        values = [
            serialize(_function(func), what="the function", carry_code=True),
            serialize((tuple(args), dict(kwargs or {})), what="an argument", carry_code=True),
        ]
        request = Request("apply", {}, wire_targets(targets), values, label=label("apply", func), method="apply")
        return (yield from ask([request], "apply", _load_one))

    @verb()
    def sync_source(
        self, package: str | ModuleType, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[list[str]]]:
        """Send the source of a package or module of this machine to the engines, which import it from there from now on.

        What was loaded of it there is loaded anew, and what their namespaces have of it is replaced: its modules, and
        functions and classes under their own names.  Gives, for each target, the names of the modules that were
        reloaded.  It is the Python files that are sent.  ValueError if it is no package that is made of such.
        """
        name, sources = collect(package)
        values = [serialize(install), serialize(((name, {each: tuple(one) for each, one in sources.items()}), {}))]
        shown = label("sync_source", name)
        request = Request("apply", {}, wire_targets(targets), values, label=shown, method="sync_source")
        return (yield from ask([request], "sync_source", _load_one))

    # -- map ---------------------------------------------------------------------------------------------

    @verb(per_engine=False, iterates=True)
    def map(
        self,
        func: Callable[..., Any] | str,
        *sequences: Iterable[Any],
        targets: Targets | None = None,
        block: bool | None = None,
    ) -> Steps[list[Any]]:
        """Apply `func` to the items of the sequences on the engines: like ``list(map(func, *sequences))``.

        `func` is any callable, or text that names or defines one on the engines.  The sequences are iterables of
        equal length (else ValueError).  Each engine gets one consecutive part; items are not balanced by load.
        """
        return (yield from self._map(func, sequences, "b", targets))

    @verb(per_engine=False, iterates=True)
    def raw_map(
        self,
        func: Callable[..., Any] | str,
        seq: Sequence[Iterable[Any]],
        dist: str = "b",
        targets: Targets | None = None,
        block: bool | None = None,
    ) -> Steps[list[Any]]:
        """Like `map`, with the sequences in a list or tuple, and a choice of how they are divided."""
        if not isinstance(seq, list | tuple):
            raise TypeError(f"raw_map takes a list or tuple of sequences, not {type(seq).__name__}")
        return (yield from self._map(func, seq, dist, targets))

    def _map(
        self, func: Any, sequences: Sequence[Iterable[Any]], dist: str, targets: Any
    ) -> Steps[list[Any]]:
        check_distribution(dist)
        wire = wire_targets(targets)
        if not sequences:
            raise TypeError("map needs a function and at least one sequence")
        func = _function(func)
        items = Columns(sequences)
        ids = yield from self._resolve(wire)
        if len(items) and not ids:
            raise NoEnginesRegistered("there are items to map, and no engine among the targets")
        function = serialize(map_part)
        requests = [
            Request(
                "apply",
                {},
                [engine],
                [function, serialize(((func, part), {}), what="the function or an item", carry_code=True)],
                label=label("map", func),
                method="map",
                joined=True,
            )
            for engine, part in zip(ids, items.divided(len(ids)) if ids else [], strict=True)
            if part
        ]
        parts = yield from ask(requests, "map", _load_one)
        return [item for part in parts for item in part]

    # -- namespaces and queues ---------------------------------------------------------------------------

    @verb()
    def keys(self, targets: Targets | None = None, block: bool | None = None) -> Steps[list[list[str]]]:
        """The names that are defined in the engines' namespaces: a sorted list for each target."""
        return (yield from ask([Request("keys", {}, wire_targets(targets))], "keys"))

    @verb()
    def reset(self, targets: Targets | None = None, block: bool | None = None) -> Steps[list[None]]:
        """Clear the engines' queues, then give them an empty namespace and start their numbering at 1 again."""
        return (yield from ask([Request("reset", {}, wire_targets(targets))], "reset"))

    @verb()
    def clear_queue(self, targets: Targets | None = None, block: bool | None = None) -> Steps[list[None]]:
        """Drop the commands that wait in the engines' queues: they fail with QueueCleared; running ones go on."""
        return (yield from ask([Request("clear_queue", {}, wire_targets(targets))], "clear_queue"))

    @verb()
    def queue_status(
        self, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[tuple[int, dict[str, Any]]]]:
        """What waits and what runs on the engines: ``(id, {'queue': [text, ...], 'pending': text})`` for each.

        `pending` is the running command, or ``'None'``.
        """
        return (yield from ask([Request("queue_status", {}, wire_targets(targets))], "queue_status", tuple))

    @verb(per_engine=False)
    def get_ids(self) -> Steps[list[int]]:
        """The ids of the engines that are registered, in ascending order."""
        return (yield from ask_controller(Request("get_ids", quick=True)))

    @verb(per_engine=False)
    def history(
        self,
        name: str | None = None,
        *,
        session: str | None = None,
        engine: int | None = None,
        state: str | None = None,
        label: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        limit: int | None = 100,
    ) -> Steps[History]:
        """The newest `limit` commands of all clients (None: all), the newest first, each once for every engine.

        It prints as a table; its rows are dictionaries.  The others narrow it: `name` and `session` of who gave the
        command, `engine`, `state` (``'pending'``, ``'succeeded'``, ``'failed'``), `label` (a part of it), `since` and
        `until` (when it was given: a datetime, or seconds since 1970).
        """
        narrow: dict[str, Any] = {"session": session, "engine": engine, "state": state, "label": label}
        return History(
            (yield from past("command_history", limit, STATES, name=name, since=since, until=until, **narrow))
        )

    # -- properties --------------------------------------------------------------------------------------

    @verb()
    def set_properties(
        self, properties: Mapping[str, Any], targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None]]:
        """Set some of the engines' properties: small plain values, by which engines may be told apart."""
        try:
            document = pack(dict(properties))
        except (TypeError, ValueError, OverflowError) as problem:
            raise InvalidProperty(
                f"properties are plain values (None, bool, numbers, str, bytes, lists, dicts): {problem}"
            ) from problem
        request = Request(
            "set_properties",
            {},
            wire_targets(targets),
            bodies=[document],
            label=label("set_properties", properties),
        )
        return (yield from ask([request], "set_properties"))

    @verb()
    def get_properties(
        self, keys: Names | None = None, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[dict[str, Any]]]:
        """A dict of each engine's properties: all, or those named; KeyError, for each engine that lacks one."""
        names = None if keys is None else list(_name_list(keys))
        return (yield from self._properties("get_properties", names, targets))

    @verb()
    def has_properties(
        self, keys: Names, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[list[bool]]]:
        """Whether the engines have properties of these names: for each target a list of bools."""
        return (yield from self._properties("has_properties", list(_name_list(keys)), targets))

    @verb()
    def del_properties(
        self, keys: Names, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None]]:
        """Delete properties of the engines; KeyError, for each engine that lacks one."""
        return (yield from self._properties("del_properties", list(_name_list(keys)), targets))

    @verb()
    def clear_properties(
        self, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None]]:
        """Delete all properties of the engines."""
        return (yield from ask([Request("clear_properties", {}, wire_targets(targets))], "clear_properties"))

    def _properties(self, verb: str, names: list[str] | None, targets: Any) -> Steps[list[Any]]:
        request = Request(verb, {"keys": names}, wire_targets(targets), label=label(verb, names))
        return (yield from ask([request], verb))

    # -- the engines' processes --------------------------------------------------------------------------

    @verb()
    def interrupt(self, targets: Targets | None = None, block: bool | None = None) -> Steps[list[None]]:
        """Raise KeyboardInterrupt in the commands that run now; engines without one are left alone.

        Returns when these have ended, or after a second if code of theirs does not heed it.
        """
        request = Request("interrupt", {}, wire_targets(targets))
        return (yield from ask([request], "interrupt", lambda stopped: None))

    @verb()
    def signal(
        self, signal: int, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None]]:
        """Send a signal (a number or ``signal.SIGUSR1``) to the engines' processes."""
        request = Request(
            "signal",
            {"signal": int(operator.index(signal))},
            wire_targets(targets),
            label=label("signal", int(signal)),
        )
        return (yield from ask([request], "signal"))

    @verb()
    def restart(self, targets: Targets | None = None, block: bool | None = None) -> Steps[list[None]]:
        """End the engines' processes now and start new ones under the same ids, with empty namespaces."""
        return (yield from ask([Request("restart", {}, wire_targets(targets))], "restart"))

    @verb()
    def kill(
        self, controller: bool = False, targets: Targets | None = None, block: bool | None = None
    ) -> Steps[list[None] | None]:
        """End engines for good; with `controller`, all of them and then the controller (gives None)."""
        if controller:
            return (yield from ask_controller(Request("kill_controller")))
        return (yield from ask([Request("kill", {}, wire_targets(targets))], "kill"))


def _function(func: Any) -> Any:
    """A function, or what stands for one of the engine's; TypeError for anything else."""
    if isinstance(func, str):
        return EngineName(func)
    if not callable(func) and not isinstance(func, Reference):
        raise TypeError(f"{func!r:.80} is neither callable nor the name of something that is")
    return func


def _load_one(values: list[Serialized]) -> Any:
    (value,) = values
    return value.load()


def _checked_namespace(namespace: Any, verb: str) -> Mapping[str, Any]:
    if not isinstance(namespace, Mapping):
        raise TypeError(f"{verb} takes a dict of names and values, not {type(namespace).__name__}")
    return namespace


def _checked_names(namespace: Mapping[Any, Any]) -> list[Any]:
    for name in namespace:
        if not isinstance(name, str | int | float | bytes | None):
            raise TypeError(f"{name!r:.80} cannot be the name of a value on the engines")
    return list(namespace)


def _name_list(keys: Any) -> Sequence[str]:
    if isinstance(keys, str):
        return [keys]
    if isinstance(keys, list | tuple) and all(isinstance(key, str) for key in keys):
        return keys
    raise TypeError(f"names are given as text, or as a list or tuple of texts, not as {keys!r:.80}")


def _push_parts(namespace: Mapping[str, Any], ids: Sequence[int]) -> list[Request]:
    """One push per engine; values that are no `Scatter` are the same for all, and serialized once."""
    columns = []
    for name, value in namespace.items():
        if isinstance(value, Scatter):
            columns.append([serialize(part, name) for part in value.parts(len(ids))])
        else:
            columns.append([serialize(value, name)] * len(ids))
    names = list(namespace)
    return [
        Request(
            "push",
            {"names": names},
            [engine],
            [column[place] for column in columns],
            label=label("push", namespace),
        )
        for place, engine in enumerate(ids)
    ]
