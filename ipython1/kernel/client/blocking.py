"""What the client and its views have in common: the verbs, map, the dictionary interface, ``with``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipython1.kernel.client.calls import Calls
from ipython1.kernel.contexts import RemoteContextBase
from ipython1.kernel.derive import VerbCall, derive
from ipython1.kernel.mapper import MultiEngineMapper, ParallelFunction
from ipython1.kernel.multiengine import MultiEngine
from ipython1.kernel.targets import check_block


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

    def activate(self, suffix: str = "") -> None:
        """Make this the client of the magics ``%px``, ``%autopx`` and ``%result`` of the IPython one is in.

        With a `suffix`, of magics of their own: ``mec.activate('2')`` makes ``%px2``, ``%autopx2`` and so on.
        """
        from ipython1.kernel.client.magics import activate

        activate(self, suffix)

    # -- map ---------------------------------------------------------------------------------------------

    def mapper(self, dist: str = "b", targets: Any = None, block: bool | None = None) -> MultiEngineMapper:
        """An object with a method ``map(func, *sequences)`` that keeps these choices.

        What is None is taken from the client at each map.
        """
        return MultiEngineMapper(self, dist, targets, block)

    def parallel(self, dist: str = "b", targets: Any = None, block: bool | None = None) -> ParallelFunction:
        """A decorator: the decorated function takes sequences, and is applied to their items on the engines.

        What is None is taken from the client now::

            @mec.parallel()
            def f(x):
                return 10.0 * x**4


            f(range(32))
        """
        defaults = self._defaults()
        targets = defaults[0] if targets is None else targets
        block = defaults[1] if block is None else check_block(block)
        return ParallelFunction(MultiEngineMapper(self, dist, targets, block))

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
