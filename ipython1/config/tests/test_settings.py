"""Kinds of settings, tables of them, and files that are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.config.reading import read_environment, read_file
from ipython1.config.setting import DEFAULT, Configuration, Found
from ipython1.config.tests.table import COLOUR, LOCKS, OPEN, PEOPLE, TABLE, VOLUME, WIDTH
from ipython1.config.writing import default_file, file_text

# Text that means something to those who read files, and text of all sorts.
_text = st.one_of(
    st.text(st.sampled_from("'\"#,;=[] %$\\ax"), max_size=8),
    st.text(st.characters(exclude_categories=("C", "Z")), max_size=20),
)
VALUES: dict[Any, Any] = {
    COLOUR: _text.map(str.strip).filter(lambda text: not ('"""' in text and "'''" in text)),
    WIDTH: st.floats(0, 1e9),
    LOCKS: st.integers(1, 9),
    OPEN: st.booleans(),
    PEOPLE: st.lists(
        st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1)
    ).map(tuple),
    VOLUME: st.integers(0, 10**17),
}
some_values = st.fixed_dictionaries({}, optional=VALUES)


class KindTests(SynchronousTestCase):
    """What text means."""

    def test_read(self) -> None:
        """Text is read with some freedom."""
        for setting, text, value in (
            (COLOUR, " light green ", "light green"),
            (WIDTH, "1e-1", 0.1),
            (LOCKS, "+3", 3),
            (OPEN, "Yes", True),
            (OPEN, "0", False),
            (OPEN, "off", False),
            (PEOPLE, "a, b ,c", ("a", "b", "c")),
            (PEOPLE, "", ()),
            (VOLUME, "3", 3),
            (VOLUME, "64 MiB", 64 << 20),
            (VOLUME, "1g", 1 << 30),
        ):
            self.assertEqual(setting.read(text), value)

    def test_wrong(self) -> None:
        """What means nothing is refused, with what was expected."""
        for setting, text, said in (
            (COLOUR, "a\nb", "is no colour"),
            (WIDTH, "wide", "'wide' is no number of metres: 0 or more"),
            (WIDTH, "-1", "number"),
            (WIDTH, "nan", "number"),
            (WIDTH, "inf", "number"),
            (LOCKS, "0", "'0' is no number: from 1 to 9"),
            (LOCKS, "10", "number"),
            (LOCKS, "2.5", "number"),
            (LOCKS, "", "number"),
            (LOCKS, "٣x", "number"),
            (OPEN, "maybe", "'maybe' is no yes or no"),
            (OPEN, "", "yes or no"),
            (PEOPLE, "a,,b", "is no names"),
            (PEOPLE, "a b", "is no names"),
            (VOLUME, "-1", "is no number of bytes: whole, with K, M, G or T"),
            (VOLUME, "1.5G", "number"),
            (VOLUME, "M", "number"),
        ):
            self.assertIn(said, str(self.assertRaises(ValueError, setting.read, text)))

    @given(some_values)
    def test_text(self, values: dict[Any, Any]) -> None:
        """The text of a value means that value."""
        for setting, value in values.items():
            self.assertEqual(setting.read(setting.text(value)), value)


class TableTests(SynchronousTestCase):
    """Names."""

    def test_find(self) -> None:
        """A setting is found by its section and key."""
        self.assertIs(TABLE.find("door", "width"), WIDTH)
        self.assertEqual((WIDTH.name, WIDTH.variable), ("door.width", "IPYTHON1_DOOR_WIDTH"))
        self.assertEqual([each.name for each in TABLE][-2:], ["room.people", "room.volume"])

    def test_suggestions(self) -> None:
        """Where there is none, what may have been meant is named."""
        for names, said in (
            (("door", "widht"), "there is no setting 'widht' in [door]; did you mean 'width'?"),
            (("door", "Width"), "did you mean 'width'?"),
            (("door", "people"), "there is no setting 'people' in [door]; it is one of [room]"),
            (("room", "x"), "there are: people, volume"),
            (("dor", "width"), "there is no section [dor]; did you mean 'door'?"),
            (("x", "width"), "there are: door, room"),
        ):
            self.assertIn(said, self.assertRaises(KeyError, TABLE.find, *names).args[0])


class FileTests(SynchronousTestCase):
    """Files that are written, and read again."""

    def read(self, text: str) -> dict[Any, Any]:
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        return {setting: found.value for setting, found in read_file(path, TABLE).items()}

    def test_defaults(self) -> None:
        """A default file changes nothing; with all of its settings taken for what they are, it says the defaults."""
        text = default_file(TABLE)
        self.assertEqual(self.read(text), {})
        uncommented = "\n".join(
            line[1:] if line[:1] == "#" and line[1:2].isalpha() else line for line in text.split("\n")
        )
        self.assertEqual(self.read(uncommented), {setting: setting.default for setting in TABLE})

    def test_documented(self) -> None:
        """It says of each setting all that there is to be said."""
        text = default_file(TABLE)
        for said in (
            "# How wide it is.\n# Type: number (0 or more). Unit: metres. Default: 0.8.\n",
            "# Environment: IPYTHON1_DOOR_WIDTH.\n#width = 0.8\n",
            "# Environment: IPYTHON1_DOOR_COLOUR. Option: -c or --colour.\n#colour = green\n",
            "[room]\n# A room.\n",
        ):
            self.assertIn(said, text)
        self.assertLessEqual(max(map(len, text.split("\n"))), 100)

    @given(some_values)
    def test_round_trip(self, values: dict[Any, Any]) -> None:
        """What is written is what is read, whatever the values are."""
        configuration = Configuration(
            TABLE, {setting: Found(value, "here") for setting, value in values.items()}
        )
        self.assertEqual(self.read(file_text(configuration)), values)

    @given(some_values)
    def test_environment(self, values: dict[Any, Any]) -> None:
        """So it is in the environment, where what is empty is as good as not there."""
        environment = {setting.variable: setting.text(value) for setting, value in values.items()}
        found = {setting: each.value for setting, each in read_environment(environment, TABLE).items()}
        self.assertEqual(found, {setting: value for setting, value in values.items() if setting.text(value)})


class ConfigurationTests(SynchronousTestCase):
    """What counts."""

    def test_order(self) -> None:
        """What is said later goes before what was said earlier, and that before the defaults."""
        earlier = Configuration(TABLE, {WIDTH: Found(1.0, "file"), LOCKS: Found(3, "file")})
        later = earlier.with_values({WIDTH: Found(2.0, "option")})
        self.assertEqual([later[each] for each in (WIDTH, LOCKS, OPEN)], [2.0, 3, False])
        self.assertEqual([later.origin(each) for each in (WIDTH, LOCKS, OPEN)], ["option", "file", DEFAULT])
        self.assertEqual(earlier[WIDTH], 1.0)
