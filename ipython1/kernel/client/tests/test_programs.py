"""Programs that use the blocking client with a real cluster, each in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Mapping

from twisted.internet import reactor, utils
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ipython1.kernel.client.interrupted import NOTICE
from ipython1.kernel.tests.program import Program, RealCluster, search_path

DURING_IMPORT = """
import {module}
print({module}.result)
"""

MODULE = """
from ipython1.kernel import client
mec = client.MultiEngineClient()
result = mec.pull('id') + mec.map(abs, [-1]) + mec.execute('a = 1', block=False).r[:0]
"""

INTERRUPTED = """
import os, signal, threading
from ipython1.kernel import client
mec = client.MultiEngineClient()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    mec.execute('while True: pass')
except KeyboardInterrupt:
    print('interrupted here')
mec.interrupt()
while any(status['pending'] != 'None' for engine, status in mec.queue_status()):
    pass
print(mec.execute('6*7', targets=0)[0]['display']['repr'])
"""

WAITS = """
import atexit
from ipython1.kernel import client
mec = client.MultiEngineClient()
mec.live_output = True
atexit.register(print, 'at the end')
mec.execute('import time; print("waits"); time.sleep(1000)', targets=0)
"""

FORKS = """
import os, warnings
from ipython1.kernel import client
mec = client.MultiEngineClient()
# Python 3.12 and newer warn that it is not wise to fork where there are threads; here that is done all the same.
warnings.simplefilter("ignore", DeprecationWarning)
pid = os.fork()
if not pid:
    try:
        mec.get_ids()
    except client.ClientError:
        try:
            client.MultiEngineClient()
        except client.ClientError:
            # As multiprocessing ends its own: at the usual end OpenSSL waits for a lock that another thread may have had.
            os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(mec))
"""

AT_EXIT = """
import atexit
from ipython1.kernel import client

@atexit.register
def last():
    try:
        mec.get_ids()
    except client.ClientError as problem:
        print(problem)

mec = client.MultiEngineClient()
waiting = mec.execute('import time; time.sleep(60)', block=False)
mec.interrupt(block=False)
"""

WITH_BLOCK = """
from ipython1.kernel import client
mec = client.MultiEngineClient()
mec.reset()
def work():
    with mec:
        client.remote()
        a = 10
        print(id + a)
work()
print(mec.get_result(targets=1))
with client.RemoteMultiEngine(mec[0]) as result:
    client.remote()
    b = 2
print(result['number'])
"""

EXCEPTIONS = """
import queue
from ipython1.kernel import client
mec = client.MultiEngineClient()
mec.execute('class Own(KeyError): pass')
for source in ('import queue; raise queue.Empty("e")', 'raise Own("o")'):
    try:
        mec.execute(source, targets=2)
    except client.CompositeError as problem:
        try:
            problem.raise_exception()
        except queue.Empty:
            print('Empty itself')
        except KeyError as own:
            print(type(own).__name__, own, own._ipython_engine_info['engineid'])
"""

KILL = """
from ipython1.kernel import client
mec = client.MultiEngineClient()
print(mec.kill(controller=True))
try:
    while True:
        mec.get_ids()
except (client.ConnectionError, client.FURLError) as problem:
    print('gone')
"""


class ProgramTests(TestCase):
    timeout = 300

    async def setUp(self) -> None:  # type: ignore[override]
        cluster = RealCluster(self, 3)
        await cluster.ready()
        self.environment = {**cluster.environment, "PYTHONPATH": search_path()}

    async def run_program(
        self, program: str, environment: Mapping[str, str] | None = None, notice: str = ""
    ) -> str:
        """What a program prints; it has to end without an error, and soon.  The `notice` it may give on a busy machine."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write(textwrap.dedent(program))
        started = reactor.seconds()  # type: ignore[attr-defined]
        output, errors, status = await utils.getProcessOutputAndValue(  # type: ignore[misc]
            sys.executable, [path], env={**os.environ, **self.environment, **(environment or {})}
        )
        self.assertEqual(status, 0, f"{program}\n{output.decode()}\n{errors.decode()}")
        self.assertIn(errors.decode(), ("", notice), f"{program}\n{output.decode()}")
        self.assertLess(reactor.seconds() - started, 15, program)  # type: ignore[attr-defined]
        return str(output.decode())

    async def test_interrupted(self) -> None:
        """A program that Ctrl-C ends while it waits ends by the signal, as others do; not one that goes on after it."""
        for options, status in (([], -signal.SIGINT), (["-i"], 0)):
            command = [sys.executable, *options, "-c", WAITS]
            waiting = Program(self, *command, environment=self.environment, stdin=b"")
            await waiting.said(r"\[stdout:0\] waits")
            waiting.signal("INT")
            self.assertEqual(await waiting.ended(), status, waiting.output)
            self.assertIn("CallInterrupted: ", waiting.errors)
            self.assertIn("at the end", waiting.output)

    async def test_programs(self) -> None:
        """What clients do outside of a prompt: in imports, signals, forks, at the end."""
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        with open(os.path.join(folder, "uses_cluster.py"), "w") as file:
            file.write(MODULE)
        path = os.pathsep.join([self.environment["PYTHONPATH"], folder])
        printed = await self.run_program(DURING_IMPORT.format(module="uses_cluster"), {"PYTHONPATH": path})
        self.assertEqual(printed, "[0, 1, 2, 1]\n")
        self.assertEqual(await self.run_program(INTERRUPTED, notice=f"{NOTICE}\n"), "interrupted here\n42\n")
        self.assertEqual(await self.run_program(FORKS), "7 3\n")
        self.assertIn("the interpreter is ending", await self.run_program(AT_EXIT))
        self.assertEqual(
            await self.run_program(WITH_BLOCK),
            "<Results List>\n[1] In [1]: a = 10\nprint(id + a)\n[1] Out[1]: 11\n\n2\n",
        )
        self.assertEqual(await self.run_program(EXCEPTIONS), "Empty itself\nOwn 'o' 2\n")
        self.assertEqual(await self.run_program(KILL), "None\ngone\n")


class NoClusterTests(TestCase):
    def test_no_controller(self) -> Deferred[None]:
        """Without a FURL file the error says what to do."""
        program = "from ipython1.kernel import client\nclient.MultiEngineClient()\n"

        async def run() -> None:
            _, errors, status = await utils.getProcessOutputAndValue(  # type: ignore[misc]
                sys.executable,
                ["-c", program],
                env={**os.environ, "IPYTHONDIR": self.mktemp(), "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            self.assertEqual(status, 1)
            self.assertRegex(errors.decode(), r"NoFURLFile: there is no FURL file .*start a controller")

        return Deferred.fromCoroutine(run())
