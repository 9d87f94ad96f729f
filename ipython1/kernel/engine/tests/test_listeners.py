"""Who listens to what an engine's commands write."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ipython1.core.serialize import join, serialize
from ipython1.kernel.engine.listeners import GATHER, MOST, PATIENCE, PIECE, TIMES, Listeners
from ipython1.kernel.engine.output import Text
from ipython1.kernel.engine.queue import Command, CommandQueue
from ipython1.kernel.engine.tests.harness import AgentCase
from ipython1.kernel.messages import output, without_output
from ipython1.kernel.replies import displayed


class ListenerTests(SynchronousTestCase):
    """The rules, with a clock that is set."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = CommandQueue()
        self.queue.opened(1)
        self.streams = SimpleNamespace(stdout=Text(10**6), stderr=Text(10**6))
        self.answers: list[tuple[int, Any, list[bytes]]] = []
        self.listeners = Listeners(self.clock, self.queue, lambda: self.streams, self)
        self.number = 0

    def reply(self, command: Command, bodies: Any = None, **fields: Any) -> None:
        self.answers.append((command.id[1], fields.get("result"), bodies))

    def fail(self, command: Command, error: Exception) -> None:
        self.answers.append((command.id[1], str(error), []))

    def submit(self, number: int, index: int = 0) -> None:
        self.queue.submitted(Command(("c", number), "execute", "", index=index))

    def listen(self, number: int, stdout: int = 0, stderr: int = 0, index: int | None = None) -> None:
        self.number += 1
        args = {"only": ["c", number], "index": index, "stdout": stdout, "stderr": stderr}
        self.listeners.listen(Command(("listener", self.number), "output", "", args=args))

    def write(self, text: bytes) -> None:
        self.streams.stdout.add(text)
        self.listeners.heard()

    def test_answered(self) -> None:
        """With what there is; if that is nothing yet, soon after something came, together with what followed."""
        self.submit(1)
        self.listen(1)
        self.write(b"a")
        self.write(b"b\n")
        self.assertEqual(self.answers, [])
        self.clock.advance(GATHER)
        self.assertEqual(self.answers, [(1, {"stdout": 3, "stderr": 0}, [b"ab\n", b""])])
        self.listen(1, stdout=1)
        self.assertEqual(self.answers[1:], [(2, {"stdout": 3, "stderr": 0}, [b"b\n", b""])])
        self.listen(1, stdout=3)
        self.assertEqual(len(self.answers), 2)

    def test_unfinished_line(self) -> None:
        """A line that is not ended is waited for, but not for long."""
        self.submit(1)
        self.write(b"be")
        self.listen(1)
        self.clock.pump([GATHER] * (TIMES - 1))
        self.assertEqual(self.answers, [])
        self.clock.advance(GATHER)
        self.assertEqual(self.answers, [(1, {"stdout": 2, "stderr": 0}, [b"be", b""])])
        self.listen(1, stdout=2)
        self.write(b"gun\n")
        self.clock.advance(GATHER)
        self.assertEqual(self.answers[1:], [(2, {"stdout": 6, "stderr": 0}, [b"gun\n", b""])])

    def test_piece(self) -> None:
        """Of much there is a piece, and how much there is."""
        self.submit(1)
        self.write(b"\n" * (3 * PIECE))
        self.listen(1, stdout=5)
        self.assertEqual(self.answers, [(1, {"stdout": 3 * PIECE, "stderr": 0}, [b"\n" * PIECE, b""])])

    def test_command_that_comes_later(self) -> None:
        """It may be listened to a command that waits here, or has not come yet."""
        self.listen(2)
        self.submit(1)
        self.submit(2)
        self.write(b"of the first\n")
        self.clock.advance(GATHER)
        self.streams.stdout.take()
        self.queue.finished(True)
        self.write(b"of the second\n")
        self.clock.advance(GATHER)
        self.assertEqual([body[0] for _, _, body in self.answers], [b"of the second\n"])

    def test_over(self) -> None:
        """Of a command that is over there is nothing to be heard; nor of the other one of the same call."""
        self.submit(1)
        self.listen(1)
        self.submit(1, index=1)
        self.listen(1, index=1)
        self.queue.finished(True)
        self.listeners.look()
        self.write(b"of the second\n")
        self.clock.advance(GATHER)
        self.listen(1, index=0)
        self.assertEqual(
            [(number, result is None) for number, result, _ in self.answers], [(1, False), (2, False), (3, True)]
        )

    def test_patience(self) -> None:
        """Who has waited for long is told that there is nothing: nobody is kept for ever."""
        self.listen(7, stdout=3)
        self.clock.advance(PATIENCE)
        self.assertEqual(self.answers, [(1, {"stdout": 3, "stderr": 0}, [b"", b""])])
        self.clock.advance(PATIENCE)
        self.assertEqual(len(self.answers), 1)

    def test_many(self) -> None:
        for _ in range(MOST + 1):
            self.listen(7)
        self.assertEqual(self.answers, [(MOST + 1, f"{MOST} listen already: no more can", [])])
        self.listeners.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AgentCases(AgentCase):
    """With an interpreter."""

    async def test_while_it_runs(self) -> None:
        """What a command has written is heard while it runs; the outcome has all of it."""
        await self.start()
        fifo = os.path.abspath(self.mktemp())
        os.mkfifo(fifo)
        command = self.controller.new_id()
        running = self.controller.execute(f"print('first', flush=True); print(open({fifo!r}).read())", command_id=command)
        args: dict[str, Any] = {"only": command, "index": None, "stdout": 0, "stderr": 0}
        heard = await self.controller.command("output", args=args)
        self.assertEqual((heard.bodies, heard.message.fields["result"]), ([b"first\n", b""], {"stdout": 6, "stderr": 0}))
        more = self.controller.command("output", args={**args, "stdout": 6})
        with open(fifo, "w") as gate:
            gate.write("second")
        self.assertEqual((await running).stdout, "first\nsecond\n")
        # It has heard the rest, or that it is over, or came too late for both: which is a matter of chance.
        self.assertIn((await more).bodies, ([b"second\n", b""], [], [b"", b""]))

    async def test_applied(self) -> None:
        """What a function prints that is applied comes with its value; nothing, if it prints nothing."""
        await self.start()

        async def apply(function: Any) -> Any:
            headers, bodies = join([serialize(function), serialize(((), {}))])
            return await self.controller.command("apply", *map(bytes, bodies), values=headers)

        silent, loud = await apply(lambda: 5), await apply(lambda: print("loud"))
        self.assertEqual(silent.message.fields.get("output"), None)
        self.assertEqual((loud.message.fields["output"], loud.bodies[-2:]), (2, [b"loud\n", b""]))
        outcome = await self.controller.execute("1")
        self.assertEqual(outcome.stdout, "")

        def show() -> None:
            from IPython.display import HTML, display

            display(HTML("<b>"))

        shown = await apply(show)
        self.assertEqual(shown.message.fields["output"], 3)
        self.assertEqual(without_output(shown.message.fields, shown.bodies), shown.bodies[:1])
        self.assertEqual(output(shown.message.fields, shown.bodies), (b"<IPython.core.display.HTML object>\n", b""))
        self.assertEqual([bundle["data"]["text/html"] for bundle in displayed(shown.message)], ["<b>"])

    async def test_last_words(self) -> None:
        """What was printed before the interpreter was lost comes with the error."""
        await self.start()
        outcome = await self.controller.execute("import os; print('last', flush=True); os._exit(3)")
        self.assertEqual((outcome.error, outcome.bodies[-2:]), ("EngineLost", [b"last\n", b""]))
