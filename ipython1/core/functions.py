"""Functions as values: how a Python function travels to another process, and runs there.

A function that the other side can import travels by name.  Any other one (of ``__main__``, nested, a lambda)
travels by value, and is rebuilt with the *receiving namespace as its globals*, so that on an engine it sees what
was pushed or executed there, as in IPython 0.10.2.
"""

from __future__ import annotations

import builtins
import dis
import functools
import importlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

# A context variable, since values are unpickled in several threads of a client, and inside one another.
_receiving: ContextVar[dict[str, Any] | None] = ContextVar("receiving namespace", default=None)


class EngineName(NamedTuple):
    """Stands for the callable that `text` names or defines on the engine: a name, or the text of a lambda."""

    text: str

    def resolve(self, namespace: dict[str, Any]) -> Any:
        """The value of the text in `namespace`; whatever evaluating it raises."""
        return eval(compile(self.text.strip(), "<engine name>", "eval", dont_inherit=True), namespace)


def map_part(function: Callable[..., Any], columns: tuple[Iterable[Any], ...]) -> list[Any]:
    """What an engine does of a parallel map: apply `function` to the items of the columns, one for each argument."""
    return [function(*arguments) for arguments in zip(*columns, strict=True)]


@contextmanager
def receiving(namespace: dict[str, Any] | None) -> Iterator[None]:
    """Inside it, functions that arrive by value get `namespace` as globals (None: that of ``__main__``)."""
    token = _receiving.set(namespace)
    try:
        yield
    finally:
        _receiving.reset(token)


def receiving_namespace() -> dict[str, Any]:
    """Where what arrives finds its names."""
    namespace = _receiving.get()
    return sys.modules["__main__"].__dict__ if namespace is None else namespace


def find(module: str, qualname: str) -> Any:
    """The object of that name, importing its module; ImportError or AttributeError if there is none."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


_SENT_AS = "_ipython1_sent_as"


def standing_for(wrapper: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """`wrapper` as a decorated `function`: engines get the function itself in its place, which is called where it is."""
    functools.wraps(function)(wrapper)
    # With its code, as decorators of others copy what a function has to functions of theirs.
    wrapper.__dict__[_SENT_AS] = (wrapper.__code__, function)
    return wrapper


def sent_as(function: types.FunctionType) -> Any:
    """What is sent in the place of a function; None if that is itself."""
    code, instead = function.__dict__.get(_SENT_AS, (None, None))
    return instead if code is function.__code__ else None


def itself(value: Any) -> Any:
    """`value`"""
    return value


def is_importable(function: Any) -> bool:
    """Whether the function's module and qualified name lead to this very function."""
    name, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(name, str) or not isinstance(qualname, str) or name == "__main__":
        return False
    found: Any = sys.modules.get(name)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is function


def _is_users(function: types.FunctionType) -> bool:
    """Whether the function uses the names of ``__main__``, here or on an engine."""
    return function.__globals__.get("__name__") == "__main__"


def _module_of(function: types.FunctionType) -> types.ModuleType | None:
    """The loaded module whose names the function uses."""
    # Not function.__module__: functools.wraps makes that the wrapped function's.
    name = function.__globals__.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module if module is not None and module.__dict__ is function.__globals__ else None


def has_own_globals(function: types.FunctionType) -> bool:
    """Whether the function's globals are nobody's namespace, but made for it: by exec, as collections.namedtuple does.

    Such a function finds its names nowhere else, and has to take them with it.
    """
    return not _is_users(function) and _module_of(function) is None


def _global_names(code: types.CodeType) -> set[str]:
    names = {step.argval for step in dis.get_instructions(code) if step.opname.endswith("_GLOBAL")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def home_module(function: types.FunctionType) -> str | None:
    """The module that a function by value should find its globals in, or None for the receiving namespace.

    A function made inside a module's function (a closure, a decorator's wrapper) uses that module's names, which
    the receiving namespace does not have.  So its home is the module, if *all* the names that it uses are there:
    a name that is not must be meant for the engine's namespace.
    """
    module = _module_of(function)
    if module is None or _is_users(function):
        return None
    names = {name for name in _global_names(function.__code__) if not hasattr(builtins, name)}
    if names and all(name in function.__globals__ for name in names):
        return module.__name__
    return None


_CONSTANT = (type(None), bool, int, float, complex, str, bytes)


def makeup(function: Any) -> tuple[Any, ...] | None:
    """All that goes into what is sent for a function: while that is equal, so is what would be sent.

    None if it cannot be told: parts of it may change unseen.
    """
    if type(function) is not types.FunctionType or function.__closure__ or function.__dict__:
        return None
    importable = is_importable(function)
    if not importable and not _is_users(function):
        return None  # its module's names play a part
    defaults = function.__defaults__ or ()
    keywords = function.__kwdefaults__ or {}
    annotations = _annotations(function)
    if not all(type(value) in _CONSTANT for value in (*defaults, *keywords.values())):
        return None
    if not all(isinstance(value, type | str) for value in annotations.values()):
        return None
    names = (function.__name__, function.__qualname__, function.__module__, function.__doc__)
    # With their types, since 1 equals True.
    values = [(type(value), value) for value in (*defaults, *keywords.values())]
    return importable, function.__code__, names, len(defaults), values, [*keywords], [*annotations.items()]


def reduce_function(function: types.FunctionType, home: str | None) -> tuple[Any, ...]:
    """How a pickler writes `function` by value.

    The function is made first, with its cells, and what may refer back to it (cell contents, defaults,
    attributes) is filled in afterwards: recursion works, and functions that share a cell share it again.
    """
    state = {
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "attributes": dict(function.__dict__),
        "annotations": _annotations(function),
        "qualname": function.__qualname__,
        "module": function.__module__,
        "doc": function.__doc__,
    }
    made_of = (function.__code__, function.__name__, function.__closure__, home)
    return make_function, made_of, state, None, None, fill_function


def _annotations(function: types.FunctionType) -> dict[str, Any]:
    try:
        return dict(function.__annotations__)
    except NameError:  # from Python 3.14 on they are evaluated here, and may name what is only defined later
        return {}


def make_function(
    code: types.CodeType, name: str, cells: tuple[types.CellType, ...] | None, home: str | None
) -> types.FunctionType:
    """First step of rebuilding a function: everything but what may refer back to it."""
    return types.FunctionType(code, _globals_of(home), name, None, cells)


def _globals_of(home: str | None) -> dict[str, Any]:
    if home is None:
        return receiving_namespace()
    try:
        return importlib.import_module(home).__dict__
    except ImportError:
        return receiving_namespace()


def fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    """Second step of rebuilding a function."""
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["kwdefaults"]
    function.__dict__.update(state["attributes"])
    function.__annotations__ = state["annotations"]
    function.__qualname__ = state["qualname"]
    function.__module__ = state["module"]
    function.__doc__ = state["doc"]


def reduce_cached(function: functools._lru_cache_wrapper[Any]) -> tuple[Any, ...]:
    """How a pickler writes a function that ``functools.lru_cache`` made: it arrives with an empty cache."""
    return make_cached, (function.__wrapped__, function.cache_parameters())


def make_cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """`function` with a cache of its own."""
    return functools.lru_cache(**parameters)(function)


def is_dispatching(function: types.FunctionType) -> bool:
    """Whether `functools.singledispatch` made the function."""
    registry = getattr(function, "registry", None)
    return isinstance(registry, types.MappingProxyType) and function.__code__.co_filename == functools.__file__


def reduce_dispatching(function: Any) -> tuple[Any, ...]:
    """How a pickler writes a function that ``functools.singledispatch`` made: what it chooses from, without its cache."""
    others = [(kind, chosen) for kind, chosen in function.registry.items() if kind is not object]
    return make_dispatching, (function.registry[object], others)


def make_dispatching(function: Callable[..., Any], others: Iterable[tuple[Any, Callable[..., Any]]]) -> Any:
    """A function that chooses by the type of its first argument."""
    made: Any = functools.singledispatch(function)
    for kind, chosen in others:
        made.register(kind, chosen)
    return made


def reduce_cell(cell: types.CellType) -> tuple[Any, ...]:
    """How a pickler writes a closure's cell: the cell first, then its contents, which may refer back to it."""
    try:
        contents = cell.cell_contents
    except ValueError:  # not bound yet, or unbound again
        return types.CellType, ()
    # In a tuple, because a pickler takes a state of None for no state.
    return types.CellType, (), (contents,), None, None, fill_cell


def fill_cell(cell: types.CellType, state: tuple[Any]) -> None:
    """Second step of rebuilding a cell."""
    (cell.cell_contents,) = state
