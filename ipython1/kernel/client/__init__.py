"""The blocking clients, for a prompt and for programs: what users import.

>>> from ipython1.kernel import client
>>> mec = client.MultiEngineClient()
"""

from __future__ import annotations

from typing import Any

from ipython1.core.remote_names import Reference
from ipython1.core.serialize import Serialized
from ipython1.kernel.client.interface import InterfaceClient
from ipython1.kernel.client.multiengine import MultiEngineClient, get_multiengine_client
from ipython1.kernel.client.pending import PendingResult
from ipython1.kernel.client.task import TaskClient, get_result, get_task_client
from ipython1.kernel.cluster.blocking import Cluster
from ipython1.kernel.contexts import RemoteMultiEngine, remote
from ipython1.kernel.error import (
    AbortedPendingDeferredError,
    CallInterrupted,
    CallTimeout,
    ClientError,
    ClusterError,
    ClusterRunning,
    CompositeError,
    ConfigError,
    ConnectionError,
    EngineLost,
    FURLError,
    InvalidDeferredID,
    InvalidEngineID,
    InvalidProperty,
    IPythonError,
    KernelError,
    LaunchError,
    NoEnginesRegistered,
    NoSuchCluster,
    NotAPendingResult,
    NothingToDebug,
    QueueCleared,
    ResultNotCompleted,
    SerializationError,
    StillRunning,
    TaskAborted,
    TaskDependencyError,
    TaskQueueFull,
    TaskRejectError,
    TaskTimeout,
    UnpickleableException,
)
from ipython1.kernel.history import History
from ipython1.kernel.mapping import Scatter
from ipython1.kernel.places import find_places
from ipython1.kernel.results import Result, ResultList
from ipython1.kernel.task import MapTask, StringTask, Task
from ipython1.kernel.task_result import TaskResult
from ipython1.kernel.task_submission import ResultOf
from ipython1.kernel.terminal import running_shell
from ipython1.kernel.ways import Transfer

__all__ = [
    "AbortedPendingDeferredError",
    "CallInterrupted",
    "CallTimeout",
    "ClientError",
    "Cluster",
    "ClusterError",
    "ClusterRunning",
    "CompositeError",
    "ConfigError",
    "ConnectionError",
    "EngineLost",
    "FURLError",
    "History",
    "IPythonError",
    "InterfaceClient",
    "InvalidDeferredID",
    "InvalidEngineID",
    "InvalidProperty",
    "KernelError",
    "LaunchError",
    "MapTask",
    "MultiEngineClient",
    "NoEnginesRegistered",
    "NoSuchCluster",
    "NotAPendingResult",
    "NothingToDebug",
    "PendingResult",
    "QueueCleared",
    "Reference",
    "RemoteMultiEngine",
    "Result",
    "ResultList",
    "ResultNotCompleted",
    "ResultOf",
    "Scatter",
    "SerializationError",
    "Serialized",
    "StillRunning",
    "StringTask",
    "Task",
    "TaskAborted",
    "TaskClient",
    "TaskDependencyError",
    "TaskQueueFull",
    "TaskRejectError",
    "TaskResult",
    "TaskTimeout",
    "Transfer",
    "UnpickleableException",
    "get_multiengine_client",
    "get_result",
    "get_task_client",
    "remote",
]


def _load_magics() -> None:
    """In IPython, ``%px`` and the others are there as soon as there can be clients."""
    shell = running_shell()
    if shell is not None:
        from ipython1.kernel.client.magics import load_ipython_extension

        load_ipython_extension(shell)


_load_magics()


def __getattr__(name: str) -> Any:
    # Not when this is imported: $IPYTHONDIR may be set afterwards.
    if name == "default_task_address":
        return str(find_places().furl_file("task"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
