"""Files and environments that are wrong, and the manager."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

from configobj import ConfigObj
from twisted.trial.unittest import SynchronousTestCase

from ipython1.config.manager import ConfigManager
from ipython1.config.reading import read_environment, read_file
from ipython1.config.tests.table import COLOUR, LOCKS, OPEN, PEOPLE, TABLE, WIDTH
from ipython1.kernel.error import ConfigError, KernelError


class WrongFileTests(SynchronousTestCase):
    """Every mistake is named: the file, the line, and what was expected."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def refused(self, content: str | bytes) -> str:
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        error = self.assertRaises(ConfigError, read_file, self.path, TABLE)
        self.assertIsInstance(error, KernelError)
        self.assertIsInstance(error, ValueError)
        return str(error)

    def test_lines(self) -> None:
        """The line is the one where the mistake is."""
        for content, line, said in (
            (
                "[door]\n\n# a comment\nwidht = 3\n",
                4,
                "there is no setting 'widht' in [door]; did you mean 'width'?",
            ),
            ("[dor]\nwidth = 3\n", 1, "there is no section [dor]; did you mean 'door'?"),
            ("[room]\n[door]\nwidth = wide\n", 3, "door.width: 'wide' is no number of metres: 0 or more"),
            ("[door]\n  'locks'  =  10  # too many\n", 2, "door.locks: '10' is no number: from 1 to 9"),
            ("[door]\nlocks = 1, 2\n", 2, "door.locks: a value that has commas must be put in quotes"),
            ("[door]\n[[width]]\n", 2, "door.width: this is a setting, not a section"),
            ("# first\nwidth = 3\n[door]\n", 2, "a setting stands before the first section"),
            ("[door]\nwidth = 3\n\nwidth = 4\n", 4, "for the second time: 'width = 4'"),
            ("[door]\nwidth = 3\n[room]\n[door]\n", 4, "for the second time: '[door]'"),
            ("[door]\nwidth 3\n", 2, "was expected: 'width 3'"),
            ("[door\nwidth = 3\n", 1, "was expected: '[door'"),
            ("[door]\ncolour = 'green\n", 2, 'was expected: "colour = \'green"'),
            ("[door]\r\nwidth = x\r\n", 2, "'x' is no number"),
            ("\ufeff[door]\nwidth = x\n", 2, "'x' is no number"),
            (b"[door]\ncolour = gr\xfcn\n", 2, "this is no text in UTF-8"),
        ):
            message = self.refused(content)
            self.assertIn(f"{self.path}, line {line}: ", message)
            self.assertIn(said, message)

    def test_all_mistakes(self) -> None:
        """There is a line of text for each of them."""
        said = self.refused("[door]\nwidth = x\nlocks = y\n[flor]\nx = 1\n")
        self.assertEqual(
            [line.split(",")[1].split(":")[0] for line in said.split("\n")], [" line 2", " line 3", " line 4"]
        )

    def test_not_to_be_read(self) -> None:
        """A file that cannot be read is named, with the reason."""
        self.path.mkdir()
        error = self.assertRaises(ConfigError, read_file, self.path, TABLE)
        self.assertEqual(str(error), f"cannot read {self.path}: Is a directory")

    def test_good(self) -> None:
        """What is right is read, with where it was found; no file is as good as an empty one."""
        self.assertEqual(read_file(self.path, TABLE), {})
        self.path.write_text(
            "# x\n[door]\ncolour = 'a, b # %(c)s'  # like that\nopen=yes\n[room]\npeople = ann,  eve\n"
        )
        found = read_file(self.path, TABLE)
        self.assertEqual(
            {each: found[each].value for each in found},
            {COLOUR: "a, b # %(c)s", OPEN: True, PEOPLE: ("ann", "eve")},
        )
        self.assertEqual(found[OPEN].origin, f"{self.path}, line 4")


class EnvironmentTests(SynchronousTestCase):
    """Environment variables."""

    def test_wrong(self) -> None:
        """A value that is wrong, and a name that is like that of a setting, are refused."""
        for name, text, said in (
            (
                "IPYTHON1_DOOR_WIDTH",
                "wide",
                "environment variable IPYTHON1_DOOR_WIDTH: 'wide' is no number of metres",
            ),
            (
                "IPYTHON1_DOOR_WIDHT",
                "3",
                "IPYTHON1_DOOR_WIDHT: there is no setting 'widht' in [door]; did you mean",
            ),
        ):
            error = self.assertRaises(ConfigError, read_environment, {name: text}, TABLE)
            self.assertIn(said, str(error))

    def test_others(self) -> None:
        """Others do not matter, nor what is empty."""
        environment = {
            "IPYTHON1_TEST_ALL": "yes",
            "HOME": "/",
            "IPYTHON1_DOOR_WIDTH": "",
            "IPYTHON1_DOOR": "x",
        }
        self.assertEqual(read_environment(environment, TABLE), {})


class ManagerTests(SynchronousTestCase):
    """The object that programs have."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.patch(os, "environ", {**os.environ, "IPYTHONDIR": str(self.folder)})
        self.manager = ConfigManager(TABLE)
        self.file = self.folder / "ipython1.test.ini"

    def write(self, text: str) -> None:
        self.folder.mkdir(exist_ok=True)
        self.file.write_text(text)

    def said(self, *arguments: Any) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.manager.write_default_config_file(*arguments)
        return said.getvalue()

    def test_order(self) -> None:
        """Defaults < file < environment < what the program says."""
        self.assertEqual(self.manager.configuration()[WIDTH], 0.8)
        self.write("[door]\nwidth = 1\nlocks = 3\nopen = yes\n")
        os.environ["IPYTHON1_DOOR_WIDTH"] = "2"
        os.environ["IPYTHON1_DOOR_LOCKS"] = "4"
        self.manager.update_config_obj({"door": {"width": 3}})
        configuration = self.manager.configuration()
        self.assertEqual(
            [configuration[each] for each in (WIDTH, LOCKS, OPEN, COLOUR)], [3.0, 4, True, "green"]
        )
        self.assertEqual(
            [configuration.origin(each) for each in (WIDTH, LOCKS, OPEN, COLOUR)],
            ["program", "environment variable IPYTHON1_DOOR_LOCKS", f"{self.file}, line 4", "default"],
        )

    def test_write_default(self) -> None:
        """The file is written once, its path is said, and it is left as it is from then on."""
        self.assertEqual(self.said(), f"the default configuration file was written: {self.file}\n")
        self.write("[door]\n")
        self.assertEqual(self.said(), f"there is a configuration file already: {self.file}\n")
        self.assertEqual(self.file.read_text(), "[door]\n")
        self.assertIn(str(self.folder / "other"), self.said(self.folder / "other"))

    def test_cannot_write(self) -> None:
        """A folder that cannot be made is an error that names the file."""
        self.folder.write_text("")
        error = self.assertRaises(ConfigError, self.manager.write_default_config_file)
        self.assertIn(f"cannot write {self.file}: ", str(error))

    def test_config_obj(self) -> None:
        """The values as a ConfigObj, a copy."""
        self.write("[door]\nwidth = 1\n")
        obj = self.manager.get_config_obj()
        self.assertIsInstance(obj, ConfigObj)
        self.assertEqual(obj["door"], {"colour": "green", "width": 1.0, "locks": 2, "open": False})
        obj["door"]["width"] = 5
        self.assertEqual(self.manager.get_config_obj()["door"]["width"], 1.0)

    def test_update(self) -> None:
        """Values may be given as text or as what they are, as by a ConfigObj; all are checked, and all or none count."""
        self.manager.update_config_obj({"door": {"locks": "7", "open": True}, "room": {"people": ["a", "b"]}})
        configuration = self.manager.configuration()
        self.assertEqual([configuration[each] for each in (LOCKS, OPEN, PEOPLE)], [7, True, ("a", "b")])
        self.manager.update_config_obj(self.manager.get_config_obj())
        for new, said in (
            ({"door": {"width": 2, "locks": 10}}, "door.locks: '10' is no number: from 1 to 9"),
            ({"door": {"locks": True}}, "door.locks: True is no number"),
            ({"door": {"open": 1}}, "door.open: 1 is no yes or no"),
            ({"door": {"lock": 1}}, "did you mean 'locks'?"),
            ({"roof": {}}, "there is no section [roof]"),
            ({"door": 5}, "should be a section"),
            ({"room": {"people": 5}}, "room.people: 5 is no names"),
        ):
            error = self.assertRaises(ConfigError, self.manager.update_config_obj, new)
            self.assertIn(said, str(error))
        self.assertEqual(self.manager.configuration()[WIDTH], 0.8)

    def test_files(self) -> None:
        """What was written to a file can be taken from there, by another one too."""
        self.manager.update_config_obj({"door": {"colour": "red, 'blue'", "width": 5}})
        path = Path(self.mktemp()).absolute()
        self.manager.write_config_obj_to_file(path)
        other = ConfigManager(TABLE)
        other.update_config_obj_from_file(path)
        self.assertEqual(other.get_config_obj(), self.manager.get_config_obj())
        error = self.assertRaises(ConfigError, other.update_config_obj_from_file, "missing.ini")
        self.assertIn("there is no configuration file", str(error))

    def test_default_file(self) -> None:
        """The file of another folder can be taken, too."""
        self.write("[door]\nwidth = 7\n")
        os.environ["IPYTHONDIR"] = str(self.folder / "other")
        self.assertEqual(self.manager.configuration()[WIDTH], 0.8)
        self.manager.update_config_obj_from_default_file(self.folder)
        self.assertEqual(self.manager.configuration()[WIDTH], 7.0)

    def test_resolve(self) -> None:
        """A file is looked for in the current folder, in the one that is given, and in the ipython directory."""
        self.write("")
        given = self.folder / "given"
        given.mkdir()
        name = self.file.name
        self.assertEqual(self.manager.resolve_file_path(name), self.file)
        self.assertEqual(self.manager.resolve_file_path(name, given), self.file)
        (given / name).write_text("")
        self.assertEqual(self.manager.resolve_file_path(name, given), given / name)
        here = Path.cwd() / name
        self.addCleanup(here.unlink)
        here.write_text("")
        self.assertEqual(self.manager.resolve_file_path(name, given), here)
        self.assertEqual(self.manager.resolve_file_path(self.file, given), self.file)
        self.assertEqual(self.manager.resolve_file_path("missing"), Path.cwd() / "missing")
        os.environ["HOME"] = str(self.folder)
        self.assertEqual(self.manager.resolve_file_path(f"~/{name}"), self.file)
