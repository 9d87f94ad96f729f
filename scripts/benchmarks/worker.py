"""A process that does the work with one system: orders come as lines of JSON on standard input, answers go out likewise.

``{"do": "begin", "engines": 4}``, ``{"do": "end"}`` and ``{"do": "tasks", "count": 10000}``; the answer is ``{"figure": 1.5}``,
``{"error": "..."}``, or ``{"cannot": true}`` where the system has no such thing.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

from benchmarks.systems.base import System

LIFE = {"begin": "start", "end": "stop"}


def answer(system: System, order: dict[str, Any]) -> dict[str, Any]:
    """Carry out one order."""
    name = order.pop("do")
    do = getattr(system, LIFE.get(name, f"measure_{name}"), None)
    if do is None:
        return {"cannot": True}
    try:
        return {"figure": do(**order)}
    except NotImplementedError:
        return {"cannot": True}
    except KeyboardInterrupt:
        return {"error": "it was interrupted"}
    except Exception as problem:  # whatever goes wrong in a system is for the report
        traceback.print_exc()
        return {"error": f"{type(problem).__name__}: {problem}"}


def main() -> None:
    module, name, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    # What the systems write must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    system: System = getattr(importlib.import_module(f"benchmarks.systems.{module}"), name)(**options)
    for line in sys.stdin:
        print(json.dumps(answer(system, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
