"""A session with a peer over one connection after the other: messages, and streams beside them.

What is sent within one reactor turn leaves as one batch.  What numbers, keeps and repeats messages is
`ipython1.kernel.session`; here that meets the reactor, the streams, and a carrier (`ipython1.kernel.connection`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ipython1.kernel import batches, messages
from ipython1.kernel.arrivals import Arrivals
from ipython1.kernel.connection import Absence, Carrier
from ipython1.kernel.error import ConnectionError, ProtocolError
from ipython1.kernel.framing import MAX_HEADER, Bytes, Message, StreamRef, Traffic, encode
from ipython1.kernel.keeping import Keeping
from ipython1.kernel.offers import Offers
from ipython1.kernel.peer import Ending, Link, Receiver
from ipython1.kernel.room import Room
from ipython1.kernel.session import SILENCE, Batch, Session
from ipython1.kernel.stream import Outgoing, Relay

MAX_REFUSED = 100
"""A peer that sent so many malformed messages is not worth more."""
_FIELDS_ADDED = 4096


class SessionLink:
    """One end of a session; provides `ipython1.kernel.peer.Link`.

    `allowed` is the table of messages that the peer may send.  Others, and malformed ones, are logged, and a client
    is told: the session goes on, unless there are very many.  `absence` sees to another connection when one is
    lost; without it the session is over then.  With `settled`, what came is acknowledged only when that fires, which it
    does when what came of it is stored; a message with streams, when these were collected and then are stored.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        peer: Mapping[str, Any],
        incarnation: str,
        allowed: Mapping[str, Mapping[str, messages.Types]],
        absence: Absence | None = None,
        settled: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        self.peer = peer
        self.ending: Ending | None = None
        self.reason = ""
        """Why it ended, if it did."""
        self._reactor = reactor
        self._incarnation = incarnation
        self._refuses = allowed is messages.FROM_CLIENT
        # Only the controller passes streams on, and so announces them.
        self._serves = allowed is messages.FROM_CLIENT or allowed is messages.FROM_AGENT
        # A client can be told that there is no room; others have nobody to tell.
        self._tells_when_full = allowed is messages.TO_CLIENT
        self._allowed = {**allowed, **(messages.TO_LINK if self._serves else messages.OF_LINK)}
        # What others send is passed on by the controller with a few fields more, and must not become too long by them.
        self._max_header = MAX_HEADER if self._serves else MAX_HEADER - _FIELDS_ADDED
        self._absence = absence
        self._carrier: Carrier | None = None
        self._receiver: Receiver | None = None
        self._settled = settled
        self._session: Session[Any] = Session(holds=settled is not None)
        # The message that is being taken, and those whose streams are still coming.
        self._taking = 0
        self._incomplete: Counter[int] = Counter()
        self._starting: list[Outgoing] = []
        self._flush_call: IDelayedCall | None = None
        self._ack_call: IDelayedCall | None = None
        self._arrivals = Arrivals(lambda problem: self.close(f"protocol error: {problem}"))
        self._offers = Offers()
        self._streams = 0
        self._refused = 0
        self._room = Room(reactor, self._session, self._offers, self._serves)

    # -- connections ---------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """How many messages of the peer have come, and need not come again."""
        return self._session.secured

    @property
    def is_away(self) -> bool:
        """Whether the connection is lost, and is to come back."""
        return self.ending is None and self._carrier is None

    def attach(self, carrier: Carrier, receiver: Receiver) -> None:
        """Start to carry messages; what was sent before leaves now."""
        self._receiver = receiver
        self._use(carrier, 0)

    def resume(self, carrier: Carrier, has: int) -> None:
        """Go on over another connection; the peer has received `has` messages.

        If the last one is still there, the new one wins.  ProtocolError if the peer cannot have that many.
        """
        was_away = self._carrier is None
        self._drop_carrier()
        self._use(carrier, has)
        if self._absence is not None:
            self._absence.end(self)
        if was_away and self._receiver is not None:
            self._receiver.link_back()

    def _use(self, carrier: Carrier, has: int) -> None:
        self._session.connected(has)
        self._carrier = carrier
        self._room.taken()
        if self._session.waits or len(self._offers) or self._starting:
            # In a later turn, as a peer that waits for our answer to its hello takes nothing before.
            self._schedule_flush()
        else:
            self._offers.use(carrier)

    def _drop_carrier(self) -> None:
        """Let go of the connection, if there is one."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.let_go()
        self._session.disconnected(self._session.connection)
        self._offers.disconnected()
        self._cancel_calls()

    def carrier_lost(self, carrier: Carrier, reason: str) -> None:
        """A connection was lost."""
        if carrier is self._carrier:
            self.connection_void(reason)

    def connection_void(self, reason: str) -> None:
        """The connection that is in use is good for nothing any more."""
        if self.ending is not None or self._carrier is None:
            return
        if self._absence is None:
            self.over(reason)
            return
        self._drop_carrier()
        self._room.disconnected()
        assert self._receiver is not None
        self._receiver.link_away(reason)
        self._absence.begin(self, reason)
        self._check_room()

    # -- sending -------------------------------------------------------------------------------------

    def send(self, message: Message) -> int:
        """See `ipython1.kernel.peer.Link.send`."""
        if self._tells_when_full and self.is_away and self._room.is_full():
            raise ConnectionError(
                f"the connection is lost, and {self._session.kept} messages wait for it already: no more are taken"
            )
        large = batches.large_bodies(message)
        if large:
            traffic = message.traffic
            message = Message(message.kind, message.fields, list(message.bodies))
            for index in large:
                message.bodies[index] = self._send_body(message.bodies[index], traffic)
        parts = encode(message, self._max_header)
        number = self._session.send(parts, sum(map(len, parts)))
        self._schedule_flush()
        self._check_room()
        return number

    def _check_room(self) -> None:
        """See whether too much is kept for the peer."""
        if self._carrier is not None:
            if self._room.has_stalled():
                self._end_for_want_of_room("takes nothing")
        elif self.is_away and not self._tells_when_full and self._room.is_full():
            self._end_for_want_of_room("is away")

    def _end_for_want_of_room(self, why: str) -> None:
        text = f"the peer {why}, and {self._session.kept} messages are kept for it already"
        self.log.warn("pid {pid}: {text}: given up", pid=self.peer["pid"], text=text)
        self._room.taken()  # this is done once, and takes effect in a later turn
        if self._carrier is not None:
            self._carrier.cut_off()
        self._reactor.callLater(0, self.over, text)

    def _send_body(self, body: Any, traffic: Traffic | None) -> StreamRef:
        ref = self._new_stream(memoryview(body).nbytes)
        self._room.body_sent(ref.size)
        if traffic is not None:
            traffic.begun(ref.size)
        self._starting.append(Outgoing(self, ref, body, traffic))
        return ref

    def _new_stream(self, size: int) -> StreamRef:
        self._streams += 1
        return StreamRef(self._streams, size)

    def _schedule_flush(self) -> None:
        if self._flush_call is None and self._carrier is not None:
            self._flush_call = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        if self._carrier is None:
            return
        while (batch := self._session.next_batch()) is not None:
            self._deliver(batch)
        # The pieces of a stream follow the message that speaks of it.
        self._offers.use(self._carrier)
        starting, self._starting = self._starting, []
        for outgoing in starting:
            outgoing.start()

    def _deliver(self, batch: Batch[Any]) -> None:
        assert self._carrier is not None
        self._cancel_ack()
        self._carrier.deliver(batches.to_bytes(batch, self._incarnation))

    @property
    def peer_has(self) -> int:
        """How many messages the peer is known to have."""
        return self._session.acknowledged

    def acknowledged(self, sequence: int) -> bool:
        """See `ipython1.kernel.peer.Link.acknowledged`."""
        return sequence <= self._session.acknowledged

    # -- receiving -----------------------------------------------------------------------------------

    @property
    def connection(self) -> int:
        """The number of the connection that is in use."""
        return self._session.connection

    def batch_received(self, batch: Bytes, connection: int | None = None) -> None:
        """A batch came from the peer, over the connection of that number, or the one in use.

        A malformed one ends the session: its numbers cannot be trusted.
        """
        if self.ending is not None:
            return
        try:
            received = self._open_batch(batch, self.connection if connection is None else connection)
        except ProtocolError as problem:
            self.log.warn("a malformed batch ended the session: {problem}", problem=problem)
            self.close(f"protocol error: {problem}")
            return
        last = self._session.received
        for number, message in enumerate(received, last - len(received) + 1):
            self._taking = number
            self._message_received(message)
            if self.ending is not None:
                return
        if self._settled is None:
            self._acknowledge_soon()
        elif received:
            self._settled().addCallback(lambda _: self._secured(last))

    def _secured(self, number: int) -> None:
        """What came of the messages up to `number` is stored, but for those whose streams are still coming."""
        if self.ending is None:
            self._session.secure(min([number, *(each - 1 for each in self._incomplete)]))
            self._acknowledge_soon()

    def _acknowledge_soon(self) -> None:
        if self._session.owes_at_once:
            self._acknowledge_alone()
        elif self._session.owes and self._ack_call is None:
            self._ack_call = self._reactor.callLater(SILENCE, self._acknowledge_alone)

    def _open_batch(self, data: Bytes, connection: int) -> Sequence[Message]:
        known = self._session.acknowledged
        batch = batches.from_bytes(data, self._incarnation)
        new = self._session.arrived(connection, batch, len(data))
        if self._session.acknowledged > known:
            self._room.taken()
        return new

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
        refs = set(message.streams()) if self._serves else ()
        if not refs:
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
        self._cancel_ack()
        if self._session.owes and self._carrier is not None:
            # Not before what waits, which has numbers already: then that carries it.
            if self._session.waits:
                self._schedule_flush()
            else:
                self._deliver(self._session.bare_batch())

    def _cancel_ack(self) -> None:
        if self._ack_call is not None and self._ack_call.active():
            self._ack_call.cancel()
        self._ack_call = None

    def _cancel_calls(self) -> None:
        self._cancel_ack()
        if self._flush_call is not None:
            self._flush_call.cancel()
        self._flush_call = None

    # -- streams -------------------------------------------------------------------------------------

    def piece_received(self, number: int, offset: int, data: Bytes) -> Deferred[bool]:
        """A piece came from the peer; fires with the answer: whether more is wanted."""
        return self._arrivals.piece_received(number, offset, data)

    def collect(self, message: Message) -> Deferred[Message]:
        """See `ipython1.kernel.peer.Link.collect`."""
        collecting = self._arrivals.collect(message)
        if self._settled is not None and message.streams():
            collecting.addBoth(self._collected, self._hold())
        return collecting

    def keep_in(self, new_keeping: Callable[[int, int], Keeping]) -> None:
        """See `ipython1.kernel.peer.Link.keep_in`."""
        self._arrivals.new_keeping = new_keeping

    def hold(self) -> Callable[[], None]:
        """See `ipython1.kernel.peer.Link.hold`."""
        if self._settled is None:
            return lambda: None
        number = self._hold()
        return lambda: self._collected(None, number)

    def _hold(self) -> int:
        """Do not acknowledge the message that is being taken until it was `_complete`; its number."""
        self._incomplete[self._taking] += 1
        return self._taking

    def _collected(self, outcome: Any, number: int) -> Any:
        # In a later turn: who waits for the message has not seen it yet, and is about to store what comes of it.
        self._reactor.callLater(0, self._complete, number)
        return outcome

    def _complete(self, number: int) -> None:
        self._incomplete[number] -= 1
        if not self._incomplete[number]:
            del self._incomplete[number]
        last = self._session.received
        if self._settled is not None:
            self._settled().addCallback(lambda _: self._secured(last))

    def relay(self, ref: StreamRef, to: Sequence[tuple[Link, int]]) -> Relay:
        """See `ipython1.kernel.peer.Link.relay`."""
        # All links of a process are of this class; services know them as `Link` only.
        links = [(cast(SessionLink, link), uses) for link, uses in to]
        relay = Relay([(link, link.announce(ref.size, uses)) for link, uses in links])
        self._arrivals.expect(ref, relay)
        if self._settled is not None:
            # What is passed on is kept nowhere else until it has come to its end.
            number = self._hold()
            relay.when_done(lambda _: self._collected(None, number))
        return relay

    def announce(self, size: int, uses: int) -> StreamRef:
        """Open an outgoing stream to which `uses` messages will refer; its pieces are offered by a relay."""
        ref = self._new_stream(size)
        self.send(Message("stream", {"number": ref.number, "size": size, "uses": uses}))
        return ref

    def release(self, number: int, uses: int) -> None:
        """See `ipython1.kernel.peer.Link.release`."""
        self.send(Message("release", {"number": number, "uses": uses}))

    def offer(self, number: int, offset: int, data: Bytes) -> Deferred[bool]:
        """Send a piece; fires when it has found its place, False if no more is wanted or the session is over."""
        if self.ending is not None:
            return succeed(False)
        if self._session.waits:
            # The message that speaks of the stream may still be there.
            self._flush_now()
        self._check_room()
        return self._offers.add(number, offset, data).addCallback(self._piece_taken)

    def _piece_taken(self, wanted: bool) -> bool:
        self._room.taken()
        return wanted

    def _flush_now(self) -> None:
        if self._flush_call is not None:
            self._flush_call.cancel()
        self._flush()

    def abort(self, number: int, reason: str) -> None:
        """Say that the rest of a stream will not come."""
        if self.ending is None:
            self.send(Message("abort_stream", {"number": number, "reason": reason}))

    # -- the end -------------------------------------------------------------------------------------

    def close(self, reason: str, goodbye: bool = False) -> None:
        """See `ipython1.kernel.peer.Link.close`; with `goodbye` the peer need not look for another session."""
        if self.ending is None:
            if self._session.waits:
                self._flush_now()
            if self._carrier is not None:
                self._carrier.close(reason, goodbye)
            self.over(reason)

    def over(self, reason: str, ending: Ending = Ending.CLOSED) -> None:
        """The session is over, for that reason; the peer is not told."""
        if self.ending is not None:
            return
        self.ending, self.reason = ending, reason
        self._drop_carrier()
        self._session.end()
        self._starting.clear()
        if self._absence is not None:
            self._absence.end(self)
        self._arrivals.end(reason)
        self._offers.end()
        if self._receiver is not None:
            self._receiver.link_lost(reason)
