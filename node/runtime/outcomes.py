"""Outcomes in words: what the core's refusals and a request's end mean to whoever asked.

Why it exists: 503 is promised only where nothing was proposed, 504 for everything that may have happened; this is
where that is decided, once. It must not send or remember anything.
"""

from collections.abc import Callable

import msgspec

from node.raft.errors import LogFull, NotBorn, NotLeader, Overloaded, Refusal, Transferring
from node.runtime.pending import PendingWrite
from node.runtime.ports import NotProposed, Outcome, Unknown

_DECODER: msgspec.msgpack.Decoder[Outcome] = msgspec.msgpack.Decoder(Outcome)

encode_outcome: Callable[[Outcome], bytes] = msgspec.msgpack.Encoder().encode


def decode_outcome(data: bytes, sender: str) -> Outcome:
    """What `sender` answered; unknown where it cannot be read."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
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
