"""Settings, and what they are set to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ipython1.config.kinds import Kind

T = TypeVar("T")

DEFAULT = "default"
"""The origin of a value that nobody has set."""
ENVIRONMENT = "IPYTHON1_"
"""What the names of environment variables begin with."""


@dataclass(frozen=True, eq=False)
class Setting(Generic[T]):
    """Something that can be set: in a file ``key`` in a section, in the environment, by options of commands.

    `doc` says in a sentence or two what it does; it is shown in files, in the help of commands and in the
    documentation.  `unit` is that of the value, such as 'seconds'.  `option` has the options of commands that set it,
    such as ``('-n', '--num')``; the last one is the one that is shown.
    """

    section: str
    key: str
    kind: Kind[T]
    default: T
    doc: str
    unit: str = ""
    option: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The whole name, ``section.key``."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{ENVIRONMENT}{self.section}_{self.key}".upper()

    def read(self, text: str) -> T:
        """The value that `text` means; else ValueError, with a text that says what was expected."""
        value = self.kind.read(text.strip())
        if value is None:
            what = f"{self.kind.name} of {self.unit}" if self.unit else self.kind.name
            expected = f": {self.kind.expected}" if self.kind.expected else ""
            raise ValueError(f"{text!r:.80} is no {what}{expected}")
        return value

    def text(self, value: T) -> str:
        """A value of it as text."""
        return self.kind.write(value)


@dataclass(frozen=True)
class Section:
    """Some settings that belong together."""

    name: str
    doc: str
    settings: dict[str, Setting[Any]] = field(default_factory=dict)

    def setting(
        self,
        key: str,
        kind: Kind[T],
        default: T,
        doc: str,
        *,
        unit: str = "",
        option: tuple[str, ...] = (),
    ) -> Setting[T]:
        """Add a setting."""
        setting = Setting(self.name, key, kind, default, doc, unit, option)
        self.settings[key] = setting
        return setting


class Table:
    """All settings of a subpackage, which are kept in the file `name`.ini."""

    def __init__(self, name: str, doc: str) -> None:
        self.name = name
        self.doc = doc
        self.sections: dict[str, Section] = {}

    @property
    def file_name(self) -> str:
        """The name of the file."""
        return f"{self.name}.ini"

    def section(self, name: str, doc: str) -> Section:
        """Add a section."""
        section = self.sections[name] = Section(name, doc)
        return section

    def __iter__(self) -> Iterator[Setting[Any]]:
        for section in self.sections.values():
            yield from section.settings.values()

    def find(self, section: str, key: str) -> Setting[Any]:
        """The setting of that name; else KeyError, with a text that says which one may have been meant."""
        found = self.find_section(section).settings
        if key in found:
            return found[key]
        for other in self.sections.values():
            if key in other.settings:
                raise KeyError(f"there is no setting {key!r} in [{section}]; it is one of [{other.name}]")
        raise KeyError(f"there is no setting {key!r} in [{section}]{_instead(key, found)}")

    def find_section(self, name: str) -> Section:
        """The section of that name; else KeyError, with a text that says which one may have been meant."""
        if name not in self.sections:
            raise KeyError(f"there is no section [{name}]{_instead(name, self.sections)}")
        return self.sections[name]


def _instead(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name.lower(), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"


@dataclass(frozen=True)
class Found(Generic[T]):
    """A value of a setting, and where it was found."""

    value: T
    origin: str


class Configuration:
    """What the settings of a table are set to: ``configuration[setting]``."""

    def __init__(self, table: Table, found: Mapping[Setting[Any], Found[Any]]) -> None:
        self.table = table
        self._found = dict(found)

    def __getitem__(self, setting: Setting[T]) -> T:
        found: Found[T] | None = self._found.get(setting)
        return setting.default if found is None else found.value

    def origin(self, setting: Setting[Any]) -> str:
        """Where the value comes from: `DEFAULT`, or the place where it was set."""
        found = self._found.get(setting)
        return DEFAULT if found is None else found.origin

    def with_values(self, found: Mapping[Setting[Any], Found[Any]]) -> Configuration:
        """One in which these values go before those of this one."""
        return Configuration(self.table, {**self._found, **found})
