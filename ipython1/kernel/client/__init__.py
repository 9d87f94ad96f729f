"""The blocking clients, for a prompt and for programs: what users import.

>>> from ipython1.kernel import client
>>> mec = client.MultiEngineClient()
"""

from __future__ import annotations

from ipython1.core.serialize import Serialized
from ipython1.kernel.client.multiengine import MultiEngineClient, get_multiengine_client
from ipython1.kernel.client.pending import PendingResult
from ipython1.kernel.contexts import RemoteMultiEngine, remote
from ipython1.kernel.error import (
    AbortedPendingDeferredError,
    CallTimeout,
    ClientError,
    CompositeError,
    ConnectionError,
    EngineLost,
    FURLError,
    InvalidDeferredID,
    InvalidEngineID,
    InvalidProperty,
    IPythonError,
    KernelError,
    NoEnginesRegistered,
    NotAPendingResult,
    QueueCleared,
    ResultNotCompleted,
    SerializationError,
    UnpickleableException,
)
from ipython1.kernel.mapping import Scatter
from ipython1.kernel.results import Result, ResultList
from ipython1.kernel.task import MapTask, StringTask, Task

__all__ = [
    "AbortedPendingDeferredError",
    "CallTimeout",
    "ClientError",
    "CompositeError",
    "ConnectionError",
    "EngineLost",
    "FURLError",
    "IPythonError",
    "InvalidDeferredID",
    "InvalidEngineID",
    "InvalidProperty",
    "KernelError",
    "MapTask",
    "MultiEngineClient",
    "NoEnginesRegistered",
    "NotAPendingResult",
    "PendingResult",
    "QueueCleared",
    "RemoteMultiEngine",
    "Result",
    "ResultList",
    "ResultNotCompleted",
    "Scatter",
    "SerializationError",
    "Serialized",
    "StringTask",
    "Task",
    "UnpickleableException",
    "get_multiengine_client",
    "remote",
]
