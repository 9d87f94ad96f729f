"""Functions, and classes with methods, on their way into another namespace."""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import importlib
import pickle
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.functions import EngineName, map_part, receiving, standing_for
from ipython1.core.serialize import serialize, serialize_function

factor = 10


def scaled(x: int) -> int:
    """A function that can be imported."""
    return factor * x


class FunctionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """An `engine` namespace, and a `main` one where the code of the tests is at home."""
        self.engine: dict[str, Any] = {}
        self.main = types.ModuleType("__main__").__dict__
        self.main["__name__"] = "__main__"

    def define(self, source: str) -> dict[str, Any]:
        """Define things as a user would at a prompt."""
        exec(compile(textwrap.dedent(source), "<prompt>", "exec", dont_inherit=True), self.main)
        return self.main

    def travel(self, value: Any, **options: Any) -> Any:
        """`value` as it arrives on the engine."""
        return serialize(value, **options).load(self.engine)


class ByValueTests(FunctionTestCase):
    def test_globals_are_the_receivers(self) -> None:
        """A function of __main__ sees the names of the namespace that it arrives in."""
        f = self.define("c = 1\ndef f(x): return x + c")["f"]
        arrived = self.travel(f)
        self.assertIs(arrived.__globals__, self.engine)
        self.assertRaises(NameError, arrived, 1)
        self.engine["c"] = 41
        self.assertEqual(arrived(1), 42)

    def test_all_that_belongs_to_it(self) -> None:
        """Defaults, keyword defaults, attributes, annotations, names and doc travel along."""
        f = self.define(
            """
            def f(x: int, y=2, *, z=3) -> str:
                'words'
                return x, y, z
            f.tag = [1]
            """
        )["f"]
        arrived = self.travel(f)
        self.assertEqual(arrived(1), (1, 2, 3))
        self.assertEqual((arrived.tag, arrived.__doc__, arrived.__name__), ([1], "words", "f"))
        self.assertEqual(arrived.__annotations__, {"x": int, "return": str})
        self.assertEqual((arrived.__module__, arrived.__qualname__), ("__main__", "f"))

    def test_closures(self) -> None:
        """Closures keep what they closed over, None included, and cells that are still empty."""
        make = self.define("def make(n):\n    def f(x): return x, n\n    return f")["make"]
        for value in (5, None, [1]):
            self.assertEqual(self.travel(make(value))(1), (1, value))
        empty = self.define("def outer():\n    def f(): return late\n    g = f\n    return g\n    late = 1")["outer"]()
        self.assertRaises(NameError, self.travel(empty))

    def test_shared_cells(self) -> None:
        """Two functions that share a variable share it again."""
        pair = self.define(
            """
            def pair():
                n = 0
                def add():
                    nonlocal n
                    n += 1
                def get(): return n
                return add, get
            """
        )["pair"]()
        add, get = self.travel(pair)
        add()
        self.assertEqual((get(), pair[1]()), (1, 0))

    def test_recursion(self) -> None:
        """Functions may call themselves and one another through their closures, defaults and attributes."""
        made = self.define(
            """
            def make():
                def fact(n): return 1 if n < 2 else n * fact(n - 1)
                def even(n): return n == 0 or odd(n - 1)
                def odd(n): return n != 0 and even(n - 1)
                def self_aware(me=None): return me
                self_aware.__defaults__ = (self_aware,)
                self_aware.me = self_aware
                return fact, even, self_aware
            """
        )["make"]()
        fact, even, self_aware = self.travel(made)
        self.assertEqual((fact(5), even(10)), (120, True))
        self.assertIs(self_aware(), self_aware)
        self.assertIs(self_aware.me, self_aware)
        self.assertEqual(self.travel(made[0])(4), 24)

    def test_kinds(self) -> None:
        """Lambdas in containers, generators, coroutines and partials arrive."""
        kinds = self.define(
            """
            import functools
            async def later(): return 5
            def count(n): yield from range(n)
            kinds = {'lambda': lambda x: x + 1, 'partial': functools.partial(lambda a, b: a - b, 10),
                     'later': later, 'count': count}
            """
        )["kinds"]
        arrived = self.travel(kinds)
        self.assertEqual(arrived["lambda"](1), 2)
        self.assertEqual(arrived["partial"](3), 7)
        self.assertEqual(list(arrived["count"](3)), [0, 1, 2])
        self.assertEqual(asyncio.run(arrived["later"]()), 5)

    def test_cached(self) -> None:
        """A function with a cache arrives with an empty one; one that can be imported, as itself."""
        f = self.define("import functools\n@functools.lru_cache(maxsize=3)\ndef f(x): return x + c")["f"]
        self.engine["c"] = 41
        arrived = self.travel(f)
        self.assertEqual((arrived(1), arrived(1)), (42, 42))
        self.assertEqual(arrived.cache_info()[::2], (1, 3))
        self.assertIs(self.travel(fnmatch._compile_pattern), fnmatch._compile_pattern)

    def test_dispatching(self) -> None:
        """A function that chooses by a type arrives with all that it chooses from."""
        source = """
            import functools
            class C: pass
            @functools.singledispatch
            def f(x): return "any"
            @f.register
            def _(x: int): return "int"
            @f.register(C)
            def _(x): return "C"
            """
        main = self.define(source)
        arrived, made = self.travel((main["f"], main["C"]()))
        self.assertEqual([arrived(5), arrived("x"), arrived(made)], ["int", "any", "C"])
        self.assertEqual(arrived.__name__, "f")

    def test_there_and_back(self) -> None:
        """A function goes to an engine and comes back, each time at home where it is."""
        f = self.define("def f(): return where")["f"]
        arrived = self.travel(f)
        back = serialize_function(arrived, "f").load({"where": "client"})
        self.engine["where"] = "engine"
        self.assertEqual((arrived(), back()), ("engine", "client"))

    def test_threads_do_not_mix(self) -> None:
        """The receiving namespace is that of the load that is going on, also for one inside another."""
        inner = serialize(self.define("f = lambda: 0")["f"])
        with receiving({"outer": 1}):
            namespace: dict[str, Any] = {}
            self.assertIs(inner.load(namespace).__globals__, namespace)
        self.assertIs(inner.load().__globals__, sys.modules["__main__"].__dict__)


class HomeTests(FunctionTestCase):
    def test_closure_of_a_module(self) -> None:
        """A function made in a module uses the module's names."""
        arrived = self.travel(lambda x: scaled(x))
        self.assertEqual(arrived(2), 20)

    def test_name_that_the_module_lacks(self) -> None:
        """A function that uses a name that only the engine has gets the engine's namespace."""
        self.engine["pushed"] = 5
        self.assertEqual(self.travel(lambda x: x * pushed)(2), 10)  # type: ignore[name-defined] # noqa: F821

    def test_no_names(self) -> None:
        """A function that uses no names at all does not have its module imported."""
        self.assertIs(self.travel(lambda x: len(x)).__globals__, self.engine)


    def test_globals_of_its_own(self) -> None:
        """A function whose globals were made for it brings those that it uses."""
        made: dict[str, Any] = {"offset": 3, "__name__": "made", "unused": sys.stdout}
        exec("def f(x): return x + offset", made)
        self.engine["offset"] = 100
        self.assertEqual(self.travel(made["f"])(1), 4)


class ImportableTests(FunctionTestCase):
    def test_by_reference(self) -> None:
        """A function that can be imported is the same one on arrival."""
        self.assertIs(self.travel(scaled), scaled)
        self.assertIs(self.travel(len), len)
        self.assertIs(self.travel(textwrap.dedent, carry_code=True), textwrap.dedent)

    def test_forced(self) -> None:
        """push_function has it by value, in the receiving namespace; the caller's function is left alone."""
        before = dict(scaled.__dict__)
        arrived = serialize_function(scaled, "scaled").load(self.engine)
        self.engine["factor"] = 3
        self.assertEqual((arrived(2), scaled(2)), (6, 20))
        self.assertEqual(scaled.__dict__, before)

    def test_forced_needs_a_function(self) -> None:
        """Other callables are refused by name."""
        for value in (len, int, functools.partial(scaled, 1), "scaled", self.test_forced):
            with self.assertRaises(TypeError) as caught:
                serialize_function(value, "thing")
            self.assertIn("'thing'", str(caught.exception))

    def test_code_is_carried(self) -> None:
        """Where the module is missing, the code that came along is used."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "only_here.py").write_text("def f(x, y=2):\n    return x + y\n")
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.modules.pop, "only_here", None)
        self.addCleanup(sys.path.remove, str(folder))
        importlib.invalidate_caches()
        f = importlib.import_module("only_here").f
        serialized = serialize((f, [functools.partial(f, 1)]), carry_code=True)
        self.assertIs(serialized.load()[0], f)
        script = "import sys, ipython1.core.serialize as s; f, [p] = s.Serialized([sys.stdin.buffer.read()]).load(); print(f(1), p())"
        output = subprocess.run(
            [sys.executable, "-c", script],
            input=serialized.getData(),
            capture_output=True,
            check=True,
            env={"PYTHONPATH": ":".join(entry for entry in sys.path if entry != str(folder))},
        )
        self.assertEqual(output.stdout, b"3 3\n")
        missing = subprocess.run(
            [sys.executable, "-c", script],
            input=serialize((f, [functools.partial(f, 1)])).getData(),
            capture_output=True,
            check=False,
            env={"PYTHONPATH": ":".join(entry for entry in sys.path if entry != str(folder))},
        )
        self.assertIn(b"ModuleNotFoundError", missing.stderr)


class ClassTests(FunctionTestCase):
    source = """
        from dataclasses import dataclass
        class Base:
            def who(self): return 'base'
            @classmethod
            def make(cls): return cls()
            @staticmethod
            def plain(): return name
            @property
            def both(self): return self.who(), __class__.__name__
        class Child(Base):
            def who(self): return 'child of ' + super().who()
        @dataclass
        class Point:
            x: int
            y: int = 2
            def total(self): return self.x + self.y + offset
        from collections import namedtuple
        Pair = namedtuple('Pair', 'left right', defaults=[2])
        """

    def test_instances(self) -> None:
        """Instances of classes of __main__ arrive with their classes, super() and __class__ included."""
        child = self.define(self.source)["Child"]()
        arrived = self.travel(child)
        self.assertEqual((arrived.both, type(arrived).make().who()), (("child of base", "Base"), "child of base"))

    def test_in_another_process(self) -> None:
        """The same where the classes are new, and methods see the receiving namespace."""
        names = self.define(self.source)
        serialized = serialize([names["Child"](), names["Point"](1), names["Base"], names["Pair"](1)])
        script = (
            "import sys, ipython1.core.serialize as s\n"
            "space = {'offset': 100, 'name': 'n'}\n"
            "child, point, base, pair = s.Serialized([sys.stdin.buffer.read()]).load(space)\n"
            "print(child.both, point.total(), point == type(point)(1), isinstance(child, base), base.plain(), point)\n"
            "print(pair, pair == type(pair)(1))\n"
        )
        output = subprocess.run(
            [sys.executable, "-c", script],
            input=serialized.getData(),
            capture_output=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        self.assertEqual(
            output.stdout,
            b"('child of base', 'Base') 103 True True n Point(x=1, y=2)\nPair(left=1, right=2) True\n",
        )

    def test_bound_method(self) -> None:
        """A bound method travels with its instance."""
        child = self.define(self.source)["Child"]()
        self.assertEqual(self.travel(child.who)(), "child of base")


class DecoratedTests(FunctionTestCase):
    def test_sent_as(self) -> None:
        """A decorated function is sent as what was decorated, also within a class; other decorators stay."""
        lock = threading.Lock()  # as a client has one

        def remote(function: Any) -> Any:
            return standing_for(lambda *args: lock.acquire() and function(*args), function)

        def noted(function: Any) -> Any:
            return functools.wraps(function)(lambda x: ("noted", function(x)))

        method = remote(lambda self: 2 * self.v)
        made = self.travel(type("P", (), {"double": method, "v": 4, "__module__": "__main__"}))
        self.assertEqual(made().double(), 8)
        self.assertEqual(self.travel(noted(remote(lambda x: x + 1)))(5), ("noted", 6))


class EngineNameTests(FunctionTestCase):
    def test_name_and_text(self) -> None:
        """A text is a name on the engine, or defines a callable there."""
        self.engine.update({"f": abs, "k": 3})
        self.assertIs(EngineName("f").resolve(self.engine), abs)
        self.assertEqual(EngineName(" lambda x: x * k").resolve(self.engine)(2), 6)
        self.assertRaises(NameError, EngineName("nothing").resolve, self.engine)

    def test_travels(self) -> None:
        """It is a value like any other."""
        self.assertEqual(pickle.loads(pickle.dumps(EngineName("f"))), EngineName("f"))


class MapPartTests(SynchronousTestCase):
    def test_map_part(self) -> None:
        """Each column has one of the arguments of all calls."""
        add: Callable[[int, int], int] = lambda a, b: a + b  # noqa: E731
        self.assertEqual(map_part(add, ([1, 3], [2, 4])), [3, 7])
        self.assertEqual(map_part(add, ([], [])), [])
