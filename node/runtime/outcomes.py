"""Outcomes in words: what the core's refusals and a request's end mean to whoever asked.

Why it exists: 503 is promised only where nothing was proposed, 504 for everything that may have happened; this is
where that is decided, once. It must not send or remember anything.
"""

from collections.abc import Callable

import msgspec

from node.raft.errors import LogFull, NotBorn, NotLeader, Overloaded, Refusal, Transferring
from node.runtime.pending import PendingWrite
from node.runtime.ports import Done, NotProposed, Outcome, Unknown


class _Sent(msgspec.Struct, frozen=True, tag="done"):
    """`Done` between two nodes: `result` is what the state machine makes of its answer for a peer."""

    result: bytes
    index: int
    term: int


_DECODER: msgspec.msgpack.Decoder[_Sent | NotProposed | Unknown] = msgspec.msgpack.Decoder(
    _Sent | NotProposed | Unknown
)

RESULT_BYTES_MAX = 3584 * 1024
"""The longest result that is sent to another node."""


def encode_outcome(outcome: Outcome, encode_result: Callable[[object, int], bytes | None]) -> bytes:
    """For the node that a write was forwarded by."""
    if not isinstance(outcome, Done):
        return msgspec.msgpack.encode(outcome)
    result = encode_result(outcome.result, RESULT_BYTES_MAX)
    if result is None:
        return msgspec.msgpack.encode(Unknown("it was done, but its answer is too long to be sent here"))
    return msgspec.msgpack.encode(_Sent(result, outcome.index, outcome.term))


def decode_outcome(data: bytes, sender: str, decode_result: Callable[[bytes], object]) -> Outcome:
    """What `sender` answered; unknown where it cannot be read."""
    try:
        outcome = _DECODER.decode(data)
        if not isinstance(outcome, _Sent):
            return outcome
        return Done(decode_result(outcome.result), outcome.index, outcome.term)
    except ValueError:
        return Unknown(f"{sender} answered in a form that this version does not know")


def interrupted(write: PendingWrite, why: str) -> Outcome:
    """A write that gets no answer: unknown once it may be in a log, else never proposed (pitfall 34)."""
    if write.proposed or write.forwarded_to:
        return Unknown(f"{why}; the write may still happen")
    return NotProposed("no-leader", f"{why}; the write was not proposed")


def not_proposed(reason: Refusal) -> NotProposed:
    """A refusal in words for people and a code for programs."""
    match reason:
        case NotLeader(leader):
            where = f"{leader} leads" if leader else "no leader is known; an election may be under way"
            return NotProposed("no-leader", f"this node does not lead: {where}", leader)
        case NotBorn(waiting_for):
            return NotProposed("not-born", waiting_for)
        case LogFull(size_bytes, limit_bytes):
            return NotProposed(
                "log-full",
                f"the log holds {size_bytes} bytes of at most {limit_bytes}; "
                "raise max_log_bytes on all nodes to write again; reads go on",
            )
        case Overloaded(waiting, limit, unit):
            return NotProposed("overloaded", f"{waiting} {unit} of at most {limit} wait to be committed")
        case Transferring(target):
            return NotProposed("transferring", f"the lead is being handed to {target}; try again at once", target)
