"""The sources of a package, collected where it is developed, and imported from memory where they were sent to."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LARGEST = 64 << 20
"""So many bytes of source a package may have."""


_COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)


class Source(NamedTuple):
    """The source of one module; a package that has no file of its own has no `path` either."""

    text: bytes
    path: str
    is_package: bool


def collect(package: str | types.ModuleType) -> tuple[str, dict[str, Source]]:
    """The name of a package or module that can be imported here, and the sources of its modules by their names.

    Of ``a.b`` it is all of ``a``.  ValueError if it is not made of Python files.
    """
    name = package.__name__ if isinstance(package, types.ModuleType) else package
    if not isinstance(name, str):
        raise TypeError(f"a package is given by its name, or as a module, not as {package!r:.80}")
    name = name.partition(".")[0]
    if name in _finder.sources:  # it was sent here itself
        return name, {module: source for module, source in _finder.sources.items() if _belongs(module, name)}
    spec = importlib.util.find_spec(name) if name and name != "__main__" else None
    if spec is None or name in sys.stdlib_module_names:
        raise ValueError(f"{name!r:.80} is no package of yours: it cannot be found here, or it is Python's own")
    folders = list(spec.submodule_search_locations or ())
    if folders:
        found = _with_parents(dict(each for folder in folders for each in _folder(name, Path(folder))))
    elif spec.origin is not None and spec.origin.endswith(".py"):
        found = {name: Source(Path(spec.origin).read_bytes(), spec.origin, False)}
    else:
        found = {}
    if not found:
        raise ValueError(f"{name!r:.80} is not made of Python files, but of {spec.origin}")
    size = sum(len(source.text) for source in found.values())
    if size > LARGEST:
        raise ValueError(f"the sources of {name} have {size:,} bytes; more than {LARGEST:,} are not sent")
    return name, found


def _folder(name: str, folder: Path) -> list[tuple[str, Source]]:
    compiled = next((path for path in folder.rglob("*") if path.name.endswith(_COMPILED)), None)
    if compiled is not None:
        # Without it the package would not be one that engines can import any more.
        raise ValueError(f"{name} has modules that are compiled, as {compiled}, which cannot be sent")
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = list(path.relative_to(folder).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        module = ".".join([name, *(parts[:-1] if is_package else parts)])
        if all(part.isidentifier() for part in module.split(".")):
            found.append((module, Source(path.read_bytes(), str(path), is_package)))
    return found


def _with_parents(found: dict[str, Source]) -> dict[str, Source]:
    """`found`, and the packages around these modules that have no file of their own."""
    for module in list(found):
        parent = module.rpartition(".")[0]
        while parent and parent not in found:
            found[parent] = Source(b"", "", True)
            parent = parent.rpartition(".")[0]
    return found


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the modules that were sent, before all others."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        source = self.sources.get(fullname)
        if source is None:
            return None
        if not source.path:
            return self._namespace(fullname, path)
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=source.path, is_package=source.is_package)
        spec.has_location = True
        return spec

    def _namespace(self, fullname: str, path: Any) -> importlib.machinery.ModuleSpec:
        """A package without a file; others may have put modules into it here, which stay."""
        spec = importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        here = importlib.machinery.PathFinder.find_spec(fullname, path)
        spec.submodule_search_locations = list((here and here.submodule_search_locations) or ())
        return spec

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.sources[fullname].text)

    def get_code(self, fullname: str) -> types.CodeType:
        source = self.sources[fullname]
        return self.source_to_code(source.text, source.path)

    def is_package(self, fullname: str) -> bool:
        return self.sources[fullname].is_package


_finder = _Finder()


def install(name: str, sources: Mapping[str, Sequence[Any]]) -> list[str]:
    """Have the package `name` imported from these sources from now on; the names of the modules that were reloaded.

    What was loaded of it is loaded anew, and what ``__main__`` has of it is replaced.  If that fails, all stays as it was.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    before = _finder.sources
    _finder.sources = {
        **{module: source for module, source in before.items() if not _belongs(module, name)},
        **{module: Source(*source) for module, source in sources.items()},
    }
    old = {module: sys.modules.pop(module) for module in list(sys.modules) if _belongs(module, name)}
    try:
        for module in old:
            if module in _finder.sources:
                importlib.import_module(module)
    except BaseException:  # what a module raises as it is imported, an interrupt too: then all is as it was
        _finder.sources = before
        for module in [module for module in sys.modules if _belongs(module, name)]:
            del sys.modules[module]
        sys.modules.update(old)
        raise
    _replace(old, sys.modules["__main__"].__dict__)
    return sorted(module for module in old if module in sys.modules)


def _belongs(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _replace(old: Mapping[str, types.ModuleType], namespace: dict[str, Any]) -> None:
    """Put what is new in the place of modules, functions and classes of `old` in a namespace."""
    modules = {id(module): name for name, module in old.items()}
    for key, value in list(namespace.items()):
        if id(value) in modules:
            namespace[key] = sys.modules.get(modules[id(value)], value)
        elif isinstance(value, types.FunctionType | type):
            module, own = str(value.__module__), value.__name__
            if getattr(old.get(module), own, None) is value:
                namespace[key] = getattr(sys.modules.get(module), own, value)
