"""A batch of messages as bytes, and what of a message does not go into one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipython1.kernel import messages
from ipython1.kernel.error import ProtocolError
from ipython1.kernel.framing import Bytes, Message, StreamRef, decode, encode
from ipython1.kernel.session import BATCH, Batch
from ipython1.kernel.stream import THRESHOLD

MAX_BATCH = 4 << 20
"""More than any batch has: the limits of `ipython1.kernel.session` and the largest header together."""

_FIELDS: Mapping[str, Mapping[str, messages.Types]] = {
    # `ack`: the highest number received; `first`: the number of the first message in the batch;
    # `incarnation`: the controller's, so that nothing meant for a lost one reaches its successor.
    "batch": {"ack": (int,), "first": (int,), "incarnation": (str,)},
}


def to_bytes(batch: Batch[list[Bytes]], incarnation: str) -> bytes:
    """A batch of messages, each of which is encoded already."""
    fields: dict[str, Any] = {"ack": batch.ack, "first": batch.first, "incarnation": incarnation}
    envelope = encode(Message("batch", fields))
    return b"".join([*envelope, *(part for parts in batch.messages for part in parts)])


def from_bytes(data: Bytes, incarnation: str) -> Batch[Message]:
    """The batch; ProtocolError if it is none, or is meant for another incarnation of the controller."""
    envelope, *contents = decode(data, max_body=THRESHOLD) or [Message("")]
    problem = messages.check(envelope.kind, envelope.fields, _FIELDS)
    if problem:
        raise ProtocolError(problem)
    if envelope.fields["incarnation"] != incarnation:
        raise ProtocolError("a batch is meant for another incarnation of the controller")
    return Batch(envelope.fields["first"], envelope.fields["ack"], contents)


def large_bodies(message: Message) -> list[int]:
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
