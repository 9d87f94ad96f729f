"""Options that several commands have."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ipython1.config.kinds import Boolean, Words
from ipython1.config.setting import Configuration, Found, Setting
from ipython1.config.writing import shown
from ipython1.kernel.config import config_manager
from ipython1.kernel.config.settings import KERNEL
from ipython1.kernel.error import ConfigError
from ipython1.kernel.places import DEFAULT_CLUSTER, Places, find_places


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong: below the usage, which has all options that there are, nobody would find it."""

    def error(self, message: str) -> NoReturn:
        """Say it, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


class Gone(argparse.Action):
    """An option of older versions: says what to do instead."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any, **_: Any) -> NoReturn:
        parser.error(f"{arguments[-1]} does not exist any more: {self.metavar}")


def positive(text: str) -> int:
    """A number of engines, from a command line."""
    number = int(text) if text.strip().lstrip("-").isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of engines: at least 1 is needed")
    return number


PLACES = ("--ipython-dir", "--profile", "--cluster-id")
"""The options of `add_places`."""


def add_places(parser: argparse.ArgumentParser) -> None:
    """The options that say where files are, and of which cluster; `places_of` has what they mean."""
    group = parser.add_argument_group("files and clusters")
    group.add_argument(
        PLACES[0], metavar="DIR", help="the ipython directory (default: $IPYTHONDIR, else ~/.ipython)"
    )
    group.add_argument(
        PLACES[1],
        metavar="NAME",
        help="use the folder profile_NAME of the ipython directory instead of the directory itself",
    )
    group.add_argument(
        PLACES[2],
        metavar="NAME",
        help=f"which cluster: those of different names run side by side (default: {DEFAULT_CLUSTER})",
    )


def places_of(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Places:
    """The places that these options mean; the command ends with status 2 if one is wrong."""
    try:
        return find_places(options.ipython_dir, options.profile, options.cluster_id)
    except ConfigError as problem:
        parser.error(str(problem))


def add_setting(
    parser: argparse._ActionsContainer, setting: Setting[Any], metavar: str | None = None
) -> None:
    """The options of a setting; `configured` has what is set by them, by the file or by the environment."""

    def read(text: str) -> Any:
        try:
            return setting.read(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    # The default is found later, when it is known which file it is in.
    text = f"{setting.doc} (setting {setting.name}; default: {shown(setting, setting.default)})".replace(
        "%", "%%"
    )
    if isinstance(setting.kind, Boolean):
        parser.add_argument(
            *setting.option, dest=setting.name, action=argparse.BooleanOptionalAction, default=None, help=text
        )
    else:
        # An option whose value is a list may be given several times.
        action = "extend" if isinstance(setting.kind, Words) else "store"
        parser.add_argument(
            *setting.option, dest=setting.name, action=action, type=read, metavar=metavar, help=text
        )


def configured(parser: argparse.ArgumentParser, options: argparse.Namespace, places: Places) -> Configuration:
    """What the settings are, these options included; the command ends with status 2 if the configuration is wrong."""
    try:
        configuration = config_manager.configuration(places.ipython_dir)
    except ConfigError as problem:
        parser.exit(2, f"{parser.prog.partition(' ')[0]}: {problem}\n")
    given = vars(options)
    return configuration.with_values(
        {
            setting: Found(_value(given[setting.name]), f"option {setting.option[-1]}")
            for setting in KERNEL
            if given.get(setting.name) is not None
        }
    )


def _value(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given
