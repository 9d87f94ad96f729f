"""Clusters for programs that wait, at a prompt, in a script or in a thread: nothing here needs a reactor."""

from __future__ import annotations

import select
import time
from importlib import import_module
from types import TracebackType
from typing import Any, Self

from ipython1.kernel.cluster.operations import Operations
from ipython1.kernel.cluster.steps import Ask, Connect, Dismiss, Pause, Prepare, Readable, Step, Steps, Work


class Cluster(Operations):
    """A controller and engines, which are started by this program and end with it.

    ::

        with client.Cluster(n=4) as cluster:
            mec = cluster.multiengine()
            ...

    or with `start` and `stop`.  `n` is how many engines.  The cluster ends with the block, also when it is left by an
    exception, and with the program, however that ends, unless `keep` is true: then it runs on until it is stopped.

    `launcher` is what starts the processes: 'local', 'ssh' or another one that is installed.  `cluster_id` is its
    name; without one it gets a new name, so that it runs beside all others, and its logs are removed with it.
    `profile` and `ipython_dir` are where its files lie.  All other arguments are the options of ``ipcluster start``
    and of the launcher, as in ``interface='127.0.0.1'`` or ``ssh_config='~/lab'``; an option that can be given several
    times takes a list.

    The constructor starts nothing: ConfigError if a name or a value cannot be used.
    """

    def _carry_out(self, steps: Steps[Any]) -> Any:
        try:
            step = next(steps)
            while True:
                try:
                    outcome = _do(step)
                except BaseException as problem:  # an interrupt too: the operation may have something to put in order
                    step = steps.throw(problem)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            return end.value

    def __enter__(self) -> Self:
        if not self._started:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._carry_out(self._leave())


def _do(step: Step) -> Any:
    if isinstance(step, Ask):
        from ipython1.daemon.control import ask

        return ask(step.path, step.verb, step.args, step.timeout)
    if isinstance(step, Readable):
        poll = select.poll()
        poll.register(step.descriptor, select.POLLIN)
        # The system takes no longer times.
        return bool(poll.poll(min(step.timeout * 1000, 2**31 - 1)))
    if isinstance(step, Pause):
        return time.sleep(step.seconds)
    if isinstance(step, Work):
        return step.function()
    if isinstance(step, Prepare):
        # The most of what clients need, and not the reactor: which one that is to be is not for us to choose.
        return import_module("twisted.internet.posixbase")
    if isinstance(step, Connect):
        return _connect(step)
    assert isinstance(step, Dismiss)
    return step.client.leave_for_good(step.reason)


def _connect(step: Connect) -> Any:
    from ipython1.kernel.client.multiengine import MultiEngineClient
    from ipython1.kernel.client.task import TaskClient

    return TaskClient(step.file) if step.role == "task" else MultiEngineClient(step.file)


Cluster.__module__ = "ipython1.kernel.client"
