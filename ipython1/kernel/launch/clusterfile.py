"""Cluster files: which hosts have how many engines, and where the controller is.

They are written in the form of Python, and are read, not run: names are assigned literals, or calls of ``dict`` with
literals::

    controller = dict(host='myhost')
    engines = {'node1': 2, 'me@node2.example.org': 4}
    send_furl = True
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ipython1.kernel.error import ConfigError
from ipython1.kernel.launch.ssh_command import check_host
from ipython1.kernel.launch.values import Share

_ONE_PORT = "one port serves engines and clients: say port=... instead"
CONTROLLER_KEYS = ("host", "port", "interface", "location")
GONE_KEYS = {"engine_port": _ONE_PORT, "control_port": _ONE_PORT}
NO_SCRIPT = (
    "there is no helper script any more: say --python, and name a script that sets up what is needed and ends with"
    ' exec python3 "$@"'
)
GONE = {"sshx": NO_SCRIPT}


@dataclass(frozen=True)
class ClusterFile:
    """What a cluster file says.

    `shares` has each host once.  `controller_host` is '' for this host, and `controller` has options of ipcontroller.
    `send_furl` is None where nothing is said about it.
    """

    shares: tuple[Share, ...]
    controller_host: str = ""
    controller: tuple[str, ...] = ()
    send_furl: bool | None = None


@dataclass(frozen=True)
class _Value:
    """A value, and the line where it stands; dicts have pairs of these."""

    line: int
    plain: Any = None
    pairs: tuple[tuple[_Value, _Value], ...] | None = None


@dataclass
class _Reader:
    name: str
    _found: dict[str, _Value] = field(default_factory=dict)

    def wrong(self, line: int, text: str) -> ConfigError:
        return ConfigError(f"{self.name}, line {line}: {text}")

    def read(self, text: str) -> dict[str, _Value]:
        """What is assigned to which name."""
        try:
            tree = ast.parse(text, self.name)
        except (SyntaxError, ValueError) as problem:
            line = getattr(problem, "lineno", None) or 1
            raise self.wrong(line, f"{getattr(problem, 'msg', problem)}: this is no Python") from None
        except (RecursionError, MemoryError):
            raise self.wrong(1, "nested too deeply") from None
        found: dict[str, _Value] = {}
        for statement in tree.body:
            name, value = self._assignment(statement)
            if name in found:
                raise self.wrong(statement.lineno, f"{name} has a value already, in line {found[name].line}")
            found[name] = self._value(value)
        return found

    def _assignment(self, statement: ast.stmt) -> tuple[str, ast.expr]:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                return target.id, statement.value
        raise self.wrong(
            statement.lineno,
            "only assignments such as engines = {'node1': 2} can stand here; cluster files are read and not run",
        )

    def _value(self, node: ast.expr) -> _Value:
        if isinstance(node, ast.Dict):
            pairs = []
            for key, value in zip(node.keys, node.values):
                if key is None:
                    raise self.wrong(value.lineno, "** cannot be used here")
                pairs.append((self._value(key), self._value(value)))
            return _Value(node.lineno, pairs=tuple(pairs))
        if _is_dict_call(node):
            return _Value(node.lineno, pairs=tuple(self._keywords(node)))
        try:
            return _Value(node.lineno, ast.literal_eval(node))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise self.wrong(
                node.lineno,
                f"{ast.unparse(node):.60} is no plain value: numbers, 'text', True, False, None and dicts of these"
                " are understood",
            ) from None

    def _keywords(self, node: ast.Call) -> Iterator[tuple[_Value, _Value]]:
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.wrong(keyword.value.lineno, "** cannot be used here")
            yield _Value(keyword.lineno, keyword.arg), self._value(keyword.value)


def _is_dict_call(node: ast.expr) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
    )


def parse_cluster_file(text: str, name: str) -> ClusterFile:
    """What `text` says; `name` is that of the file.  ConfigError, with file and line, if it is wrong."""
    reader = _Reader(name)
    found = reader.read(text)
    known = ("engines", "controller", "send_furl")
    for key, value in found.items():
        if key in GONE:
            raise reader.wrong(value.line, f"{key}: {GONE[key]}")
        if key not in known:
            raise reader.wrong(value.line, f"{key} is unknown: expected are {', '.join(known)}")
    if "engines" not in found:
        raise reader.wrong(1, "engines is missing: say how many each host has, engines = {'node1': 2}")
    host, options = _controller(reader, found.get("controller"))
    return ClusterFile(_shares(reader, found["engines"]), host, options, _send_furl(reader, found.get("send_furl")))


def _shares(reader: _Reader, engines: _Value) -> tuple[Share, ...]:
    if engines.pairs is None:
        raise reader.wrong(engines.line, f"engines must be a dict, such as {{'node1': 2}}, not {engines.plain!r:.40}")
    if not engines.pairs:
        raise reader.wrong(engines.line, "engines names no host")
    counted: dict[str, int] = {}
    for key, value in engines.pairs:
        host, number = _host(reader, key), value.plain
        if type(number) is not int or number < 1:
            shown = "a dict" if value.pairs is not None else repr(number)
            raise reader.wrong(value.line, f"{host}: {shown:.40} is no number of engines: at least 1 is needed")
        # A host that is named twice has the engines of both places.
        counted[host] = counted.get(host, 0) + number
    return tuple(Share(host, number) for host, number in counted.items())


def _host(reader: _Reader, value: _Value) -> str:
    if not isinstance(value.plain, str):
        raise reader.wrong(value.line, f"a host must be text, such as 'node1', not {value.plain!r:.40}")
    try:
        return this_host(check_host(value.plain))
    except ConfigError as problem:
        raise reader.wrong(value.line, str(problem)) from None


def this_host(host: str) -> str:
    """'' for ``localhost``, where nothing has to be logged in to; else `host`."""
    return "" if host == "localhost" else host


def _controller(reader: _Reader, controller: _Value | None) -> tuple[str, tuple[str, ...]]:
    if controller is None:
        return "", ()
    if controller.pairs is None:
        raise reader.wrong(controller.line, "controller must be a dict, such as dict(host='myhost')")
    host = ""
    options: list[str] = []
    for key, value in controller.pairs:
        _check_controller(reader, key, value)
        if value.plain is None:
            continue  # as if it were not there
        if key.plain == "host":
            host = _host(reader, value)
        else:
            options.append(f"--{key.plain}={value.plain}")
    return host, tuple(options)


def _check_controller(reader: _Reader, key: _Value, value: _Value) -> None:
    if key.plain in GONE_KEYS and value.plain is not None:
        raise reader.wrong(key.line, f"{key.plain}: {GONE_KEYS[key.plain]}")
    if key.plain not in CONTROLLER_KEYS and key.plain not in GONE_KEYS:
        raise reader.wrong(key.line, f"{key.plain!r} is unknown: expected are {', '.join(CONTROLLER_KEYS)}")
    expected: Mapping[str, type] = {"port": int}
    kind = expected.get(key.plain, str)
    if value.plain is not None and type(value.plain) is not kind or value.pairs is not None:
        what = "a number" if kind is int else "text"
        raise reader.wrong(value.line, f"{key.plain} must be {what}")


def _send_furl(reader: _Reader, value: _Value | None) -> bool | None:
    if value is None:
        return None
    if not isinstance(value.plain, bool):
        raise reader.wrong(value.line, "send_furl must be True or False")
    return value.plain
