"""What a pending result can do: be waited for, awaited, iterated, cancelled; and what it says of how far it is."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import sys
from typing import Any

from twisted.internet.defer import Deferred

from ipython1.kernel import client, error
from ipython1.kernel.client.tests.test_blocking import BlockingTestCase, in_thread


def inverse(x: int) -> float:
    return 1 / x


class PendingResultTests(BlockingTestCase):
    def held(self, *arguments: Any, **options: Any) -> client.PendingResult:
        """A call that is not carried out until `go_on`."""
        self.cluster.held_back = True
        pending: client.PendingResult = self.mec.execute(*arguments, block=False, **options)
        self.in_reactor(lambda: None)  # by now it was sent
        self.assertFalse(pending.ready())
        return pending

    def go_on(self) -> None:
        self.in_reactor(self.cluster.go_on)

    @in_thread
    def test_await(self) -> None:
        """It can be awaited in asyncio, on whatever loop, and more than once."""
        pending = self.mec.pull("id", block=False)

        async def wait() -> Any:
            return await pending, (await asyncio.gather(self.mec.pull("id", targets=1, block=False)))[0]

        for _ in range(2):
            self.assertEqual(asyncio.run(wait()), ([0, 1, 2, 3], [1]))

        async def fail() -> None:
            await self.mec.execute("1/0", block=False)

        self.assertRaises(error.CompositeError, asyncio.run, fail())

    async def test_await_in_the_reactor(self) -> None:
        """Also in a coroutine that Twisted runs."""
        from twisted.internet import threads

        pending: Any = await threads.deferToThread(lambda: self.mec.pull("id", block=False))

        async def wait() -> Any:
            return await pending

        self.assertEqual(await Deferred.fromCoroutine(wait()), [0, 1, 2, 3])

    @in_thread
    def test_cancelled_in_asyncio(self) -> None:
        """Who awaits it no more, for a timeout, has it cancelled."""
        pending = self.held("1")

        async def wait() -> None:
            await asyncio.wait_for(pending, 0.05)

        self.assertRaises(asyncio.TimeoutError, asyncio.run, wait())
        self.assertTrue(pending.cancelled())

    @in_thread
    def test_cancel(self) -> None:
        """Cancelling has the engines drop it, and ends all waiting for it; what is done cannot be cancelled."""
        pending = self.held("1", targets=[0, 2])
        waiting = concurrent.futures.ThreadPoolExecutor(1)
        waits = waiting.submit(concurrent.futures.wait, [pending])
        self.assertTrue(pending.running())
        self.assertTrue(pending.cancel())
        self.assertEqual(waits.result(10).done, {pending})
        waiting.shutdown()
        self.assertTrue(pending.cancelled() and pending.done() and pending.raised)
        self.assertTrue(pending.cancel())
        self.assertRaises(concurrent.futures.CancelledError, pending.result)
        self.go_on()
        done = self.mec.execute("1", block=False)
        done.result()
        self.assertFalse(done.cancel())
        stopped = [message for message in self.cluster.received if message.fields["verb"] == "interrupt"]
        self.assertEqual([message.fields["targets"] for message in stopped], [[0, 2]])
        executed = next(message for message in self.cluster.received if message.fields["verb"] == "execute")
        self.assertEqual(stopped[0].fields["args"]["only"], executed.fields["id"])

    @in_thread
    def test_struck(self) -> None:
        """What Ctrl-C strikes when it has just been submitted does not go on: nobody gets its result."""
        thread = self.mec._calls.reactor
        begin = thread.begin

        def struck(*call: Any) -> None:
            thread.begin = begin  # type: ignore[method-assign]
            begin(*call)
            raise KeyboardInterrupt

        self.cluster.held_back = True
        thread.begin = struck  # type: ignore[method-assign]
        self.assertRaises(KeyboardInterrupt, self.mec.execute, "1", block=False)
        self.in_reactor(lambda: None)
        self.go_on()
        self.mec.pull("id")
        verbs = ("execute", "interrupt")
        executed, stopped = (message for message in self.cluster.received if message.fields["verb"] in verbs)
        self.assertEqual(stopped.fields["args"]["only"], executed.fields["id"])

    @in_thread
    def test_wait(self) -> None:
        """Waiting says whether it is there, and raises nothing of it."""
        pending = self.held("1/0")
        self.assertFalse(pending.wait(0.01))
        self.assertFalse(pending.wait_interactive(0.01))
        self.assertEqual((pending.progress, pending.total), (0, None))
        self.go_on()
        self.assertTrue(pending.wait(20))
        self.assertTrue(pending.wait_interactive())
        self.assertEqual((pending.progress, pending.total), (4, 4))
        self.assertRaises(error.CompositeError, pending.result)

    @in_thread
    def test_iteration(self) -> None:
        """The values come one by one; those of a map item by item, also before the last one is there."""
        self.assertEqual([value["id"] for value in self.mec.execute("1", block=False)], [0, 1, 2, 3])
        self.assertEqual(list(self.mec.map(abs, range(-9, 0), block=False)), [*range(9, 0, -1)])
        self.assertEqual(list(self.mec.gather("id", block=False)), self.mec.gather("id"))
        pending = self.held("2")
        values = iter(pending)
        link = self.cluster.links[0]
        message = self.cluster.received[-1]
        reply = self.cluster._reply(message, 0, 0, 4)
        self.in_reactor(link.reply, message, reply.fields, reply.bodies)
        self.assertEqual(next(values)["id"], 0)
        self.assertFalse(pending.done())
        self.assertEqual(pending.progress, 1)
        self.go_on()
        self.assertEqual([value["id"] for value in values], [1, 2, 3])

    @in_thread
    def test_iteration_and_errors(self) -> None:
        """What an engine raised is raised when its turn has come."""
        pending = self.held("1/0", targets=[1, 2])
        self.go_on()
        values = iter(pending)
        self.assertRaises((error.CompositeError, ZeroDivisionError), next, values)
        # Also when all has come before one looks.
        some = self.mec.execute("1/(id-2)", block=False)
        some.wait()
        values = iter(some)
        self.assertEqual([next(values)["id"] for _ in range(2)], [0, 1])
        self.assertRaises(ZeroDivisionError, next, values)
        mapped = self.mec.map(inverse, range(-5, 3), block=False)
        mapped.wait()
        values = iter(mapped)
        self.assertEqual([next(values) for _ in range(4)], [-0.2, -0.25, -1 / 3, -0.5])
        self.assertRaises(ZeroDivisionError, next, values)

    @in_thread
    def test_what_was_printed(self) -> None:
        """It has what each engine printed, and shows it; also what a failed one did."""
        pending = self.mec.execute("print(id)", block=False, targets=[1, 3])
        pending.wait()
        self.assertEqual((pending.stdout, pending.stderr), (["1\n", "3\n"], ["", ""]))
        self.patch(sys, "stdout", io.StringIO())
        pending.display_outputs()
        self.assertEqual(sys.stdout.getvalue(), "[stdout:1] 1\n[stdout:3] 3\n")
        silent = self.mec.pull("id", block=False)
        silent.wait()
        self.assertEqual(silent.stdout, [""] * 4)

    @in_thread
    def test_times(self) -> None:
        """How long it takes, from when it was asked for to when it was there."""
        pending = self.held("1")
        first = pending.elapsed
        self.assertLess(first, pending.elapsed)
        self.go_on()
        pending.wait()
        self.assertEqual(pending.elapsed, pending.elapsed)
        self.assertEqual(pending.serial_time, 0.0)
        self.assertEqual(pending.speedup, 0.0)
