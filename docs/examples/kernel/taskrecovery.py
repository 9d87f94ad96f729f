#!/usr/bin/env python
"""Tasks that fail: they are tried again, and then something else is done in their place.

Start a cluster (``ipcluster -n 4``), then run ``python taskrecovery.py``.
"""

from ipython1.kernel import client

tc = client.TaskClient()

# An interpreter that dies is started again; the task goes elsewhere.
crash = client.StringTask("import os; os._exit(1)", retries=1)
crash.recovery_task = client.StringTask("result = 'the engine was lost twice'", pull="result")
print("Recovered:", tc.run(crash, block=True)["result"])

# A failure is a result, too: it is raised where its values are asked for.
failed = tc.run(client.StringTask("1/0", pull="a"), block=True)
print("Failed:", failed.failure.getErrorMessage())

# What runs too long is interrupted.
slow = tc.run(client.StringTask("import time; time.sleep(100)", timeout=0.5), block=True)
print("Stopped:", slow.failure.type.__name__)
