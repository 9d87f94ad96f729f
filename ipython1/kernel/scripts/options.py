"""Options that several commands have."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ipython1.kernel.error import ConfigError
from ipython1.kernel.places import DEFAULT_CLUSTER, Places, find_places


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


def add_places(parser: argparse.ArgumentParser) -> None:
    """The options that say where files are, and of which cluster; `places_of` has what they mean."""
    group = parser.add_argument_group("files and clusters")
    group.add_argument(
        "--ipython-dir", metavar="DIR", help="the ipython directory (default: $IPYTHONDIR, else ~/.ipython)"
    )
    group.add_argument(
        "--profile",
        metavar="NAME",
        help="use the folder profile_NAME of the ipython directory instead of the directory itself",
    )
    group.add_argument(
        "--cluster-id",
        metavar="NAME",
        help=f"which cluster: those of different names run side by side (default: {DEFAULT_CLUSTER})",
    )


def places_of(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Places:
    """The places that these options mean; the command ends with status 2 if one is wrong."""
    try:
        return find_places(options.ipython_dir, options.profile, options.cluster_id)
    except ConfigError as problem:
        parser.error(str(problem))
