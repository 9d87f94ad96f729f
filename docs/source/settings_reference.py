"""The directive ``settings``: all settings of a table, as a part of a page.

``.. settings:: ipython1.kernel.config.settings:KERNEL``
"""

import re
from importlib import import_module

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.util.nodes import nested_parse_with_titles

from ipython1.config.writing import facts


class Settings(Directive):
    """Each section of the table becomes one of the page."""

    required_arguments = 1

    def run(self):
        module, _, name = self.arguments[0].partition(":")
        table = getattr(import_module(module), name)
        source = f"{module}.{name}"
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(list(lines(table)), source=source), node)
        return node.children


def lines(table):
    """The table as reST."""
    for section in table.sections.values():
        title = f"[{section.name}]"
        yield from (title, "-" * len(title), "", section.doc, "")
        for setting in section.settings.values():
            yield f"``{setting.key}``"
            about = (escaped(setting.doc), "", f"{escaped(facts(setting))} {others(setting)}")
            yield from (f"    {line}" for line in (*about, ""))


def escaped(text):
    """Text with the options in it in literal type: their hyphens are no dashes."""
    return re.sub(r"(?<!\S)--[\w-]+", r"``\g<0>``", text)


def others(setting):
    """By what else it is set, in literal type."""
    options = " or ".join(f"``{option}``" for option in setting.option)
    return f"Environment: ``{setting.variable}``." + (f" Option: {options}." if options else "")


def setup(app):
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True}
