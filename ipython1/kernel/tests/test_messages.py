"""The checks that a message goes through on arrival."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import ipython1
from ipython1.kernel import hello, messages
from ipython1.kernel.error import FURLError, IncompatiblePeer, ProtocolError
from ipython1.kernel.tests.test_framing import plain
from ipython1.kernel.verbs import VERBS, Route, verbs_of

GOOD = {"id": ["s", 1], "verb": "pull", "args": {"names": ["a"]}, "targets": "all", "label": "pull('a')"}


MULTIENGINE = verbs_of("multiengine")


class CheckTests(SynchronousTestCase):
    def wrong(self, **fields: Any) -> None:
        self.assertIsNotNone(messages.check("command", {**GOOD, **fields}, messages.FROM_CLIENT), fields)

    def test_good(self) -> None:
        """A message with its fields passes; what may be left out may be left out."""
        self.assertIsNone(messages.check("command", GOOD, messages.FROM_CLIENT))
        self.assertIsNone(messages.check("command", {**GOOD, "hold": "x", "values": []}, messages.FROM_CLIENT))

    def test_wrong(self) -> None:
        """Unknown kinds and fields, missing ones, and those of the wrong type are named."""
        self.wrong(unknown=1)
        self.wrong(verb=None)
        self.wrong(args=[])
        self.wrong(hold=True)
        for command_id in (None, [], ["s"], ["s", "1"], ["", 1], ["s" * 65, 1], ["s", -1], ["s", True], [1, 1]):
            self.wrong(id=command_id)
        self.assertIn("nonsense", str(messages.check("nonsense", {}, messages.FROM_CLIENT)))
        self.assertIsNotNone(messages.check("command", {}, messages.FROM_CLIENT))

    @given(st.dictionaries(st.sampled_from([*GOOD, "hold", "x"]), plain))
    def test_anything(self, fields: dict[str, Any]) -> None:
        """Whatever a peer sends, the check says yes or no."""
        if messages.check("command", {**GOOD, **fields}, messages.FROM_CLIENT) is None:
            messages.check_command({**GOOD, **fields}, 0, MULTIENGINE)

    def test_commands(self) -> None:
        """Verbs, their arguments and the number of bodies are checked."""
        self.assertIsNone(messages.check_command(GOOD, 0, MULTIENGINE))
        for change, bodies in (
            ({"verb": "explode"}, 0),
            ({"args": {}}, 0),
            ({"args": {"names": "a"}}, 0),
            ({"args": {"names": [], "more": 1}}, 0),
            ({}, 1),
            ({"verb": "execute", "args": {}}, 0),
            ({"verb": "push", "values": None}, 1),
            ({"verb": "push", "values": [[2, "pickle", {}]]}, 1),
            ({"verb": "push", "values": [[0, "pickle", {}]]}, 0),
            ({"verb": "push", "values": [[True, "pickle", {}]]}, 1),
            ({"verb": "push", "values": [1]}, 1),
            ({"verb": "signal", "args": {"signal": True}}, 0),
        ):
            self.assertIsNotNone(messages.check_command({**GOOD, **change}, bodies, MULTIENGINE), (change, bodies))
        self.assertIsNone(
            messages.check_command({**GOOD, "verb": "push", "values": [[2, "pickle", {}]]}, 2, MULTIENGINE)
        )

    def test_every_verb_has_a_route(self) -> None:
        """The table knows each verb by its name."""
        for name, verb in VERBS.items():
            self.assertEqual(verb.name, name)
            self.assertIsInstance(verb.route, Route)


class HelloTests(SynchronousTestCase):
    def test_good(self) -> None:
        """What we say ourselves we accept."""
        hello.check_hello(hello.hello("engine", "s"), "engine")
        hello.check_welcome(hello.welcome("i", "ticket", 0, 60, 10))

    def test_incompatible(self) -> None:
        """A peer of another protocol gets both versions, whatever else it says."""
        said = {"protocol": messages.PROTOCOL + 1, "version": "9.9"}
        error = self.assertRaises(IncompatiblePeer, hello.check_hello, said, "engine")
        self.assertIn("9.9", str(error))
        self.assertIn(ipython1.__version__, str(error))

    def test_malformed(self) -> None:
        """What is no hello is refused."""
        good = hello.hello("engine", "s")
        for wrong in (None, [], {}, {"protocol": "1"}, {**good, "pid": "1"}, {**good, "session": ""}):
            self.assertRaises(ProtocolError, hello.check_hello, wrong, "engine")

    def test_other_role(self) -> None:
        """A FURL used for what it is not meant for is refused in words."""
        error = self.assertRaises(FURLError, hello.check_hello, hello.hello("engine", "s"), "multiengine")
        self.assertIn("use the MultiEngine interface", str(error))
