"""The transcripts of the documents of 2005 to 2010, in the spelling of Python 3, typed in a real IPython.

Where a verb, an argument or a text has changed since, the later form stands here, as the 2008 documents and
IPython 0.10.2 have it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel.tests import transcript
from ipython1.kernel.tests.program import RealCluster

CONNECT = """
In [1]: from ipython1.kernel import client

In [2]: mec = client.MultiEngineClient()
"""

# Introduction and MultiEngine text of 2008.

HELLO = """
In [4]: mec.get_ids()
Out[4]: [0, 1, 2, 3]

In [5]: mec.execute('print("Hello World")')
Out[5]:
<Results List>
[0] In [1]: print("Hello World")
[0] Out[1]: Hello World

[1] In [1]: print("Hello World")
[1] Out[1]: Hello World

[2] In [1]: print("Hello World")
[2] Out[1]: Hello World

[3] In [1]: print("Hello World")
[3] Out[1]: Hello World
"""

BLOCKING = """
In [3]: mec.get_ids()
Out[3]: [0, 1, 2, 3]

# The default is to run on all engines
In [4]: mec.execute('a=5')
Out[4]:
<Results List>
[0] In [1]: a=5
[1] In [1]: a=5
[2] In [1]: a=5
[3] In [1]: a=5

In [5]: mec.execute('b=10')
Out[5]:
<Results List>
[0] In [2]: b=10
[1] In [2]: b=10
[2] In [2]: b=10
[3] In [2]: b=10

In [6]: mec.execute('c=a+b',targets=[0,2])
Out[6]:
<Results List>
[0] In [3]: c=a+b
[2] In [3]: c=a+b

In [7]: mec.execute('c=a-b',targets=[1,3])
Out[7]:
<Results List>
[1] In [3]: c=a-b
[3] In [3]: c=a-b

In [8]: mec.execute('print(c)')
Out[8]:
<Results List>
[0] In [4]: print(c)
[0] Out[4]: 15

[1] In [4]: print(c)
[1] Out[4]: -5

[2] In [4]: print(c)
[2] Out[4]: 15

[3] In [4]: print(c)
[3] Out[4]: -5

In [9]: result_dict = mec.execute('d=10; print(d)')

In [10]: for r in result_dict:
   ....:     print(r)
   ....:
{'input': {'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}, 'number': 5, 'id': 0, 'stdout': '10\\n'}
{'input': {'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}, 'number': 5, 'id': 1, 'stdout': '10\\n'}
{'input': {'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}, 'number': 5, 'id': 2, 'stdout': '10\\n'}
{'input': {'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}, 'number': 5, 'id': 3, 'stdout': '10\\n'}
"""

# With shorter sleeps than in the text.
NON_BLOCKING = """
# In blocking mode
In [6]: mec.execute('import time')
Out[6]:
<Results List>
[0] In [1]: import time
[1] In [1]: import time
[2] In [1]: import time
[3] In [1]: import time

# In non-blocking mode
In [7]: pr = mec.execute('time.sleep(0.2)',block=False)

# Now block for the result
In [8]: pr.get_result()
Out[8]:
<Results List>
[0] In [2]: time.sleep(0.2)
[1] In [2]: time.sleep(0.2)
[2] In [2]: time.sleep(0.2)
[3] In [2]: time.sleep(0.2)

# Again in non-blocking mode
In [9]: pr = mec.execute('time.sleep(0.2)',block=False)

# Poll to see if the result is ready
In [10]: pr.get_result(block=False)

# A shorthand for get_result(block=True)
In [11]: pr.r
Out[11]:
<Results List>
[0] In [3]: time.sleep(0.2)
[1] In [3]: time.sleep(0.2)
[2] In [3]: time.sleep(0.2)
[3] In [3]: time.sleep(0.2)
"""

# In the text the engines had done five commands by now.
FIVE_COMMANDS = """
In [15]: for i in range(5):
   ....:     r = mec.execute('pass')
   ....:
"""

BLOCK_AND_TARGETS = """
In [16]: mec.targets = [0,2]

In [17]: mec.block = False

In [18]: pr = mec.execute('a=5')

In [19]: pr.r
Out[19]:
<Results List>
[0] In [6]: a=5
[2] In [6]: a=5

# Note targets='all' means all engines
In [20]: mec.targets = 'all'

In [21]: mec.block = True

In [22]: mec.execute('b=10; print(b)')
Out[22]:
<Results List>
[0] In [7]: b=10; print(b)
[0] Out[7]: 10

[1] In [6]: b=10; print(b)
[1] Out[6]: 10

[2] In [7]: b=10; print(b)
[2] Out[7]: 10

[3] In [6]: b=10; print(b)
[3] Out[6]: 10
"""

# %px has printed "Parallel execution on engines" since IPython 0.10.
MAGICS = """
In [23]: mec.activate()

In [24]: mec.block=True

In [25]: import numpy

In [26]: %px import numpy
Parallel execution on engines: all
Out[26]:
<Results List>
[0] In [8]: import numpy
[1] In [7]: import numpy
[2] In [8]: import numpy
[3] In [7]: import numpy

In [27]: %px a = numpy.random.rand(2,2)
Parallel execution on engines: all
Out[27]:
<Results List>
[0] In [9]: a = numpy.random.rand(2,2)
[1] In [8]: a = numpy.random.rand(2,2)
[2] In [9]: a = numpy.random.rand(2,2)
[3] In [8]: a = numpy.random.rand(2,2)

In [28]: %px print(numpy.linalg.eigvals(a))
Parallel execution on engines: all
Out[28]:
<Results List>
[0] In [10]: print(numpy.linalg.eigvals(a))
[0] Out[10]: [...]

[1] In [9]: print(numpy.linalg.eigvals(a))
[1] Out[9]: [...]

[2] In [10]: print(numpy.linalg.eigvals(a))
[2] Out[10]: [...]

[3] In [9]: print(numpy.linalg.eigvals(a))
[3] Out[9]: [...]

In [29]: %result
Out[29]:
<Results List>
[0] In [10]: print(numpy.linalg.eigvals(a))
[0] Out[10]: [...]

[1] In [9]: print(numpy.linalg.eigvals(a))
[1] Out[9]: [...]

[2] In [10]: print(numpy.linalg.eigvals(a))
[2] Out[10]: [...]

[3] In [9]: print(numpy.linalg.eigvals(a))
[3] Out[9]: [...]

In [30]: mec.block=False

In [31]: %autopx
Auto Parallel Enabled
Type %autopx to disable

In [32]: max_evals = []
<ipython1.kernel.client.PendingResult object at 0x17b8a70...>

In [33]: for i in range(100):
   ....:     a = numpy.random.rand(10,10)
   ....:     a = a+a.transpose()
   ....:     evals = numpy.linalg.eigvals(a)
   ....:     max_evals.append(evals[0].real)
   ....:
<ipython1.kernel.client.PendingResult object at 0x17af8f0...>

In [34]: %autopx
Auto Parallel Disabled

In [35]: mec.block=True

In [36]: px print("Average max eigenvalue is: ", sum(max_evals)/len(max_evals))
Parallel execution on engines: all
Out[36]:
<Results List>
[0] In [13]: print("Average max eigenvalue is: ", sum(max_evals)/len(max_evals))
[0] Out[13]: Average max eigenvalue is:  ...

[1] In [12]: print("Average max eigenvalue is: ", sum(max_evals)/len(max_evals))
[1] Out[12]: Average max eigenvalue is:  ...

[2] In [13]: print("Average max eigenvalue is: ", sum(max_evals)/len(max_evals))
[2] Out[13]: Average max eigenvalue is:  ...

[3] In [12]: print("Average max eigenvalue is: ", sum(max_evals)/len(max_evals))
[3] Out[12]: Average max eigenvalue is:  ...
"""

WITH = """
In [3]: with mec:
   ...:     client.remote() # Required so the following code is not run locally
   ...:     a = 10
   ...:     b = 30
   ...:     c = a+b
   ...:

In [4]: mec.get_result()
Out[4]:
<Results List>
[0] In [1]: a = 10
b = 30
c = a+b

[1] In [1]: a = 10
b = 30
c = a+b

[2] In [1]: a = 10
b = 30
c = a+b

[3] In [1]: a = 10
b = 30
c = a+b
"""

PUSH_AND_PULL = """
In [38]: mec.push(dict(a=1.03234,b=3453))
Out[38]: [None, None, None, None]

In [39]: mec.pull('a')
Out[39]: [1.03234, 1.03234, 1.03234, 1.03234]

In [40]: mec.pull('b',targets=0)
Out[40]: [3453]

In [41]: mec.pull(('a','b'))
Out[41]: [[1.03234, 3453], [1.03234, 3453], [1.03234, 3453], [1.03234, 3453]]

In [42]: mec.zip_pull(('a','b'))
Out[42]: [(1.03234, 1.03234, 1.03234, 1.03234), (3453, 3453, 3453, 3453)]

In [43]: mec.push(dict(c='speed'))
Out[43]: [None, None, None, None]

In [44]: %px print(c)
Parallel execution on engines: all
Out[44]:
<Results List>
[0] In [14]: print(c)
[0] Out[14]: speed

[1] In [13]: print(c)
[1] Out[13]: speed

[2] In [14]: print(c)
[2] Out[14]: speed

[3] In [13]: print(c)
[3] Out[13]: speed

In [47]: mec.block=False

In [48]: pr = mec.pull('a')

In [49]: pr.r
Out[49]: [1.03234, 1.03234, 1.03234, 1.03234]

In [50]: mec.block=True

In [51]: mec['a']=['foo','bar']

In [52]: mec['a']
Out[52]: [['foo', 'bar'], ['foo', 'bar'], ['foo', 'bar'], ['foo', 'bar']]
"""

FUNCTIONS_AND_SCATTER = """
In [53]: def f(x):
   ....:     return 2.0*x**4
   ....:

In [54]: mec.push_function(dict(f=f))
Out[54]: [None, None, None, None]

In [55]: mec.execute('y = f(4.0)')
Out[55]:
<Results List>
[0] In [15]: y = f(4.0)
[1] In [14]: y = f(4.0)
[2] In [15]: y = f(4.0)
[3] In [14]: y = f(4.0)

In [56]: px print(y)
Parallel execution on engines: all
Out[56]:
<Results List>
[0] In [16]: print(y)
[0] Out[16]: 512.0

[1] In [15]: print(y)
[1] Out[15]: 512.0

[2] In [16]: print(y)
[2] Out[16]: 512.0

[3] In [15]: print(y)
[3] Out[15]: 512.0

In [58]: mec.scatter('a',range(16))
Out[58]: [None, None, None, None]

In [59]: px print(a)
Parallel execution on engines: all
Out[59]:
<Results List>
[0] In [17]: print(a)
[0] Out[17]: [0, 1, 2, 3]

[1] In [16]: print(a)
[1] Out[16]: [4, 5, 6, 7]

[2] In [17]: print(a)
[2] Out[17]: [8, 9, 10, 11]

[3] In [16]: print(a)
[3] Out[16]: [12, 13, 14, 15]

In [60]: mec.gather('a')
Out[60]: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
"""

MAP = """
In [63]: serial_result = list(map(lambda x:x**10, range(32)))

In [64]: parallel_result = mec.map(lambda x:x**10, range(32))

In [65]: serial_result==parallel_result
Out[65]: True

In [66]: mec.scatter('x',range(64))
Out[66]: [None, None, None, None]

In [67]: px y = [i**10 for i in x]
Parallel execution on engines: all
Out[67]:
<Results List>
[0] In [19]: y = [i**10 for i in x]
[1] In [18]: y = [i**10 for i in x]
[2] In [19]: y = [i**10 for i in x]
[3] In [18]: y = [i**10 for i in x]

In [68]: y = mec.gather('y')

In [69]: print(y)
[0, 1, 1024, 59049, 1048576, 9765625, 60466176, 282475249, 1073741824,...]

In [72]: mec.block=False

# A trivial list of PendingResults objects
In [73]: pr_list = [mec.execute('import time; time.sleep(0.03)') for i in range(10)]

# Wait until all of them are done
In [74]: mec.barrier(pr_list)

# Then, their results are ready using get_result or the r attribute
In [75]: pr_list[0].r
Out[75]:
<Results List>
[0] In [20]: import time; time.sleep(0.03)
[1] In [19]: import time; time.sleep(0.03)
[2] In [20]: import time; time.sleep(0.03)
[3] In [19]: import time; time.sleep(0.03)
"""

ERRORS = """
In [76]: mec.block=True

In [77]: mec.execute('1/0')
---------------------------------------------------------------------------
CompositeError                            Traceback (most recent call last)

CompositeError: one or more exceptions from call to method: execute
[0:execute]: ZeroDivisionError: division by zero
[1:execute]: ZeroDivisionError: division by zero
[2:execute]: ZeroDivisionError: division by zero
[3:execute]: ZeroDivisionError: division by zero

In [80]: try:
   ....:     mec.execute('1/0')
   ....: except client.CompositeError as e:
   ....:     e.raise_exception()
   ....:
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)

ZeroDivisionError: division by zero

In [81]: mec.execute('1/0')
---------------------------------------------------------------------------
CompositeError                            Traceback (most recent call last)

CompositeError: one or more exceptions from call to method: execute
[0:execute]: ZeroDivisionError: division by zero
[1:execute]: ZeroDivisionError: division by zero
[2:execute]: ZeroDivisionError: division by zero
[3:execute]: ZeroDivisionError: division by zero

In [82]: %debug
> ...

ipdb> e.print_tracebacks()
[0:execute]:
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)
...
ZeroDivisionError: division by zero

[1:execute]:
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)
...
ZeroDivisionError: division by zero

[2:execute]:
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)
...
ZeroDivisionError: division by zero

[3:execute]:
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)
...
ZeroDivisionError: division by zero

ipdb> q

In [83]: mec.block=False

In [84]: pr = mec.execute('1/0')

In [85]: pr.r
---------------------------------------------------------------------------
CompositeError                            Traceback (most recent call last)

CompositeError: one or more exceptions from call to method: execute
[0:execute]: ZeroDivisionError: division by zero
[1:execute]: ZeroDivisionError: division by zero
[2:execute]: ZeroDivisionError: division by zero
[3:execute]: ZeroDivisionError: division by zero
"""

# The tutorial of 2010, with two engines.
TUTORIAL = """
In [3]: mec.get_ids()

Out[3]: [0, 1]

In [4]: mec.execute('print("Hello world!")')

Out[4]:
<Results List>
[0] In [1]: print("Hello world!")
[0] Out[1]: Hello world!

[1] In [1]: print("Hello world!")
[1] Out[1]: Hello world!
"""

# The README of 2005, with two engines. `execute` prints its results now, so that they are put aside here.
KERNELS = """
In [1]: from ipython1.kernel import client

In [2]: ic = client.MultiEngineClient()

In [3]: ic.activate()

In [5]: r = ic.execute('a = 5')             # a = 5 on all kernels

In [6]: r = ic.execute('b = 10')            # b = 10 on all kernels

In [7]: r = ic.execute('c = 30',0)          # c = 30 on kernel 0

In [8]: r = ic.execute('c = 40',1)          # d = 40 on kernel 1

In [9]: r = ic[0].execute('d = 10')         # Same as execute('d=10',0)

In [10]: %px c = 30                     # Like execute('c = 30')
Parallel execution on engines: all
Out[10]:
<Results List>
[0] In [5]: c = 30                     # Like execute('c = 30')
[1] In [4]: c = 30                     # Like execute('c = 30')

In [11]: %autopx
Auto Parallel Enabled
Type %autopx to disable

In [12]: a = 40
<Results List>
[0] In [6]: a = 40
[1] In [5]: a = 40

In [13]: b = 40
<Results List>
[0] In [7]: b = 40
[1] In [6]: b = 40

In [14]: c = a + b
<Results List>
[0] In [8]: c = a + b
[1] In [7]: c = a + b

In [15]: %autopx
Auto Parallel Disabled

In [16]: ic.pull('c')
Out[16]: [80, 80]

In [17]: ic.push({'a': 10})            # Send 10 to all kernels as 'a'
Out[17]: [None, None]

In [18]: ic.pull('a')               # Pull 'a' back from all kernels
Out[18]: [10, 10]

In [19]: ic.pull('q')               # q is not defined
---------------------------------------------------------------------------
CompositeError                            Traceback (most recent call last)

CompositeError: one or more exceptions from call to method: pull
[0:pull]: NameError: name 'q' is not defined
[1:pull]: NameError: name 'q' is not defined

In [20]: ic.push({'a': 10}, 0)          # Push to only kernel 0
Out[20]: [None]

In [21]: ic.push({'a': 20}, 1)          # Push to only kernel 1
Out[21]: [None]

In [22]: ic.pull('a')               # Now gather from both
Out[22]: [10, 20]

In [23]: ic.push({'a': 10}, [0,1])
Out[23]: [None, None]

In [24]: ic.pull('a',[0,1])
Out[24]: [10, 10]

In [25]: ic[0].push({'a': 10})

In [26]: ic[0].pull('a')
Out[26]: 10

In [27]: ic['a'] = 10

In [28]: ic['a']
Out[28]: [10, 10]

In [29]: ic[0]['b'] = 20

In [30]: ic[1]['b'] = 20

In [31]: ic['b']
Out[31]: [20, 20]

In [5]: ic.push({'a': client.Scatter(range(10))})
Out[5]: [None, None]

In [6]: ic.pull('a')
Out[6]: [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]

In [7]: ic['a'] = client.Scatter(range(10))

In [7]: ic['a'] = client.Scatter(range(2))

In [8]: ic['a']
Out[8]: [[0], [1]]

In [9]: ic['a'] = client.Scatter(range(2),True)

In [10]: ic['a']
Out[10]: [0, 1]

In [11]: ic[0]['a'] = ic[1]['b']

In [12]: ic['a']
Out[12]: [20, 1]

In [32]: ic.reset()
Out[32]: [None, None]

In [33]: ic.keys()
Out[33]: [['id', 'mpi'], ['id', 'mpi']]

In [34]: ic.disconnect()

In [35]: ic.execute('a = 5')
Out[35]:
<Results List>
[0] In [1]: a = 5
[1] In [1]: a = 5

In [38]: ic.kill()
Out[38]: [None, None]

In [39]: ic.get_ids()
Out[39]: []
"""


class TranscriptTests(TestCase):
    timeout = 300

    async def type_in(self, engines: int, *stories: Sequence[str]) -> None:
        """Type each of `stories` in an IPython of its own, with engines that start anew."""
        cluster = RealCluster(self, engines)
        await cluster.ready()
        for number, story in enumerate(stories):
            reset = ["In [3]: r = mec.reset()"] if number else []
            cells = [cell for text in (CONNECT, *reset, *story) for cell in transcript.parse(text)]
            differences = transcript.differences(await transcript.run(self, cells, cluster.environment))
            self.assertEqual(differences, [], "\n\n".join(differences))

    def test_2008_commands(self) -> Deferred[None]:
        """Executing commands, with and without blocking, in with blocks; errors."""
        return Deferred.fromCoroutine(self.type_in(4, [HELLO], [BLOCKING], [NON_BLOCKING], [WITH], [ERRORS]))

    def test_2008_session(self) -> Deferred[None]:
        """The long session: block and targets, magics, push and pull, functions, scatter and gather, map."""
        if importlib.util.find_spec("numpy") is None:
            self.skipTest("the text uses numpy, which is not installed")
        story = [FIVE_COMMANDS, BLOCK_AND_TARGETS, MAGICS, PUSH_AND_PULL, FUNCTIONS_AND_SCATTER, MAP]
        return Deferred.fromCoroutine(self.type_in(4, story))

    def test_2010_and_2005(self) -> Deferred[None]:
        """The tutorial of 2010, and what there was in 2005 and still is."""
        return Deferred.fromCoroutine(self.type_in(2, [TUTORIAL], [KERNELS]))
