"""The interpreter process, driven over real sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import numpy
import psutil
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.functions import EngineName, map_part
from ipython1.core.remote_error import rebuild
from ipython1.core.serialize import Serialized, serialize, serialize_function, split
from ipython1.core.tests.helpers import PATIENCE, InterpreterProcess, environment
from ipython1.kernel import framing
from ipython1.kernel.error import SerializationError
from ipython1.kernel.framing import Message

_SPIN = "print('spinning')\nwhile True: pass"


class ProcessTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.engine = InterpreterProcess()
        self.addCleanup(self.engine.close)

    def values(self, reply: Message) -> list[object]:
        """The values of a reply that succeeded."""
        self.assertTrue(reply.fields["ok"], reply)
        return [value.load() for value in split(reply.fields["values"], reply.bodies)]

    def error(self, reply: Message) -> BaseException:
        """The exception of a reply that failed."""
        self.assertFalse(reply.fields["ok"])
        return rebuild(reply.bodies[0], reply.bodies[1], 0, "method")


class LifeTests(ProcessTestCase):
    def test_ready(self) -> None:
        """It says who it is."""
        self.assertEqual(self.engine.ready.kind, "ready")
        self.assertEqual(self.engine.ready.fields["pid"], self.engine.process.pid)
        self.assertEqual(self.engine.ready.fields["python"].split(".")[:2], [str(n) for n in sys.version_info[:2]])

    def test_leaves_at_end_of_file(self) -> None:
        """At the end of file it leaves with status 0, and what is registered to run at exit runs."""
        self.engine.execute("import atexit; atexit.register(print, 'bye')")
        self.assertEqual(self.engine.leave(), (0, "bye\n", ""))

    def test_identity(self) -> None:
        """The id is in the namespace, after a reset as well."""
        framing.send(self.engine.sock, Message("identity", {"id": 4}))
        self.assertEqual(self.engine.value("id"), "4")
        self.engine.execute("id = 'mine'")
        self.engine.ask("reset")
        self.assertEqual(self.engine.value("id"), "4")

    def test_no_twisted(self) -> None:
        """User code shares the process with no reactor and no thread."""
        self.assertEqual(self.engine.value("__import__('sys').modules.get('twisted') is None"), "True")
        self.assertEqual(self.engine.value("__import__('threading').active_count()"), "1")

    def test_main(self) -> None:
        """The namespace is __main__'s, and the current directory comes first on the path."""
        self.engine.execute("import sys, pickle\nclass C: pass\nhere = sys.path[0], sys.argv")
        self.assertEqual(self.engine.value("vars(sys.modules['__main__']) is globals()"), "True")
        self.assertEqual(self.engine.value("type(pickle.loads(pickle.dumps(C()))) is C"), "True")
        self.assertEqual(self.engine.value("here"), "('', [''])")

    def test_matplotlib_draws_no_windows(self) -> None:
        """matplotlib, should it be imported, finds the backend that keeps figures as data."""
        self.assertIn("matplotlib_inline", self.engine.value("__import__('os').environ['MPLBACKEND']"))

    def test_real_deaths(self) -> None:
        """A death that is none of Python's making looks like what it is, and what was printed is not lost."""
        for source, status in (
            ("os._exit(3)", 3),
            ("os.abort()", -signal.SIGABRT),
            ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
            ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ):
            engine = InterpreterProcess()
            self.addCleanup(engine.close)
            engine.start(f"import os\nprint('before', end='')\n{source}")
            self.assertIsNone(engine.reply())
            output, _ = engine.process.communicate(timeout=PATIENCE)
            self.assertEqual((engine.process.returncode, output), (status, b"before"))

    def test_ends_with_its_parent(self) -> None:
        """However its parent ends, it ends too, even while C code holds the GIL."""
        script = textwrap.dedent(
            """
            import os
            from ipython1.core.tests.helpers import InterpreterProcess
            engine = InterpreterProcess()
            engine.start("import ctypes; print('holding', flush=True); ctypes.PyDLL(None).sleep(1000)")
            engine.wait_for("holding")
            print(engine.process.pid, flush=True)
            os.kill(os.getpid(), 9)
            """
        )
        agent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment())
        self.addCleanup(agent.wait)
        self.addCleanup(agent.stdout.close)
        pid = int(agent.stdout.readline())
        try:
            orphan = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return
        self.addCleanup(self._kill, orphan)
        orphan.wait(timeout=PATIENCE)

    def _kill(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


class VerbTests(ProcessTestCase):
    def test_execute(self) -> None:
        """A result document, with the number beside it."""
        reply = self.engine.ask("execute", bodies=[b"a = 5\na"])
        self.assertEqual((reply.fields["ok"], reply.fields["number"]), (True, 1))
        self.assertEqual(framing.unpack(reply.bodies[0])["display"], {"pprint": "5", "repr": "5"})

    def test_execute_fails(self) -> None:
        """An error has its document, its pickle, and what the result document has."""
        reply = self.engine.ask("execute", bodies=[b"print(1)\n1/0"])
        self.assertEqual((reply.fields["ok"], reply.fields["number"], len(reply.bodies)), (False, 1, 3))
        document = framing.unpack(reply.bodies[0])
        self.assertEqual(
            (document["class"], document["module"], document["text"], document["number"]),
            ("ZeroDivisionError", "builtins", "division by zero", 1),
        )
        self.assertEqual(document["bases"][0], ["builtins", "ArithmeticError"])
        self.assertEqual(document["bases"][-1], ["builtins", "BaseException"])
        self.assertEqual(document["traceback"], framing.unpack(reply.bodies[2])["traceback"])
        self.assertIsInstance(self.error(reply), ZeroDivisionError)

    def test_not_utf8(self) -> None:
        """Source that is no text is an error of the command."""
        self.assertIsInstance(self.error(self.engine.ask("execute", bodies=[b"\xff"])), UnicodeDecodeError)
        self.assertEqual(self.engine.value("1"), "1")

    def test_surrogates_in_the_source(self) -> None:
        """Lone surrogates are an error of the command, which has its number and its input."""
        reply = self.engine.ask("execute", bodies=["a = '\ud800'".encode("utf-8", "surrogatepass")])
        self.assertIsInstance(self.error(reply), UnicodeEncodeError)
        self.assertEqual(framing.unpack(reply.bodies[2])["input"]["raw"], "a = '\\ud800'")
        self.assertEqual(reply.fields["number"], 1)

    def test_push_and_pull(self) -> None:
        """Values go in and come out, arrays as segments of their own and writable, and any hashable is a name."""
        values = [serialize(1.5), serialize(numpy.arange(1000.0)), serialize(0), serialize(1)]
        self.assertTrue(self.engine.ask("push", {"names": ["a", "b", 5, [1, "x"]]}, values).fields["ok"])
        self.engine.execute("b *= 2; c = globals()[5], globals()[1, 'x']")
        reply = self.engine.ask("pull", {"names": ["a", "b", "c"]})
        self.assertEqual(reply.fields["values"][1][:2], [2, "ndarray"])
        a, b, c = self.values(reply)
        self.assertEqual((a, b.sum(), c), (1.5, 999000.0, (0, 1)))

    def test_pull_errors(self) -> None:
        """Undefined names, wrong names and values that cannot be pickled fail the pull by name, and no more."""
        undefined = self.error(self.engine.ask("pull", {"names": ["id", "x"]}))
        self.assertEqual((type(undefined), str(undefined)), (NameError, "name 'x' is not defined"))
        self.assertIsInstance(self.error(self.engine.ask("pull", {"names": [5]})), TypeError)
        self.engine.execute("import threading; lock = threading.Lock()")
        unpicklable = self.error(self.engine.ask("pull", {"names": ["lock"]}))
        self.assertIsInstance(unpicklable, TypeError)
        self.assertIn("'lock' cannot be serialized", str(unpicklable))
        self.assertEqual(self.engine.value("1"), "1")

    def test_push_garbage(self) -> None:
        """Bytes that are no value push nothing."""
        values = [serialize(1), Serialized([b"garbage"])]
        self.assertFalse(self.engine.ask("push", {"names": ["a", "b"]}, values).fields["ok"])
        self.assertIsInstance(self.error(self.engine.ask("pull", {"names": ["a"]})), NameError)

    def test_functions(self) -> None:
        """A pushed function sees the engine's names; a pulled one comes back as a function."""
        push = {"names": ["f"]}
        self.engine.ask("push_function", push, [serialize_function(lambda x: x + offset, "f")])  # noqa: F821
        self.engine.execute("offset = 10")
        self.assertEqual(self.engine.value("f(1)"), "11")
        (f,) = self.values(self.engine.ask("pull_function", push))
        f.__globals__["offset"] = 20
        self.addCleanup(f.__globals__.pop, "offset")
        self.assertEqual(f(1), 21)
        self.assertEqual(self.values(self.engine.ask("pull_function", {"names": ["offset"]})), [10])
        refused = self.error(self.engine.ask("push_function", push, [serialize(5)]))
        self.assertIn("'f'", str(refused))

    def test_apply(self) -> None:
        """A function is called with arguments; an engine's name stands for what it names there."""
        reply = self.engine.ask("apply", values=[serialize(lambda x, y=0: x - y), serialize(((5,), {"y": 3}))])
        self.assertEqual(self.values(reply), [2])
        self.engine.execute("def f(x): return [x]")
        arguments = ((EngineName("f"), ([1, 2],)), {})
        self.assertEqual(self.values(self.engine.ask("apply", values=[serialize(map_part), serialize(arguments)])), [[[1], [2]]])
        reply = self.engine.ask("apply", values=[serialize(EngineName("lambda: f(3)")), serialize(((), {}))])
        self.assertEqual(self.values(reply), [[3]])

    def test_apply_fails(self) -> None:
        """The traceback of a function shows its own frames, and none of ours."""
        self.engine.execute("def f(x):\n    return 1 / x")
        arguments = serialize(((EngineName("f"), ([1, 0],)), {}))
        error = self.error(self.engine.ask("apply", values=[serialize(map_part), arguments]))
        self.assertIsInstance(error, ZeroDivisionError)
        self.assertIn("----> 2     return 1 / x", error._ipython_traceback_text)
        self.assertEqual(error._ipython_traceback_text.count("line"), 1, error._ipython_traceback_text)

    def test_result_that_cannot_be_pickled(self) -> None:
        """It is an error of that command."""
        reply = self.engine.ask("apply", values=[serialize(EngineName("lambda: (i for i in [])")), serialize(((), {}))])
        self.assertIn("the result cannot be serialized", str(self.error(reply)))

    def test_reset_and_keys(self) -> None:
        """keys() and reset() as in the interpreter."""
        self.engine.execute("a = 1")
        self.assertEqual(framing.unpack(self.engine.ask("keys").bodies[0]), ["a", "id", "mpi"])
        self.engine.ask("reset")
        self.assertEqual(framing.unpack(self.engine.ask("keys").bodies[0]), ["id", "mpi"])
        self.assertEqual(self.engine.execute("x = 1")["number"], 1)

    def test_properties(self) -> None:
        """Properties are set, read, tested and deleted, and every change is told before the reply."""
        framing.send(self.engine.sock, Message("identity", {"id": 4}))
        self.engine.ask("set_properties", bodies=[framing.pack({"a": 1, "b": [2]})])
        self.assertEqual(self.engine.others.pop().fields, {"properties": {"a": 1, "b": [2]}})
        get = lambda keys: framing.unpack(self.engine.ask("get_properties", {"keys": keys}).bodies[0])  # noqa: E731
        self.assertEqual((get(None), get(["b"])), ({"a": 1, "b": [2]}, {"b": [2]}))
        self.assertIsInstance(self.error(self.engine.ask("get_properties", {"keys": ["x"]})), KeyError)
        reply = self.engine.ask("has_properties", {"keys": ["a", "x"]})
        self.assertEqual(framing.unpack(reply.bodies[0]), [True, False])
        self.assertEqual(self.engine.others, [])
        self.engine.ask("del_properties", {"keys": ["a"]})
        self.assertEqual(self.engine.others.pop().fields, {"properties": {"b": [2]}})
        self.assertIsInstance(self.error(self.engine.ask("del_properties", {"keys": ["b", "x"]})), KeyError)
        self.engine.execute("from ipython1.kernel.engineservice import get_engine as g\ng(4).properties['u'] = 1")
        self.assertEqual(self.engine.others.pop().fields, {"properties": {"b": [2], "u": 1}})
        self.engine.ask("clear_properties")
        self.assertEqual(self.engine.others.pop().fields, {"properties": {}})

    def test_reply_that_cannot_be_sent(self) -> None:
        """A reply that no message can hold becomes an error of that command."""
        reply = self.engine.ask("pull", {"names": ["id"] * 70_000})
        self.assertIsInstance(self.error(reply), SerializationError)
        reply = self.engine.ask("pull", {"names": ["id"] * 60_000})
        self.assertTrue(reply.fields["ok"])
        self.assertEqual(self.engine.value("1"), "1")

    def test_unknown_verb(self) -> None:
        """It is refused, and the next command runs."""
        self.assertIn("'dance'", str(self.error(self.engine.ask("dance"))))
        self.assertEqual(self.engine.value("1"), "1")

    def test_large_values(self) -> None:
        """Values larger than any buffer go both ways."""
        array = numpy.arange(3_000_000.0)
        self.engine.ask("push", {"names": ["a"]}, [serialize(array)])
        (back,) = self.values(self.engine.ask("pull", {"names": ["a"]}))
        numpy.testing.assert_array_equal(back, array)


class OutputTests(ProcessTestCase):
    def test_order(self) -> None:
        """Output of Python, of child processes, of C code and of descriptors stays in order."""
        self.engine.execute(
            "import os, sys, ctypes\n"
            "print('1', end='')\nos.system('printf 2')\nos.write(1, b'3')\n"
            "ctypes.CDLL(None).printf(b'4')\nsys.stdout.write('5')\n!printf 6\n"
            "sys.stdout.buffer.write(b'7')\nprint('é\\ud800')"
        )
        self.assertEqual(self.engine.leave(), (0, "1234567é\\ud800\n", ""))

    def test_written_before_the_reply(self) -> None:
        """All that a command writes is in the pipe when its reply comes, under a stream of the user's as well."""
        self.engine.execute("import sys; sys.stdout = open(1, 'w', closefd=False); print('kept back')")
        self.assertEqual(os.read(self.engine.process.stdout.fileno(), 100), b"kept back\n")

    def test_closed_streams(self) -> None:
        """User code may close or remove its streams."""
        self.engine.execute("import sys; sys.stdout.close(); sys.stderr = None")
        self.assertEqual(self.engine.value("1"), "1")

    def test_no_input(self) -> None:
        """Standard input is empty, for child processes too."""
        self.assertEqual(self.engine.execute("input()")["error"]["class"], "EOFError")
        self.engine.execute("!cat")

    def test_interrupted_write(self) -> None:
        """A write that a signal interrupts loses nothing and repeats nothing."""
        text = "".join(f"{n:07}\n" for n in range(100_000))
        self.engine.execute(
            "import signal\n"
            "signal.signal(signal.SIGALRM, lambda *a: None)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        )
        self.engine.start("print(''.join(f'{n:07}\\n' for n in range(100_000)), end='')\nsignal.setitimer(signal.ITIMER_REAL, 0)")
        read = b""
        while len(read) < len(text):
            read += os.read(self.engine.process.stdout.fileno(), 4096)
        self.assertEqual(read.decode(), text)
        self.assertNotIn("error", self.engine.result())


class InterruptTests(ProcessTestCase):
    def test_endless_loop(self) -> None:
        """An endless loop ends with KeyboardInterrupt, and the namespace is still there."""
        self.engine.execute("a = 5")
        number = self.engine.start(_SPIN)
        self.engine.wait_for("spinning")
        self.engine.interrupt(number)
        result = self.engine.result()
        self.assertEqual(result["error"]["class"], "KeyboardInterrupt")
        self.assertIn("while True: pass", result["traceback"])
        self.assertNotIn("interrupts.py", result["traceback"])
        self.assertEqual(self.engine.value("a"), "5")

    def test_waiting_calls(self) -> None:
        """So do calls that wait, in Python, in a child process, in an event loop and in a magic."""
        for source in (
            "import time; print('waiting'); time.sleep(1000)",
            "!echo waiting; sleep 1000",
            "import asyncio; print('waiting'); await asyncio.sleep(1000)",
            "%time print('waiting'); time.sleep(1000)",
        ):
            number = self.engine.start(f"{source}\nprint('not this')")
            self.engine.wait_for("waiting")
            self.engine.interrupt(number)
            self.assertEqual(self.engine.result()["error"]["class"], "KeyboardInterrupt", source)
        self.assertNotIn("not this", self.engine.leave()[1])

    def test_whatever_runs(self) -> None:
        """An interrupt without a name, or a bare signal, strikes whatever runs, and nothing when nothing runs."""
        self.engine.interrupt(None)
        os.kill(self.engine.process.pid, signal.SIGINT)
        self.engine.start(_SPIN)
        self.engine.wait_for("spinning")
        self.engine.interrupt(None)
        self.assertEqual(self.engine.result()["error"]["class"], "KeyboardInterrupt")
        self.engine.start(_SPIN)
        self.engine.wait_for("spinning")
        os.kill(self.engine.process.pid, signal.SIGINT)
        self.assertEqual(self.engine.result()["error"]["class"], "KeyboardInterrupt")

    def test_another_command(self) -> None:
        """An interrupt for a command that has ended, or that is not known, does not strike the running one."""
        self.engine.execute("pass")
        self.engine.start("print('running')\nfor n in range(10**6): pass\n'whole'")
        self.engine.wait_for("running")
        for number in (1, 99):
            self.engine.interrupt(number)
        self.assertEqual(self.engine.result()["display"]["repr"], "'whole'")

    def test_before_it_begins(self) -> None:
        """An interrupt that overtakes its command strikes it all the same."""
        self.engine.interrupt(1)
        self.assertEqual(self.engine.execute(_SPIN)["error"]["class"], "KeyboardInterrupt")

    def test_again(self) -> None:
        """A command that survives an interrupt can be interrupted again."""
        number = self.engine.start(
            "n = 0\nwhile n < 2:\n    try:\n        print('spinning')\n        while True: pass\n"
            "    except KeyboardInterrupt: n += 1\nn"
        )
        for _ in range(2):
            self.engine.wait_for("spinning")
            self.engine.interrupt(number)
        self.assertEqual(self.engine.result()["display"]["repr"], "2")

    def test_many_rounds(self) -> None:
        """In hundreds of rounds, at whatever moment it comes, an interrupt strikes the named command or none.

        Every other command is named; it ends by the interrupt or, having ended before, whole.  Those between them
        are never struck.
        """
        struck = 0
        for round_ in range(300):
            named = self.engine.start(f"for n in range({round_ * 20}): pass")
            if round_ % 3:
                self.engine.interrupt(named)
                first = self.engine.result()
            else:
                first = self.engine.result()
                self.engine.interrupt(named)
            struck += "error" in first
            for _ in range(2):
                other = self.engine.execute("for n in range(500): pass")
                self.assertNotIn("error", other, f"round {round_}")
        self.assertGreater(struck, 20)

    def test_handler_of_the_users(self) -> None:
        """User code may take SIGINT for itself; with the next command it is ours again."""
        self.engine.execute("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
        self.test_endless_loop()

    def test_while_an_error_is_described(self) -> None:
        """An exception whose text takes for ever can be interrupted, and the reply still has its parts."""
        number = self.engine.start(
            "class E(Exception):\n    def __str__(self):\n        print('spinning')\n        while True: pass\nraise E"
        )
        self.engine.wait_for("spinning")
        self.engine.interrupt(number)
        result = self.engine.result()
        self.assertEqual((result["error"]["class"], result["number"]), ("KeyboardInterrupt", 1))
        self.assertEqual(self.engine.value("1"), "1")

    def test_stray_alarms(self) -> None:
        """Exceptions that a leftover handler raises, wherever they strike, lose no command and no reply."""
        self.engine.execute(
            "import signal, numpy\n"
            "def ring(*a): raise TimeoutError('ring')\n"
            "signal.signal(signal.SIGALRM, ring)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0023)"
        )
        value = serialize(numpy.arange(50_000.0))
        pulled = 0
        for _ in range(150):
            self.engine.ask("push", {"names": ["a"]}, [value])
            reply = self.engine.ask("pull", {"names": ["a"]})
            if reply.fields["ok"]:
                numpy.testing.assert_array_equal(self.values(reply)[0], numpy.arange(50_000.0))
                pulled += 1
        self.assertGreater(pulled, 0)
        self.assertEqual(self.engine.process.poll(), None)


class ForkTests(ProcessTestCase):
    def test_child_that_comes_back(self) -> None:
        """A child that returns to the prompt leaves; the engine's commands are its parent's alone."""
        self.engine.execute("import os\npid = os.fork()\nprint('child' if not pid else 'parent')")
        self.assertEqual(self.engine.value("os.waitpid(pid, 0)[1]"), "0")
        self.assertEqual(sorted(self.engine.leave()[1].split()), ["child", "parent"])

    def test_child_that_fails(self) -> None:
        """A child's error is printed, and is its exit status."""
        self.engine.execute("import os, sys\npid = os.fork()\nif not pid: 1/0")
        self.assertEqual(self.engine.value("os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"), "1")
        self.engine.execute("pid = os.fork()\nif not pid: sys.exit(7)")
        self.assertEqual(self.engine.value("os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"), "7")
        self.assertIn("ZeroDivisionError", self.engine.leave()[2])

    def test_child_keeps_no_sockets(self) -> None:
        """A child that lives on holds neither of the sockets, nor does a program that it starts."""
        self.engine.execute(
            "import os, time, subprocess\nread, write = os.pipe()\npid = os.fork()\n"
            "if not pid: os.write(write, b'x'); time.sleep(1000)\nos.read(read, 1)\n"
            "other = subprocess.Popen(['sleep', '1000'], close_fds=False)"
        )
        children = [int(self.engine.value(name)) for name in ("pid", "other.pid")]
        self.addCleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in children])
        ours = self._sockets(self.engine.process.pid)
        self.assertEqual(len(ours), 2)
        for pid in children:
            self.assertEqual(self._sockets(pid) & ours, set())
        self.engine.process.kill()
        self.assertIsNone(self.engine.reply())

    def _sockets(self, pid: int) -> set[str]:
        folder = f"/proc/{pid}/fd"
        links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
        return {link for link in links if link.startswith("socket:")}

    def test_multiprocessing(self) -> None:
        """multiprocessing works, with functions of the namespace."""
        self.engine.execute("import multiprocessing as m\ndef f(x): return x * x")
        source = "with m.get_context('fork').Pool(2) as pool: r = pool.map(f, range(5))\nr"
        self.assertEqual(self.engine.value(source), "[0, 1, 4, 9, 16]")

