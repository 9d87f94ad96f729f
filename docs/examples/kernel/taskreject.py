#!/usr/bin/env python
"""A task that refuses engines which lack what it needs, until it comes to one that has it.

Start a cluster (``ipcluster -n 4``), then run ``python taskreject.py``.
"""

from ipython1.kernel import client

mec = client.MultiEngineClient()
tc = client.TaskClient()

# One engine has a licence, say; the others do not.
chosen = mec.get_ids()[-1]
mec.push({"licensed": False})
mec.push({"licensed": True}, targets=chosen)

SOURCE = """
from ipython1.kernel.error import TaskRejectError
if not licensed:
    raise TaskRejectError("this engine has no licence")
where = id
"""

# A rejection costs no retry.
result = tc.run(client.StringTask(SOURCE, pull="where"), block=True)
print("It ran on the engine with the licence:", result["where"] == chosen)
