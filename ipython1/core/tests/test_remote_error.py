"""Exceptions described, and made anew."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.interpreter import Interpreter
from ipython1.core.remote_error import describe, rebuild
from ipython1.kernel import framing
from ipython1.kernel.error import KernelError, QueueCleared, UnpickleableException

garbage = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
document_garbage = st.dictionaries(
    st.sampled_from(["class", "module", "qualname", "bases", "text", "traceback", "number"]),
    garbage | st.sampled_from(["builtins", "os", "KeyError", "system", "", [["builtins", "KeyError"]], [["a", 1], 5]]),
)


class Demanding(KernelError):
    """Its __init__ wants more than its pickle has."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


class Forgetful(Demanding):
    """Its text is made of what __init__ kept."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one, two)
        self.one = one

    def __str__(self) -> str:
        return self.one.upper()


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


class RemoteErrorTestCase(SynchronousTestCase):
    def across(self, error: BaseException) -> BaseException:
        """`error` as the other side has it."""
        return rebuild(*describe(error), 3, "execute", ["'1/0'"])

    def executed(self, source: str) -> BaseException:
        """What code on an engine raised, as the other side, which cannot import what it defines, has it."""
        run = Interpreter().execute(source)
        assert run.error is not None
        return rebuild(*describe(run.error, run.number, run.traceback), 3, "execute")


class ItselfTests(RemoteErrorTestCase):
    def test_builtin(self) -> None:
        """A built-in exception arrives as itself, with where it came from."""
        error = self.executed("{}['a']")
        self.assertIs(type(error), KeyError)
        self.assertEqual(error.args, ("a",))
        self.assertEqual(error._ipython_engine_info, {"engineid": 3, "method": "execute", "args": []})
        self.assertIn("Cell In[1], line 1", error._ipython_traceback_text)

    def test_attributes(self) -> None:
        """What an exception holds comes along: an OSError's errno, a note."""
        error = FileNotFoundError(2, "gone", "/x")
        error.add_note("look elsewhere")
        arrived: Any = self.across(error)
        self.assertEqual((arrived.errno, arrived.filename, arrived.__notes__), (2, "/x", ["look elsewhere"]))

    def test_importable(self) -> None:
        """So does any class that can be imported."""
        self.assertIs(type(self.across(QueueCleared("gone"))), QueueCleared)
        arrived = self.across(subprocess.CalledProcessError(3, ["ls"]))
        self.assertEqual(str(arrived), "Command '['ls']' returned non-zero exit status 3.")

    def test_frozen(self) -> None:
        """An exception that refuses to be changed carries its engine all the same."""
        arrived: Any = self.across(Frozen(3))
        self.assertIs(type(arrived), Frozen)
        self.assertEqual((arrived.args, arrived._ipython_engine_info["engineid"]), (("3",), 3))

    def test_pickle_that_does_not_load(self) -> None:
        """An instance is made without __init__, if the class can say its text without it."""
        arrived = self.across(Demanding("a", "b"))
        self.assertEqual((type(arrived), str(arrived)), (Demanding, "a and b"))

    def test_system_exit(self) -> None:
        """SystemExit is data, and ends nothing."""
        self.assertEqual(self.across(SystemExit(3)).args, (3,))


class StandInTests(RemoteErrorTestCase):
    source = "class Mine(ValueError): pass\nclass MyOwn(Mine):\n    pass\nraise MyOwn('text')"

    def test_class_of_the_engine(self) -> None:
        """A class that is only on the engine: same name, nearest base that there is, same text."""
        error = self.executed(self.source)
        self.assertEqual((type(error).__name__, type(error).__mro__[1], str(error)), ("MyOwn", ValueError, "text"))
        self.assertEqual(repr(error), "MyOwn('text')")
        self.assertTrue(error._ipython_traceback_text)

    def test_same_class_again(self) -> None:
        """Two errors of a class are caught by one except clause."""
        self.assertIs(type(self.executed(self.source)), type(self.executed(self.source)))

    def test_text_that_needs_init(self) -> None:
        """An importable class that cannot say its text without __init__ gets a stand-in that is one of it."""
        arrived = self.across(Forgetful("a", "b"))
        self.assertIsInstance(arrived, Forgetful)
        self.assertEqual((type(arrived).__name__, str(arrived)), ("Forgetful", "A"))

    def test_bases_with_demands(self) -> None:
        """Bases that are hard to make: groups, decoding errors, OSError."""
        for base, arguments in (
            ("ExceptionGroup", "'text', [Mine2()]"),
            ("OSError", "2, 'text'"),
            ("UnicodeDecodeError", "'utf-8', b'a', 0, 1, 'text'"),
            ("BaseException", "'text'"),
            ("SyntaxError", "'text', ('f', 1, 1, 'x')"),
            ("SystemExit", "'text'"),
        ):
            error = self.executed(f"class Mine2(Exception): pass\nclass Mine({base}): pass\nraise Mine({arguments})")
            self.assertEqual(type(error).__name__, "Mine")
            self.assertEqual(type(error).__mro__[1].__name__, base)
            self.assertIn("text", str(error))

    def test_unpicklable(self) -> None:
        """An exception that holds what cannot be pickled arrives with its text."""
        error = self.executed("e = ValueError('text'); e.f = lambda: 0\nraise e")
        self.assertEqual((type(error), str(error)), (ValueError, "text"))

    def test_too_large(self) -> None:
        """An exception that holds too much arrives with the beginning and the end of its text."""
        error = self.executed("raise ValueError('x' * 2**25)")
        self.assertIs(type(error), ValueError)
        self.assertLess(len(str(error)), 200_000)

    def test_broken_methods(self) -> None:
        """Whatever an exception's methods raise, something of it arrives."""
        for method in ("__str__", "__repr__", "__reduce__", "__reduce_ex__", "__getattribute__"):
            error = self.executed(f"class Mine(KeyError):\n    def {method}(self, *a): raise SystemError\nraise Mine('text')")
            self.assertEqual((type(error).__name__, type(error).__mro__[1]), ("Mine", KeyError))


class GarbageTests(RemoteErrorTestCase):
    @given(garbage, garbage)
    def test_anything(self, document: object, pickled: object) -> None:
        """Whatever comes in, an exception with the engine's name comes out."""
        error = rebuild(document, pickled, 3, "execute")
        self.assertIsInstance(error, UnpickleableException)
        self.assertEqual(error._ipython_engine_info["engineid"], 3)

    @given(document_garbage, st.binary() | st.sampled_from([pickle.dumps(5), pickle.dumps(KeyError("x"))]))
    def test_documents(self, document: dict[str, object], pickled: bytes) -> None:
        """Documents with nonsense in their fields, too."""
        error = rebuild(framing.pack(document), pickled, 3, "execute")
        self.assertIsInstance(error, BaseException)
        str(error)
        self.assertIsInstance(error._ipython_traceback_text, str)

    def test_names_that_are_no_exceptions(self) -> None:
        """What is no exception class is not called."""
        document = framing.pack({"class": "system", "module": "os", "qualname": "system", "text": "echo", "bases": []})
        error = rebuild(document, b"", 3, "execute")
        self.assertIs(type(error), UnpickleableException)
        self.assertEqual(str(error), "system: echo")
