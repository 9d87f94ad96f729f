#!/usr/bin/env python
"""Parallel map, balanced by load, in its forms.

Start a cluster (``ipcluster -n 4``), then run ``python taskmap.py``.
"""

import itertools

from ipython1.kernel import client

tc = client.TaskClient()

# All at once: the items are divided into chunks, and each chunk is a task.
print("Simple map:", tc.map(lambda x: 2 * x, range(10)))

# With choices for its tasks, and without waiting: one task for each item.
mapper = tc.mapper(clear_after=True, retries=1, block=False)
ids = mapper.map(lambda x: 2 * x, range(10))
tc.barrier(ids)
print("Mapper:", [tc.get_task_result(taskid) for taskid in ids])


# As a decorator.
@tc.parallel()
def double(x):
    return 2 * x


print("Parallel function:", double(range(10)))

# Over something that has no end: never more than 20 items are on the way.
squares = tc.imap(lambda x: x**2, itertools.count(), max_outstanding=20)
print("Endless:", list(itertools.islice(squares, 10)))
squares.close()
