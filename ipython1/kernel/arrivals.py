"""The streams that come in over one link: each to its sink, and kept there for the messages that refer to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, succeed

from ipython1.kernel.error import ConnectionError, ProtocolError
from ipython1.kernel.framing import Bytes, Message, StreamRef
from ipython1.kernel.keeping import Joined, Keeping
from ipython1.kernel.stream import Collector, Sink


@dataclass(eq=False)
class _Arrival:
    """A stream that is coming in, or has come and is kept for its remaining `uses`."""

    size: int
    sink: Sink
    uses: int
    offset: int = 0
    # Who waits for the answers to pieces that have come and not found their place yet, by their offsets.
    unanswered: dict[int, list[Deferred[bool]]] = field(default_factory=dict)


class Arrivals:
    """Takes pieces in order; `refuse` is called with what is wrong with one that does not fit."""

    def __init__(self, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse
        self._arrivals: dict[int, _Arrival] = {}
        self.new_keeping: Callable[[int, int], Keeping] = Joined
        """Where the streams that are collected are put together, made for the size and the uses of each."""

    def __len__(self) -> int:
        return len(self._arrivals)

    def __contains__(self, number: int) -> bool:
        return number in self._arrivals

    def expect(self, ref: StreamRef, sink: Sink, uses: int = 0) -> None:
        """A stream will come, and go to `sink`."""
        arrival = self._arrivals[ref.number] = _Arrival(ref.size, sink, uses)
        if not ref.size:
            self._complete(True, ref.number, arrival)

    def _collecting(self, ref: StreamRef) -> Sink:
        if ref.number not in self._arrivals:
            self.expect(ref, self._collector(ref.size, 1), 1)
        return self._arrivals[ref.number].sink

    def _collector(self, size: int, uses: int) -> Collector:
        return Collector(size, self.new_keeping(size, uses))

    def message_received(self, message: Message) -> None:
        """One of the messages with which a peer speaks of its streams (`messages.OF_LINK`)."""
        number = message.fields["number"]
        if message.kind == "stream":
            size = message.fields["size"]
            uses = message.fields["uses"]
            self.expect(StreamRef(number, size), self._collector(size, uses), uses)
        elif message.kind == "release":
            self._used(number, message.fields["uses"])
        else:
            arrival = self._arrivals.get(number)
            if arrival is not None and arrival.offset < arrival.size:
                if not isinstance(arrival.sink, Collector):
                    del self._arrivals[number]
                arrival.sink.broken(message.fields["reason"])

    def _used(self, number: int, uses: int) -> None:
        arrival = self._arrivals.get(number)
        if arrival is not None:
            arrival.uses -= uses
            if arrival.uses <= 0:
                del self._arrivals[number]

    def piece_received(self, number: int, offset: int, data: Bytes) -> Deferred[bool]:
        """Fires with the answer to a piece: whether more is wanted.

        A piece whose answer was lost comes again: it is answered like the first time, and has no other effect.
        """
        arrival = self._arrivals.get(number)
        if arrival is None:
            return succeed(False)
        end = offset + len(data)
        if end <= arrival.offset:
            return self._answer_again(arrival, offset)
        if offset != arrival.offset or end > arrival.size:
            self._refuse(f"a piece of stream {number} at byte {offset} does not fit")
            return succeed(False)
        arrival.offset = end
        waiting = arrival.unanswered[offset] = []
        answer = arrival.sink.piece(data)
        answer.addCallback(self._answered, number, arrival, end)
        answer.addCallback(self._tell, arrival, offset, waiting)
        return answer

    def _answered(self, wanted: bool, number: int, arrival: _Arrival, end: int) -> bool:
        if end == arrival.size:
            return self._complete(wanted, number, arrival)
        return self._end_unwanted(wanted, number, arrival)

    def _answer_again(self, arrival: _Arrival, offset: int) -> Deferred[bool]:
        waiting = arrival.unanswered.get(offset)
        if waiting is None:
            return succeed(True)
        waiting.append(Deferred())
        return waiting[-1]

    def _tell(self, wanted: bool, arrival: _Arrival, offset: int, waiting: list[Deferred[bool]]) -> bool:
        del arrival.unanswered[offset]
        for repeat in waiting:
            repeat.callback(wanted)
        return wanted

    def _end_unwanted(self, wanted: bool, number: int, arrival: _Arrival) -> bool:
        # The peer sends no more of what no destination wants: nothing would end it otherwise.
        if not wanted and self._arrivals.get(number) is arrival:
            self._complete(wanted, number, arrival)
        return wanted

    def _complete(self, wanted: bool, number: int, arrival: _Arrival) -> bool:
        # A collected stream stays for the messages that refer to it; one that was passed on is over.
        if not isinstance(arrival.sink, Collector):
            self._arrivals.pop(number, None)
        arrival.sink.complete()
        return wanted

    def collect(self, message: Message) -> Deferred[Message]:
        """Fires with `message`, its streams replaced by what they brought; see `ipython1.kernel.peer.Link.collect`."""
        refs = message.streams()
        if not refs:
            return succeed(message)
        sinks = {ref.number: self._collecting(ref) for ref in refs}
        if message.traffic is not None:
            for sink in sinks.values():
                if isinstance(sink, Collector):
                    sink.count(message.traffic)
        return Deferred.fromCoroutine(self._collected(message, sinks))

    async def _collected(self, message: Message, sinks: dict[int, Sink]) -> Message:
        bodies = {}
        try:
            for number, sink in sinks.items():
                if not isinstance(sink, Collector):
                    raise ProtocolError(f"stream {number} is being passed on and cannot be collected")
                await sink.when_over()
                if sink.body is None:
                    raise ConnectionError(sink.reason)
                bodies[number] = sink.body
        finally:
            for number in sinks:
                self._used(number, 1)
        return Message(
            message.kind,
            message.fields,
            [bodies[body.number] if isinstance(body, StreamRef) else body for body in message.bodies],
        )

    def end(self, reason: str) -> None:
        """Nothing more will come."""
        arrivals, self._arrivals = self._arrivals, {}
        for arrival in arrivals.values():
            if arrival.offset < arrival.size:
                arrival.sink.broken(reason)
