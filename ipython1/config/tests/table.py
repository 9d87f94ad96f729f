"""A table of settings of all kinds, for tests."""

from ipython1.config.kinds import Boolean, Integer, Number, Size, Text, Words
from ipython1.config.setting import Table

TABLE = Table("ipython1.test", "Settings for tests.")
_door = TABLE.section("door", "A door.")
COLOUR = _door.setting("colour", Text("colour"), "green", "Its colour.", option=("-c", "--colour"))
WIDTH = _door.setting("width", Number(expected="0 or more"), 0.8, "How wide it is.", unit="metres")
LOCKS = _door.setting("locks", Integer(expected="from 1 to 9", least=1, most=9), 2, "How many locks it has.")
OPEN = _door.setting("open", Boolean(), False, "Whether it is open.")
_room = TABLE.section("room", "A room.")
PEOPLE = _room.setting("people", Words("names"), ("ann", "bob"), "Who is in it.")
VOLUME = _room.setting("volume", Size(), 64 << 20, "How much there is room for.", unit="bytes")
