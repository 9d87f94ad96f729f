"""The parallel computing kernel: controller, engines and clients."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Not imported above: whoever needs one module of the kernel should not load others.
    if name == "TaskRejectError":
        from ipython1.kernel.error import TaskRejectError

        return TaskRejectError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
