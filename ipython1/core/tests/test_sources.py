"""Packages that are sent: what is collected of them, and that they are loaded anew."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core import sources


class SourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.write("__init__", "from shipped.part import f\nclass C: pass\n")
        self.write("part", "def f(): return 1\n")
        self.write("inner/__init__", "")
        self.write("inner/leaf", "from shipped import part\nvalue = part.f()\n")
        (self.folder / "shipped" / "notes.txt").write_text("no Python")
        self.main: dict[str, Any] = {}
        module = types.ModuleType("__main__")
        module.__dict__.update(self.main)
        self.main = module.__dict__
        self.patch(sys, "path", [str(self.folder), *sys.path])
        self.patch(sys, "meta_path", list(sys.meta_path))
        self.patch(sys, "modules", {**sys.modules, "__main__": module})
        self.patch(sys, "dont_write_bytecode", True)
        self.patch(sources, "_finder", sources._Finder())

    def write(self, name: str, text: str) -> None:
        path = self.folder / "shipped" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @contextmanager
    def patched(self, thing: Any, name: str, value: Any) -> Iterator[None]:
        """Within it, an attribute has another value."""
        before = getattr(thing, name)
        setattr(thing, name, value)
        try:
            yield
        finally:
            setattr(thing, name, before)

    def ship(self) -> list[str]:
        """Send it as it is now to an engine whose path does not have it."""
        here = {name: module for name, module in sys.modules.items() if name.partition(".")[0] != "shipped"}
        finders = [finder for finder in sys.meta_path if not isinstance(finder, sources._Finder)]
        with (
            self.patched(sys, "modules", here),
            self.patched(sys, "meta_path", finders),
            self.patched(sources, "_finder", sources._Finder()),
        ):
            name, found = sources.collect("shipped")
        return sources.install(name, {module: tuple(source) for module, source in found.items()})

    def test_collected(self) -> None:
        """All of a package, by the names of its modules."""
        name, found = sources.collect("shipped.inner.leaf")
        self.assertEqual(name, "shipped")
        self.assertEqual(sorted(found), ["shipped", "shipped.inner", "shipped.inner.leaf", "shipped.part"])
        self.assertEqual([module for module in found if found[module].is_package], ["shipped", "shipped.inner"])
        self.assertEqual(found["shipped.part"].text, b"def f(): return 1\n")

    def test_refused(self) -> None:
        """What is Python's own, or is not there, or is no Python, is refused."""
        for name in ("os", "sys", "no_such_package", "", "__main__"):
            self.assertRaises(ValueError, sources.collect, name)
        self.assertRaises(TypeError, sources.collect, 5)
        compiled = self.folder / "shipped" / f"fast{importlib.machinery.EXTENSION_SUFFIXES[0]}"
        compiled.touch()
        self.assertIn("modules that are compiled", str(self.assertRaises(ValueError, sources.collect, "shipped")))
        compiled.unlink()
        self.patch(sources, "LARGEST", 10)
        self.assertIn("more than 10 are not sent", str(self.assertRaises(ValueError, sources.collect, "shipped")))

    def test_reloaded(self) -> None:
        """What was loaded is new, in the namespace, too; what has another name there is let alone."""
        self.assertEqual(self.ship(), [])
        exec("import shipped\nfrom shipped import C\nfrom shipped.part import f\nfrom shipped.inner import leaf\ng = f", self.main)
        old = dict(self.main)
        self.write("part", "def f(): return 2\n")
        reloaded = self.ship()
        self.assertEqual(reloaded, ["shipped", "shipped.inner", "shipped.inner.leaf", "shipped.part"])
        self.assertEqual((self.main["f"](), self.main["leaf"].value, self.main["shipped"].f()), (2, 2, 2))
        self.assertIs(self.main["C"], self.main["shipped"].C)
        self.assertIsNot(self.main["C"], old["C"])
        self.assertEqual(self.main["g"](), 2)
        self.assertEqual(self.main["shipped"].__file__, str(self.folder / "shipped" / "__init__.py"))

    def test_without_files(self) -> None:
        """Folders without an ``__init__`` are packages, too; what others have put there elsewhere is found as before."""
        (self.folder / "shipped" / "__init__.py").unlink()
        self.write("bare/leaf", "value = 5\n")
        elsewhere = Path(self.mktemp()).absolute()
        (elsewhere / "shipped").mkdir(parents=True)
        (elsewhere / "shipped" / "other.py").write_text("value = 6\n")
        name, found = sources.collect("shipped")
        self.patch(sys, "path", [str(elsewhere)])
        sources.install(name, {module: tuple(source) for module, source in found.items()})
        exec("import shipped.bare.leaf, shipped.other", self.main)
        self.assertEqual((self.main["shipped"].bare.leaf.value, self.main["shipped"].other.value), (5, 6))

    def test_broken(self) -> None:
        """What cannot be loaded changes nothing."""
        self.ship()
        exec("import shipped.inner.leaf", self.main)
        module = sys.modules["shipped.part"]
        self.write("part", "def f() return 2\n")
        self.assertRaises(SyntaxError, self.ship)
        self.assertIs(sys.modules["shipped.part"], module)
        self.assertEqual(self.main["shipped"].f(), 1)
        self.write("part", "def f(): return 3\n")
        self.ship()
        self.assertEqual(self.main["shipped"].f(), 3)

    def test_traceback(self) -> None:
        """Its lines are shown where it fails."""
        self.write("part", "def f():\n    return 1 / 0  # here\n")
        self.ship()
        import linecache

        exec("from shipped.part import f", self.main)
        linecache.clearcache()
        code = self.main["f"].__code__
        self.assertIn("# here", linecache.getline(code.co_filename, 2, self.main["f"].__globals__))
