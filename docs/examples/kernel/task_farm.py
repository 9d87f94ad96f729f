#!/usr/bin/env python
"""A task farm: many small pieces of work, done by whichever engine is free.

Start a cluster (``ipcluster -n 4``), then run ``python task_farm.py``.
"""

from ipython1.kernel import client

tc = client.TaskClient()

tasks = [client.StringTask("b = a ** 2; where = id", pull=["b", "where"], push={"a": n}) for n in range(40)]
ids = [tc.run(task) for task in tasks]
tc.barrier(ids)
results = [tc.get_task_result(taskid) for taskid in ids]

print("squares:", [result["b"] for result in results])
print("engines:", sorted({result["where"] for result in results}))
print("seconds:", round(sum(result.duration for result in results), 3))
