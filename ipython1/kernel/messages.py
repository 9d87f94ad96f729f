"""The kinds of message on each link, and the check that each goes through on arrival.

Three links carry messages: client to controller, controller to agent (both sessions, see
`ipython1.kernel.link`), and agent to interpreter (a socket pair, see `ipython1.core.process`).

A *command id* is ``[session, number]``: the session id of the client where the command was born and a number
that counts up there.  It is carried unchanged to the agent.  A *generation* counts the interpreters that an engine
has had; what is meant for one never reaches its successor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipython1.kernel.verbs import Verb

PROTOCOL = 5
"""The number of the protocol: both ends of a session must speak the same."""

Types = tuple[type, ...]
NoneType = type(None)
CommandId = tuple[str, int]

# A field whose types include NoneType may be left out.
FROM_CLIENT: Mapping[str, Mapping[str, Types]] = {
    # One call. `targets` is "all", a list of engine ids, or {"slice": [start, stop, step]}; `label` is a short text
    # such as execute('a=5') that people are shown; `hold` is the result id of a two-phase call, whose outcome
    # stays in the controller until it is fetched; `again`: it was sent to this controller, or to one before it on the
    # same store, and not answered. `memory` is where those bodies lie that are empty here, for agents that see it (see
    # `ipython1.kernel.shared_memory`); `answer_in` are a size, and agents by their nonces: larger outcomes these may
    # leave in memory, too.
    "command": {
        "id": (list,),
        "verb": (str,),
        "args": (dict,),
        "targets": (str, list, dict, NoneType),
        "label": (str,),
        "hold": (str, NoneType),
        "again": (bool, NoneType),
        "values": (list, NoneType),
        "memory": (dict, NoneType),
        "answer_in": (list, NoneType),
    },
    # The memory in which the outcome of command `id` at the target of that `index` lay is not needed any more.
    "taken": {"id": (list,), "index": (int,)},
}

TO_CLIENT: Mapping[str, Mapping[str, Types]] = {
    # The outcome of a command at one target (`index` of `of`, engine id `engine`), or of the call as a whole
    # (`index` None): then `of` is how many replies there were before it, and there are no more.
    # ok: `values` describes the bodies, or `result` is the plain outcome of a controller verb.
    # not ok: the bodies are an error document and a pickled exception (which may be empty).
    # `output`: after these come so many more bodies, 2 or 3: what was written to stdout and to stderr, and a document with
    # what was displayed.  `took`: seconds that the engine worked for it.
    "reply": {
        "id": (list,),
        "ok": (bool,),
        "engine": (int, NoneType),
        "index": (int, NoneType),
        "of": (int, NoneType),
        "number": (int, NoneType),
        "values": (list, NoneType),
        "result": (object,),
        "output": (int, NoneType),
        "took": (float, NoneType),
        "memory": (dict, NoneType),
    },
    # Tasks that this session submitted have ended; of each {task, ok, record, values, number, output, bodies}, and as many
    # bodies. `record`: {task, engine, submitted, started, completed, attempts, kind}. ok: `values` describes the bodies,
    # `number` is that of its execution. Not ok, and `output`: as in a reply. See `ipython1.kernel.together`.
    "tasks_done": {"tasks": (list,)},
    # What ``engine_hosts`` answered is not true any more; said once.
    "hosts_changed": {},
    # A message of ours was malformed; `id` is its command id where that could be read.
    "refused": {"id": (list, NoneType), "error": (str,)},
}

TO_AGENT: Mapping[str, Mapping[str, Types]] = {
    # The agent's `place`-th interpreter is engine `engine` from now on; or `error` says why it is not.
    "registered": {"place": (int,), "engine": (int, NoneType), "error": (str, NoneType)},
    # `failures`: how many commands of this client had failed on this engine when this one was submitted. The
    # agent drops a command that was submitted before its client could know of the latest failure.
    # `index`: the place of the engine among the targets. A call may name an engine twice; with its id, the index
    # tells these commands apart, and a repeat of either from both. `among`: the engines that "all", or a slice, meant
    # when the client asked, as runs (see `ipython1.kernel.runs`); the agent tells it to a controller that did not know.
    "command": {
        "id": (list,),
        "engine": (int,),
        "generation": (int,),
        "verb": (str,),
        "args": (dict,),
        "label": (str,),
        "failures": (int, NoneType),
        "index": (int, NoneType),
        "among": (list, NoneType),
        "values": (list, NoneType),
        "memory": (dict, NoneType),
        "answer_in": (list, NoneType),
    },
    # Open this memory: so many commands will come whose bodies lie in it.
    "memory": {"memory": (dict,), "uses": (int,)},
    # So many of them will not come.
    "unused": {"nonce": (bytes,), "uses": (int,)},
    # The outcome that lay in this memory was taken out of it.
    "taken": {"nonce": (bytes,)},
    # Which of these processes, [pid, when it was created], are not on the agent's host any more?
    "look": {"processes": (list,)},
    # Give back those of these commands that have not started.
    "cancel": {"engine": (int,), "ids": (list,)},
}

FROM_AGENT: Mapping[str, Mapping[str, Types]] = {
    # An interpreter is ready and wants to be an engine, under the id `wanted` if that is free. `commands` are what an
    # earlier controller asked for: those that were answered, of which it may not have heard, the one that runs, and
    # those that wait; each is [id, index, whether it has begun, verb, label, among].
    "register": {
        "place": (int,),
        "wanted": (int, NoneType),
        "generation": (int,),
        "pid": (int,),
        "properties": (dict,),
        "commands": (list, NoneType),
    },
    "started": {"id": (list,), "engine": (int,)},
    # The outcome of a command. `began`: it has begun, too, and that was not said before. `number` is set for execute. Bodies as for the client's reply; those of a
    # successful execute or get_result are result document, stdout and stderr; others have `output` if there is any.
    "reply": {
        "id": (list,),
        "engine": (int,),
        "ok": (bool,),
        "began": (bool, NoneType),
        "number": (int, NoneType),
        "values": (list, NoneType),
        "result": (object,),
        "output": (int, NoneType),
        "took": (float, NoneType),
        "memory": (dict, NoneType),
    },
    # The command had not started and will not: it was cancelled.
    "returned": {"id": (list,), "engine": (int,)},
    "properties": {"engine": (int,), "properties": (dict,)},
    # The interpreter ended (`reason` says how) and is being replaced; what waits for it is lost.
    "died": {"engine": (int,), "generation": (int,), "reason": (str,)},
    # The successor is ready: commands for `generation` may come.
    "restarted": {"engine": (int,), "generation": (int,), "pid": (int,)},
    # These processes, of which the controller has asked, are not there any more.
    "ended": {"processes": (list,)},
    # The engine is gone for good.
    "gone": {"engine": (int,), "reason": (str,)},
}

# Of the links themselves (see ipython1.kernel.link); never seen by what is above them.
OF_LINK: Mapping[str, Mapping[str, Types]] = {
    # A stream is coming that `uses` later messages will refer to.
    "stream": {"number": (int,), "size": (int,), "uses": (int,)},
    # So many of the uses will not come.
    "release": {"number": (int,), "uses": (int,)},
    # The rest of a stream will not come.
    "abort_stream": {"number": (int,), "reason": (str,)},
}

TO_LINK: Mapping[str, Mapping[str, Types]] = {"abort_stream": OF_LINK["abort_stream"]}
"""Those that a controller takes: streams are announced by whoever passes them on, and nobody passes on to it."""


def check(kind: str, fields: dict[str, Any], allowed: Mapping[str, Mapping[str, Types]]) -> str | None:
    """What is wrong with a message that arrived, in words; None if nothing is."""
    described = allowed.get(kind)
    if described is None:
        return f"unknown kind of message {kind!r:.50}"
    if not fields.keys() <= described.keys():
        unknown = next(name for name in fields if name not in described)
        return f"a {kind} message has no field {unknown!r:.50}"
    for name, types in described.items():
        # What comes is of these very types, and not of subclasses; so a bool is no number.
        if type(fields.get(name)) not in types and object not in types:
            return f"field {name} of a {kind} message is {type(fields.get(name)).__name__}"
    if "id" in described and fields.get("id") is not None and not is_command_id(fields["id"]):
        return f"the id of a {kind} message is no command id"
    return None


def check_command(fields: dict[str, Any], bodies: int, verbs: Mapping[str, Verb]) -> str | None:
    """What is wrong with the verb, the arguments or the number of bodies of a command; None if nothing is.

    `verbs` are those of the interface that it is for.
    """
    verb = verbs.get(fields["verb"])
    if verb is None:
        return f"unknown verb {fields['verb']!r:.50}"
    problem = verb.check(fields["args"])
    if problem:
        return problem
    if not verb.values:
        return None if bodies == verb.bodies or verb.bodies is None else f"{verb.name} came with {bodies} bodies, not {verb.bodies}"
    return check_values(fields.get("values"), bodies)


def check_values(values: Any, bodies: int) -> str | None:
    """What is wrong with the description of the serialized values in `bodies` bodies; None if nothing is."""
    if not isinstance(values, list):
        return "the serialized values are not described"
    total = 0
    for value in values:
        if not (isinstance(value, list) and len(value) == 3):
            return "a serialized value is not described by count, type and metadata"
        count, descriptor, metadata = value
        if type(count) is not int or count < 1 or not isinstance(descriptor, str) or not isinstance(metadata, dict):
            return "a serialized value is described by the wrong types"
        total += count
    return None if total == bodies else f"the serialized values have {total} segments, {bodies} came"


def without_output(fields: Mapping[str, Any], bodies: Sequence[Any]) -> Sequence[Any]:
    """The bodies of a reply, but for those that are what was printed."""
    return bodies[: -fields["output"]] if fields.get("output") else bodies


def output(fields: Mapping[str, Any], bodies: Sequence[Any]) -> tuple[Any, Any]:
    """What was written to stdout and stderr, according to the reply to a command that runs code."""
    # With a result document they come always.
    executed = fields["ok"] and fields.get("values") is None and len(bodies) == 3
    told = fields.get("output") or (2 if executed else 0)
    return (bodies[-told], bodies[1 - told]) if told else (b"", b"")


def is_command_id(value: Any) -> bool:
    """Whether `value` is ``[session, number]``."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and 0 < len(value[0]) <= 64
        and type(value[1]) is int
        and value[1] >= 0
    )
