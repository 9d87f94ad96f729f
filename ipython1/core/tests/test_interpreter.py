"""Executing code in one namespace, in this process."""

from __future__ import annotations

import io
import linecache
import os
import sys
import time
from contextlib import redirect_stdout

from twisted.trial.unittest import SynchronousTestCase

from ipython1.core import history
from ipython1.core.interpreter import Execution, Interpreter


class InterpreterTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.interpreter = Interpreter()

    def run_code(self, source: str) -> Execution:
        """Execute code that is to succeed."""
        run = self.interpreter.execute(source)
        self.assertIsNone(run.error, run.traceback)
        return run

    def fail_code(self, source: str, error: type[BaseException]) -> Execution:
        """Execute code that is to fail with that error."""
        run = self.interpreter.execute(source)
        self.assertIsInstance(run.error, error)
        return run

    def printed(self, source: str) -> str:
        """What the code prints."""
        with redirect_stdout(io.StringIO()) as output:
            self.run_code(source)
        return output.getvalue()


class ExecuteTests(InterpreterTestCase):
    def test_names_stay(self) -> None:
        """What one command defines, the next one finds."""
        self.run_code("a = 5")
        self.run_code("b = a + 1")
        self.assertEqual(self.interpreter.pull(["a", "b"]), [5, 6])

    def test_document(self) -> None:
        """The result of plain code has its input, number and times, and nothing else."""
        document = self.run_code("a = 5").document()
        self.assertEqual(list(document), ["input", "number", "started", "completed"])
        self.assertEqual(document["input"], {"translated": "a = 5", "raw": "a = 5"})
        self.assertEqual(document["number"], 1)
        self.assertLessEqual(document["started"], document["completed"])

    def test_stops_at_the_first_error(self) -> None:
        """Nothing after a failing statement runs; what was before it counts."""
        self.fail_code("a = 1\n1/0\nb = 2", ZeroDivisionError)
        self.assertEqual(self.interpreter.keys(), ["a", "id", "mpi"])

    def test_compile_error_runs_nothing(self) -> None:
        """Code that does not compile has no effect."""
        self.fail_code("a = 1\nreturn", SyntaxError)
        self.assertNotIn("a", self.interpreter.keys())

    def test_indented_code(self) -> None:
        """Code that is indented as a whole runs, as in IPython; one line too."""
        for source in ("  a = 1", "\ta = 1", "\n    a = 1\n    b = 2\n"):
            self.run_code(source)
        self.assertEqual(self.interpreter.pull(["a", "b"]), [1, 2])

    def test_source_with_surrogates(self) -> None:
        """Source that no file could hold is an error of the command, whose result can be sent."""
        run = self.fail_code("a = '\ud800'", UnicodeEncodeError)
        self.assertEqual(run.document()["input"]["raw"], "a = '\\ud800'")

    def test_every_command_has_a_number(self) -> None:
        """Blank, failing and commented commands are counted, too."""
        for source in ("", "  \n", "# nothing", "1/0", "a b", "x = 1"):
            self.interpreter.execute(source)
        self.assertEqual(self.interpreter.number, 6)
        self.assertEqual(self.interpreter.namespace["In"][4], "1/0")

    def test_docstring_does_not_swallow_code(self) -> None:
        """Code that begins with a string runs as a whole."""
        self.run_code('"""words"""\na = 1')
        self.assertEqual(self.interpreter.pull(["a"]), [1])

    def test_decorated_definition_after_a_statement(self) -> None:
        """A decorator stays with its function."""
        self.run_code("x = 1\n@staticmethod\ndef f(): return 2")
        self.assertEqual(self.run_code("f()").display, {"pprint": "2", "repr": "2"})

    def test_main_name(self) -> None:
        """Code runs as the main program."""
        self.run_code("if __name__ == '__main__': a = 1")
        self.assertIn("a", self.interpreter.keys())

    def test_system_exit_is_an_error(self) -> None:
        """sys.exit and exit end the command and nothing else."""
        self.run_code("import sys; a = 1")
        for source in ("sys.exit(3)", "exit()", "quit()", "raise SystemExit"):
            self.fail_code(source, SystemExit)
        self.run_code("a")

    def test_keyboard_interrupt_is_an_error(self) -> None:
        """A KeyboardInterrupt of the code's own is like any error."""
        self.fail_code("raise KeyboardInterrupt", KeyboardInterrupt)

    def test_future_imports_last(self) -> None:
        """A __future__ import holds for later commands, until reset."""
        self.fail_code("def f(x: undefined): pass", NameError)
        self.run_code("from __future__ import annotations")
        self.run_code("def f(x: undefined): pass")
        self.run_code("1\n(lambda: 0)()")
        self.interpreter.reset()
        self.fail_code("def f(x: undefined): pass", NameError)

    def test_future_import_is_not_ours(self) -> None:
        """The __future__ imports of our own modules do not leak into the user's code."""
        self.run_code("def f(x: 1 + 1): pass")
        self.assertEqual(self.run_code("f.__annotations__['x']").display["repr"], "2")

    def test_top_level_await(self) -> None:
        """Code may await at its top level, and tasks go on in the next command."""
        self.run_code("import asyncio")
        self.run_code("task = asyncio.ensure_future(asyncio.sleep(0, 5)) if await asyncio.sleep(0, 1) else 0")
        self.assertEqual(self.run_code("await task").display["repr"], "5")
        run = self.fail_code("async def f():\n    1/0\nawait f()", ZeroDivisionError)
        self.assertNotIn("asyncio", run.traceback)
        self.addCleanup(self.interpreter._loop.close)

    def test_plain_code_is_cheap(self) -> None:
        """A small command costs much less than the 100 microseconds that it may; the best of many counts."""
        best = 1.0
        for _ in range(500):
            before = time.perf_counter()
            self.interpreter.execute("a=5")
            best = min(best, time.perf_counter() - before)
        self.assertLess(best, 100e-6)

    def test_plain_code_makes_no_shell(self) -> None:
        """IPython's shell is not even made for plain Python."""
        self.run_code("a = 5\ndef f(): return a")
        self.assertIsNone(self.interpreter._shell)


class ValueTests(InterpreterTestCase):
    def test_last_expression_is_shown(self) -> None:
        """The value of a last expression is shown as IPython shows it."""
        self.run_code("d = dict.fromkeys(range(40), 'long enough to break')")
        shown = self.run_code("d").display
        self.assertIn("\n 1: 'long enough", shown["pprint"])
        self.assertEqual(shown["repr"], repr(dict.fromkeys(range(40), "long enough to break")))

    def test_none_is_not_shown(self) -> None:
        """None is no value to show, nor one for Out."""
        self.assertIsNone(self.run_code("None").display)
        self.assertEqual(self.interpreter.namespace["Out"], {})

    def test_only_the_last_expression(self) -> None:
        """Expressions before the end, and those inside blocks, are not shown."""
        self.assertIsNone(self.run_code("1\nx = 2").display)
        self.assertIsNone(self.run_code("if True:\n    5").display)
        self.assertEqual(self.run_code("1\n2").display["repr"], "2")

    def test_semicolon_silences(self) -> None:
        """A trailing semicolon keeps the value to itself; one in a comment or a string does not."""
        for source in ("1;", "1; ", "1 ; # why", "(1\n);", "x = 1; x;", "'é';"):
            self.assertIsNone(self.run_code(source).display, source)
        for source in ("1 # ;", "';'", "x = 1; x", "(1\n # ;\n)", "'é' # ;", "1\n# ;"):
            self.assertIsNotNone(self.run_code(source).display, source)

    def test_out_and_underscores(self) -> None:
        """`_`, `__`, `___` and Out hold the latest values; the index is the command's number."""
        for source in ("10", "x = 0", "20", "30"):
            self.run_code(source)
        namespace = self.interpreter.namespace
        self.assertEqual([namespace[name] for name in ("_", "__", "___")], [30, 20, 10])
        self.assertEqual(namespace["Out"], {1: 10, 3: 20, 4: 30})
        self.assertIs(namespace["Out"], namespace["_oh"])
        self.assertEqual(self.run_code("_ + Out[1] + _oh[3]").display["repr"], "60")

    def test_users_underscore(self) -> None:
        """A `_` that the user assigned stays the user's."""
        self.run_code("_ = 'mine'")
        self.run_code("5")
        self.assertEqual(self.interpreter.namespace["_"], "mine")
        self.run_code("del _")
        self.run_code("6")
        self.assertEqual(self.interpreter.namespace["_"], 6)

    def test_out_is_bounded(self) -> None:
        """Out keeps the latest values only."""
        outputs = history.Outputs(self.interpreter.namespace)
        outputs.seed()
        for number in range(history.MAX_OUTPUTS + 50):
            outputs.add(number, number)
        self.assertEqual(len(outputs._out), history.MAX_OUTPUTS)
        self.assertNotIn(49, outputs._out)

    def test_broken_repr_is_an_error(self) -> None:
        """A value that cannot be shown fails the command, and names the culprit."""
        run = self.fail_code("class A:\n    def __repr__(self): raise KeyError('me')\nA()", KeyError)
        self.assertIn("in A.__repr__", run.traceback)

    def test_surrogates(self) -> None:
        """Text that no message can carry is shown with escapes."""
        run = self.run_code("class A:\n    def __repr__(self): return '\\ud800'\nA()")
        self.assertEqual(run.display["repr"], "\\ud800")

    def test_long_container(self) -> None:
        """The repr of a long container is as short as what IPython shows of it."""
        self.assertLess(len(self.run_code("list(range(10**5))").display["repr"]), 20000)


class RichDisplayTests(InterpreterTestCase):
    png = "class P:\n    def _repr_png_(self): return b'\\x89PNG'\n    def __repr__(self): return 'P!'\n"

    def test_value(self) -> None:
        """A value with rich forms is kept as MIME data, and shown as text."""
        run = self.run_code(self.png + "P()")
        self.assertEqual(run.display, {"pprint": "P!", "repr": "P!"})
        self.assertEqual(run.mime, [{"data": {"text/plain": "P!", "image/png": b"\x89PNG"}, "metadata": {}}])
        self.assertEqual(list(run.document())[2:4], ["display", "mime"])

    def test_display(self) -> None:
        """display() prints the text, and keeps the rich forms, without and with its import."""
        self.run_code(self.png)
        for source in ("display(P())", "from IPython.display import display\ndisplay(P())"):
            with redirect_stdout(io.StringIO()) as output:
                run = self.run_code(source)
            self.assertEqual(output.getvalue(), "P!\n")
            self.assertEqual(run.mime[0]["data"]["image/png"], b"\x89PNG")
            self.assertIsNone(run.display)

    def test_update_display(self) -> None:
        """A display that is updated is kept once, as it was last."""
        run = self.run_code("from IPython.display import HTML\nh = display(HTML('1'), display_id=True)\nh.update(HTML('2'))")
        self.assertEqual([entry["data"]["text/html"] for entry in run.mime], ["2"])

    def test_value_that_shows_itself(self) -> None:
        """A value may do its own displaying."""
        run = self.run_code("class A:\n    def _ipython_display_(self): print('shown')\nA()")
        self.assertIsNone(run.display)

    def test_not_plain(self) -> None:
        """MIME data that is not plain arrives as text."""
        run = self.run_code("class A:\n    def _repr_mimebundle_(self, **kw): return {'x/y': {1, 2}}\nA()")
        self.assertEqual(run.mime[0]["data"]["x/y"], "{1, 2}")


class IPythonSyntaxTests(InterpreterTestCase):
    def test_magic(self) -> None:
        """Magics run, and have values."""
        run = self.run_code("x = 3\n%who_ls int")
        self.assertIn("run_line_magic('who_ls', 'int')", run.translated)
        self.assertIn("%who_ls", run.raw)
        self.assertIn("x", run.display["repr"])

    def test_magic_without_percent(self) -> None:
        """A command of IPython's needs no percent sign, unless the name is the user's."""
        self.assertIn("/", self.run_code("pwd").display["repr"])
        self.run_code("pwd = 5")
        self.assertEqual(self.run_code("pwd").display["repr"], "5")

    def test_cd(self) -> None:
        """The current directory can be changed, and back."""
        self.addCleanup(os.chdir, os.getcwd())
        self.run_code("cd /")
        self.assertEqual(os.getcwd(), "/")
        self.run_code("%cd -")
        self.assertNotEqual(os.getcwd(), "/")

    def test_no_event_loop(self) -> None:
        """What %matplotlib asks of a shell is granted."""
        self.run_code("get_ipython().enable_gui(None)")

    def test_help(self) -> None:
        """`?name` prints what there is to know."""
        self.run_code("def f(x):\n    'the words'")
        self.assertIn("the words", self.printed("?f"))
        self.assertIn("def f(x):", self.printed("f??"))

    def test_shell_output(self) -> None:
        """`x = !cmd` gives lines, with names filled in."""
        self.run_code("word = 'hello'")
        self.run_code("x = !echo {word}; echo $word")
        self.assertEqual(list(self.interpreter.namespace["x"]), ["hello", "hello"])

    def test_error_inside_a_magic(self) -> None:
        """An error in what a magic runs is the command's, and ends it."""
        path = self.mktemp()
        with open(path, "w") as script:
            script.write("def f():\n    return 1/0\nf()\n")
        for source in (f"%run {path}\na = 1", "%time 1/0\na = 1", "%%time\n1/0"):
            run = self.fail_code(source, ZeroDivisionError)
            self.assertNotIn("interactiveshell.py", run.traceback)
        self.assertNotIn("a", self.interpreter.keys())

    def test_cells_within_a_command(self) -> None:
        """Magics that run a cell (%%capture, %rerun) print what it prints, and leave nothing behind."""
        self.run_code("%%capture captured\nprint('a')\nprint('b')\n")
        self.assertEqual(self.interpreter.namespace["captured"].stdout, "a\nb\n")
        self.run_code("print('again')")
        self.assertIn("\nagain\n", self.printed("%rerun"))
        self.assertEqual(self.printed("get_ipython().run_cell('x = 7', store_history=True).success; None"), "")
        self.assertEqual(self.interpreter.pull(["x"]), [7])
        self.assertEqual(self.interpreter.number, 4)

    def test_failing_cell_within_a_command(self) -> None:
        """The error of a cell that a magic runs is the command's, and sys.stdout is as before."""
        with redirect_stdout(io.StringIO()) as output:
            self.fail_code("%%capture\n1/0", ZeroDivisionError)
            run = self.fail_code("get_ipython().run_cell('1/0')", ZeroDivisionError)
            self.fail_code("get_ipython().run_cell('a b')", SyntaxError)
            self.assertNotIn("write", vars(output))
        self.assertNotIn("interactiveshell.py", run.traceback)

    def test_get_ipython(self) -> None:
        """get_ipython() gives the shell, from IPython's module too."""
        self.run_code("from IPython import get_ipython as g\nassert get_ipython() is g()")
        self.assertEqual(self.run_code("get_ipython().run_line_magic('who_ls', 'dict')").display["repr"], "[]")
        self.assertEqual(self.run_code("get_ipython().execution_count").display["repr"], "3")

    def test_shell_leaves_main_alone(self) -> None:
        """Making the shell replaces no module, opens no file and starts no thread."""
        main = sys.modules["__main__"]
        self.assertIsNone(self.interpreter.shell.profile_dir)
        self.assertIs(sys.modules["__main__"], main)

    def test_history(self) -> None:
        """%history shows the commands."""
        self.run_code("a = 1")
        self.assertEqual(self.printed("%history -n 1"), "   1: a = 1\n")

    def test_reset_magic(self) -> None:
        """%reset empties the namespace and keeps counting."""
        self.run_code("a = 1")
        self.run_code("%reset -f")
        self.assertEqual(self.interpreter.keys(), ["id", "mpi"])
        self.assertEqual(self.run_code("get_ipython; 1").number, 3)

    def test_events(self) -> None:
        """Those who registered with IPython are called, after a failing command as well."""
        self.run_code("calls = []\nget_ipython().events.register('post_execute', lambda: calls.append(1))")
        self.run_code("pass")
        self.interpreter.execute("1/0")
        self.assertEqual(self.interpreter.namespace["calls"], [1, 1, 1])


class TracebackTests(InterpreterTestCase):
    def test_as_ipython(self) -> None:
        """The whole text: rule, title, frames with source lines, error."""
        self.run_code("def f(x):\n    return 1 / x")
        run = self.fail_code("f(0)", ZeroDivisionError)
        self.assertEqual(
            run.traceback.splitlines(),
            [
                "-" * 75,
                "ZeroDivisionError" + "Traceback (most recent call last)".rjust(58),
                "Cell In[2], line 1",
                "----> 1 f(0)",
                "",
                "Cell In[1], line 2, in f(x)",
                "      1 def f(x):",
                "----> 2     return 1 / x",
                "",
                "ZeroDivisionError: division by zero",
            ],
        )

    def test_syntax_error(self) -> None:
        """A syntax error shows the line and the place, and no frame."""
        run = self.fail_code("a = 1\nb = = 2", SyntaxError)
        self.assertEqual(
            run.traceback.splitlines(),
            ["  Cell In[1], line 2", "    b = = 2", "        ^", "SyntaxError: invalid syntax"],
        )

    def test_indentation_error(self) -> None:
        """So does one of indentation, on which IPython's own tokenizer gives up."""
        run = self.fail_code("if 1:\n    a\n  b", IndentationError)
        self.assertEqual(run.traceback.splitlines()[0], "  Cell In[1], line 3")
        self.assertEqual(run.error.filename.split("-")[:2], ["<ipython1", "input"])

    def test_chain(self) -> None:
        """The cause of an error shows, without our frames."""
        run = self.fail_code("try:\n    1/0\nexcept Exception as e:\n    raise KeyError('x') from e", KeyError)
        self.assertIn("direct cause", run.traceback)
        self.assertNotIn("interpreter.py", run.traceback)

    def test_broken_exceptions(self) -> None:
        """No exception, whatever its methods do, gets past the formatter."""
        for body in ("def __str__(self): raise ValueError", "def __repr__(self): return 1/0\n    __str__ = __repr__"):
            run = self.interpreter.execute(f"class E(Exception):\n    {body}\nraise E")
            self.assertIn("E", run.traceback)
        run = self.fail_code("raise BaseExceptionGroup('g', [KeyboardInterrupt('k'), ValueError(1)])", BaseExceptionGroup)
        self.assertIn("KeyboardInterrupt: k", run.traceback)

    def test_no_line(self) -> None:
        """An error in an instruction that belongs to no line, where an interrupt may strike, is shown at the first."""
        self.interpreter.execute("def f():\n    raise KeyboardInterrupt('struck')")
        no_location = bytes([0xFF]) * 20  # as of Python 3.11, each stands for eight units of code without a line
        function = self.interpreter.namespace["f"]
        function.__code__ = function.__code__.replace(co_linetable=no_location)
        run = self.fail_code("f()", KeyboardInterrupt)
        self.assertIn("in f", run.traceback)
        self.assertIn("KeyboardInterrupt: struck", run.traceback)

    def test_deep_recursion(self) -> None:
        """Endless recursion gives a short text."""
        run = self.fail_code("def f(): f()\nf()", RecursionError)
        self.assertLess(len(run.traceback), 3000)

    def test_huge_text(self) -> None:
        """A text of megabytes is cut."""
        self.assertLess(len(self.fail_code("raise ValueError('x' * 10**7)", ValueError).traceback), 2 * 10**6)

    def test_sources_are_bounded(self) -> None:
        """The lines kept for tracebacks are limited in number and size."""
        sources = history.Sources()
        names = [sources.add(1, "x") for _ in range(history.MAX_SOURCES + 10)]
        self.assertNotIn(names[9], linecache.cache)
        self.assertIn(names[10], linecache.cache)
        big = sources.add(1, "y" * history.MAX_SOURCE_CHARACTERS)
        self.assertNotIn(names[-1], linecache.cache)
        self.assertIn(big, linecache.cache)
        linecache.cache.pop(big)


class NamespaceTests(InterpreterTestCase):
    def test_keys(self) -> None:
        """keys() gives the user's names, with `id` and `mpi`, and not what came with the namespace."""
        self.interpreter.id = 3
        self.run_code("a = 1\n_b = 2\nclass C: x: int\n5")
        self.assertEqual(self.interpreter.keys(), ["C", "_b", "a", "id", "mpi"])
        self.run_code("display = 7")
        self.assertIn("display", self.interpreter.keys())

    def test_seeded_names(self) -> None:
        """The names of the original are there."""
        self.interpreter.id = 3
        namespace = self.interpreter.namespace
        for name in ("In", "Out", "_ih", "_oh", "_", "__", "___", "__IP", "id", "mpi"):
            self.assertIn(name, namespace)
        self.assertEqual((namespace["id"], namespace["mpi"]), (3, None))

    def test_pull_undefined(self) -> None:
        """A name that is not there is a NameError, like Python's."""
        with self.assertRaises(NameError) as caught:
            self.interpreter.pull(["x"])
        self.assertEqual(str(caught.exception), "name 'x' is not defined")

    def test_pull_wrong_names(self) -> None:
        """Names that are no text are a TypeError."""
        for names in ([5], [None], 5, {"a"}):
            self.assertRaises(TypeError, self.interpreter.pull, names)

    def test_push_any_key(self) -> None:
        """Names that are no text may be pushed; they are in the way of nothing."""
        self.interpreter.push({5: 1, "a": 2})
        self.assertEqual(self.interpreter.keys(), ["a", "id", "mpi"])

    def test_reset(self) -> None:
        """After a reset the namespace is as new, counting starts again, and modules stay loaded."""
        self.interpreter.id = 2
        self.run_code("import json as j; id = 'mine'; a = 1; 5")
        self.interpreter.properties["p"] = 1
        self.interpreter.reset()
        self.assertEqual(self.interpreter.keys(), ["id", "mpi"])
        self.assertEqual(self.interpreter.namespace["id"], 2)
        self.assertEqual(self.interpreter.namespace["Out"], {})
        self.assertEqual(list(self.interpreter.namespace["In"]), [""])
        self.assertEqual(len(self.interpreter.properties), 0)
        self.assertEqual(self.run_code("x = 1").number, 1)
        self.assertIn("json", sys.modules)


class InputsTests(SynchronousTestCase):
    def test_as_a_list(self) -> None:
        """In is indexed, sliced and counted as a list is."""
        inputs = history.Inputs()
        for source in ("a", "b", "c"):
            inputs.append(source)
        self.assertEqual((inputs[1], inputs[-1], len(inputs), inputs[1:3]), ("a", "c", 4, ["a", "b"]))
        self.assertRaises(IndexError, lambda: inputs[4])

    def test_bounded(self) -> None:
        """Old sources become empty, and the others keep their numbers."""
        inputs = history.Inputs()
        for number in range(1, 2001):
            inputs.append(str(number))
        self.assertEqual((inputs[1], inputs[2000], inputs[1001], len(inputs)), ("", "2000", "1001", 2001))
