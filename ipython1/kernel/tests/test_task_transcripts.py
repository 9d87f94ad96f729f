"""The transcripts of the Task texts of 2008 and 2010, in the spelling of Python 3, typed in a real IPython.

Addresses of host and port gave way to FURLs; where the text shows a time, an engine or a count that depends on chance,
``...`` stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel.tests import transcript
from ipython1.kernel.tests.program import RealCluster

QUICKSTART = """
In [1]: from ipython1.kernel import client

In [2]: tc = client.TaskClient()

In [3]: tasklist = []

In [4]: for n in range(1000):
   ...:     tasklist.append(client.Task("a = %i"%n, pull="a"))

In [5]: taskids = [ tc.run(t) for t in tasklist ]

In [6]: tc.barrier(taskids)

In [7]: task_results = [ tc.get_task_result(taskid) for taskid in taskids ]

In [8]: tr = task_results[73]

In [9]: tr
Out[9]: TaskResult[ID:73]:{'a': 73}

In [10]: tr.engineid in (0, 1, 2, 3)
Out[10]: True

In [11]: tr.submitted, tr.completed, 0 < tr.duration < 60
Out[11]: ('20.../... ...:...:...', '20.../... ...:...:...', True)

In [12]: tr.results['a']
Out[12]: 73

In [13]: tr.ns.a
Out[13]: 73

In [14]: [r['a'] for r in task_results] == list(range(1000))
Out[14]: True
"""

CLIENT = """
In [1]: from ipython1.kernel import client

In [2]: tc = client.TaskClient(client.default_task_address)

In [3]: client.TaskClient(("192.168.1.1", 10113))
---------------------------------------------------------------------------
TypeError                                 Traceback (most recent call last)
...
TypeError: a FURL or the path of a FURL file is needed, not ('192.168.1.1', 10113)...

In [4]: taskID = tc.run(client.Task("a = 1", pull="a"))

In [5]: myTasks = [client.Task("import time; time.sleep(0.3)") for n in range(8)]

In [6]: taskIDs = [ tc.run(task) for task in myTasks ]

In [7]: tc.get_task_result(taskIDs[-1]) is None
Out[7]: True

In [8]: tc.barrier(taskID)

In [9]: tc.barrier(taskIDs)

In [10]: results = [ tc.get_task_result(tid) for tid in taskIDs ]

In [11]: results[0]
Out[11]: TaskResult[ID:1]:{}

In [12]: tc.get_task_result(taskID, block=True)
Out[12]: TaskResult[ID:0]:{'a': 1}
"""

STATUS = """
In [1]: from ipython1.kernel import client

In [2]: tc = client.TaskClient()

In [3]: done = [tc.run(client.Task("a = 1")) for n in range(3)]

In [4]: failed = tc.run(client.Task("1/0"))

In [5]: tc.barrier(done + [failed])

In [6]: never = client.Task("a = 1", depend=lambda properties: properties["RAM"] > 2**32)

In [7]: waiting = [tc.run(never) for n in range(4)]

In [8]: tc.queue_status()
Out[8]: {'scheduled': 4, 'pending': 0, 'succeeded': 3, 'failed': 1}

In [9]: status = tc.queue_status(verbose=True)

In [10]: {state: sorted(ids) for state, ids in status.items()}
Out[10]:
{'scheduled': [4, 5, 6, 7],
 'pending': [],
 'succeeded': [0, 1, 2],
 'failed': [3]}

In [11]: tc.abort(waiting[0])

In [12]: tc.get_task_result(waiting[0], block=True).raise_exception()
---------------------------------------------------------------------------
TaskAborted                               Traceback (most recent call last)
...
TaskAborted: ...

In [13]: tc.abort(done[0])
---------------------------------------------------------------------------
IndexError                                Traceback (most recent call last)
...
IndexError: ...completed already...

In [14]: tc.spin() in (True, False)
Out[14]: True

In [15]: mec = client.MultiEngineClient()

In [16]: mec.set_properties(dict(RAM=2**33), targets=1)
Out[16]: [None]

In [17]: tc.barrier(waiting)

In [18]: [tc.get_task_result(taskid).engineid for taskid in waiting[1:]]
Out[18]: [1, 1, 1]
"""

OBJECTS = """
In [1]: from ipython1.kernel import client

In [2]: tc = client.TaskClient()

In [3]: t = client.Task("a = str(id)", pull = ["a", "id"])

In [4]: tr = tc.run(t, block=True)

In [5]: tr.ns.a == str(tr.ns.id) == str(tr.engineid)
Out[5]: True

In [6]: import time

In [7]: t = client.Task("a = str(submitted)", push=dict(submitted=time.time()), pull="a")

In [8]: tc.run(t, block=True)
Out[8]: TaskResult[ID:1]:{'a': '...'}

In [9]: t = client.Task("a = range(int(1e10))", pull = "a",clear_after=True)

In [10]: tc.run(t, block=True)
Out[10]: TaskResult[ID:2]:{'a': range(0, 10000000000)}

In [11]: t = client.Task("a = sorted(globals())", pull = "a",clear_before=True)

In [12]: 'submitted' in tc.run(t, block=True).ns.a
Out[12]: False

In [13]: t = client.Task("import os; os.kill(os.getpid(), 9)", retries=2)

In [14]: t.recovery_task = client.Task("a = 'recovered'", pull="a")

In [15]: tc.run(t, block=True)
Out[15]: TaskResult[ID:4]:{'a': 'recovered'}

In [16]: def dep(properties):
   ....:     return properties["RAM"] > 2**32 # have at least 4GB

In [17]: t = client.Task("a = 1", pull="a", depend=dep)

In [18]: taskid = tc.run(t)

In [19]: client.MultiEngineClient().set_properties(dict(RAM=2**33))
Out[19]: [None, None, None, None]

In [20]: tc.get_task_result(taskid, block=True)
Out[20]: TaskResult[ID:5]:{'a': 1}
"""

# The overview of 2010.
OVERVIEW = """
In [1]: from ipython1.kernel import client

In [2]: tc = client.TaskClient(furl_or_file='')

In [3]: def f(x, y=1):
   ...:     return x + y

In [4]: taskid = tc.run(client.MapTask(f, args=[1], kwargs=dict(y=2)), block=False)

In [5]: tc.barrier([taskid])

In [6]: tc.get_task_result(taskid, block=False)
Out[6]: 3

In [7]: tc.run(client.StringTask('b = a + 1', pull='b', push=dict(a=1)), block=True)
Out[7]: TaskResult[ID:1]:{'b': 2}

In [8]: tc.run(client.MapTask(f, args=['a']), block=True)
---------------------------------------------------------------------------
TypeError                                 Traceback (most recent call last)
...
TypeError: can only concatenate str (not "int") to str

In [9]: tc.map(f, range(10))
Out[9]: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

In [10]: @tc.parallel(retries=1)
   ....: def g(x):
   ....:     return 10.0*x**4
   ....:

In [11]: g(range(5))
Out[11]: [0.0, 10.0, 160.0, 810.0, 2560.0]

In [12]: [tc.submit(pow, 2, n).result() for n in range(5)]
Out[12]: [1, 2, 4, 8, 16]

In [13]: import itertools

In [14]: list(itertools.islice(tc.imap(f, itertools.count(), max_outstanding=20), 5))
Out[14]: [1, 2, 3, 4, 5]

In [15]: with tc.executor() as executor:
   ....:     print(sorted(executor.map(f, range(5))))
[1, 2, 3, 4, 5]
"""


class TaskTranscripts(TestCase):
    """Each typed in an IPython of its own, with a cluster of its own: ids count up from 0."""

    timeout = 180

    def check(self, text: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._check(transcript.parse(text)))

    async def _check(self, cells: Sequence[transcript.Cell]) -> None:
        cluster = RealCluster(self)
        await cluster.ready()
        outcomes = await transcript.run(self, cells, cluster.environment)
        problems = transcript.differences(outcomes)
        self.assertEqual(problems, [], "\n\n".join(problems))

    def test_quickstart(self) -> Deferred[None]:
        """A thousand tasks, and their results (2008)."""
        return self.check(QUICKSTART)

    def test_client(self) -> Deferred[None]:
        """run, get_task_result, barrier (2008)."""
        return self.check(CLIENT)

    def test_status(self) -> Deferred[None]:
        """queue_status, abort, spin (2008)."""
        return self.check(STATUS)

    def test_objects(self) -> Deferred[None]:
        """What a task may be told (2008)."""
        return self.check(OBJECTS)

    def test_overview(self) -> Deferred[None]:
        """The overview of 2010, and what is beside it."""
        return self.check(OVERVIEW)
