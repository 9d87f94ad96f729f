"""The configuration of a subpackage: its file, and what a program has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipython1.config.reading import Values, read_environment, read_file
from ipython1.config.setting import Configuration, Found, Setting, Table
from ipython1.config.writing import default_file, file_text
from ipython1.kernel.error import ConfigError
from ipython1.kernel.places import find_ipython_dir

PROGRAM = "program"
"""The origin of a value that `ConfigManager.update_config_obj` has set."""


class ConfigManager:
    """The settings of `table` for this process.

    Defaults < the file in the ipython directory < environment variables < what this process was told here.  Clients
    that are made afterwards use it.  `ipythondir` is the ipython directory, by default ``$IPYTHONDIR`` or ``~/.ipython``;
    that of a profile is ``profile_NAME`` in it.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._told: Values = {}

    def file(self, ipythondir: str | os.PathLike[str] | None = None) -> Path:
        """The configuration file, which need not be there."""
        return find_ipython_dir(ipythondir) / self.table.file_name

    def configuration(self, ipythondir: str | os.PathLike[str] | None = None) -> Configuration:
        """The values that count, and where they come from; ConfigError if there is something wrong with them."""
        values = {**read_file(self.file(ipythondir), self.table), **read_environment(os.environ, self.table)}
        return Configuration(self.table, values).with_values(self._told)

    def get_config_obj(self, ipythondir: str | os.PathLike[str] | None = None) -> Any:
        """The same as a ConfigObj, a dict of sections, which are dicts.  Changes of it change nothing else."""
        from configobj import ConfigObj

        configuration = self.configuration(ipythondir)
        values = {
            section.name: {setting.key: configuration[setting] for setting in section.settings.values()}
            for section in self.table.sections.values()
        }
        return ConfigObj(values, interpolation=False)

    def update_config_obj(self, new: Mapping[str, Mapping[str, Any]]) -> None:
        """Change settings for this process: ``update_config_obj({'client': {'connect_timeout': 5}})``.

        Raises ConfigError, and changes nothing, if there is no such setting or a value is wrong.
        """
        told: Values = {}
        for section, entries in new.items():
            if not isinstance(entries, Mapping):
                raise ConfigError(
                    f"{section!r} should be a section, a dict of settings, and not {entries!r:.80}"
                )
            try:
                self.table.find_section(section)
                settings = {self.table.find(section, key): value for key, value in entries.items()}
            except KeyError as problem:
                raise ConfigError(problem.args[0]) from None
            for setting, value in settings.items():
                told[setting] = Found(_checked(setting, value), PROGRAM)
        self._told.update(told)

    def update_config_obj_from_file(self, filename: str | os.PathLike[str]) -> None:
        """Change settings for this process to what a file says, which `resolve_file_path` finds.

        Raises ConfigError if there is something wrong with the file, or no such file.
        """
        path = self.resolve_file_path(filename)
        if not path.exists():
            raise ConfigError(f"there is no configuration file {path}")
        self._told.update(read_file(path, self.table))

    def update_config_obj_from_default_file(self, ipythondir: str | os.PathLike[str] | None = None) -> None:
        """The same for the file in the ipython directory; for nothing if there is none.

        That of the default directory counts anyway.
        """
        self._told.update(read_file(self.file(ipythondir), self.table))

    def write_config_obj_to_file(self, filename: str | os.PathLike[str]) -> None:
        """Write the values that count to a file, which `resolve_file_path` finds; ConfigError if that cannot be done."""
        _write(self.resolve_file_path(filename), file_text(self.configuration()), replace=True)

    def write_default_config_file(self, ipythondir: str | os.PathLike[str] | None = None) -> None:
        """Write a file in which all settings stand with their descriptions and defaults, and print its path.

        A file that is there already is left as it is.  ConfigError if it cannot be written.
        """
        path = self.file(ipythondir)
        if _write(path, default_file(self.table), replace=False):
            print(f"the default configuration file was written: {path}")
        else:
            print(f"there is a configuration file already: {path}")

    def resolve_file_path(
        self, filename: str | os.PathLike[str], ipythondir: str | os.PathLike[str] | None = None
    ) -> Path:
        """Where the file of that name is: absolute or in the current folder; else in `ipythondir`, if it is there;
        else in the ipython directory, if it is there; else where it would be in the current folder.

        ``~`` is the home folder.
        """
        path = Path(filename).expanduser()
        folders = [Path.cwd(), find_ipython_dir(ipythondir), find_ipython_dir()]
        return next((folder / path for folder in folders if (folder / path).exists()), folders[0] / path)


def _checked(setting: Setting[Any], value: Any) -> Any:
    """A value that a program gives, as text or as what it is."""
    try:
        return setting.read(value if isinstance(value, str) else _text(setting, value))
    except ValueError as problem:
        raise ConfigError(f"{setting.name}: {problem}") from None


def _text(setting: Setting[Any], value: Any) -> str:
    try:
        if isinstance(value, bool) is isinstance(setting.default, bool):
            return setting.text(value)
    except TypeError:
        # The kind cannot even write it.
        pass
    raise ValueError(f"{value!r:.80} is no {setting.kind.name}")


def _write(path: Path, text: str, replace: bool) -> bool:
    """Write a file, unless there is one that is not to be replaced; whether it was written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not replace and path.exists():
            return False
        with path.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        raise ConfigError(f"cannot write {path}: {problem.strerror}") from problem
    return True
