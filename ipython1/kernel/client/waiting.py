"""Waiting for results, in a thread of the user's, which shows meanwhile what is printed and how far it is."""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from ipython1.kernel.client.live import Event, Feed
from ipython1.kernel.client.patient import settled, taken
from ipython1.kernel.client.progress import Meter
from ipython1.kernel.live import Screen
from ipython1.kernel.replies import Replies

DELAY = 0.1
"""Seconds for which a call is waited for before it is asked what it prints: most are done by then."""
LOOK_AFTER = 0.5
"""Seconds after which a bar is looked after, if nothing comes."""
FEEDING = 50
"""To so many results it is listened at a time, in their order."""


class Wait:
    """Waits until all of `futures` are done, or `enough` says that it is.

    `feeds` give what is printed meanwhile, `replies` are those that `enough` and `meter` have to do with.
    """

    def __init__(
        self,
        futures: Sequence[Future[Any]],
        feeds: Sequence[Feed] = (),
        replies: Sequence[Replies] = (),
        meter: Meter | None = None,
        enough: Callable[[], bool] | None = None,
    ) -> None:
        self._futures = deque(futures)
        # Those that give something now, and those that are to.
        self._feeding: list[Feed] = []
        self._feeds = deque(feeds)
        self._replies = replies
        self._meter = meter if meter is not None and meter.is_wanted else None
        self._enough = enough
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._screen = Screen(None if self._meter is None else self._meter.write)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to be waited for any more."""
        if self._enough is not None and self._enough():
            return True
        while self._futures and self._futures[0].done():
            self._futures.popleft()
        return not self._futures

    def run(self, timeout: float | None = None) -> bool:
        """Wait, at most `timeout` seconds; tells whether it is over."""
        timeout = None if timeout == math.inf else timeout
        until = None if timeout is None else time.monotonic() + timeout
        if self._enough is None and self._futures:
            simple = not self._feeds and self._meter is None
            first = timeout if simple else DELAY if timeout is None else min(DELAY, timeout)
            if settled(self._futures, first):
                return True
        if not self.is_over:
            self._wait(until)
        return self.is_over

    def _wait(self, until: float | None) -> None:
        for future in self._futures:
            # Not by the method of PendingResult, which goes by way of another thread.
            Future.add_done_callback(future, self._wake)
        for replies in self._replies:
            replies.listen(self._wake)
        try:
            while not self.is_over and (until is None or time.monotonic() < until):
                self._listen()
                self._take_event(until)
            while not self._events.empty():
                self._take_event(time.monotonic())
        finally:
            self._end()

    def _end(self) -> None:
        for replies in self._replies:
            replies.forget(self._wake)
        for feed in self._feeding:
            feed.end()
        if self._meter is not None and not self._meter.lasting:
            self._meter.close()
        for feed in [*self._feeding, *self._feeds]:
            feed.finish(self._screen)
        self._screen.end_line()

    def _listen(self) -> None:
        """Have as many feeds give what they have as may do so at a time."""
        for feed in [feed for feed in self._feeding if feed.is_over]:
            feed.end()
            feed.finish(self._screen)
            self._feeding.remove(feed)
        while self._feeds and len(self._feeding) < FEEDING:
            feed = self._feeds.popleft()
            self._feeding.append(feed)
            feed.begin(self._events, self._screen)

    def _wake(self, *_: Any) -> None:
        self._events.put(None)

    def _take_event(self, until: float | None) -> None:
        left = None if until is None else max(0.0, until - time.monotonic())
        if self._meter is not None:
            left = LOOK_AFTER if left is None else min(LOOK_AFTER, left)
        with contextlib.suppress(queue.Empty):
            event = taken(self._events, left)
            if event is not None:
                event()
        if self._meter is not None:
            self._meter.update()
