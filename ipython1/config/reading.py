"""Settings from files and from the environment; whatever is wrong there is a ConfigError that names the place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipython1.config.kinds import Words
from ipython1.config.setting import ENVIRONMENT, Found, Setting, Table
from ipython1.kernel.error import ConfigError

_SECTION = re.compile(r"\s*(\[+)\s*([\"']?)([^\[\]]*?)\2\s*\]")
_KEY = re.compile(r"\s*([\"']?)([^\"'#=]+?)\1\s*=")

Values = dict[Setting[Any], Found[Any]]


def read_file(path: Path, table: Table) -> Values:
    """What a file sets; nothing if there is no such file.

    Raises ConfigError, with a line of text for everything that is wrong with the file.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as problem:
        raise ConfigError(f"cannot read {path}: {problem.strerror}") from None
    return _File(path, table, _decoded(content, path)).read()


def _decoded(content: bytes, path: Path) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise ConfigError(f"{path}, line {line}: this is no text in UTF-8") from None
    return text.replace("\r\n", "\n").split("\n")


class _File:
    """A file that is being read."""

    def __init__(self, path: Path, table: Table, lines: list[str]) -> None:
        self._path = path
        self._table = table
        self._lines = lines
        self._numbers = _line_numbers(lines)
        self._problems: list[str] = []

    def read(self) -> Values:
        found: Values = {}
        for section, entries in self._parsed().items():
            if isinstance(entries, Mapping):
                found.update(self._section(section, entries))
            else:
                self._complain(
                    (section, ""), "a setting stands before the first section, such as [controller]"
                )
        if self._problems:
            raise ConfigError("\n".join(self._problems))
        return found

    def _parsed(self) -> Mapping[str, Any]:
        # Here, since it takes a while, and most have no such file.
        from configobj import ConfigObj, ConfigObjError

        try:
            # Interpolation would make something special of each % in a value.
            parsed: Mapping[str, Any] = ConfigObj(self._lines, interpolation=False)
        except ConfigObjError as problem:
            errors = getattr(problem, "errors", None) or [problem]
            raise ConfigError("\n".join(self._syntax(error) for error in errors)) from None
        return parsed

    def _syntax(self, error: Any) -> str:
        number = error.line_number
        if type(error).__name__ == "DuplicateError":
            wrong = "this section or setting stands here for the second time"
        else:
            wrong = "a section in brackets, a setting 'key = value' or a comment was expected"
        return f"{self._path}, line {number}: {wrong}: {self._lines[number - 1].strip()!r:.80}"

    def _section(self, section: str, entries: Mapping[str, Any]) -> Values:
        try:
            self._table.find_section(section)
        except KeyError as problem:
            self._complain((section, ""), problem.args[0])
            return {}
        found: Values = {}
        for key, value in entries.items():
            try:
                setting = self._table.find(section, key)
            except KeyError as problem:
                self._complain((section, key), problem.args[0])
                continue
            try:
                found[setting] = Found(setting.read(_text(setting, value)), self._where(section, key))
            except ValueError as problem:
                self._complain((section, key), f"{setting.name}: {problem}")
        return found

    def _where(self, section: str, key: str) -> str:
        number = self._numbers.get((section, key))
        return str(self._path) if number is None else f"{self._path}, line {number}"

    def _complain(self, place: tuple[str, str], problem: str) -> None:
        self._problems.append(f"{self._where(*place)}: {problem}")


def _text(setting: Setting[Any], value: Any) -> str:
    """The text of a value as ConfigObj gives it: text, a list where there are commas outside of quotes, or a section."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        raise ValueError("this is a setting, not a section")
    if not isinstance(setting.kind, Words):
        raise ValueError("a value that has commas must be put in quotes")
    return ",".join(value)


def _line_numbers(lines: list[str]) -> dict[tuple[str, str], int]:
    """In which line each section ('' as its key) and each of its settings stands: ConfigObj does not tell.

    Those before the first section have ('', key), and stand under (key, '') too, as ConfigObj has them.
    """
    section = ""
    numbers: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, 1):
        if match := _SECTION.match(line):
            name = match[3]
            if match[1] == "[":
                section = name
            numbers.setdefault((section, "" if match[1] == "[" else name), number)
        elif match := _KEY.match(line):
            numbers.setdefault((section, match[2]) if section else (match[2], ""), number)
    return numbers


def read_environment(environment: Mapping[str, str], table: Table) -> Values:
    """What environment variables set; those that are empty set nothing.

    Raises ConfigError for one that is called like a section's and sets no setting, and for a value that is wrong.
    """
    found: Values = {}
    names = {setting.variable: setting for setting in table}
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT) or not text:
            continue
        if name in names:
            origin = f"environment variable {name}"
            try:
                found[names[name]] = Found(names[name].read(text), origin)
            except ValueError as problem:
                raise ConfigError(f"{origin}: {problem}") from None
        else:
            _check_foreign(name, table)
    return found


def _check_foreign(name: str, table: Table) -> None:
    section, _, key = name.removeprefix(ENVIRONMENT).lower().partition("_")
    if section in table.sections and key:
        try:
            table.find(section, key)
        except KeyError as problem:
            raise ConfigError(f"environment variable {name}: {problem.args[0]}") from None
