"""What commands print, shown in the thread that waits for them.

In the reactor's thread a `Feed` asks the engines for what its commands have written; what comes goes to the thread that
waits, which shows it, and has the feed ask for more.  So there is never more under way than can be shown.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from ipython1.kernel.client.reactor import ReactorThread
from ipython1.kernel.client_session import Connection
from ipython1.kernel.error import KernelError
from ipython1.kernel.framing import Message
from ipython1.kernel.live import Screen, Shown
from ipython1.kernel.replies import Replies, displayed, printed
from ipython1.kernel.request import Request
from ipython1.kernel.show import STREAMS, Piece
from ipython1.kernel.terminal import in_notebook, is_watched, prompt_number
from ipython1.kernel.verbs import VERBS

PACE = 0.05
"""Seconds between what an engine is asked."""
PER_ENGINE = 0.001
"""As much longer for each engine that is asked."""
UNSENT = 0.1
"""Seconds after which it is looked again whether a command was sent."""

Event = Callable[[], None] | None


def is_wanted(choice: bool | None) -> bool:
    """Whether output is to be shown, if the user has made that choice (None: where somebody sees it)."""
    return is_watched() if choice is None else choice


class _Source:
    """A command at one engine, or a task: what was shown of it."""

    def __init__(self, request: Request, index: int, screen: Screen) -> None:
        self.request = request
        self.index = index
        self.screen = screen
        self.ended = False
        self.attempt = 0
        self.engine: int | None = None
        self.shown: dict[str, Shown] = {}

    def is_at(self, engine: int, attempt: int) -> None:
        """It is there that it writes: what another attempt has written is not continued."""
        if (self.engine, self.attempt) != (engine, attempt):
            self.engine, self.attempt = engine, attempt
            self.shown = {kind: Shown(self.screen, kind, engine) for kind in STREAMS}

    def question(self) -> Request | None:
        """Asks for what was not shown; None if it was not sent."""
        offsets = {kind: self.shown[kind].offset if self.shown else 0 for kind in STREAMS}
        task = task_of(self.request)
        if task is not None:
            return Request("task_output", {"task": task, "attempt": self.attempt, **offsets})
        if self.request.command is None:
            return None
        args = {"only": list(self.request.command), **offsets}
        if self.engine is None:
            return Request("output", args, self.request.targets)
        return Request("output", {**args, "index": self.index}, [self.engine])


class Feed:
    """What the commands of some requests print, as far as it was not shown.

    Its events are functions, for the thread that waits; that is never more than one at a time.  `listened` has what other
    feeds have shown of tasks, by their ids; this one goes on there.
    """

    def __init__(
        self,
        reactor: ReactorThread,
        connection: Connection,
        requests: Sequence[Request],
        listened: dict[int, Any] | None = None,
    ) -> None:
        self._reactor = reactor
        self._connection = connection
        self._requests = [request for request in requests if prints(request) and request.replies is not None]
        self._sources: dict[tuple[int, int], _Source] = {}
        self.shown_at: dict[tuple[int, int], int] = {}
        """Where the user was (the number of the prompt) when all that a command printed was shown."""
        self._screen = Screen()
        for place, request in enumerate(self._requests):
            task = task_of(request)
            earlier = listened.pop(task, None) if listened and task is not None else None
            if earlier is not None:
                earlier.request = request
                self._sources[place, 0] = earlier
        self._events: queue.SimpleQueue[Event] | None = None
        # Counts the times that somebody began to wait: what was asked for before is of no use.
        self._turn = 0

    @property
    def has_commands(self) -> bool:
        """Whether there is anything that could print."""
        return bool(self._requests)

    @property
    def listened(self) -> dict[int, Any]:
        """What it has shown of tasks, by their ids."""
        of_tasks = {task_of(source.request): source for source in self._sources.values()}
        return {task: source for task, source in of_tasks.items() if task is not None}

    def begin(self, events: queue.SimpleQueue[Event], screen: Screen) -> None:
        """In the thread that waits: give events to it from now on."""
        self._events = events
        self._turn += 1
        if self._turn == 1:
            for place, request in enumerate(self._requests):
                assert request.replies is not None
                request.replies.listen(partial(self._replied, place))
        self.finish(screen)
        self._reactor.call_soon(self._ask_all, self._turn)

    def end(self) -> None:
        """In the thread that waits: it does so no more."""
        self._events = None
        self._turn += 1

    @property
    def is_over(self) -> bool:
        """Whether all has come."""
        return all(request.replies is not None and request.replies.are_all for request in self._requests)

    def finish(self, screen: Screen, all_of_it: bool = True) -> None:
        """In the thread that waits: show the rest of what the commands have printed that are done.

        Unless `all_of_it` is wanted, not of those whose results say what was printed.
        """
        self._screen = screen
        for source in self._sources.values():
            source.screen = screen
            for shown in source.shown.values():
                shown.screen = screen
        for place, request in enumerate(self._requests):
            if request.replies is None or (request.verb == "execute" and not all_of_it):
                continue
            for index, message in request.replies.numbered():
                self._outcome(place, index, message)

    # In the reactor's thread.

    def _ask_all(self, turn: int) -> None:
        for place, request in enumerate(self._requests):
            self._ask_request(turn, place, request)

    def _ask_request(self, turn: int, place: int, request: Request) -> None:
        known = [source for (of, _), source in list(self._sources.items()) if of == place and source.engine is not None]
        for source in known:
            self._ask(turn, place, source)
        # A task is at one engine; how many "all" are, only the controller knows.
        wanted = request.targets if task_of(request) is None else 1
        if not known or isinstance(wanted, str | dict) or (isinstance(wanted, list) and len(known) < len(wanted)):
            self._ask(turn, place, _Source(request, 0, self._screen))

    def _ask(self, turn: int, place: int, source: _Source) -> None:
        if turn != self._turn or source.ended:
            return
        asked = source.question()
        if asked is None:
            self._later(UNSENT, self._ask_request, turn, place, source.request)
            return
        if source.engine is not None:
            self._send(asked, lambda _, message: self._came(turn, place, source.index, message))
        else:
            self._send(asked, lambda index, message: self._came_first(turn, place, index, message))

    def _send(self, asked: Request, heard: Callable[[int, Message], None]) -> None:
        asked.replies = Replies()
        asked.replies.listen(heard)
        answered: Deferred[Any] = maybeDeferred(self._connection.perform, [asked])
        answered.addErrback(_not_told)

    def _replied(self, place: int, index: int, message: Message) -> None:
        """A command has its outcome at one of its targets."""
        self._put(self._turn, lambda: self._outcome(place, index, message))

    def _came_first(self, turn: int, place: int, index: int, message: Message) -> None:
        """One of the engines, all of which were asked, says what the command has written from its beginning."""
        source = self._sources.get((place, index))
        if source is None or source.engine is None:
            self._came(turn, place, index, message)

    def _came(self, turn: int, place: int, index: int, message: Message) -> None:
        """An engine says what a command has written."""
        if (
            message.fields["ok"]
            and isinstance(message.fields.get("result"), dict)
            and len(message.bodies) == len(STREAMS)
        ):
            self._put(turn, lambda: self._show(turn, place, index, message))

    def _put(self, turn: int, event: Callable[[], None]) -> None:
        events = self._events
        if turn == self._turn and events is not None:
            events.put(event)

    def _later(self, seconds: float, function: Callable[..., None], *arguments: Any) -> None:
        self._reactor.start().callLater(seconds, function, *arguments)

    # In the thread that waits.

    def _source(self, place: int, index: int) -> _Source:
        source = self._sources.get((place, index))
        if source is None:
            source = self._sources[place, index] = _Source(self._requests[place], index, self._screen)
        return source

    def _show(self, turn: int, place: int, index: int, message: Message) -> None:
        source = self._source(place, index)
        if source.ended:
            return
        engine, sizes = message.fields.get("engine"), message.fields["result"]
        behind = False
        if engine is not None:
            source.is_at(engine, sizes.get("attempt", 0))
            for kind, body in zip(STREAMS, message.bodies):
                source.shown[kind].came(bytes(body), sizes[kind], time.monotonic())  # type: ignore[arg-type] # no stream
                behind = behind or source.shown[kind].offset < sizes[kind]
            behind = behind and not self._screen.budget.is_low(time.monotonic())
        pause = 0.0 if behind else max(PACE, PER_ENGINE * len(self._sources))
        self._reactor.call_soon(self._later, pause, self._ask, turn, place, source)

    def _outcome(self, place: int, index: int, message: Message) -> None:
        source = self._source(place, index)
        record = message.fields.get("result")
        task = record if isinstance(record, dict) and "attempts" in record else {}
        engine = task.get("engine", message.fields.get("engine"))
        if source.ended or engine is None:
            return
        source.ended = True
        source.is_at(engine, task.get("attempts", 0))
        message.fields["shown_at"] = self.shown_at[place, index] = prompt_number() or 0
        for shown, text in zip(source.shown.values(), printed(message)):
            shown.ended(text, time.monotonic())
        rich = displayed(message) if in_notebook() else []
        if rich:
            self._screen.end_line()
        for bundle in rich:
            Piece("display", engine, bundle).show()


def prints(request: Request) -> bool:
    """Whether what is printed for a request can be listened to."""
    verb = VERBS.get(request.verb)
    return (verb is not None and verb.prints) or task_of(request) is not None


def task_of(request: Request) -> int | None:
    """The task whose end is waited for by a request; None if there is none."""
    waits = request.verb == "task_printed" or (request.verb == "task_result" and request.args["block"])
    return request.args["task"] if waits else None


def _not_told(failure: Failure) -> None:
    """What was printed comes with the outcome: this one only shows it sooner."""
    failure.trap(KernelError)
