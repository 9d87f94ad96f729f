"""What the client and its views have in common: the verbs, map, the dictionary interface, ``with``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipython1.core.functions import standing_for
from ipython1.kernel.client.calls import Calls
from ipython1.kernel.client.debugger import debug, failed_engine
from ipython1.kernel.contexts import RemoteContextBase, SyncImports
from ipython1.kernel.derive import VerbCall, derive
from ipython1.kernel.mapper import MultiEngineMapper, ParallelFunction
from ipython1.kernel.multiengine import MultiEngine
from ipython1.kernel.targets import check_block
from ipython1.kernel.terminal import shown_briefly


@derive(MultiEngine)
class BlockingMultiEngine(RemoteContextBase):
    """The verbs, for the threads of users.

    `targets` and `block` are what calls use where they do not say.
    """

    targets: Any
    block: Any
    timeout: float | None = None
    """Seconds that a call may take (CallTimeout) where it does not say; None is for ever."""
    _calls: Calls
    _is_bare = False

    if TYPE_CHECKING:  # the verbs come from `derive`, which checkers of types do not follow

        def __getattr__(self, name: str) -> Any: ...

    def _defaults(self) -> tuple[Any, bool]:
        return self.targets, bool(self.block)

    def _bare(self) -> bool:
        return self._is_bare

    def _begin(self, begin: Callable[[], VerbCall]) -> Any:
        call = begin()
        if call.block:
            return self._calls.run(call)
        return self._calls.submit(call, self)

    def _fetched(self, pending: Any) -> None:
        self._calls.fetched(pending)

    # -- at a prompt -------------------------------------------------------------------------------------

    @shown_briefly
    def activate(self, suffix: str = "") -> None:
        """Make this the client of the magics ``%px``, ``%autopx`` and ``%result`` of the IPython one is in.

        With a `suffix`, of magics of their own: ``mec.activate('2')`` makes ``%px2``, ``%autopx2`` and so on.
        """
        from ipython1.kernel.client.magics import activate

        activate(self, suffix)

    def debug(self, engine: int | None = None) -> None:
        """Look around, on an engine, in the frames of the latest exception that a command raised there.

        It is IPython's debugger (``help`` tells its commands), there, at this prompt; ``q``, Ctrl-D and Ctrl-C leave it.
        Without `engine`, that of the exception that was shown last.  The engine does other work between two lines, and
        its code does not run on.
        """
        debug(self._calls, failed_engine() if engine is None else operator.index(engine))

    # -- map ---------------------------------------------------------------------------------------------

    def mapper(self, dist: str = "b", targets: Any = None, block: bool | None = None) -> MultiEngineMapper:
        """An object with a method ``map(func, *sequences)`` that keeps these choices.

        What is None is taken from the client at each map.
        """
        return MultiEngineMapper(self, dist, targets, block)

    def parallel(self, dist: Any = "b", targets: Any = None, block: bool | None = None) -> Any:
        """A decorator: the decorated function takes sequences, and is applied to their items on the engines.

        What is None is taken from the client now::

            @mec.parallel
            def f(x):
                return 10.0 * x**4


            f(range(32))
        """
        if callable(dist):
            return self.parallel()(dist)
        defaults = self._defaults()
        targets = defaults[0] if targets is None else targets
        block = defaults[1] if block is None else check_block(block)
        return ParallelFunction(MultiEngineMapper(self, dist, targets, block))

    # -- functions ---------------------------------------------------------------------------------------

    def apply(self, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Any:
        """Call ``func(*args, **kwargs)`` on the engines: a list of what each returned.

        `func` may also be the name of a function of theirs.  Where a `Reference` is among the arguments, each engine puts
        its own value.  Targets and block are the client's, or those of a view: ``mec[0].apply(f, 5)``.
        """
        return self._apply(func, args, kwargs)

    def remote(
        self,
        func: Callable[..., Any] | None = None,
        *,
        targets: Any = None,
        block: bool | None = None,
        timeout: float | None = None,
    ) -> Any:
        """A decorator: the decorated function runs on the engines, and gives what each returned, as `apply` does.

        What is not said is taken from the client at each call::

            @mec.remote
            def f(x):
                return x * id


            f(10)
        """
        if func is None:
            return functools.partial(self.remote, targets=targets, block=block, timeout=timeout)

        def call_function(*args: Any, **kwargs: Any) -> Any:
            return self._apply(func, args, kwargs, targets=targets, block=block, timeout=timeout)

        return standing_for(call_function, func)

    # -- dictionary interface ----------------------------------------------------------------------------

    def __setitem__(self, key: str, value: Any) -> None:
        self._check_key(key)
        self.push({key: value})

    def __getitem__(self, key: str) -> Any:
        self._check_key(key)
        return self.pull(key)

    @staticmethod
    def _check_key(key: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"the name of a value is text, not {key!r:.80}")

    # With __getitem__ alone, Python would try 0, 1, 2, ... for these, which are engines.
    __iter__ = None
    __contains__ = None

    # -- with --------------------------------------------------------------------------------------------

    def _run_remotely(self, source: str) -> Any:
        return self.execute(source)

    def sync_imports(self) -> SyncImports:
        """``with mec.sync_imports(): import numpy`` imports here, and then on the engines, what the block imports."""
        return SyncImports(lambda source: self.execute(source, block=True))
