"""Views: some of the engines of a client, by its index."""

from __future__ import annotations

import operator
import sys
from types import TracebackType
from typing import Any

from ipython1.kernel.client.blocking import BlockingMultiEngine
from ipython1.kernel.contexts import block_source
from ipython1.kernel.error import StopLocalExecution
from ipython1.kernel.targets import wire_targets


class EngineView(BlockingMultiEngine):
    """Some engines of a client: ``mec[[0, 2]]``, ``mec[::2]``; or one, ``mec[0]``.

    It has the client's verbs, for these engines, and its dictionary interface.  A view of one engine gives that
    engine's value itself where a client gives a list of one value per engine.  `block` and `timeout` are the client's,
    unless they are set here.
    """

    def __init__(self, client: Any, targets: Any) -> None:
        if not isinstance(targets, slice | list | tuple | str):
            targets = operator.index(targets)
            self._is_bare = True
        wire_targets(targets)
        self.client = client
        self.targets = targets
        self._calls = client._calls
        self._block: Any = None
        self._timeout: float | None = None

    @property
    def block(self) -> Any:  # type: ignore[override]
        """Whether calls wait for their outcome."""
        return self.client.block if self._block is None else self._block

    @block.setter
    def block(self, value: Any) -> None:
        self._block = value

    @property
    def timeout(self) -> float | None:  # type: ignore[override]
        """Seconds that a call may take."""
        return self.client.timeout if self._timeout is None else self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._timeout = value

    def __repr__(self) -> str:
        return f"<view of {self.client!r}: targets={self.targets!r}>"


class ChosenView(EngineView):
    """What ``mec.view(...)`` gives.  ``with mec.view(...) as v:`` runs its block here, where `v` is this view.

    If the block begins with ``client.remote()`` it runs on the view's engines, as that of ``with mec:`` does.
    """

    def __enter__(self) -> Any:
        self._not_remote: ValueError | None = None
        try:
            source = block_source(sys._getframe(1))
        except ValueError as problem:
            self._not_remote = problem
        else:
            self._run_remotely(source)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, StopLocalExecution) and self._not_remote is not None:
            raise self._not_remote from None
        return super().__exit__(kind, error, traceback)
