"""``ipcluster config``: what the settings are, and where their values come from."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ipython1.config.setting import DEFAULT, Configuration, Setting
from ipython1.config.writing import shown
from ipython1.kernel.config import config_manager
from ipython1.kernel.places import Places
from ipython1.kernel.scripts.ipcluster_common import FINE, Subcommand, show
from ipython1.kernel.scripts.options import configured


def _add_options(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="for programs, as documented")
    kind.add_argument(
        "--write",
        action="store_true",
        help="write a configuration file with all settings and their defaults, if there is none",
    )


def _config(options: argparse.Namespace, places: Places) -> int:
    if options.write:
        config_manager.write_default_config_file(places.ipython_dir)
        return FINE
    configuration = configured(options.parser, options, places)
    if options.json:
        show(json.dumps(as_plain(configuration, places), indent=1))
    else:
        _show(configuration, places)
    return FINE


def as_plain(configuration: Configuration, places: Places) -> dict[str, Any]:
    """All settings for ``--json``: the documented schema."""
    file = config_manager.file(places.ipython_dir)
    settings = [_plain(configuration, setting) for setting in configuration.table]
    return {"file": str(file), "exists": file.exists(), "settings": settings}


def _plain(configuration: Configuration, setting: Setting[Any]) -> dict[str, Any]:
    return {
        "name": setting.name,
        "value": configuration[setting],
        "origin": configuration.origin(setting),
        "default": setting.default,
        "type": setting.kind.name,
        "unit": setting.unit,
        "variable": setting.variable,
        "options": list(setting.option),
        "doc": setting.doc,
    }


def _show(configuration: Configuration, places: Places) -> None:
    from rich.table import Table
    from rich.text import Text

    from ipython1.kernel.scripts.ipcluster_view import console

    file = config_manager.file(places.ipython_dir)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("setting", "value", "unit", "from"):
        table.add_column(column, overflow="fold")
    for setting in configuration.table:
        origin = configuration.origin(setting).replace(str(file), "the file")
        style = "" if origin == DEFAULT else "bold"
        row = (setting.name, shown(setting, configuration[setting]), setting.unit, origin)
        table.add_row(*(Text(cell, style) for cell in row))
    out = console()
    if not out.is_terminal:
        out.width = max(out.width, 1000)  # one line for each setting, for those who search in them
    out.print(table)
    note = "" if file.exists() else " (there is none; ipcluster config --write makes one)"
    out.print(f"\nThe configuration file is {file}{note}.", markup=False, soft_wrap=True)


CONFIG = Subcommand(
    "show the settings and where they come from, or write a configuration file", _add_options, _config
)
