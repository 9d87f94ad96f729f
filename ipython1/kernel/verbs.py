"""The table of verbs: what may be asked of engines and of the controller, with which arguments.

A verb is described here once.  Clients, controller and agents read from this table where it goes and what its
arguments must look like; what an engine does for it is written in `ipython1.core`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Route(Enum):
    """Where a verb is carried out."""

    QUEUE = "queue"  # by the interpreter, through the engine's queue, in order
    AGENT = "agent"  # by the host agent, at once, whatever the interpreter does
    WAITING = "waiting"  # by the controller, on each target's queue, at once
    CONTROLLER = "controller"  # by the controller; it has no targets


@dataclass(frozen=True)
class Verb:
    """A verb's name, its route, the types of its arguments, and how many values or documents come with it.

    `args` maps each argument to its types; an argument whose types include NoneType, or object, or which is one of the
    `optional`, may be left out.  `values` is whether serialized values travel with it (described by the field ``values``), and `bodies`, for
    the others, the exact number of bodies (None: the interface looks at them).  `interface` is the role of the clients that may ask for it; empty, it
    is the controller itself that asks engines for it.  `yields` is whether, in an engine's queue, it lets all others go
    before it that have not begun.  `prints` is whether what an engine writes meanwhile is part of the outcome.
    """

    name: str
    route: Route
    args: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    values: bool = False
    bodies: int | None = 0
    interface: str = "multiengine"
    yields: bool = False
    optional: frozenset[str] = frozenset()
    prints: bool = False

    def check(self, args: Any) -> str | None:
        """What is wrong with `args`, in words; None if nothing is."""
        if not isinstance(args, dict):
            return f"the arguments of {self.name} are no dictionary"
        for name in args:
            if name not in self.args:
                return f"{self.name} has no argument {name!r:.50}"
        for name, types in self.args.items():
            if name not in args and name in self.optional:
                continue
            # bool is an int to isinstance, and never what an int argument means
            value = args.get(name)
            if object in types:
                continue
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                wanted = " or ".join("None" if kind is NoneType else kind.__name__ for kind in types)
                return f"argument {name} of {self.name} is {type(value).__name__}, not {wanted}"
        return None


NoneType = type(None)

_TASK_ARGS: Mapping[str, tuple[type, ...]] = {
    "kind": (str,),
    "push": (list,),
    "pull": (list,),
    "clear_before": (bool,),
    "clear_after": (bool,),
    "results": (list, NoneType),
    "function": (list, NoneType),
}
_OUTPUT_ARGS: Mapping[str, tuple[type, ...]] = {
    "task": (int,),
    "attempt": (int,),
    "stdout": (int,),
    "stderr": (int,),
}

_TABLE = (
    Verb("execute", Route.QUEUE, bodies=1, prints=True),
    Verb("push", Route.QUEUE, {"names": (list,)}, values=True),
    Verb("pull", Route.QUEUE, {"names": (list,)}),
    Verb("push_function", Route.QUEUE, {"names": (list,)}, values=True),
    Verb("pull_function", Route.QUEUE, {"names": (list,)}),
    Verb("apply", Route.QUEUE, values=True, prints=True),
    Verb("reset", Route.QUEUE),
    Verb("keys", Route.QUEUE),
    Verb("set_properties", Route.QUEUE, bodies=1),
    Verb("get_properties", Route.QUEUE, {"keys": (list, NoneType)}),
    Verb("has_properties", Route.QUEUE, {"keys": (list,)}),
    Verb("del_properties", Route.QUEUE, {"keys": (list,)}),
    Verb("clear_properties", Route.QUEUE),
    # A task of one kind or the other: "string" with its source and what is pushed, "map" with a function and its
    # arguments. `results` are the other tasks whose results it takes, each with the names of its values, which come
    # before all others (None: it has one, without a name). `function` is the digest of the function of a map, and
    # whether it is among the values; if not, the interpreter has it. `depend` asks whether the engine's properties
    # satisfy a function.
    Verb("task", Route.QUEUE, _TASK_ARGS, values=True, interface="", yields=True, prints=True),
    Verb("depend", Route.QUEUE, values=True, interface="", yields=True),
    # A line for the debugger that looks at the latest exception; `action` is "open", "line" or "close", `session` is whose
    # debugger it is, `theme` the colours that it is to have.
    Verb("debug", Route.QUEUE, {"action": (str,), "line": (str,), "session": (str,), "theme": (str,)}),
    Verb("get_result", Route.AGENT, {"number": (int, NoneType)}),
    # What the command `only` (the `index`-th of its call, if there are several on the engine) has written from these
    # offsets on: answered when there is something, or with None when the command is over.
    Verb("output", Route.AGENT, {"only": (list,), "index": (int, NoneType), "stdout": (int,), "stderr": (int,)}),
    # `only`, a command id: if that is what runs. It is answered after `within` seconds if that goes on.
    Verb("interrupt", Route.AGENT, {"only": (list, NoneType), "within": (float, NoneType)}),
    Verb("signal", Route.AGENT, {"signal": (int,), "only": (list, NoneType)}),
    Verb("restart", Route.AGENT),
    Verb("kill", Route.AGENT),
    Verb("clear_queue", Route.WAITING),
    Verb("queue_status", Route.WAITING),
    Verb("get_ids", Route.CONTROLLER),
    # The processes that look after engines: `[host, boot id, namespace, pid, created, ids of the engines]` of each.
    Verb("engine_hosts", Route.CONTROLLER),
    # Whether the agent sees this memory of the client's; its answer is memory of its own, None if it does not.
    Verb("meet", Route.AGENT, {"memory": (dict,)}),
    Verb("kill_controller", Route.CONTROLLER),
    Verb("get_pending", Route.CONTROLLER, {"result_id": (str,), "block": (bool,)}),
    Verb("clear_pending", Route.CONTROLLER),
    Verb("command_history", Route.CONTROLLER, {"query": (dict,), "own": (bool,)}),
    Verb("lease_tasks", Route.CONTROLLER, {"count": (int,)}, interface="task"),
    # The function of later submissions, which name it by its digest; functions to `drop` are not named any more.
    Verb("keep_function", Route.CONTROLLER, {"digest": (str,), "drop": (list,)}, values=True, interface="task"),
    # Several tasks, as `ipython1.kernel.together` says; its answer is those that were refused, and it has an error
    # document and a pickled exception for each.
    Verb("submit", Route.CONTROLLER, {"tasks": (list,), "forms": (int,)}, bodies=None, interface="task"),
    Verb("task_result", Route.CONTROLLER, {"task": (int,), "block": (bool,)}, interface="task"),
    # What an attempt of a task has written from these offsets on; of a later attempt, from its beginning. None: it has ended.
    Verb("task_output", Route.CONTROLLER, _OUTPUT_ARGS, interface="task"),
    # As ``task_result`` that waits, but of what came only what was printed; None if there is no such task.
    Verb("task_printed", Route.CONTROLLER, {"task": (int,)}, interface="task"),
    Verb("wait_tasks", Route.CONTROLLER, {"tasks": (list,)}, interface="task"),
    # For a session that has come back: ``task_done`` of those that have ended is sent again, and that of the others will
    # be sent; its answer is which of them are unknown.
    Verb("watch_tasks", Route.CONTROLLER, {"tasks": (list,)}, interface="task"),
    # A new task, of that id, with the content of an earlier one.
    Verb("resubmit", Route.CONTROLLER, {"task": (int,), "of": (int,)}, interface="task"),
    # What can be asked is described in `ipython1.kernel.history`; `own`: of sessions of the client's own name.
    Verb("task_history", Route.CONTROLLER, {"query": (dict,), "own": (bool,)}, interface="task"),
    Verb("abort_task", Route.CONTROLLER, {"task": (int,)}, interface="task"),
    Verb("task_status", Route.CONTROLLER, {"verbose": (bool,)}, interface="task"),
    Verb("count_engines", Route.CONTROLLER, interface="task"),
    Verb("spin", Route.CONTROLLER, interface="task"),
    Verb("clear_tasks", Route.CONTROLLER, {"tasks": (list, NoneType)}, interface="task"),
    Verb("why", Route.CONTROLLER, {"task": (int,)}, interface="task"),
)

VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _TABLE}


def verbs_of(interface: str) -> Mapping[str, Verb]:
    """Those that clients of one of our own interfaces may ask for; those of others bring a table of their own."""
    return {verb.name: verb for verb in _TABLE if verb.interface == interface}
