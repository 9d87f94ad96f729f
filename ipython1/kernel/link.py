"""A session with a peer over some carrier: numbered messages, acknowledgements, and streams beside them.

What is sent within one reactor turn leaves as one batch.  The carrier has two methods (`Carrier`), so that it can be
exchanged; over Foolscap each is a remote method (see `ipython1.kernel.carrier`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ipython1.kernel import messages, session
from ipython1.kernel.arrivals import Arrivals
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import MAX_HEADER, Bytes, Decoder, Message, StreamRef, encode
from ipython1.kernel.peer import Link, Receiver
from ipython1.kernel.stream import THRESHOLD, Outgoing, Relay

BATCH = 1 << 20
"""A batch is closed when it has so many bytes."""
BATCH_MESSAGES = 256
"""... or so many messages: its receiver deals with others before it opens the next one."""
MAX_REFUSED = 100
"""A peer that sent so many malformed messages is not worth more."""
MAX_IN_FLIGHT = 256 << 20
"""More bytes than this a controller does not keep for a peer that takes nothing for `STALLED` seconds."""
STALLED = 20.0
_FIELDS_ADDED = 4096

_BATCH_FIELDS: Mapping[str, Mapping[str, messages.Types]] = {
    # `ack`: the highest number received; `first`: the number of the first message in the batch;
    # `incarnation`: the controller's, so that nothing meant for a lost one reaches its successor.
    "batch": {"ack": (int,), "first": (int,), "incarnation": (str,)},
}


class Carrier(Protocol):
    """Moves batches and pieces to the peer, in the order in which they are given."""

    def deliver(self, batch: bytes) -> None:
        """Send a batch."""

    def piece(self, number: int, offset: int, data: bytes) -> Deferred[bool]:
        """Send a piece of a stream; fires with the peer's answer, and with False if the peer is gone."""

    def close(self, reason: str | None) -> None:
        """The session is over: let go of the peer, and tell it `reason` unless that is None."""

    def cut_off(self) -> None:
        """End the connection, soon and without a word: the peer takes none."""


class SessionLink:
    """One end of a session; provides `ipython1.kernel.peer.Link`.

    `allowed` is the table of messages that the peer may send.  Others, and malformed ones, are logged, and a client
    is told: the session goes on, unless there are very many.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        peer: Mapping[str, Any],
        incarnation: str,
        allowed: Mapping[str, Mapping[str, messages.Types]],
    ) -> None:
        self.peer = peer
        self._reactor = reactor
        self._incarnation = incarnation
        self._refuses = allowed is messages.FROM_CLIENT
        # Only the controller passes streams on, and so announces them; it is also what others must not fill up.
        self._serves = allowed is messages.FROM_CLIENT or allowed is messages.FROM_AGENT
        self._allowed = {**allowed, **(messages.TO_LINK if self._serves else messages.OF_LINK)}
        # What others send is passed on by the controller with a few fields more, and must not become too long by them.
        self._max_header = MAX_HEADER if self._serves else MAX_HEADER - _FIELDS_ADDED
        self._carrier: Carrier | None = None
        self._receiver: Receiver | None = None
        self._sequence = session.Sequence()
        self._outbox: list[tuple[list[Bytes], int]] = []
        self._starting: list[Outgoing] = []
        self._flush_call: IDelayedCall | None = None
        self._ack_call: IDelayedCall | None = None
        self._arrivals = Arrivals(lambda problem: self.close(f"protocol error: {problem}"))
        self._streams = 0
        self._refused = 0
        self._pieces_in_flight = 0
        self._taken_at = reactor.seconds()
        self._lost: str | None = None

    def attach(self, carrier: Carrier, receiver: Receiver) -> None:
        """Start to carry messages; what was sent before leaves now."""
        self._carrier = carrier
        self._receiver = receiver
        if self._outbox:
            self._schedule_flush()

    # -- sending -------------------------------------------------------------------------------------

    def send(self, message: Message) -> int:
        """See `ipython1.kernel.peer.Link.send`."""
        large = _large_bodies(message)
        if large:
            message = Message(message.kind, message.fields, list(message.bodies))
            for index in large:
                message.bodies[index] = self._send_body(message.bodies[index])
        parts = encode(message, self._max_header)
        size = sum(map(len, parts))
        if self._lost is None:
            self._outbox.append((parts, size))
            self._schedule_flush()
        self._check_taken()
        return self._sequence.number(size)

    def _check_taken(self) -> None:
        """Something is about to be sent: see whether the peer takes what was."""
        in_flight = self._sequence.bytes_in_flight + self._pieces_in_flight
        if not in_flight:
            self._taken_at = self._reactor.seconds()
        elif in_flight > MAX_IN_FLIGHT and self._serves and self._reactor.seconds() > self._taken_at + STALLED:
            self._taken_at = self._reactor.seconds()  # this is done once, and takes effect in a later turn
            self.log.warn("the peer with pid {pid} takes nothing: cut off", pid=self.peer["pid"])
            if self._carrier is not None:
                self._carrier.cut_off()

    def _send_body(self, body: Any) -> StreamRef:
        ref = self._new_stream(memoryview(body).nbytes)
        self._starting.append(Outgoing(self, ref, body))
        return ref

    def _new_stream(self, size: int) -> StreamRef:
        self._streams += 1
        return StreamRef(self._streams, size)

    def _schedule_flush(self) -> None:
        if self._flush_call is None and self._carrier is not None and self._lost is None:
            self._flush_call = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        if self._carrier is None or self._lost is not None:
            return
        outbox, self._outbox = self._outbox, []
        first = self._sequence.sent - len(outbox) + 1
        while outbox:
            count, size = 0, 0
            while count < min(len(outbox), BATCH_MESSAGES) and size < BATCH:
                size += outbox[count][1]
                count += 1
            self._deliver(first, [part for parts, _ in outbox[:count] for part in parts])
            first += count
            del outbox[:count]
        # The pieces of a stream follow the message that speaks of it.
        starting, self._starting = self._starting, []
        for outgoing in starting:
            outgoing.start()

    def _deliver(self, first: int, parts: list[Bytes]) -> None:
        assert self._carrier is not None
        fields = {"ack": self._sequence.report(), "first": first, "incarnation": self._incarnation}
        self._cancel_ack()
        self._carrier.deliver(b"".join([*encode(Message("batch", fields)), *parts]))

    def acknowledged(self, sequence: int) -> bool:
        """See `ipython1.kernel.peer.Link.acknowledged`."""
        return sequence <= self._sequence.acknowledged

    # -- receiving -----------------------------------------------------------------------------------

    def batch_received(self, batch: bytes) -> None:
        """A batch came from the peer.  A malformed one ends the session: its numbers cannot be trusted."""
        if self._lost is not None:
            return
        try:
            received = self._open_batch(batch)
        except ProtocolError as problem:
            self.log.warn("a malformed batch ended the session: {problem}", problem=problem)
            self.close(f"protocol error: {problem}")
            return
        for message in received:
            self._message_received(message)
            if self._lost is not None:
                return
        if self._sequence.owes_at_once:
            self._acknowledge_alone()
        elif self._sequence.owes and self._ack_call is None:
            self._ack_call = self._reactor.callLater(session.SILENCE, self._acknowledge_alone)

    def _open_batch(self, batch: bytes) -> list[Message]:
        decoder = Decoder(max_body=THRESHOLD)
        envelope, *received = decoder.feed(batch) or [Message("")]
        problem = messages.check(envelope.kind, envelope.fields, _BATCH_FIELDS)
        if problem or decoder.partial:
            raise ProtocolError(problem or "a batch ends in the middle of a message")
        if envelope.fields["incarnation"] != self._incarnation:
            raise ProtocolError("a batch is meant for another incarnation of the controller")
        if self._sequence.acknowledge(envelope.fields["ack"]):
            self._taken_at = self._reactor.seconds()
        repeats = self._sequence.accept(envelope.fields["first"], len(received), len(batch))
        return received[repeats:]

    def _message_received(self, message: Message) -> None:
        problem = messages.check(message.kind, message.fields, self._allowed) or self._check_streams(message)
        if problem:
            self._refuse(message, problem)
        elif message.kind in messages.OF_LINK:
            self._arrivals.message_received(message)
        else:
            assert self._receiver is not None
            try:
                self._receiver.message_received(message)
            except Exception:  # a fault of ours in one message must not end the session for all others
                self.log.failure("while taking a {kind} message", kind=message.kind)

    def _check_streams(self, message: Message) -> str | None:
        """What is wrong with the streams that a message refers to: those that were not announced must be new."""
        refs = set(message.streams())
        if not self._serves or not refs:
            return None
        numbers = {ref.number for ref in refs}
        if len(numbers) < len(refs) or any(number in self._arrivals for number in numbers):
            return f"a {message.kind} message refers to a stream that is another one's already"
        return None

    def _refuse(self, message: Message, problem: str) -> None:
        self.log.warn("refused a message: {problem}", problem=problem)
        if self._refuses:
            command_id = message.fields.get("id")
            if not messages.is_command_id(command_id):
                command_id = None
            self.send(Message("refused", {"id": command_id, "error": problem}))
        self._refused += 1
        if self._refused >= MAX_REFUSED:
            self.close(f"protocol error: {self._refused} malformed messages, the last one: {problem}")

    def _acknowledge_alone(self) -> None:
        if self._ack_call is not None and self._ack_call.active():
            self._ack_call.cancel()
        self._ack_call = None
        if self._lost is None and self._sequence.owes and self._carrier is not None:
            # Not before what waits in the outbox, which has numbers already: then that carries it.
            if self._outbox:
                self._schedule_flush()
            else:
                self._deliver(self._sequence.sent + 1, [])

    def _cancel_ack(self) -> None:
        if self._ack_call is not None:
            self._ack_call.cancel()
            self._ack_call = None

    # -- streams -------------------------------------------------------------------------------------

    def piece_received(self, number: int, offset: int, data: bytes) -> Deferred[bool]:
        """A piece came from the peer; fires with the answer: whether more is wanted."""
        return self._arrivals.piece_received(number, offset, data)

    def collect(self, message: Message) -> Deferred[Message]:
        """See `ipython1.kernel.peer.Link.collect`."""
        return self._arrivals.collect(message)

    def relay(self, ref: StreamRef, to: Sequence[tuple[Link, int]]) -> Relay:
        """See `ipython1.kernel.peer.Link.relay`."""
        # All links of a process are of this class; services know them as `Link` only.
        links = [(cast(SessionLink, link), uses) for link, uses in to]
        relay = Relay([(link, link.announce(ref.size, uses)) for link, uses in links])
        self._arrivals.expect(ref, relay)
        return relay

    def announce(self, size: int, uses: int) -> StreamRef:
        """Open an outgoing stream to which `uses` messages will refer; its pieces are offered by a relay."""
        ref = self._new_stream(size)
        self.send(Message("stream", {"number": ref.number, "size": size, "uses": uses}))
        return ref

    def release(self, number: int, uses: int) -> None:
        """See `ipython1.kernel.peer.Link.release`."""
        self.send(Message("release", {"number": number, "uses": uses}))

    def offer(self, number: int, offset: int, data: bytes) -> Deferred[bool]:
        """Send a piece; fires when it has found its place, False if no more is wanted or the link is lost."""
        if self._lost is not None or self._carrier is None:
            return succeed(False)
        if self._outbox:
            # The message that speaks of the stream may still be in the outbox.
            self._flush_now()
        self._check_taken()
        self._pieces_in_flight += len(data)
        return self._carrier.piece(number, offset, data).addCallback(self._piece_taken, len(data))

    def _piece_taken(self, wanted: bool, size: int) -> bool:
        self._pieces_in_flight -= size
        self._taken_at = self._reactor.seconds()
        return wanted

    def _flush_now(self) -> None:
        if self._flush_call is not None:
            self._flush_call.cancel()
        self._flush()

    def abort(self, number: int, reason: str) -> None:
        """Say that the rest of a stream will not come."""
        if self._lost is None:
            self.send(Message("abort_stream", {"number": number, "reason": reason}))

    # -- the end -------------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """See `ipython1.kernel.peer.Link.close`."""
        if self._lost is None:
            if self._outbox:
                self._flush_now()
            self._end(reason, tell=True)

    def lost(self, reason: str) -> None:
        """The session is over: the peer closed it, or the connection was lost."""
        if self._lost is None:
            self._end(reason, tell=False)

    def _end(self, reason: str, tell: bool) -> None:
        self._lost = reason
        for call in (self._flush_call, self._ack_call):
            if call is not None:
                call.cancel()
        self._flush_call = self._ack_call = None
        self._outbox.clear()
        self._starting.clear()
        self._arrivals.end(reason)
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            # No longer kept: each end of a session would keep the other's object, and this one its own by that.
            carrier.close(reason if tell else None)
        if self._receiver is not None:
            self._receiver.link_lost(reason)


def _large_bodies(message: Message) -> list[int]:
    """Which bodies leave as streams: the large ones, and what is more than a batch can hold of the others."""
    large, inline = [], 0
    for index, body in enumerate(message.bodies):
        if not isinstance(body, StreamRef):
            size = memoryview(body).nbytes
            if size > THRESHOLD or inline + size > BATCH:
                large.append(index)
            else:
                inline += size
    return large
