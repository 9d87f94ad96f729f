"""Settings as a file, with all that there is to be said about them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from ipython1.config.setting import DEFAULT, Configuration, Section, Setting, Table

WIDTH = 100


def default_file(table: Table) -> str:
    """A file with every setting, each of which is a comment."""
    return file_text(Configuration(table, {}))


def file_text(configuration: Configuration) -> str:
    """A file with every setting; those that have their defaults are comments."""
    table = configuration.table
    lines = [*_comment(f"{table.file_name}: {table.doc}"), "#", *_comment(_HOW)]
    for section in table.sections.values():
        lines += ["", "", *_section(section, configuration)]
    return "\n".join(lines) + "\n"


_HOW = (
    "Every setting stands here with its default, after a #. To change one, remove that # and put another value."
    " What is left as it is follows the defaults of later versions. Environment variables go before this file,"
    " and options of commands go before both."
)


def _section(section: Section, configuration: Configuration) -> Iterator[str]:
    yield f"[{section.name}]"
    yield from _comment(section.doc)
    for setting in section.settings.values():
        yield ""
        yield from _comment(setting.doc)
        yield from _comment(facts(setting))
        yield from _comment(others(setting))
        mark = "#" if configuration.origin(setting) == DEFAULT else ""
        yield mark + entry(setting, configuration[setting])


def facts(setting: Setting[Any]) -> str:
    """What there is to be known for setting it."""
    allowed = f" ({setting.kind.expected})" if setting.kind.expected else ""
    unit = f" Unit: {setting.unit}." if setting.unit else ""
    return f"Type: {setting.kind.name}{allowed}.{unit} Default: {shown(setting, setting.default)}."


def shown(setting: Setting[Any], value: Any) -> str:
    """A value for people: what is empty says so."""
    return setting.text(value) or "empty"


def others(setting: Setting[Any]) -> str:
    """By what else a setting is set."""
    options = " or ".join(setting.option)
    return f"Environment: {setting.variable}." + (f" Option: {options}." if options else "")


def entry(setting: Setting[Any], value: Any) -> str:
    """The line of a file that sets a setting."""
    from configobj import ConfigObj

    # What needs quotes, and which, is for that one to say who reads it.
    (line,) = ConfigObj({setting.key: setting.text(value)}, interpolation=False, list_values=True).write()
    return str(line)


def _comment(text: str) -> Iterable[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
